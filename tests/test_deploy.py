"""What a company starts from: Helm values, an image's Dockerfile, IAM policies.

No chart is kept here. Whoever has one names its folder in ``AIRFLOW_CHART``, and the values are
held against its schema and its defaults, too::

    AIRFLOW_CHART=…/airflow/chart python -m pytest tests/test_deploy.py
"""

from __future__ import annotations

import json
import os
import re
import tomllib
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from airflow.configuration import conf
from airflow.models import Connection

from airflow_am_provider.hooks.settings import ConnectionSettings

ROOT = Path(__file__).parent.parent
DEPLOY = ROOT / "deploy"
PAGE = (ROOT / "docs" / "deploy.md").read_text()
VALUES: dict[str, Any] = yaml.safe_load((DEPLOY / "helm" / "values.yaml").read_text())


@pytest.fixture(scope="module")
def chart() -> Path:
    """A chart of Airflow, where somebody has one."""
    named = os.environ.get("AIRFLOW_CHART")
    if not named:
        pytest.skip("AIRFLOW_CHART names no folder of Airflow's Helm chart")
    return Path(named)


def test_the_values_are_what_the_chart_takes(chart: Path) -> None:
    schema = json.loads((chart / "values.schema.json").read_text())
    errors = jsonschema.Draft7Validator(schema).iter_errors(VALUES)
    assert [f"{error.json_path}: {error.message}" for error in errors] == []


def test_no_value_is_one_that_the_chart_does_not_have(chart: Path) -> None:
    # The schema lets unknown names through at the top, and in some places below.
    defaults = yaml.safe_load((chart / "values.yaml").read_text())
    assert unknown(VALUES, defaults) == []


def test_no_value_is_one_that_the_chart_tells_not_to_use(chart: Path) -> None:
    schema = json.loads((chart / "values.schema.json").read_text())
    assert deprecated(VALUES, schema) == []


def test_airflow_knows_every_setting() -> None:
    known = conf.configuration_description
    for section, options in VALUES["config"].items():
        for option in options:
            assert option in known.get(section, {}).get("options", {}), f"[{section}] {option}"


def test_what_waits_has_a_triggerer() -> None:
    assert VALUES["triggerer"]["enabled"] is True
    assert VALUES["config"]["operators"]["default_deferrable"] == "True"


def test_logs_go_where_the_policy_lets_them() -> None:
    folder = VALUES["config"]["logging"]["remote_base_log_folder"].removeprefix("s3://")
    assert resources("task-logs.json")["s3:PutObject"] == {f"arn:aws:s3:::{folder}/*"}


def test_no_secret_stands_in_the_values() -> None:
    text = (DEPLOY / "helm" / "values.yaml").read_text()
    assert not re.search(r"password|AIRFLOW_CONN_\w+=", text.replace("No password", ""))
    example = (DEPLOY / "helm" / "connections.example.env").read_text()
    given = re.findall(r'"password": "([^"]*)"', example)
    assert given
    assert set(given) == {"FILL-IN"}


def test_the_connections_of_the_secret_are_valid() -> None:
    connections = example_connections()
    for conn_id, connection in connections.items():
        if connection.conn_type != "audience_manager":
            continue
        settings = ConnectionSettings.parse(connection.extra_dejson, conn_id)
        named = [settings.aws_conn_id, settings.receipts_imap_conn_id]
        assert {name for name in named if name} <= connections.keys()
        assert (
            f"arn:aws:s3:::{settings.staging_location.removeprefix('s3://')}/*"
            in resources("staging.json")["s3:PutObject"]
        )
        folder = f"arn:aws:s3:::{settings.destination_bucket}/{settings.partner_name}/*"
        assert folder in resources("adobe-bucket.json")["s3:PutObject"]
    shown = VALUES["config"]["audience_manager"]["page_connections"].split(",")
    assert set(shown) <= connections.keys()
    assert VALUES["config"]["logging"]["remote_log_conn_id"] in connections


def test_all_who_need_the_role_have_it() -> None:
    accounts = [
        VALUES["workers"]["kubernetes"]["serviceAccount"],
        VALUES["triggerer"]["serviceAccount"],
        VALUES["apiServer"]["serviceAccount"],
    ]
    assert len({str(account["annotations"]) for account in accounts}) == 1


