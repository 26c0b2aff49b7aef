"""The operators that format, executed as a worker would, on a real database and real files."""

from __future__ import annotations

import gzip
import json
import sqlite3
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from airflow_am_provider.airflow_compat import AirflowFailException, AirflowSkipException
from airflow_am_provider.operators.data_file import FormatDataFileOperator
from airflow_am_provider.operators.id_sync import IdSyncExtractOperator

if TYPE_CHECKING:
    from pathlib import Path

    from demo.local.s3 import S3

# Operators warn when they are executed outside of a task; here they are, on purpose.
pytestmark = pytest.mark.filterwarnings("ignore")

DAY = datetime(2026, 3, 1, tzinfo=UTC)
NEXT_DAY = datetime(2026, 3, 2, tzinfo=UTC)


@pytest.fixture
def staging(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "staging"
    connection = {
        "conn_type": "audience_manager",
        "extra": {
            "environment": "beta",
            "partner_name": "acme",
            "staging_location": str(folder),
        },
    }
    monkeypatch.setenv("AIRFLOW_CONN_AUDIENCE_MANAGER_DEFAULT", json.dumps(connection))
    monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", json.dumps({"conn_type": "aws"}))
    return folder


@pytest.fixture
def crm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> sqlite3.Connection:
    path = tmp_path / "crm.sqlite"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE customers (id text, uuid text, traits text, at text)")
    monkeypatch.setenv("AIRFLOW_CONN_CRM", json.dumps({"conn_type": "sqlite", "host": str(path)}))
    return connection


def fill(crm: sqlite3.Connection, *rows: tuple[str | None, ...]) -> None:
    with crm:
        crm.executemany("INSERT INTO customers VALUES (?, ?, ?, ?)", rows)


def context(run_id: str = "manual__1", **more: Any) -> Any:
    return {"dag_run": SimpleNamespace(dag_id="crm_to_aam"), "run_id": run_id, **more}


def data_file(**arguments: Any) -> FormatDataFileOperator:
    defaults: dict[str, Any] = {
        "task_id": "format",
        "sql": "SELECT * FROM customers ORDER BY id",
        "conn_id": "crm",
        "dpid": 478,
        "id_column": "id",
        "traits_column": "traits",
    }
    return FormatDataFileOperator(**{**defaults, **arguments})


def text_of(staging: Path, manifest: dict[str, Any]) -> bytes:
    return b"".join(
        gzip.decompress((staging / part["path"]).read_bytes()) for part in manifest["parts"]
    )


def test_rows_become_lines_and_the_manifest_tells_them_all(
    staging: Path, crm: sqlite3.Connection
) -> None:
    fill(crm, *((f"c{n:03d}", None, "1,2", None) for n in range(199)), ("a:b", None, "1", None))
    manifest = data_file().execute(context())
    assert text_of(staging, manifest).splitlines()[0] == b"c000\td_sid=1,d_sid=2"
    assert (manifest["rows_read"], manifest["rows_written"], manifest["rows_set_aside"]) == (
        200,
        199,
        1,
    )
    assert manifest["set_aside_by_reason"] == {"id_colon": 1}
    rejects = (staging / manifest["rejects"]).read_text().splitlines()
    assert rejects[1].startswith("1,id_colon,")
    assert "a:b" not in rejects[1]


def test_a_cleared_task_gives_the_same_delivery_under_the_same_name(
    staging: Path, crm: sqlite3.Connection
) -> None:
    fill(crm, ("c1", None, "1", None))
    first = data_file().execute(context())
    again = data_file().execute(context())
    assert again == first
    parts = list(staging.rglob("*.gz"))
    assert len(parts) == 1


def test_the_same_content_of_another_day_is_another_delivery(
    staging: Path, crm: sqlite3.Connection
) -> None:
    fill(crm, ("c1", None, "1", None))
    first = data_file(window_start="2026-03-01", window_end="2026-03-02").execute(context())
    second = data_file(window_start="2026-03-02", window_end="2026-03-03").execute(context())
    assert first["delivery_id"] != second["delivery_id"]
    assert first["parts"][0]["file_name"] != second["parts"][0]["file_name"]


@pytest.mark.parametrize(
    ("start", "end"),
    [
        ("2026-03-01", "2026-03-02"),
        ("2026-03-01T00:00:00Z", "2026-03-02T00:00:00Z"),
        ("2026-03-01T01:00+01:00", "2026-03-02T01:00+01:00"),
    ],
)
def test_one_window_however_it_is_written_is_one_delivery(
    staging: Path, crm: sqlite3.Connection, start: str, end: str
) -> None:
    fill(crm, ("c1", None, "1", "2026-03-01"))
    scheduled = data_file().execute(
        context("scheduled__1", data_interval_start=DAY, data_interval_end=NEXT_DAY)
    )
    by_hand = data_file(window_start=start, window_end=end).execute(context())
    assert by_hand == scheduled


@pytest.mark.parametrize(
    "next_day",
    ["2026-03-02", "2026-03-02 10:00:00", "2026-03-02T00:00", "2026-03-02T00:00:00+00:00"],
)
def test_sqlite_sends_no_rows_of_the_next_day(
    staging: Path, crm: sqlite3.Connection, next_day: str
) -> None:
    fill(crm, ("c1", None, "1", "2026-03-01"), ("c2", None, "1", next_day))
    manifest = data_file(
        sql="SELECT * FROM customers WHERE at >= :window_start AND at < :window_end",
    ).execute(context(data_interval_start=DAY, data_interval_end=NEXT_DAY))
    assert text_of(staging, manifest) == b"c1\td_sid=1\n"


def test_the_days_of_a_window_are_those_of_its_zone(staging: Path, crm: sqlite3.Connection) -> None:
    fill(crm, *((f"c{day}", None, "1", f"2026-03-{day}") for day in (28, 29, 30)))
    manifest = data_file(
        sql="SELECT * FROM customers WHERE at >= :window_start_date AND at < :window_end_date",
        window_start="2026-03-29",
        window_end="2026-03-30",
        window_timezone="Europe/Berlin",
    ).execute(context())
    assert text_of(staging, manifest) == b"c29\td_sid=1\n"
    assert manifest["window_start"] == "2026-03-28T23:00:00+00:00"
    assert manifest["window_end"] == "2026-03-29T22:00:00+00:00"


def test_the_query_gets_the_window_of_the_run(staging: Path, crm: sqlite3.Connection) -> None:
    fill(crm, ("c1", None, "1", "2026-03-01T12:00"), ("c2", None, "2", "2026-03-02T12:00"))
    operator = data_file(
        sql="SELECT * FROM customers WHERE at >= :window_start AND at < :window_end"
    )
    manifest = operator.execute(context(data_interval_start=DAY, data_interval_end=NEXT_DAY))
    assert text_of(staging, manifest) == b"c1\td_sid=1\n"
    assert manifest["window_start"] == "2026-03-01T00:00:00+00:00"


@pytest.mark.parametrize(
    "interval", [{}, {"data_interval_start": DAY, "data_interval_end": DAY}], ids=["none", "empty"]
)
def test_a_query_that_asks_for_a_window_is_not_run_without_one(
    staging: Path, crm: sqlite3.Connection, interval: dict[str, datetime]
) -> None:
    operator = data_file(sql="SELECT * FROM customers WHERE at >= :window_start")
    with pytest.raises(AirflowFailException) as caught:
        operator.execute(context(**interval))
    assert str(caught.value) == (
        "sql: asks for window_start, but the run has no data interval. Trigger the run with a "
        "logical date, give the DAG a schedule with real intervals such as "
        "CronDataIntervalTimetable, set watermark_start to go on where the last delivery ended, or "
        "set window_start and window_end"
    )


@pytest.mark.parametrize(
    ("given", "asked"), [("window_start", "window_end"), ("window_end", "window_start")]
)
def test_a_query_that_asks_for_the_open_end_of_a_window_is_not_run(
    staging: Path, crm: sqlite3.Connection, given: str, asked: str
) -> None:
    operator = data_file(
        sql="SELECT * FROM customers WHERE at BETWEEN :window_start AND :window_end",
        **{given: "2026-03-01"},
    )
    with pytest.raises(AirflowFailException) as caught:
        operator.execute(context(data_interval_start=DAY, data_interval_end=NEXT_DAY))
    assert str(caught.value) == (
        f"sql: asks for {asked}, but the task's parameters set {given} alone. Set both, or "
        f"neither: then the run's data interval counts"
    )


def test_nothing_to_send_skips_the_task_or_fails_it(staging: Path, crm: sqlite3.Connection) -> None:
    with pytest.raises(AirflowSkipException, match=r"^Nothing to send: 0 rows read"):
        data_file().execute(context())
    with pytest.raises(AirflowFailException, match=r"on_empty='fail'$"):
        data_file(on_empty="fail").execute(context())
    assert not list(staging.rglob("*.gz"))


def test_too_many_rows_set_aside_fail_the_task_before_anything_is_staged(
    staging: Path, crm: sqlite3.Connection
) -> None:
    fill(crm, ("c1", None, "1", None), ("c2", None, "x", None), ("c3", None, "3", None))
    with pytest.raises(AirflowFailException) as caught:
        data_file().execute(context())
    assert str(caught.value).startswith(
        "1 of 3 rows break a rule, max_set_aside allows 1.00%: 1 trait_not_numeric (trait IDs are "
        "digits only). Traits that are JSON, or separated by ';' or '|', need traits_separator. "
        "Nothing was sent; mend the source, or raise max_set_aside if these rows may "
        f"be left out. Rows set aside are listed in {staging}/"
    )
    assert not list(staging.rglob("*.gz"))
    assert not list(staging.rglob("manifest.json"))


def test_templates_give_text_and_it_is_read(staging: Path, crm: sqlite3.Connection) -> None:
    fill(crm, ("c1", None, "1", None), ("c2", None, "x", None))
    manifest = data_file(
        dpid="478", target_dpid="567", max_set_aside="0.5", part_bytes="", mode="overwrite"
    ).execute(context())
    name = manifest["parts"][0]["file_name"]
    assert name.startswith("ftp_dpm_478_567_")
    assert name.endswith(".overwrite.gz")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"dpid": "CRM"}, "dpid: 'CRM' is not a whole number"),
        ({"trait_flags": "{'vip': 24}"}, "trait_flags: \"{'vip': 24}\" is no dict of columns"),
        ({"mode": "append"}, "mode: 'append' is none of 'sync', 'overwrite'"),
        (
            {"compression": "gzip+pgp"},
            (
                "compression: 'gzip+pgp' is none of 'gzip', 'none', 'pgp', 'gpg'; a file is packed "
                "by gzip or by PGP, never by both (inbound-file-encryption.md)"
            ),
        ),
        (
            {"compression": "pgp"},
            (
                "compression: 'pgp' needs the recipient's public key, and the connection "
                "'audience_manager_default' has none; fill in pgp_public_key and pgp_fingerprint"
            ),
        ),
        (
            {"max_set_aside": 1.5},
            "max_set_aside: 1.5 is neither a number of rows nor a share from 0.0 to 1.0",
        ),
        ({"conn_id": None}, "conn_id: missing; name the connection that sql runs on"),
        ({"source": "/x.csv"}, "sql, source: name one of the two"),
        ({"id_column": "nobody"}, "column 'nobody': the source has no such column among its "),
        ({"dpid": 20914}, "target_dpid: missing; data source 20914 belongs to a device platform"),
        (
            {"mode": "overwrite", "remove_all_of_users_without_items": "perhaps"},
            "remove_all_of_users_without_items: 'perhaps' is neither true nor false",
        ),
        ({"window_timezone": "CEST"}, "window_timezone: 'CEST' is not a time zone of IANA's"),
        ({"window_start": "soon"}, "window_start: 'soon' is not a date and time in ISO 8601"),
    ],
)
def test_wrong_parameters_fail_without_retry(
    staging: Path, crm: sqlite3.Connection, arguments: dict[str, Any], message: str
) -> None:
    fill(crm, ("c1", None, "1", None))
    with pytest.raises(AirflowFailException) as caught:
        data_file(**arguments).execute(context())
    assert str(caught.value).startswith(message)


