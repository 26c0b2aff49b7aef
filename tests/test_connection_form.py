"""The connection's form and its Test button, by the API that Airflow's UI speaks with."""

import json
from pathlib import Path

import pytest

from demo.local.airflow import Airflow

pytestmark = pytest.mark.slow


def test_a_connection_saved_in_the_form_can_be_tested_there(
    local_airflow: Airflow, tmp_path: Path
) -> None:
    api, staging = local_airflow.api, tmp_path / "staging"
    staging.mkdir()
    extra = {
        "environment": "custom",
        "transport": "ftp",
        "ftp_conn_id": "none",
        "staging_location": str(staging),
    }
    # What the UI of Airflow 3.3 does: it draws the form from the metadata, saves what was filled
    # in, and tests with what it was given back, a port that is null as 0.
    types = json.loads(api.text("/ui/connections/hook_meta"))
    (form,) = (one for one in types if one["connection_type"] == "audience_manager")
    port = form["standard_fields"]["port"]
    filled = {} if port["hidden"] else {"port": int(port["placeholder"].partition(",")[0])}
    api.add_connection("saved", {"conn_type": "audience_manager", "extra": extra, **filled})
    shown = json.loads(api.text("/api/v2/connections/saved"))
    tested = {name: shown[name] or "" for name in ("description", "host", "login", "password")}
    tested |= {name: shown[name] for name in ("connection_id", "conn_type", "extra")}
    tested |= {"port": int(shown["port"] or 0), "schema": ""}
    answer = api._request("POST", "/api/v2/connections/test", json=tested)
    assert f"ok Staging: {staging} can be written, read" in answer["message"]
