"""Where the page hangs in Airflow's UI, and the app that answers it, which is imported when asked.

Every Airflow process loads the plugin; only the API server needs the page.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, Final

from airflow_am_provider.links import PAGE_PREFIX, page_path

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping

    Message = MutableMapping[str, Any]
    App = Callable[
        [Message, Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]],
        Awaitable[None],
    ]

_TITLE: Final = "Audience Manager"
_TABS: Final = {
    "dag": "?dag_id={DAG_ID}",
    "dag_run": "?dag_id={DAG_ID}&run_id={RUN_ID}",
    "task": "?dag_id={DAG_ID}&task_id={TASK_ID}",
    "task_instance": ("?dag_id={DAG_ID}&run_id={RUN_ID}&task_id={TASK_ID}&map_index={MAP_INDEX}"),
}
_MISSING: Final = (
    b"The page could not be loaded; the API server's log says why. Deliveries are not affected: "
    b"airflow-am deliveries shows them."
)
_logger = logging.getLogger(__name__)


def fastapi_apps() -> list[dict[str, Any]]:
    """The app, in the words of Airflow's plugins."""
    return [{"app": PageOnDemand(), "url_prefix": PAGE_PREFIX, "name": _TITLE}]


def external_views() -> list[dict[str, Any]]:
    """The entry in the navigation, and tabs on DAG, run, task and task instance."""
    path = page_path()
    common = {"name": _TITLE, "icon": f"{path}icon.svg", "icon_dark_mode": f"{path}icon-dark.svg"}
    entry = {
        **common,
        "href": path,
        "destination": "nav",
        "url_route": "audience-manager",
        "nav_top_level": True,  # Airflow 3.3; before, it stands among the plugins
    }
    tabs = [
        {
            **common,
            "href": path + query,
            "destination": destination,
            # Each needs a route of its own, or Airflow leaves all but one of them out.
            "url_route": f"audience-manager-{destination.replace('_', '-')}",
        }
        for destination, query in _TABS.items()
    ]
    return [entry, *tabs]


class PageOnDemand:
    """An ASGI app that imports the page with the first request.

    Where that fails, as when Airflow has moved something, the page says so and Airflow goes on.
    """

    def __init__(self) -> None:
        self._app: App | None = None

    async def __call__(
        self,
        scope: Message,
        receive: Callable[[], Awaitable[Message]],
        send: Callable[[Message], Awaitable[None]],
    ) -> None:
        """Answer a request."""
        if self._app is None:
            try:
                self._app = await asyncio.to_thread(_load)
            except Exception:
                _logger.exception("The page %s could not be loaded", _TITLE)
                await _say_missing(send)
                return
        await self._app(scope, receive, send)


def _load() -> App:
    from airflow_am_provider.plugins.page.app import page_app

    return page_app()


async def _say_missing(send: Callable[[Message], Awaitable[None]]) -> None:
    headers = [(b"content-type", b"text/plain; charset=utf-8")]
    await send({"type": "http.response.start", "status": 503, "headers": headers})
    await send({"type": "http.response.body", "body": _MISSING})