def test_operators_do_nothing_but_assign_when_a_dag_is_parsed() -> None:
    data_file(dpid="{{ params.dpid }}", mode="{{ params.mode }}", traits_column=None)


def test_id_pairs_become_an_id_sync_file(staging: Path, crm: sqlite3.Connection) -> None:
    fill(crm, ("c1", "1" * 38, None, None), ("c2", "2" * 38, None, None))
    manifest = IdSyncExtractOperator(
        task_id="extract",
        sql="SELECT uuid, id FROM customers ORDER BY id",
        conn_id="crm",
        master_dpid=0,
        dpids="478",
        columns=["uuid", "id"],
    ).execute(context())
    assert manifest["kind"] == "id_sync"
    assert manifest["parts"][0]["file_name"].startswith("adobe_id_0_478_")
    assert text_of(staging, manifest) == b"1" * 38 + b"\tc1\n" + b"2" * 38 + b"\tc2\n"


def test_e_mails_are_hashed_and_stand_on_one_line_per_customer(
    staging: Path, crm: sqlite3.Connection
) -> None:
    fill(crm, ("c1", "JohnDoe@example.com ", None, None), ("c1", "j@example.com", None, None))
    manifest = IdSyncExtractOperator(
        task_id="extract",
        sql="SELECT id, uuid AS email FROM customers",
        conn_id="crm",
        prefix="c2c_id",
        master_dpid=478,
        dpids=[898],
        columns=["id", "email"],
        hash_columns=["email"],
    ).execute(context())
    (line,) = text_of(staging, manifest).splitlines()
    assert line.split(b"\t")[:2] == [
        b"c1",
        b"55e79200c1635b37ad31a378c39feb12f120f116625093a19bc32fff15041149",
    ]
    assert (manifest["rows_written"], manifest["parts"][0]["lines"]) == (2, 1)


