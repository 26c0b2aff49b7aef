"""Customer Data Feeds: late and repeated hours, hostile lines, each event and each pair once."""

import dataclasses
import gzip
import hashlib
import json
import os
import random
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_am_provider.airflow_compat import (
    AirflowException,
    AirflowFailException,
    AirflowSkipException,
)
from airflow_am_provider.audience_manager.outbound.feeds import declared_ids, is_feed_file
from airflow_am_provider.operators.event_feed import EventFeedExtractOperator
from airflow_am_provider.outbound.feed_lines import NO_TIME, read_events
from airflow_am_provider.sandbox.outboxes import Bucket, Write
from demo.local.s3 import S3
from tests.connections import Connect

pytestmark = pytest.mark.filterwarnings("ignore")

FIELD, ELEMENT, VALUE = "\x01", "\x02", "\x03"


def event(time: str, device: str = "17", *, declared: str = "", more: str = "") -> str:
    parameters = f"d_rtbd{VALUE}json" + (f"{ELEMENT}d_cid{VALUE}{declared}" if declared else "")
    fields = [time, device, "/N", f"1{ELEMENT}2", "\\N", parameters, "\\N", "\\N", "\\N", "5", "7"]
    return FIELD.join([*fields, more] if more else fields)


class Feed:
    """Writes hours into a folder as Adobe does."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def put(self, day: str, hour: int, *lines: str, control: bool = True, md5: str = "") -> Path:
        place = self.folder / f"day={day}" / f"hour={hour:02d}"
        place.mkdir(parents=True, exist_ok=True)
        content = gzip.compress("".join(f"{line}\n" for line in lines).encode())
        name = "AAM_CDF_1109_000000_0.gz"
        (place / name).write_bytes(content)
        # The ETag of an object that was uploaded in one part by a multipart upload.
        one = hashlib.md5(content, usedforsecurity=False).digest()
        etag = f"{hashlib.md5(one, usedforsecurity=False).hexdigest()}-1"
        said = {"FileName": name, "FileByteSize": len(content), "FileChecksumMD5": md5 or etag}
        if control:
            (place / "hour.info").write_text(json.dumps({"Files": [said]}))
        return place


@pytest.fixture
def feed(tmp_path: Path) -> Feed:
    folder = tmp_path / "feed"
    folder.mkdir()
    return Feed(folder)


def run(feed: Feed, into: Path, **more: Any) -> dict[str, Any]:
    given = {"window_end": "2026-02-01T00:00:00Z", "dpid": 478, **more}
    task = EventFeedExtractOperator(
        task_id="feed", location=str(feed.folder), into=str(into), **given
    )
    return task.execute({})


def test_events_lie_by_their_own_time_and_not_by_their_folder(feed: Feed, tmp_path: Path) -> None:
    feed.put("2026-01-31", 0, event("2026-01-30 23:59:59"), event("2026-01-31 00:10:00"))
    found = run(feed, tmp_path / "into")
    assert (found["events_read"], found["events_written"]) == (2, 2)
    days = {path.parent.name for path in (tmp_path / "into" / "events").rglob("*.parquet")}
    assert days == {"2026-01-30", "2026-01-31"}


def test_each_hour_is_read_once_and_late_ones_later(feed: Feed, tmp_path: Path) -> None:
    feed.put("2026-01-31", 1, event("2026-01-31 01:00:00"))
    half = feed.put("2026-01-31", 2, event("2026-01-31 02:00:00"), control=False)
    first = run(feed, tmp_path / "into")
    assert [hour["hour"] for hour in first["hours"]] == ["2026-01-31T01"]
    assert first["waiting"] == ["2026-01-31T02: its control file has not come"]
    assert half.exists()
    feed.put("2026-01-31", 2, event("2026-01-31 01:59:00"))
    second = run(feed, tmp_path / "into")
    assert [hour["hour"] for hour in second["hours"]] == ["2026-01-31T02"]
    assert run(feed, tmp_path / "into")["hours"] == []
    assert pq.read_table(tmp_path / "into" / "events").num_rows == 2


def test_an_hour_made_again_replaces_its_own_events(feed: Feed, tmp_path: Path) -> None:
    feed.put("2026-01-31", 1, event("2026-01-31 01:00:00"), event("2026-01-30 23:00:00"))
    run(feed, tmp_path / "into")
    feed.put("2026-01-31", 1, *[event("2026-01-31 01:00:01")] * 3)
    run(feed, tmp_path / "into")
    assert pq.read_table(tmp_path / "into" / "events").num_rows == 3


def test_pairs_are_there_once_the_latest_first(feed: Feed, tmp_path: Path) -> None:
    feed.put(
        "2026-01-31",
        1,
        event("2026-01-31 01:00:00", "17", declared="478%01ann%011"),
        event("2026-01-31 01:00:05", "17", declared="478%01ann%011"),
        event("2026-01-31 01:00:09", "18", declared="999%01eve"),
    )
    feed.put("2026-01-31", 2, event("2026-01-31 02:00:00", "19", declared="478%01bob%010"))
    found = run(feed, tmp_path / "into")
    pairs = pq.read_table(found["id_pairs_url"]).to_pylist()
    assert pairs == [
        {"aam_uuid": "19", "declared_id": "bob"},
        {"aam_uuid": "17", "declared_id": "ann"},
    ]
    assert run(feed, tmp_path / "into", authentication=1)["id_pairs"] == 1
    # A task that is cleared gives the same, though it reads nothing anew.
    assert run(feed, tmp_path / "into")["id_pairs_url"] == found["id_pairs_url"]


def test_bad_events_are_set_aside_and_new_fields_are_kept(feed: Feed, tmp_path: Path) -> None:
    good = event("2026-01-31 01:00:00", more="new")
    feed.put("2026-01-31", 1, good, event("yesterday"), "few", good.replace("7", "x"))
    with pytest.raises(AirflowFailException, match="3 of 4 events break the layout, max_set_aside"):
        run(feed, tmp_path / "into")
    assert not list((tmp_path / "into").rglob("*.parquet"))
    found = run(feed, tmp_path / "into", max_set_aside=3)
    assert (found["events_read"], found["events_written"], found["events_set_aside"]) == (4, 1, 3)
    assert pq.read_table(tmp_path / "into" / "events").column("more").to_pylist() == [["new"]]


def test_an_hour_that_is_not_what_its_control_file_says_fails_and_holds_no_other_up(
    feed: Feed, tmp_path: Path
) -> None:
    wrong = feed.put("2026-01-31", 1, event("2026-01-31 01:00:00"), md5="0" * 32 + "-1")
    with pytest.raises(AirflowException, match=r"hour 2026-01-31T01 of .*not the checksum") as may:
        run(feed, tmp_path / "into")
    assert not isinstance(may.value, AirflowFailException)  # it is tried again
    assert not list((tmp_path / "into").rglob("*.parquet"))
    feed.put("2026-01-31", 2, event("2026-01-31 02:00:00"))
    feed.put("2026-01-31", 3, event("2026-01-31 03:00:00"), md5="none")
    broken = feed.folder / "day=2026-01-31" / "hour=03" / "AAM_CDF_1109_000000_0.gz"
    broken.write_bytes(broken.read_bytes()[:-4] + b"\0" * 4)
    with pytest.raises(AirflowException, match="2 hours could not be extracted, what else"):
        run(feed, tmp_path / "into")
    assert pq.read_table(tmp_path / "into" / "events").num_rows == 1
    assert (tmp_path / "into" / "id_pairs" / "478").exists()
    (wrong / "hour.info").unlink()
    feed.put("2026-01-31", 1, event("2026-01-31 01:00:00"))
    with pytest.raises(AirflowFailException, match=r"hour 2026-01-31T03 .*no whole gzip file"):
        run(feed, tmp_path / "into")
    feed.put("2026-01-31", 3, event("2026-01-31 03:00:00"))
    assert [hour["hour"] for hour in run(feed, tmp_path / "into")["hours"]] == ["2026-01-31T03"]


def test_a_file_that_no_control_file_lists_is_told(
    feed: Feed, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = feed.put("2026-01-31", 1, event("2026-01-31 01:00:00"))
    (place / "AAM_CDF_1109_000001_0.gz").write_bytes(gzip.compress(b""))
    assert run(feed, tmp_path / "into")["events_read"] == 1
    assert "AAM_CDF_1109_000001_0.gz: its control file does not list it" in capsys.readouterr().out


def test_a_pair_that_was_seen_in_a_state_is_of_it_whatever_is_seen_later(
    feed: Feed, tmp_path: Path
) -> None:
    login = event("2026-01-31 01:00:00", "17", declared="478%01ann%011")
    feed.put("2026-01-31", 1, login, event("2026-01-31 01:30:00", "17", declared="478%01ann%012"))
    feed.put("2026-01-31", 2, event("2026-01-31 02:00:00", "17", declared="478%01ann"))
    for state in (1, 2, None):
        found = run(feed, tmp_path / "into", authentication=state)
        assert found["id_pairs"] == 1
    assert run(feed, tmp_path / "into", authentication=0)["id_pairs"] == 0
    told = json.loads((tmp_path / "into" / "hours" / "2026-01-31T01.json").read_text())
    assert told["id_pairs"] == 1


def test_ids_that_are_not_utf8_are_no_pairs_and_counted(
    feed: Feed, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    times = ("2026-01-31 01:00:00", "2026-01-31 01:00:01", "2026-01-31 01:00:02")
    names = ("M%FCller", "M%F6ller", "M%C3%BCller")
    lines = [
        event(time, str(number), declared=f"478%01{name}%011")
        for number, (time, name) in enumerate(zip(times, names, strict=True))
    ]
    feed.put("2026-01-31", 1, *lines)
    found = run(feed, tmp_path / "into")
    pairs = pq.read_table(found["id_pairs_url"]).to_pylist()
    assert pairs == [{"aam_uuid": "2", "declared_id": "Müller"}]
    assert found["hours"][0]["ids_set_aside"] == 2
    assert "2 IDs that pages declared are in no pair" in capsys.readouterr().out


@pytest.mark.parametrize("time", ["2026-02-30 01:00:00", "2026-01-31 23:59:60"])
def test_an_event_of_a_time_that_does_not_exist_is_set_aside(time: str) -> None:
    found = read_events(f"{event(time)}\n{event('2026-01-31 01:00:00')}\n".encode())
    assert [(one.number, one.reason) for one in found.bad] == [(0, NO_TIME)]


def test_of_two_control_files_of_an_hour_the_newer_says_how_a_file_is(
    feed: Feed, tmp_path: Path
) -> None:
    place = feed.put("2026-01-31", 1, event("2026-01-31 01:00:00"))
    (place / "hour.info").rename(place / "first.info")
    os.utime(place / "first.info", (1, 1))
    feed.put("2026-01-31", 1, *[event("2026-01-31 01:00:01", str(n)) for n in range(3)])
    assert run(feed, tmp_path / "into")["events_written"] == 3


def test_an_hour_whose_reader_is_killed_leaves_no_event_that_nobody_knows(
    feed: Feed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    feed.put("2026-01-31", 1, event("2026-01-31 01:00:00"))
    run(feed, tmp_path / "into")
    feed.put("2026-01-31", 1, event("2026-01-31 01:00:00"), event("2026-01-29 01:00:00"))

    class Killed(BaseException):
        pass

    def killed(*_: object, **__: object) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        # After the events' files have appeared.
        patched.setattr("airflow_am_provider.outbound.feed.latest_pairs", killed)
        with pytest.raises(Killed):
            run(feed, tmp_path / "into")
    feed.put("2026-01-31", 1, event("2026-01-31 01:00:02"))
    run(feed, tmp_path / "into")
    assert pq.read_table(tmp_path / "into" / "events").num_rows == 1


def test_a_copy_in_other_parts_is_read(
    connect: Connect, s3: S3, bucket: str, caplog: pytest.LogCaptureFixture
) -> None:
    conn_id = connect(s3.airflow_connection())
    noise = random.Random(1).randbytes(11 << 19).hex()
    content = gzip.compress(f"{event('2026-01-31 01:00:00', more=noise)}\n".encode(), 1)
    assert 5 << 20 < len(content) < 8 << 20
    folder = "day=2026-01-31/hour=01"
    sent = Write(path=f"{folder}/AAM_CDF_1109_0_0.gz", content=content, part_bytes=5 << 20)
    said = {
        "FileName": "AAM_CDF_1109_0_0.gz", "FileByteSize": len(content),
        "FileChecksumMD5": sent.etag,
    }  # fmt: skip
    copied = dataclasses.replace(sent, part_bytes=(5 << 20) + 1)
    assert copied.etag != sent.etag
    assert copied.etag[-2:] == sent.etag[-2:] == "-2"
    outbox = Bucket(s3.client(), bucket)
    outbox.put(copied.path, copied.content, copied.part_bytes)
    outbox.put(f"{folder}/hour.info", json.dumps({"Files": [said]}).encode())
    found = EventFeedExtractOperator(
        task_id="feed",
        location=f"s3://{bucket}",
        into=f"s3://{bucket}/into",
        window_end="2026-02-01",
        source_conn_id=conn_id,
    ).execute({})
    assert (found["events_written"], found["waiting"]) == (1, [])


def test_two_feeds_do_not_go_into_one_folder(feed: Feed, tmp_path: Path) -> None:
    feed.put("2026-01-31", 1, event("2026-01-31 01:00:00"))
    run(feed, tmp_path / "into")
    other = Feed(tmp_path / "other")
    other.put("2026-01-31", 1, event("2026-01-31 01:00:00", "99"))
    with pytest.raises(AirflowFailException, match="Give each feed a folder of its own"):
        run(other, tmp_path / "into")
    assert pq.read_table(tmp_path / "into" / "events").column("device").to_pylist() == ["17"]


def test_no_hour_is_a_skip(feed: Feed, tmp_path: Path) -> None:
    with pytest.raises(AirflowSkipException, match="No complete hour"):
        run(feed, tmp_path / "into")


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"window_end": "soon"}, "window_end: 'soon' is no time"),
        ({"lookback_hours": 200}, "is not from 1 to 192"),
        ({"authentication": 3}, "3 is no state; there are 0 unknown, 1 logged in, 2 logged out"),
    ],
)
def test_wrong_parameters_fail_at_once(
    feed: Feed, tmp_path: Path, parameters: dict[str, Any], message: str
) -> None:
    with pytest.raises(AirflowFailException, match=message):
        run(feed, tmp_path / "into", **parameters)


def test_an_etag_of_s3_is_held_against_the_control_files(
    feed: Feed, connect: Connect, s3: S3, bucket: str, tmp_path: Path
) -> None:
    conn_id = connect(s3.airflow_connection())
    place = feed.put("2026-01-31", 1, event("2026-01-31 01:00:00"))
    content = (place / "AAM_CDF_1109_000000_0.gz").read_bytes()
    key = "acme/day=2026-01-31/hour=01"
    client = s3.client()
    client.put_object(Bucket=bucket, Key=f"{key}/AAM_CDF_1109_000000_0.gz", Body=content)
    said = {
        "FileName": "AAM_CDF_1109_000000_0.gz",
        "FileByteSize": len(content),
        "FileChecksumMD5": "0" * 32,
    }

    def task() -> dict[str, Any]:
        body = json.dumps({"Files": [said]}).encode()
        client.put_object(Bucket=bucket, Key=f"{key}/hour.info", Body=body)
        return EventFeedExtractOperator(
            task_id="feed",
            location=f"s3://{bucket}/acme",
            into=f"s3://{bucket}/into",
            window_end="2026-02-01",
            source_conn_id=conn_id,
        ).execute({})

    with pytest.raises(AirflowException, match="not the checksum"):
        task()
    said["FileChecksumMD5"] = hashlib.md5(content, usedforsecurity=False).hexdigest()
    assert task()["events_written"] == 1


@pytest.mark.parametrize(
    "name", ["AAM_CDF_1234_0_0_0.gz", "AAM_CDF_1109_000000_0.gz", "AAM-CDF_1109_0_0.gz"]
)
def test_names_of_feeds_as_the_page_has_them(name: str) -> None:
    assert is_feed_file(name)


def test_ids_are_declared_in_three_ways() -> None:
    found = declared_ids(
        {
            "d_cid": ["478%01ann%011", "x%01y", "478"],
            "d_cid_ic": ["our%20crm\x01a%20b"],
            "d_dpid": ["21"],
            "d_dpuuid": ["bob"],
        }
    )
    assert [(one.dpid, one.code, one.dpuuid, one.authentication) for one in found] == [
        (478, None, "ann", 1),
        (None, "our crm", "a b", None),
        (21, None, "bob", None),
    ]


@given(st.binary(max_size=200))
def test_any_block_is_counted_line_by_line(block: bytes) -> None:
    found = read_events(block)
    assert found.rows.num_rows + len(found.bad) == found.lines
