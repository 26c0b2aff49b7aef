"""The page's app: its files for everybody, its answers for who is logged in."""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from airflow.configuration import AIRFLOW_HOME
from fastapi import Depends, FastAPI
from fastapi.responses import JSONResponse
from fastapi.staticfiles import StaticFiles

from airflow_am_provider.airflow_compat import conf
from airflow_am_provider.audience_manager.errors import AudienceManagerError
from airflow_am_provider.plugins.page.access import rights_of
from airflow_am_provider.plugins.page.index import Index
from airflow_am_provider.plugins.page.places import SECTION, place_of
from airflow_am_provider.plugins.page.refresher import Refresher
from airflow_am_provider.plugins.page.routes import router

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from fastapi import Request, Response

    from airflow_am_provider.plugins.page.places import Place, Problem

ASSETS: Final = Path(__file__).parent / "assets"
# Nothing is loaded from elsewhere, nothing is sent elsewhere, and only Airflow may frame the page.
_POLICY: Final = (
    "default-src 'self'; img-src 'self' data:; "
    "object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
)
_HEADERS: Final = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
}


def page_app() -> FastAPI:
    """The app as Airflow's API server mounts it."""
    index = Index(index_folder())
    every_s = float(conf.get(SECTION, "page_refresh_interval_s", fallback="30") or 30)
    return create_app(index, Refresher(index, every_s=every_s))


def index_folder() -> Path:
    """Where the index lies: as set, or a folder in the machine's temporary one for this Airflow."""
    named = conf.get(SECTION, "page_index_folder", fallback="") or ""
    if named:
        return Path(named)
    database = conf.get("database", "sql_alchemy_conn", fallback="")
    which = hashlib.sha256(f"{AIRFLOW_HOME}\n{database}".encode()).hexdigest()[:12]
    return Path(tempfile.gettempdir()) / f"airflow-am-page-{os.getuid()}-{which}"


def create_app(
    index: Index,
    refresher: Refresher,
    find_place: Callable[[str], Place | Problem] = place_of,
) -> FastAPI:
    """The app.

    :param index: answers requests.
    :param refresher: keeps it new.
    :param find_place: opens the staging location of a connection.
    """
    app = FastAPI(title="Audience Manager", docs_url=None, redoc_url=None, openapi_url=None)
    app.state.index = index
    app.state.refresher = refresher
    app.state.find_place = find_place
    # The dependency stands here, so that no route can be without it.
    app.include_router(router, prefix="/api", dependencies=[Depends(rights_of)])
    app.mount("/", StaticFiles(directory=ASSETS, html=True))
    app.middleware("http")(_with_headers)
    app.add_exception_handler(AudienceManagerError, _wrong_request)
    return app


async def _with_headers(
    request: Request, call_next: Callable[[Request], Awaitable[Response]]
) -> Response:
    response = await call_next(request)
    response.headers.update(_HEADERS)
    # The build names these by what is in them.
    is_fixed = "/assets/" in request.url.path and response.status_code == 200
    response.headers["Cache-Control"] = (
        "public, max-age=31536000, immutable" if is_fixed else "no-store"
    )
    return response


async def _wrong_request(_: Request, error: Exception) -> JSONResponse:
    return JSONResponse({"detail": str(error)}, status_code=400)
