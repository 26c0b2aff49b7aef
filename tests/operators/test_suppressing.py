"""Suppression lists of tasks and connections, from real databases and files."""

from __future__ import annotations

import hashlib
import json
import logging
import sqlite3
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from airflow_am_provider.airflow_compat import AirflowException, AirflowFailException
from airflow_am_provider.operators.combine_partitions import CombinePartitionsOperator
from tests.operators.test_format import context, data_file, fill, text_of
from tests.own_log import own_messages

if TYPE_CHECKING:
    from pathlib import Path

    from demo.local.s3 import S3
    from tests.connections import Connect

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture
def crm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> sqlite3.Connection:
    path = tmp_path / "crm.sqlite"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE customers (id text, uuid text, traits text, at text)")
    connection.execute("CREATE TABLE opted_out (id text)")
    monkeypatch.setenv("AIRFLOW_CONN_CRM", json.dumps({"conn_type": "sqlite", "host": str(path)}))
    fill(connection, *((name, None, "1", None) for name in ("ann", "bob", "cid", "eve")))
    with connection:
        connection.execute("INSERT INTO opted_out VALUES ('bob')")
    return connection


@pytest.fixture
def staging(tmp_path: Path) -> Path:
    return tmp_path / "staging"


@pytest.fixture
def connected(staging: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Make the default connection, with further fields."""

    def make(**extra: str) -> None:
        fields = {"environment": "beta", "partner_name": "acme", "staging_location": str(staging)}
        document = {"conn_type": "audience_manager", "extra": {**fields, **extra}}
        monkeypatch.setenv("AIRFLOW_CONN_AUDIENCE_MANAGER_DEFAULT", json.dumps(document))

    make()
    return make


def users(staging: Path, manifest: dict[str, Any]) -> list[str]:
    return [line.split("\t")[0] for line in text_of(staging, manifest).decode().splitlines()]


@pytest.mark.parametrize("sql", ["SELECT id FROM opted_out", "opted_out"])
def test_a_list_from_a_database(staging, crm, connected, sql) -> None:
    manifest = data_file(suppression_sql=sql, suppression_conn_id="crm", max_set_aside=0).execute(
        context()
    )
    assert users(staging, manifest) == ["ann", "cid", "eve"]
    assert manifest["set_aside_by_reason"] == {"suppressed": 1}
    assert (manifest["rows_read"], manifest["rows_written"]) == (4, 3)


def test_a_folder_of_hashed_ids(staging, crm, connected, tmp_path) -> None:
    folder = tmp_path / "optouts"
    folder.mkdir()
    hashes = [hashlib.sha256(name).hexdigest() for name in (b"ann", b"eve")]
    (folder / "1.csv").write_text(f"hash\n{hashes[0]}\n")
    pq.write_table(pa.table({"hash": hashes[1:], "since": [1]}), folder / "2.parquet")
    manifest = data_file(
        suppression_source=f"{folder}/", suppression_column="hash", suppression_hashed="True"
    ).execute(context())
    assert users(staging, manifest) == ["bob", "cid"]


def test_the_list_of_the_connection_holds_for_a_task_that_names_none(
    staging, crm, connected, tmp_path
) -> None:
    (tmp_path / "out.csv").write_text("id\ncid\n")
    connected(suppression_source=str(tmp_path / "out.csv"))
    assert users(staging, data_file().execute(context())) == ["ann", "bob", "eve"]
    both = data_file(suppression_sql="opted_out", suppression_conn_id="crm").execute(context())
    assert users(staging, both) == ["ann", "eve"]


def test_of_each_list_the_log_says_what_it_found(
    staging, crm, connected, tmp_path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "out.csv").write_text("id\nCID\nmailto:eve@example.com\n")
    connected(suppression_source=str(tmp_path / "out.csv"))
    manifest = data_file(suppression_sql="opted_out", suppression_conn_id="crm").execute(context())
    assert users(staging, manifest) == ["ann", "cid", "eve"]
    assert manifest["remarks"] == {
        "suppression_entries": 3,
        "suppression_found": 1,
        "suppression_no_ids": 1,
    }
    assert own_messages(caplog, logging.WARNING) == [
        (
            "suppression list of the connection: 2 entries, 1 of them cannot be IDs of this "
            "delivery; 0 IDs were on it"
        ),
        (
            "  1 of 3 entries of the suppression lists cannot be IDs of this delivery, so they "
            "match nobody: check that they are written like its IDs"
        ),
    ]
    assert "eve@" not in caplog.text


def test_partitions_leave_out_the_same_users(staging, crm, connected) -> None:
    connected(suppression_sql="opted_out", suppression_conn_id="crm")
    shares = {
        "sql": "SELECT * FROM customers WHERE :in_partition",
        "partition_by": "unicode(id)",
        "partitions": 2,
    }
    done = [data_file(**shares, partition=number).execute(context()) for number in (0, 1)]
    combine = CombinePartitionsOperator(task_id="combine", formatted=done)
    manifest = combine.execute(context())
    assert sorted(users(staging, manifest)) == ["ann", "cid", "eve"]
    assert manifest["set_aside_by_reason"] == {"suppressed": 1}
    assert manifest["remarks"]["suppression_found"] == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {
                "suppression_sql": "SELECT id FROM opted_out WHERE id = 'x'",
                "suppression_conn_id": "crm",
            },
            "suppression list of the task: no ID in it, and an empty list is taken for a broken",
        ),
        (
            {"suppression_source": ""},
            "suppression_source: '' names no list, so nobody would be left out",
        ),
        ({"suppression_source": "None"}, "suppression_source: 'None' names no list"),
        ({"suppression_sql": "opted_out"}, "suppression_conn_id: missing; name the connection"),
        ({"suppression_column": "id"}, "suppression: a list is described and none is named"),
        ({"suppression_source": "/nowhere/out.csv"}, "cannot read '/nowhere/out.csv'"),
        (
            {
                "suppression_sql": "opted_out",
                "suppression_conn_id": "crm",
                "suppression_column": "user",
            },
            "column 'user': the source has no such column among its 1",
        ),
    ],
)
def test_a_list_that_is_empty_or_not_there_fails_the_task(
    staging, crm, connected, arguments, message
) -> None:
    with pytest.raises(AirflowFailException, match=f"^{message}"):
        data_file(**arguments).execute(context())
    assert not list(staging.rglob("*.gz"))


def test_an_empty_list_can_be_meant(staging, crm, connected) -> None:
    manifest = data_file(
        suppression_sql="SELECT id FROM opted_out WHERE id = 'x'",
        suppression_conn_id="crm",
        suppression_allow_empty=True,
    ).execute(context())
    assert manifest["rows_written"] == 4


def test_the_connections_list_is_never_allowed_to_be_empty(staging, crm, connected) -> None:
    connected(suppression_sql="SELECT id FROM opted_out WHERE id = 'x'", suppression_conn_id="crm")
    task = data_file(
        suppression_sql="opted_out", suppression_conn_id="crm", suppression_allow_empty=True
    )
    with pytest.raises(
        AirflowFailException, match=r"^suppression list of the connection: no ID in it"
    ):
        task.execute(context())
    assert not list(staging.rglob("*.gz"))


@pytest.mark.parametrize(
    ("arguments", "fields", "whose"),
    [
        ({"suppression_sql": "SELECT x FROM y", "suppression_conn_id": "crm"}, {}, "task"),
        ({}, {"suppression_sql": "y", "suppression_conn_id": "crm"}, "connection"),
    ],
)
def test_what_a_database_says_of_a_list_names_the_list(
    staging, crm, connected, arguments, fields, whose
) -> None:
    connected(**fields)
    words = f"^suppression list of the {whose}, suppression_sql: the database .*no such table, 'y'"
    with pytest.raises(AirflowException, match=words):
        data_file(**arguments).execute(context())


def test_a_list_in_a_bucket(
    s3: S3, bucket: str, staging: Path, crm: Any, connected: Any, connect: Connect
) -> None:
    s3.client().put_object(Bucket=bucket, Key="optouts/a.csv", Body=b"id\nann\n")
    connected(
        suppression_source=f"s3://{bucket}/optouts/",
        suppression_conn_id=connect(s3.airflow_connection()),
    )
    assert users(staging, data_file().execute(context())) == ["bob", "cid", "eve"]
