"""Example DAGs by ``dag.test()``, on real servers, on every supported Airflow."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import psycopg2
import pytest

from airflow_am_provider.sandbox import (
    Behaviour,
    Behaviours,
    Profiles,
    Sandbox,
    SandboxConfig,
)
from demo.local.imap import ImapServer
from demo.local.postgres import Postgres
from demo.local.processes import REPOSITORY
from demo.local.s3 import S3

_UUIDS = [f"{number:038d}" for number in (1, 2)]
_ROWS = """
CREATE TABLE web_logins (aam_uuid text, customer_id text, seen_at timestamptz);
CREATE TABLE trait_changes (
    change_id bigserial, customer_id text, added_traits text, removed_traits text,
    changed_at timestamptz);
INSERT INTO web_logins VALUES
    (%s, 'ann', '2026-03-01 12:00Z'), (%s, 'ben', '2026-03-02 12:00Z');
INSERT INTO trait_changes (customer_id, added_traits, removed_traits, changed_at) VALUES
    ('ann', '24,26', NULL, '2026-03-01 12:00Z'),
    ('ann', NULL, '24', '2026-03-02 12:00Z'), ('ben', '27', NULL, '2026-03-02 12:00Z');
"""
_CUSTOMERS = """
CREATE TABLE customers (customer_id text, loyalty_traits text);
INSERT INTO customers VALUES ('ann', '301,302'), ('ben', '303,304');
"""
_TASKS = (
    "extract_ids",
    "upload_ids",
    "receipt_ids",
    "format_traits",
    "upload_traits",
    "receipt_traits",
)


@pytest.fixture(scope="module")
def airflow_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One for both: its database takes longer to make than a DAG to run."""
    return tmp_path_factory.mktemp("airflow")


@contextmanager
def _sandbox(
    directory: Path, bucket: str, s3: S3, mail: ImapServer, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Path]:
    for name, value in s3.environment.items():
        monkeypatch.setenv(name, value)
    config = SandboxConfig(
        database=directory / "sandbox.sqlite",
        inboxes=(f"s3://{bucket}",),
        mailboxes=(f"imap://{quote(mail.user)}@{mail.host}:{mail.port}/INBOX",),
        mail_password=mail.password,
        behaviours=Behaviours(usual=Behaviour(quiet_s=0.1)),
    )
    stop = threading.Event()
    with Sandbox(config) as sandbox:
        options = {"poll_interval_s": 0.1, "stop": stop}
        thread = threading.Thread(target=sandbox.serve, kwargs=options)
        thread.start()
        try:
            yield directory / "sandbox.sqlite"
        finally:
            stop.set()
            thread.join()