def test_the_policies_give_what_the_connection_page_asks_for() -> None:
    page = (ROOT / "docs" / "connection.md").read_text()
    text = re.search(r"## Rights on AWS\n.*?```json\n(.*?)```", page, re.DOTALL)
    assert text
    asked = json.loads(text[1])["Statement"]
    given = policy("staging.json")["Statement"]
    assert [words(one["Action"]) for one in given] == [words(one["Action"]) for one in asked]
    adobe = set().union(*(words(one["Action"]) for one in policy("adobe-bucket.json")["Statement"]))
    table = page[page.index(text[0]) + len(text[0]) :]
    rows = [row for row in table.splitlines() if row.startswith("| Adobe's")]
    assert adobe == set(re.findall(r"`(s3:\w+)`", "\n".join(rows)))


def test_no_policy_reaches_beyond_its_folder() -> None:
    for path in sorted(DEPLOY.glob("aws/*.json")):
        for statement in policy(path.name)["Statement"]:
            assert statement["Effect"] == "Allow"
            assert not any("*" in action for action in words(statement["Action"]))
            if "s3:ListBucket" in words(statement["Action"]):
                assert set(statement["Condition"]) == {"StringLike"}
            else:
                assert all("/" in one for one in words(statement["Resource"]))


def test_the_image_is_airflows_with_its_constraints() -> None:
    text = (DEPLOY / "Dockerfile").read_text()
    defaults = dict(re.findall(r"^ARG (\w+)=(\S+)$", text, re.MULTILINE))
    assert defaults["AIRFLOW_VERSION"] == VALUES["airflowVersion"]
    assert "FROM apache/airflow:${AIRFLOW_VERSION}-python${PYTHON_VERSION}\n" in text
    assert "/constraints-${AIRFLOW_VERSION}/constraints-${PYTHON_VERSION}.txt" in text
    # What an ARG before FROM says is unknown after it.
    after = text[text.index("FROM ") :]
    for name in set(re.findall(r"\$\{(\w+)\}", after.split("\n", 1)[1])):
        assert re.search(rf"^ARG {name}\b", after, re.MULTILINE), name
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert set(defaults["EXTRAS"].split(",")) <= project["optional-dependencies"].keys()
    assert VALUES["images"]["airflow"]["tag"] in PAGE


def test_pages_write_no_image_of_their_own() -> None:
    pages = {path.name: path.read_text() for path in (ROOT / "docs").rglob("*.md")}
    assert [name for name, text in pages.items() if "FROM apache/airflow" in text] == []
    assert "(../deploy.md)" in pages["celery-kubernetes.md"]


def test_every_file_is_on_the_page() -> None:
    files = {str(path.relative_to(ROOT)) for path in DEPLOY.rglob("*") if path.is_file()}
    assert {name for name in files if f"../{name}" not in PAGE} == set()


def unknown(given: dict[str, Any], defaults: dict[str, Any], place: str = "") -> list[str]:
    """Names that the chart's own values do not have, but below what it leaves to users."""
    found = []
    for name, value in given.items():
        if name not in defaults:
            found.append(f"{place}{name}")
        elif isinstance(value, dict) and defaults[name] and place + name != "config":
            found += unknown(value, defaults[name], f"{place}{name}.")
    return found


def deprecated(given: dict[str, Any], schema: dict[str, Any], place: str = "") -> list[str]:
    """Names whose description in the schema says that they are deprecated."""
    found = []
    for name, value in given.items():
        below = schema.get("properties", {}).get(name, {})
        if "deprecated" in below.get("description", ""):
            found.append(f"{place}{name}")
        if isinstance(value, dict):
            found += deprecated(value, below, f"{place}{name}.")
    return found


def policy(name: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((DEPLOY / "aws" / name).read_text())
    return document


def resources(name: str) -> dict[str, set[str]]:
    """What each action is allowed on."""
    found: dict[str, set[str]] = {}
    for statement in policy(name)["Statement"]:
        for action in words(statement["Action"]):
            found.setdefault(action, set()).update(words(statement["Resource"]))
    return found


def words(value: str | list[str]) -> set[str]:
    return {value} if isinstance(value, str) else set(value)


def example_connections() -> dict[str, Connection]:
    text = (DEPLOY / "helm" / "connections.example.env").read_text()
    lines = re.findall(r"^AIRFLOW_CONN_(\w+)=(.*)$", text, re.MULTILINE)
    assert lines
    return {
        name.lower(): Connection.from_json(value, conn_id=name.lower()) for name, value in lines
    }
