"""The page *Audience Manager* to look at, on a real Airflow with deliveries of all states.

    python -m demo.page [--port 8090] [--deliveries 200] [--folder .demo/page]

Only an API server runs, on SQLite: nothing is scheduled or sent. Users are ``admin`` and
``viewer``, each with its name for a password, so it listens on this machine alone. Whatever the
folder held is replaced. Ends with Ctrl-C.
"""

import argparse
import json
import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from airflow_am_provider.deliveries.targets import Targets
from airflow_am_provider.storage import LocalFolder
from demo.local.processes import HOST, REPOSITORY
from demo.page_deliveries import fill

CONN_ID = "audience_manager_default"
USERS = ("admin", "viewer")


def main(arguments: Sequence[str] | None = None) -> int:
    """Fill a staging location, and serve the page until Ctrl-C."""
    parser = argparse.ArgumentParser(prog="demo.page", description=__doc__)
    parser.add_argument("--port", type=int, default=8090)
    parser.add_argument("--deliveries", type=int, default=200)
    parser.add_argument("--folder", type=Path, default=REPOSITORY / ".demo" / "page")
    args = parser.parse_args(arguments)
    folder: Path = args.folder.absolute()
    shutil.rmtree(folder, ignore_errors=True)
    staging = LocalFolder(folder / "staging")
    fill(Targets(staging), args.deliveries)
    env = {**os.environ, **page_settings(folder, args.port)}
    airflow = [sys.executable, "-m", "airflow"]
    connections = folder / "connections.json"
    connections.write_text(json.dumps({CONN_ID: connection(staging.url)}))
    for command in (
        ["db", "migrate"],
        ["connections", "import", str(connections)],
        ["dags", "reserialize"],
    ):
        subprocess.run([*airflow, *command], env=env, check=True, stdout=subprocess.DEVNULL)
    print(f"http://{HOST}:{args.port}/audience-manager/  users: {', '.join(USERS)}", flush=True)
    try:
        return subprocess.run([*airflow, "api-server"], env=env, check=False).returncode
    except KeyboardInterrupt:
        return 0


def connection(staging: str) -> dict[str, object]:
    """The connection that the deliveries are of, as Airflow imports it."""
    extra = {
        "environment": "production",
        "partner_name": "acme",
        "staging_location": staging,
        "receipts_location": f"{staging}-receipts",
    }
    return {"conn_type": "audience_manager", "extra": json.dumps(extra)}


def page_settings(folder: Path, port: int) -> dict[str, str]:
    """Settings of an Airflow that shows the page and does nothing else."""
    home = folder / "airflow"
    home.mkdir(parents=True, exist_ok=True)
    passwords = home / "passwords.json"
    passwords.write_text(json.dumps({user: user for user in USERS}))
    return {
        "AIRFLOW_HOME": str(home),
        "PYTHONPATH": str(REPOSITORY),
        "AIRFLOW__CORE__DAGS_FOLDER": str(REPOSITORY / "dags"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": ",".join(f"{user}:{user}" for user in USERS),
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(passwords),
        "AIRFLOW__API__HOST": HOST,
        "AIRFLOW__API__PORT": str(port),
        "AIRFLOW__API__BASE_URL": f"http://{HOST}:{port}",
        "AIRFLOW__API__WORKERS": "1",
        "AIRFLOW__API__SECRET_KEY": secrets.token_urlsafe(32),
        "AIRFLOW__API_AUTH__JWT_SECRET": secrets.token_urlsafe(48),
        "AIRFLOW__AUDIENCE_MANAGER__PAGE_INDEX_FOLDER": str(folder / "index"),
        "AIRFLOW__AUDIENCE_MANAGER__PAGE_REFRESH_INTERVAL_S": "5",
    }


if __name__ == "__main__":
    sys.exit(main())