def _run_dag(
    airflow_home: Path, dag_id: str, connections: dict[str, object], *runs: dict[str, Any]
) -> list[dict[str, Any]]:
    results = airflow_home / "results.json"
    done = subprocess.run(
        [
            *(sys.executable, "-m", "tests.system.dag_test_runs"),
            *(dag_id, json.dumps(runs), results),
        ],
        env={
            **{name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")},
            "AIRFLOW_HOME": str(airflow_home),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__DAGS_FOLDER": str(REPOSITORY / "dags"),
            "AIRFLOW__AUDIENCE_MANAGER__RECEIPT_POKE_INTERVAL_S": "0.5",
            **{
                f"AIRFLOW_CONN_{conn_id.upper()}": json.dumps(connection)
                for conn_id, connection in connections.items()
            },
        },
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        # A task to be tried again would be waited for, for minutes.
        timeout=600,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    results_of_runs: list[dict[str, Any]] = json.loads(results.read_text())
    return results_of_runs


def _connections(
    directory: Path, postgres: Postgres, s3: S3, mail: ImapServer, rows: str
) -> tuple[dict[str, object], str]:
    """A CRM with these rows, and all that leads to it and to Adobe's bucket; and the bucket."""
    database, bucket = f"crm_{uuid4().hex[:8]}", f"test-{uuid4().hex[:12]}"
    with closing(psycopg2.connect(postgres.create_database(database))) as crm:
        crm.cursor().execute(rows, _UUIDS)
        crm.commit()
    s3.create_bucket(bucket)
    connections: dict[str, object] = {
        "crm": postgres.airflow_connection(database),
        "aws_default": s3.airflow_connection(),
        "mailbox": mail.airflow_connection(),
        "audience_manager_default": {
            "conn_type": "audience_manager",
            "extra": {
                "environment": "custom",
                "bucket": bucket,
                "partner_name": "acme",
                "aws_conn_id": "aws_default",
                "staging_location": str(directory / "staging"),
                "receipts_imap_conn_id": "mailbox",
            },
        },
    }
    return connections, bucket


def test_the_daily_dag_with_a_date_with_a_window_and_with_neither(
    airflow_home: Path,
    tmp_path: Path,
    postgres: Postgres,
    s3: S3,
    imap_server: ImapServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    connections, bucket = _connections(tmp_path, postgres, s3, imap_server, _ROWS)
    window = {"window_start": "2026-03-02T00:00:00Z", "window_end": "2026-03-03T00:00:00Z"}
    with _sandbox(tmp_path, bucket, s3, imap_server, monkeypatch) as known:
        dated, windowed, neither = _run_dag(
            airflow_home,
            "audience_manager_daily",
            connections,
            # As the UI does it: by hand, a date means the last whole interval before it.
            {"logical_date": "2026-03-02T00:00:00+00:00", "conf": {}},
            {"logical_date": None, "conf": window},
            {"logical_date": None, "conf": {}},
        )
    for run in (dated, windowed):
        assert run["tasks"].pop("replay_newer") == "skipped", run
        assert run["tasks"] == dict.fromkeys(_TASKS, "success"), run
        verdicts = [run["returned"][task]["verdict"] for task in ("receipt_ids", "receipt_traits")]
        # A marker is enough for an ID sync; its receipt may come later.
        assert verdicts in (["pending", "reconciled"], ["reconciled", "reconciled"])
    assert dated["returned"]["format_traits"]["rows_written"] == 1
    assert windowed["returned"]["format_traits"]["rows_written"] == 2
    assert windowed["logical_date"] is None
    assert (neither["state"], neither["tasks"].pop("extract_ids")) == ("failed", "failed")
    assert set(neither["tasks"].values()) == {"upstream_failed"}
    with Profiles(known) as profiles:
        assert profiles.traits(478, "ann") == {"26"}
        assert profiles.traits(478, "ben") == {"27"}
        assert profiles.mapped(478, "ben") == {(0, _UUIDS[1])}


def test_the_snapshot_dag_delivers_what_has_changed(
    airflow_home: Path,
    tmp_path: Path,
    postgres: Postgres,
    s3: S3,
    imap_server: ImapServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    connections, bucket = _connections(tmp_path, postgres, s3, imap_server, _CUSTOMERS)
    crm = connections["crm"]
    assert isinstance(crm, dict)
    uuids = "".join(f"{uuid}\t{name}\n" for uuid, name in zip(_UUIDS, ("ann", "ben"), strict=True))
    ids = f"acme/date=2026-03-01/adobe_id_0_478_{1772323200}.sync"
    s3.client().put_object(Bucket=bucket, Key=ids, Body=uuids.encode())
    dag, run = "audience_manager_snapshot", {"logical_date": None, "conf": {}}
    with _sandbox(tmp_path, bucket, s3, imap_server, monkeypatch) as known:
        first, again = _run_dag(airflow_home, dag, connections, run, run)
        with closing(psycopg2.connect(postgres.uri(crm["schema"]))) as connection:
            connection.cursor().execute("DELETE FROM customers WHERE customer_id = 'ben'")
            connection.commit()
        refused, changed = _run_dag(
            airflow_home, dag, connections, run, {**run, "conf": {"max_removed": 1.0}}
        )
    assert first["returned"]["receipt"]["verdict"] == "reconciled"
    assert again["tasks"] == dict.fromkeys(("compare", "upload", "receipt"), "skipped")
    assert refused["tasks"].pop("compare") == "failed"
    assert set(refused["tasks"].values()) == {"upstream_failed"}
    assert changed["returned"]["receipt"]["verdict"] == "reconciled"
    with Profiles(known) as profiles:
        assert profiles.traits(478, "ann", target_dpid=568) == {"301", "302"}
        assert profiles.traits(478, "ben") == set()
