"""The connection's form and its Test button, by the API that Airflow's UI speaks with."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

# What the UI of Airflow 3.3 does: it draws the form from the metadata, saves what was filled in,
# and tests with what it was given back, a port that is null as 0.
_UI = """
import json, sys

from airflow.api_fastapi.app import create_app, get_auth_manager
from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
from fastapi.testclient import TestClient

with TestClient(create_app("all")) as client:
    user = SimpleAuthManagerUser(username="admin", role="admin")
    client.headers["Authorization"] = f"Bearer {get_auth_manager().generate_jwt(user)}"
    types = client.get("/ui/connections/hook_meta").json()
    (form,) = (one for one in types if one["connection_type"] == "audience_manager")
    port = form["standard_fields"]["port"]
    filled = {} if port["hidden"] else {"port": int(port["placeholder"].partition(",")[0])}
    saved = client.post(
        "/api/v2/connections",
        json={
            "connection_id": "saved",
            "conn_type": "audience_manager",
            "extra": sys.argv[1],
            **filled,
        },
    ).json()
    shown = client.get("/api/v2/connections/saved").json()
    tested = {name: shown[name] or "" for name in ("description", "host", "login", "password")}
    tested |= {name: shown[name] for name in ("connection_id", "conn_type", "extra")}
    tested |= {"port": int(shown["port"] or 0), "schema": ""}
    answer = client.post("/api/v2/connections/test", json=tested)
    print(json.dumps([answer.status_code, answer.json()]))
"""


def test_a_connection_saved_in_the_form_can_be_tested_there(tmp_path: Path) -> None:
    environment = {
        **os.environ,
        "AIRFLOW_HOME": str(tmp_path / "airflow"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__TEST_CONNECTION": "Enabled",
        "AIRFLOW__API_AUTH__JWT_SECRET": "secret" * 16,
    }
    (tmp_path / "staging").mkdir()
    extra = {
        "environment": "custom",
        "transport": "ftp",
        "ftp_conn_id": "none",
        "staging_location": str(tmp_path / "staging"),
    }
    migrated = [sys.executable, "-m", "airflow", "db", "migrate"]
    subprocess.run(migrated, env=environment, check=True, capture_output=True)
    done = subprocess.run(
        [sys.executable, "-c", _UI, json.dumps(extra)],
        env=environment,
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    status, answer = json.loads(done.stdout.splitlines()[-1])
    assert status == 200, answer
    assert answer["message"].startswith(f"Staging: {tmp_path / 'staging'} can be written, read")
