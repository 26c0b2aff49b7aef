"""The page's app over deliveries in memory, with users of the simple auth manager and of another.

``get_user_from_token`` is the one thing that is not Airflow's own: it needs a database.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from airflow.api_fastapi.auth.managers.simple.simple_auth_manager import SimpleAuthManager
from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
from airflow.api_fastapi.core_api import security
from fastapi.testclient import TestClient
from jwt import InvalidTokenError

from airflow_am_provider.deliveries.targets import Targets
from airflow_am_provider.plugins.page import access
from airflow_am_provider.plugins.page.app import create_app
from airflow_am_provider.plugins.page.index import Index
from airflow_am_provider.plugins.page.places import Place, Problem
from airflow_am_provider.plugins.page.refresher import Refresher
from demo.page_deliveries import fill
from tests.formatting.memory_folder import memory_targets

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)
DAILY = "audience_manager_daily"


class Simple(SimpleAuthManager):
    """The simple auth manager, whose tokens are the names of roles."""

    async def get_user_from_token(self, token: str) -> SimpleAuthManagerUser:
        if token not in ("admin", "viewer"):
            raise InvalidTokenError
        return SimpleAuthManagerUser(username=token, role=token)


class ByDag:
    """An auth manager with rights for single DAGs, such as FAB's: a token is a DAG, or nothing."""

    async def get_user_from_token(self, token: str) -> str:
        return token

    def is_authorized_dag(self, *, method: str, details: Any = None, user: str, **_: Any) -> bool:
        assert method == "GET"
        # As FAB's: without a DAG it means any.
        return details is None or details.id == user

    def get_authorized_dag_ids(self, *, user: str, method: str = "GET") -> set[str]:
        return {user}


class Still(Refresher):
    """Looks when it is asked, and not by itself."""

    def ask(self, wait_s: float = 0.0) -> None:
        self.refresh()


@dataclass
class Page:
    """The page, and where its deliveries lie."""

    client: TestClient
    index: Index
    refresher: Refresher
    targets: Targets
    found: list[Place | Problem] = field(default_factory=list)

    def get(self, path: str, *, token: str | None = "admin", status: int = 200) -> Any:
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        answer = self.client.get(f"/api/{path}", headers=headers)
        assert answer.status_code == status, answer.text
        return answer.json() if "json" in answer.headers["content-type"] else answer.text


@pytest.fixture
def page_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Page]:
    """Make a page of some deliveries."""

    def make(count: int = 200, *, auth_manager: Any = None, **filled: Any) -> Page:
        manager = auth_manager or Simple()
        monkeypatch.setattr(access, "get_auth_manager", lambda: manager)
        monkeypatch.setattr(security, "get_auth_manager", lambda: manager)
        targets = memory_targets()
        if count:
            fill(targets, count, now=NOW, **filled)
        found: list[Place | Problem] = [
            Place(conn_id="am", targets=targets, destination="production/acme")
        ]
        index = Index(tmp_path / "index")
        refresher = Still(index, lambda: found, every_s=0)
        app = create_app(index, refresher, lambda conn_id: found[0])
        return Page(TestClient(app), index, refresher, targets, found)

    return make


@pytest.fixture
def page(page_of: Callable[..., Page]) -> Page:
    """A page of two hundred deliveries."""
    return page_of()