def test_files_are_read_from_object_storage(
    staging: Path, s3: S3, monkeypatch: pytest.MonkeyPatch
) -> None:
    s3.create_bucket("exports")
    for number in (1, 2):
        sink = pa.BufferOutputStream()
        pq.write_table(pa.table({"id": [f"c{number}"], "traits": [[number, 9]]}), sink)
        s3.client().put_object(
            Bucket="exports", Key=f"day/{number}.parquet", Body=sink.getvalue().to_pybytes()
        )
    monkeypatch.setenv("AIRFLOW_CONN_EXPORTS", json.dumps(s3.airflow_connection()))
    for more in ("_temporary/0/3.parquet", "_SUCCESS", "s.md"):
        s3.client().put_object(Bucket="exports", Key=f"day/{more}", Body=b"unfinished")
    s3.client().put_object(Bucket="exports", Key="days/1.parquet", Body=b"of other days")
    for source in ("day/", "day", "day/*.parquet", "day/?.p*"):
        manifest = data_file(
            sql=None, conn_id=None, source=f"s3://exports/{source}", source_conn_id="exports"
        ).execute(context())
        assert text_of(staging, manifest) == b"c1\td_sid=1,d_sid=9\nc2\td_sid=2,d_sid=9\n"
    for source, said in (
        ("da", "cannot read 's3://exports/da'"),
        ("day/*.csv", r"source 's3://exports/day/\*.csv': no file there that ends in .parquet"),
        ("d*/1.parquet", r"'\*' and '\?' may stand in the last name alone"),
    ):
        with pytest.raises(AirflowFailException, match=said):
            data_file(
                sql=None, conn_id=None, source=f"s3://exports/{source}", source_conn_id="exports"
            ).execute(context())


