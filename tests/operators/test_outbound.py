"""OutboundFilesSensor and OutboundLoadOperator, as a worker runs them."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import sqlite3
import time
from contextlib import closing, nullcontext
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Protocol

import pyarrow.parquet as pq
import pytest
from airflow.sdk.execution_time.context import InletEventsAccessors

from airflow_am_provider.airflow_compat import (
    AirflowException,
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
    TaskDeferred,
)
from airflow_am_provider.cli import main
from airflow_am_provider.operators._load_targets import TableTarget
from airflow_am_provider.operators.event_feed import EventFeedExtractOperator
from airflow_am_provider.operators.outbound_load import OutboundLoadOperator
from airflow_am_provider.sandbox.rest import ApiDestination, RestApi, RestConfig
from airflow_am_provider.sensors.outbound_files import OutboundFilesSensor
from airflow_am_provider.storage import LocalFolder
from airflow_am_provider.triggers.outbound import OutboundFilesTrigger

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from airflow.sdk import AssetAlias

    from airflow_am_provider.outbound.batches import Batch
    from demo.local.s3 import S3
    from tests.connections import Connect

pytestmark = pytest.mark.filterwarnings("ignore")

ROOT = "S3_1234_20914_full_1768953600000"  # 21 January 2026
LATER = "S3_1234_20914_full_1769040000000"  # the day after


def control(**sizes: int) -> bytes:
    files = [{"FileName": name, "FileByteSize": size} for name, size in sizes.items()]
    return json.dumps({"Files": files}).encode()


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    folder = tmp_path / "inbox"
    folder.mkdir()
    (folder / f"{ROOT}.info").write_bytes(control(**{f"{ROOT}.sync": 8}))
    return folder


def sensor(inbox: Path | str, **more: Any) -> OutboundFilesSensor:
    given = {"poke_interval": 0.05, "timeout": 0.3, **more}
    return OutboundFilesSensor(task_id="arrived", location=str(inbox), **given)


def test_it_waits_for_the_files_that_the_control_file_lists(inbox: Path) -> None:
    with pytest.raises(AirflowSensorTimeout, match=f"{ROOT}.sync has not come"):
        sensor(inbox).execute({})
    (inbox / f"{ROOT}.sync").write_bytes(b"A 1\nB 2\n")
    (found,) = sensor(inbox, batch_date="2026-01-21").execute({})
    assert (found["batch"], found["files"], found["bytes"]) == (ROOT, 1, 8)


@pytest.mark.parametrize(("age_h", "is_waited_for"), [(30, False), (1, True), (-30, False)])
def test_a_batch_that_stays_incomplete_holds_no_other_up_for_ever(
    inbox: Path, age_h: int, is_waited_for: bool
) -> None:
    (inbox / f"{ROOT}.sync").write_bytes(b"12345678")
    made_at = int((time.time() - age_h * 3600) * 1000)
    other = f"S3_1234_20914_full_{made_at}"
    (inbox / f"{other}.info").write_bytes(control(**{f"{other}.sync": 8}))
    if is_waited_for:
        with pytest.raises(AirflowSensorTimeout):
            sensor(inbox).execute({})
    else:
        assert [one["batch"] for one in sensor(inbox).execute({})] == [ROOT]


@pytest.mark.parametrize("control_file", ["", "{", ".tmp"])
def test_a_file_whose_batch_is_not_known_yet_holds_its_day_for_a_day(
    inbox: Path, control_file: str
) -> None:
    (inbox / f"{ROOT}.sync").write_bytes(b"12345678")
    for age_h, is_waited_for in ((1, True), (30, False)):
        made_at = datetime.now(UTC) - timedelta(hours=age_h)
        other = f"S3_1234_20915_full_{int(made_at.timestamp() * 1000)}"
        (inbox / f"{other}.sync").write_bytes(b"A 1\n")
        if control_file == ".tmp":
            (inbox / f"{other}.info.tmp").write_bytes(control(**{f"{other}.sync": 4}))
        elif control_file:
            (inbox / f"{other}.info").write_text(control_file)
        waits = pytest.raises(AirflowSensorTimeout, match=other)
        with waits if is_waited_for else nullcontext():
            assert [one["batch"] for one in sensor(inbox).execute({})] == [ROOT]
        with pytest.raises(
            AirflowSensorTimeout, match=rf"{other}(\.sync)?, of an earlier day, is not"
        ):
            sensor(inbox, batch_date=f"{made_at + timedelta(days=1):%Y-%m-%d}").execute({})
        for file in inbox.glob(f"{other}*"):
            file.unlink()


def test_a_batch_of_another_day_or_destination_is_not_its_own(inbox: Path) -> None:
    (inbox / f"{ROOT}.sync").write_bytes(b"A 1\nB 2\n")
    for other in ({"batch_date": "2026-01-22"}, {"destination": 99}, {"sync_mode": "iter"}):
        with pytest.raises(AirflowSensorTimeout, match="0 complete batches"):
            sensor(inbox, **other).execute({})


@pytest.mark.parametrize(
    "day",
    [
        "2026-01-21",
        "20260121",
        "2026-01-22T01:30:00+02:00",
        "2026-01-20T20:00:00-05:00",
        "2026-01-21T23:59:59Z",
        "2026-01-21 12:00:00",
    ],
)
def test_a_batchs_day_is_of_utc(inbox: Path, day: str) -> None:
    (inbox / f"{ROOT}.sync").write_bytes(b"A 1\nB 2\n")
    assert [one["batch"] for one in sensor(inbox, batch_date=day).execute({})] == [ROOT]


async def test_the_triggerer_goes_on_looking(inbox: Path) -> None:

    task = sensor(inbox, deferrable=True, timeout=60)
    with pytest.raises(TaskDeferred) as deferred:
        task.execute({})
    path, arguments = deferred.value.trigger.serialize()
    assert path.endswith("OutboundFilesTrigger")
    trigger = OutboundFilesTrigger(**json.loads(json.dumps(arguments)))
    (inbox / f"{ROOT}.sync").write_bytes(b"A 1\nB 2\n")
    async for event in trigger.run():
        (found,) = task.execute_complete({}, event.payload)
        assert found["batch"] == ROOT


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"sync_mode": "both"}, "sync_mode: 'both' is none of"),
        ({"batch_date": "yesterday"}, "batch_date: 'yesterday' is no day"),
        ({"timestamp_digits": 11}, "timestamp_digits=11"),
        ({"name_template": "<NO>"}, "is no macro of a name"),
        ({"quiet_period": 0}, "quiet_period: 0 is not more than nothing"),
        ({"quiet_period": "nan"}, "quiet_period: 'nan' is not a number"),
        ({"quiet_period": 1e15}, "is more seconds than there are"),
        ({"quiet_period": 60, "mode": "reschedule"}, "cannot be seen with mode='reschedule'"),
    ],
)
def test_wrong_parameters_fail_at_once(
    inbox: Path, parameters: dict[str, Any], message: str
) -> None:
    with pytest.raises(AirflowFailException, match=message):
        sensor(inbox, **parameters).execute({})


@pytest.fixture
def warehouse(connect: Connect, tmp_path: Path) -> str:
    return connect({"conn_type": "sqlite", "host": str(tmp_path / "warehouse.sqlite")})


def test_a_mistyped_folder_is_told_at_once(tmp_path: Path) -> None:
    place = tmp_path / "form-adobe"
    feed = EventFeedExtractOperator(
        task_id="feed", location=str(place), into=str(tmp_path / "in"), window_end="2026-01-31"
    )
    for task in (sensor(place), sensor(place, deferrable=True), loader(place, into="/in"), feed):
        with pytest.raises(
            AirflowFailException, match=r"form-adobe' \(location\): there is no such"
        ):
            task.execute({})


def loader(inbox: Path | str, **more: Any) -> OutboundLoadOperator:
    return OutboundLoadOperator(task_id="load", location=str(inbox), **more)


def test_a_batch_is_loaded_once(inbox: Path, warehouse: str, tmp_path: Path) -> None:
    (inbox / f"{ROOT}.sync").write_bytes(b"A 1\nB x\n")
    into = {"table": "segments", "conn_id": warehouse, "current_table": "current_segments"}
    with pytest.raises(AirflowFailException, match="1 of 2 lines break the layout") as failed:
        loader(inbox, **into).execute({})
    assert f"(first: {ROOT}.sync, line 2)" in str(failed.value)
    task = loader(inbox, max_set_aside=1, **into)
    (report,) = task.execute({})
    assert (report["lines_read"], report["rows_loaded"], report["lines_set_aside"]) == (2, 1, 1)
    with pytest.raises(AirflowSkipException, match="1 complete, all of them loaded"):
        task.execute({})
    with closing(sqlite3.connect(tmp_path / "warehouse.sqlite")) as database:
        rows = database.execute("SELECT user_id, segment, until FROM current_segments").fetchall()
    assert rows == [("A", 1, None)]


def test_a_current_table_that_comes_later_is_made_without_a_new_batch(
    inbox: Path, warehouse: str, tmp_path: Path
) -> None:
    without = {"table": "segments", "conn_id": warehouse}
    nameless = "S3_1234_20914_1769040000000"
    (inbox / f"{ROOT}.info").unlink()
    (inbox / f"{nameless}.sync").write_bytes(b"A 1\nB 2\n")
    (inbox / f"{nameless}.info").write_bytes(control(**{f"{nameless}.sync": 8}))
    loader(inbox, **without).execute({})
    current = {**without, "current_table": "current_segments"}
    with pytest.raises(AirflowFailException, match="its name says neither full nor iter"):
        loader(inbox, **current).execute({})
    (report,) = loader(inbox, **current, sync_mode="full", reload=True).execute({})
    for path in inbox.iterdir():
        path.unlink()
    with closing(sqlite3.connect(tmp_path / "warehouse.sqlite")) as database:
        database.execute("DROP TABLE current_segments")
        with pytest.raises(AirflowSkipException, match="no complete batch"):
            loader(inbox, **current).execute({})
        rows = database.execute("SELECT user_id, segment FROM current_segments").fetchall()
    assert (report["batch"], rows) == (nameless, [("A", 1), ("B", 2)])


SENT_AT = 1_768_957_200.0


@pytest.fixture
def api_conn_id(api_connection: Connect) -> Iterator[str]:
    destination = ApiDestination(
        destination_id=1234,
        segments=((1, "Travellers"), (2, "Readers")),
        sent=(
            (f"acme/{ROOT}.sync", SENT_AT, True),
            ("S3_1234_20914_iter_1768957200000.sync.gz", SENT_AT, True),
            ("S3_1234_20914_iter_1768957300000.sync.gz", SENT_AT, False),
            ("S3_1234_20914_iter_1769126400000.sync.gz", SENT_AT, True),  # of another day
        ),
    )
    with RestApi(RestConfig(destinations=(destination,))) as api:
        yield api_connection(api)


def test_what_the_apis_history_has_and_the_inbox_has_not_is_told(
    inbox: Path, api_conn_id: str
) -> None:
    asked = {
        "destination": 1234,
        "batch_date": "2026-01-21",
        "timestamp_digits": 13,
        "api_conn_id": api_conn_id,
    }
    with pytest.raises(AirflowSensorTimeout) as told:
        sensor(inbox, **asked).execute({})
    said = str(told.value)
    assert (
        "iter_1768957200000.sync.gz: Audience Manager's outbound history says that it was" in said
    )
    assert (
        "iter_1768957300000.sync.gz: Audience Manager's outbound history says that sending" in said
    )
    assert f"{ROOT}.sync has not come" in said
    assert said.count("outbound history") == 2
    with pytest.raises(AirflowFailException, match="destination: missing"):
        sensor(inbox, api_conn_id=api_conn_id).execute({})


def test_segments_have_names_on_request(
    inbox: Path, warehouse: str, tmp_path: Path, api_conn_id: str
) -> None:
    (inbox / f"{ROOT}.sync").write_bytes(b"A 2,9\n")
    (inbox / f"{ROOT}.info").write_bytes(control(**{f"{ROOT}.sync": 6}))
    asked = {"destination": 1234, "api_conn_id": api_conn_id, "segment_names": True}
    (report,) = loader(inbox, into=str(tmp_path / "loaded"), **asked).execute({})
    (row,) = pq.read_table(report["url"]).to_pylist()
    assert (row["segments"], row["segment_names"]) == ([2, 9], ["Readers", None])
    loader(inbox, table="segments", conn_id=warehouse, **asked).execute({})
    with closing(sqlite3.connect(tmp_path / "warehouse.sqlite")) as database:
        names = database.execute("SELECT segment, name FROM segments_names").fetchall()
    assert names == [(1, "Travellers"), (2, "Readers")]
    with pytest.raises(AirflowFailException, match="api_conn_id: missing"):
        loader(inbox, into=str(tmp_path / "loaded"), segment_names=True).execute({})


def test_what_the_sensor_saw_is_what_is_loaded(inbox: Path, tmp_path: Path) -> None:
    (inbox / f"{ROOT}.sync").write_bytes(b"A 1\nB 2\n")
    seen = sensor(inbox).execute({})
    (inbox / f"{ROOT}.sync").write_bytes(b"A 1\nB 3\n")
    with pytest.raises(AirflowException, match="others than those that were waited for"):
        loader(inbox, batches=seen, into=str(tmp_path / "loaded")).execute({})
    assert not (tmp_path / "loaded").exists()


def test_what_is_loaded_stays_so_when_adobe_takes_its_files_away(
    inbox: Path, where: dict[str, str], told: Told
) -> None:
    (inbox / f"{ROOT}.sync").write_bytes(b"A 1\nB 2\n")
    seen = sensor(inbox).execute({})
    task = loader(inbox, batches=seen, **where)
    task.execute({})
    for path in inbox.iterdir():
        path.unlink()
    with pytest.raises(AirflowSkipException, match="1 loaded, whose files are gone"):
        task.execute({})
    for asked in ({"reload": True}, {"batches": [{**seen[0], "version": "another"}]}):
        with pytest.raises(AirflowFailException, match="it is not there any more"):
            loader(inbox, **{"batches": seen, **where, **asked}).execute({})
    # Nobody has told of it, as no run of Airflow's was there.
    assert [one["batch"] for one in told(task)] == [ROOT]
    assert told(task, run="two") == []


def test_what_another_task_has_loaded_meanwhile_is_not_loaded_again(
    inbox: Path, warehouse: str, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    (inbox / f"{ROOT}.sync").write_bytes(b"A 1\nB 2\n")
    into = {"table": "segments", "conn_id": warehouse}
    asked = TableTarget.reports
    others = [loader(inbox, **into)]

    def reports(target: TableTarget, batches: Sequence[Batch]) -> dict[str, dict[str, Any]]:
        found = asked(target, batches)
        if others:
            assert others.pop().execute({})[0]["batch"] == ROOT
        return found

    monkeypatch.setattr(TableTarget, "reports", reports)
    # The other one has not told of it, and may never do.
    assert [one["batch"] for one in told(loader(inbox, **into))] == [ROOT]
    assert told(loader(inbox, **into), run="two") == []


def test_a_batch_without_a_control_file_is_loaded_once_it_was_quiet(
    inbox: Path, tmp_path: Path
) -> None:
    (inbox / f"{ROOT}.info").unlink()
    (inbox / f"{ROOT}.sync").write_bytes(b"A 1\nB 2\n")
    form = {"quiet_period": 0.1, "timestamp_digits": 13}
    seen = sensor(inbox, timeout=20, **form).execute({})
    task = loader(inbox, batches=seen, into=str(tmp_path / "loaded"), **form)
    (report,) = task.execute({})
    assert (report["batch"], report["rows_loaded"]) == (ROOT, 2)
    (inbox / f"{ROOT}001.sync").write_bytes(b"C 3\n")
    with pytest.raises(AirflowException, match="others than those that were waited for"):
        task.execute({})


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({}, "into or table"),
        ({"into": "/a", "table": "b"}, "into or table"),
        ({"table": "segments"}, "conn_id: missing"),
        ({"table": "segments", "copy_sql": "COPY"}, "into and table: both are needed"),
        ({"table": "a", "into": "/a", "copy_sql": "COPY {table}"}, "have to stand in it"),
        ({"into": "/a", "separator_spaces": 1, "line_template": "<UUID>"}, "another one"),
        ({"into": "/a", "line_template": "<PID>"}, "it names no user"),
        ({"into": "/a", "max_set_aside": "half"}, "neither a number of lines nor a share"),
        ({"table": "a; DROP TABLE b", "conn_id": "x"}, "is no name of a table"),
        ({"into": "/a", "current_table": "b"}, "current_table: it goes with table"),
        ({"table": "a", "conn_id": "x", "current_table": "A"}, "is the table of rows, or one"),
        ({"into": "/a", "header_lines": -1}, "header_lines: -1"),
        ({"into": "/a", "separator_spaces": 0}, "separator_spaces: 0"),
        ({"into": "here"}, "s3://bucket/prefix"),
        ({"into": "/a", "quiet_period": 60}, "batches: missing; whether a batch without"),
    ],
)
def test_wrong_parameters_of_a_load_fail_at_once(
    inbox: Path, parameters: dict[str, Any], message: str
) -> None:
    with pytest.raises(AirflowFailException, match=message):
        loader(inbox, **parameters).execute({})


def test_from_one_bucket_into_another_place_of_it(connect: Connect, s3: S3, bucket: str) -> None:
    conn_id = connect(s3.airflow_connection())
    client = s3.client()
    client.put_object(Bucket=bucket, Key=f"in/{ROOT}.sync", Body=b"A 1\nB 2\n")
    body = control(**{f"{ROOT}.sync": 8})
    client.put_object(Bucket=bucket, Key=f"in/{ROOT}.info", Body=body)
    location = f"s3://{bucket}/in"
    (seen,) = sensor(location, source_conn_id=conn_id).execute({})
    task = loader(location, source_conn_id=conn_id, batches=[seen], into=f"s3://{bucket}/loaded")
    (report,) = task.execute({})
    assert report["url"] == f"s3://{bucket}/loaded/1234/2026-01-21/{ROOT}.parquet"
    with pytest.raises(AirflowSkipException):
        task.execute({})


@pytest.mark.parametrize("protocol", ["sftp", "ftps", "ftp"])
def test_from_another_host(
    request: pytest.FixtureRequest, connect: Connect, tmp_path: Path, protocol: str
) -> None:
    server = request.getfixturevalue(f"{protocol}_server")
    folder = server.root / f"from-adobe-{protocol}"
    folder.mkdir()
    content = b"".join(b"user-%d 1,2\n" % number for number in range(400_000))
    (folder / f"{ROOT}.sync").write_bytes(content)
    (folder / f"{ROOT}.info").write_bytes(control(**{f"{ROOT}.sync": len(content)}))
    (folder / "a folder").mkdir()
    location = f"{protocol}:///{folder.name}"
    conn_id = connect(server.airflow_connection())
    seen = sensor(location, source_conn_id=conn_id, timeout=20).execute({})
    task = loader(location, source_conn_id=conn_id, batches=seen, into=str(tmp_path / "loaded"))
    (report,) = task.execute({})
    assert (report["rows_loaded"], report["lines_set_aside"]) == (400_000, 0)
    words = ["outbound", "list", location, "--source-conn-id", conn_id]
    assert main([*words, "--into", str(tmp_path / "loaded"), "--json"]) == 0


def test_without_control_files_a_part_that_is_there_twice_is_not_loaded_twice(inbox: Path) -> None:
    (inbox / f"{ROOT}.info").unlink()
    (inbox / f"{ROOT}.sync").write_bytes(b"A 1\n")
    (inbox / f"{ROOT}.sync.gz").write_bytes(gzip.compress(b"A 1\n"))
    with pytest.raises(AirflowSensorTimeout, match="are one part; one of them has to go"):
        sensor(inbox, quiet_period=0.01, timestamp_digits=13).execute({})


def test_content_of_the_same_size_and_time_is_told_by_the_control_file(
    inbox: Path, tmp_path: Path
) -> None:
    for content in (b"A 1\nB 2\n", b"A 1\nB 3\n"):
        (inbox / f"{ROOT}.sync").write_bytes(content)
        os.utime(inbox / f"{ROOT}.sync", (1, 1))  # as of a host that tells minutes
        md5 = hashlib.md5(content, usedforsecurity=False).hexdigest()
        said = {"FileName": f"{ROOT}.sync", "FileByteSize": 8, "md5": md5}
        (inbox / f"{ROOT}.info").write_text(json.dumps({"Files": [said]}))
        (report,) = loader(inbox, into=str(tmp_path / "loaded")).execute({})
        assert report["rows_loaded"] == 2


@pytest.mark.parametrize("given", [{}, {"batch_date": "2026-01-22"}])
def test_a_batch_that_came_after_the_run_of_its_day_is_named_by_a_later_run(
    inbox: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], given: dict[str, Any]
) -> None:
    (inbox / f"{LATER}.info").write_bytes(control(**{f"{LATER}.sync": 4}))
    (inbox / f"{LATER}.sync").write_bytes(b"A 1\n")
    seen = sensor(inbox, batch_date="2026-01-22").execute({})
    (inbox / f"{ROOT}.sync").write_bytes(b"A 1\nB 2\n")
    into = {"into": str(tmp_path / "loaded")}
    loader(inbox, batches=seen, **into, **given).execute({})
    said = f"Complete, older than what this run loads, and not loaded: {ROOT}."
    assert said in capsys.readouterr().out
    loader(inbox, batch_date="2026-01-21", **into).execute({})
    capsys.readouterr()
    loader(inbox, batches=seen, reload=True, **into, **given).execute({})
    assert "Complete, older" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("change", "message", "is_retried"),
    [
        ("gone", f"batch {ROOT}: it is not there any more", False),
        ("a part is gone", f"{ROOT}: it was complete and is not any more", True),
        ("no control file", f"{ROOT}.sync: its control file has not come", True),
        ("grown", f"{ROOT}: it was complete and is not any more", True),
        ("sent again", f"batch {ROOT}: its files are others", True),
    ],
)
def test_a_batch_that_has_changed_since_the_sensor_holds_no_other_up(
    inbox: Path, tmp_path: Path, change: str, message: str, is_retried: bool
) -> None:
    (inbox / f"{ROOT}.sync").write_bytes(b"A 1\nB 2\n")
    (inbox / f"{LATER}.info").write_bytes(control(**{f"{LATER}.sync": 4}))
    (inbox / f"{LATER}.sync").write_bytes(b"A 1\n")
    seen = sensor(inbox).execute({})
    if change in ("gone", "a part is gone"):
        (inbox / f"{ROOT}.sync").unlink()
    if change in ("gone", "no control file"):
        (inbox / f"{ROOT}.info").unlink()
    if change in ("grown", "sent again"):
        (inbox / f"{ROOT}.sync").write_bytes(b"A 1\nB 2\nC 1\n")
    if change == "sent again":
        (inbox / f"{ROOT}.info").write_bytes(control(**{f"{ROOT}.sync": 12}))
    task = loader(inbox, into=str(tmp_path / "loaded"), batches=seen)
    with pytest.raises(AirflowException, match=message) as failed:
        task.execute({})
    assert isinstance(failed.value, AirflowFailException) is not is_retried
    assert [file.stem for file in (tmp_path / "loaded").rglob("*.parquet")] == [LATER]


def test_a_batch_that_cannot_be_loaded_holds_no_other_up(inbox: Path, tmp_path: Path) -> None:
    (inbox / f"{ROOT}.info").write_bytes(control(**{f"{ROOT}.sync.gz": 5}))
    (inbox / f"{ROOT}.sync.gz").write_bytes(b"12345")
    (inbox / f"{LATER}.info").write_bytes(control(**{f"{LATER}.sync": 4}))
    (inbox / f"{LATER}.sync").write_bytes(b"A 1\n")
    # A number that no database has; whoever may write into the folder can send it.
    huge = ROOT.replace("1234", "9999999999999999999")
    (inbox / f"{huge}.info").write_bytes(control(**{f"{huge}.sync": 4}))
    (inbox / f"{huge}.sync").write_bytes(b"A 1\n")
    with pytest.raises(AirflowFailException, match="no whole gzip file"):
        loader(inbox, into=str(tmp_path / "loaded")).execute({})
    assert [path.stem for path in (tmp_path / "loaded").rglob("*.parquet")] == [LATER]


def test_a_file_that_is_gone_when_it_is_read_is_waited_for(
    inbox: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (inbox / f"{ROOT}.sync").write_bytes(b"A 1\nB 2\n")
    opened = LocalFolder.open_read

    def replaced(folder: LocalFolder, path: str) -> Any:
        (inbox / f"{ROOT}.sync").unlink(missing_ok=True)
        return opened(folder, path)

    monkeypatch.setattr(LocalFolder, "open_read", replaced)
    with pytest.raises(AirflowException, match="it was there and is gone") as raised:
        loader(inbox, into=str(tmp_path / "loaded")).execute({})
    assert not isinstance(raised.value, AirflowFailException)


class Events:
    """What a task tells other DAGs, by whatever alias."""

    def __init__(self) -> None:
        self.told: list[dict[str, Any]] = []

    def __getitem__(self, alias: Any) -> Events:
        return self

    def add(self, asset: Any, extra: dict[str, Any]) -> None:
        self.told.append({"asset": asset.uri, **extra})


@pytest.fixture(params=["table", "parquet"])
def where(request: pytest.FixtureRequest, warehouse: str, tmp_path: Path) -> dict[str, str]:
    if request.param == "table":
        return {"table": "segments", "conn_id": warehouse}
    return {"into": str(tmp_path / "loaded")}


class Told(Protocol):
    def __call__(
        self, task: OutboundLoadOperator, run: str = "one", most: int = 2, *, hears: bool = True
    ) -> list[dict[str, Any]]: ...


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Told:
    """Run a try of a task: which batches does it tell of?

    ``most`` is how many tries the task has, as clearing it gives it more; without ``hears`` it dies
    before Airflow hears of it.
    """
    heard: list[dict[str, Any]] = []

    def events_of_inlet(inlets: object, alias: AssetAlias) -> list[SimpleNamespace]:
        assert alias.name == "audience_manager_loaded"
        return [SimpleNamespace(extra=extra) for extra in heard]

    def run_task(
        task: OutboundLoadOperator, run: str = "one", most: int = 2, *, hears: bool = True
    ) -> list[dict[str, Any]]:
        ti = SimpleNamespace(dag_id="d", run_id=run, task_id="load", map_index=-1, max_tries=most)
        events = Events()
        context: Any = {"ti": ti, "outlet_events": events}
        try:
            result = task.execute(context)
        except AirflowSkipException:
            return []
        assert [report["batch"] for report in result] == [event["batch"] for event in events.told]
        heard.extend(events.told if hears else ())
        return events.told

    monkeypatch.setattr(InletEventsAccessors, "__getitem__", events_of_inlet)
    return run_task


@pytest.mark.parametrize("run", ["one", "other"])
def test_what_a_failed_task_has_loaded_is_told_once_by_who_succeeds(
    inbox: Path, where: dict[str, str], told: Told, run: str
) -> None:
    (inbox / f"{ROOT}.sync").write_bytes(b"A 1\nB 2\n")
    (inbox / f"{LATER}.info").write_bytes(control(**{f"{LATER}.sync.gz": 5}))
    (inbox / f"{LATER}.sync.gz").write_bytes(b"12345")
    task = loader(inbox, **where)
    with pytest.raises(AirflowFailException, match="no whole gzip file"):
        told(task)
    (inbox / f"{LATER}.sync.gz").write_bytes(gzip.compress(b"C 3\n", mtime=0))
    size = (inbox / f"{LATER}.sync.gz").stat().st_size
    (inbox / f"{LATER}.info").write_bytes(control(**{f"{LATER}.sync.gz": size}))
    # The failed task is cleared, or another run comes by.
    events = told(task, run, most=3)
    assert [event["batch"] for event in events] == [ROOT, LATER]
    assert (events[0]["asset"], events[0]["rows_loaded"]) == ("audience-manager://outbound/1234", 2)
    assert told(task, run, most=5) == []
    assert told(task, "third") == []


def test_a_try_that_died_after_it_told_tells_it_again(
    inbox: Path, where: dict[str, str], told: Told
) -> None:
    (inbox / f"{ROOT}.sync").write_bytes(b"A 1\nB 2\n")
    task = loader(inbox, batches=sensor(inbox).execute({}), **where)
    (event,) = told(task, hears=False)
    assert told(task, "other") == []
    assert told(task) == [event]


def test_what_was_told_in_vain_is_told_when_the_task_is_cleared(
    inbox: Path, where: dict[str, str], told: Told
) -> None:
    (inbox / f"{ROOT}.sync").write_bytes(b"A 1\nB 2\n")
    task = loader(inbox, **where)
    (event,) = told(task, hears=False)
    assert told(task, most=3, hears=False) == [event]
    assert told(task, most=4) == [event]
    assert told(task, most=5) == []


def test_a_batch_that_is_sent_again_or_loaded_again_is_told_again(
    inbox: Path, where: dict[str, str], told: Told
) -> None:
    (inbox / f"{ROOT}.sync").write_bytes(b"A 1\nB 2\n")
    assert len(told(loader(inbox, **where))) == 1
    assert len(told(loader(inbox, reload=True, **where), "other")) == 1
    (inbox / f"{ROOT}.info").write_bytes(control(**{f"{ROOT}.sync": 4}))
    (inbox / f"{ROOT}.sync").write_bytes(b"A 1\n")
    assert [event["rows_loaded"] for event in told(loader(inbox, **where), "third")] == [1]
    assert told(loader(inbox, **where), "fourth") == []
