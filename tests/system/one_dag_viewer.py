"""An auth manager with rights for single DAGs, as FAB's and Keycloak's have, for a whole Airflow.

Airflow's own simple one lets every viewer read every DAG. Here one may read a single one.
"""

import json
from pathlib import Path
from typing import Any

from airflow.api_fastapi.auth.managers.simple.simple_auth_manager import SimpleAuthManager
from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser

VIEWER = "viewer"
#: The one DAG that the viewer may read.
VIEWERS_DAG = "audience_manager_hashed_emails"


def settings(directory: Path, passwords: dict[str, str]) -> dict[str, str]:
    """What Airflow's environment needs for it.

    :param directory: gets the file of passwords.
    :param passwords: of the users ``admin`` and :data:`VIEWER`.
    """
    path = directory / "all-passwords.json"
    path.write_text(json.dumps(passwords))
    path.chmod(0o600)
    return {
        "AIRFLOW__CORE__AUTH_MANAGER": f"{__name__}.OneDagViewer",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": f"admin:admin,{VIEWER}:viewer",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(path),
        "PYTHONPATH": str(Path(__file__).parents[2]),
    }


class OneDagViewer(SimpleAuthManager):
    """The simple auth manager, but for what the viewer may do with DAGs."""

    def is_authorized_dag(
        self, *, method: Any, user: SimpleAuthManagerUser, details: Any = None, **more: Any
    ) -> bool:
        if user.username != VIEWER:
            return super().is_authorized_dag(method=method, user=user, details=details, **more)
        # As FAB's: without a DAG it means any.
        is_its_own = details is None or details.id in (None, VIEWERS_DAG)
        return method == "GET" and is_its_own