def test_files_of_a_folder_in_another_encoding(staging: Path, tmp_path: Path) -> None:
    folder = tmp_path / "export.csv"  # as Spark calls them
    folder.mkdir()
    for name, user, encoding in (("a", "Jürgen", "utf-16"), ("b", "Zoë", "utf-16")):
        text = f"id|traits\n{user}|24\n"
        (folder / f"part-{name}.csv").write_text(text, encoding=encoding)
    for source in (str(folder), f"{folder}/part-?.csv"):
        for more in ({}, {"partitions": 2}):
            manifest = data_file(
                sql=None, conn_id=None, source=source, delimiter="|", encoding="utf-16", **more
            ).execute(context())
            found = text_of(staging, manifest).decode().splitlines()
            assert sorted(found) == ["Jürgen\td_sid=24", "Zoë\td_sid=24"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"id_column": None}, "id_column: None is not the name of a column"),
        ({"traits_column": 5}, "traits_column: 5 is not the name of a column"),
        ({"signal_columns": {"city": 7}}, "signal_columns: 7 is not the name of a column"),
        ({"parameters": "x"}, "parameters: a dict or a list was expected, not str"),
    ],
)
def test_parameters_of_another_type_are_named_and_not_tried_again(
    staging: Path, crm: sqlite3.Connection, arguments: dict[str, Any], said: str
) -> None:
    with pytest.raises(AirflowFailException, match=said):
        data_file(**arguments).execute(context())
