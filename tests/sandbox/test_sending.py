"""What the sandbox sends: segment files and event feeds, as a user asks for them."""

import argparse
import os
import threading
import time
from contextlib import suppress
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from airflow_am_provider.airflow_compat import AirflowException
from airflow_am_provider.operators.event_feed import EventFeedExtractOperator
from airflow_am_provider.operators.outbound_load import OutboundLoadOperator
from airflow_am_provider.sandbox.command import add_arguments, run
from airflow_am_provider.sandbox.event_feeds import device_of
from airflow_am_provider.sandbox.outboxes import Write, open_outbox
from airflow_am_provider.sensors.outbound_files import OutboundFilesSensor
from demo.local.s3 import S3
from demo.local.sftp import SftpServer
from tests.connections import Connect
from tests.sandbox.conftest import Bench, uuid

pytestmark = pytest.mark.filterwarnings("ignore")

USERS = 20
LOGINS = [f"web user/{number}" for number in range(7)]


def sandbox(*arguments: str | Path) -> int:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return run(parser.parse_args([str(argument) for argument in arguments]))


@pytest.fixture
def database(bench: Bench) -> Path:
    bench.take("adobe_id_0_478_1476312152.sync", [f"{uuid(n)}\tuser-{n}" for n in range(USERS)])
    bench.take("ftp_dpm_478_1476312153.sync", [f"user-{n}\td_sid=24" for n in range(USERS)])
    return bench.config.database


@pytest.fixture
def logins(tmp_path: Path) -> Path:
    path = tmp_path / "logins.txt"
    path.write_text("".join(f"{user}\n" for user in LOGINS))
    return path


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch, s3: S3) -> None:
    for name, value in s3.environment.items():
        monkeypatch.setenv(name, value)


def pairs_of(url: str) -> set[tuple[str, str]]:
    return {(row["aam_uuid"], row["declared_id"]) for row in pq.read_table(url).to_pylist()}


def expected_pairs() -> set[tuple[str, str]]:
    known = {(uuid(number), f"user-{number}") for number in range(USERS)}
    return known | {(device_of(478, user), user) for user in LOGINS}


@pytest.mark.parametrize("code", [None, "crm"])
def test_every_device_and_every_login_is_in_a_feed(
    database: Path,
    logins: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    code: str | None,
) -> None:
    for seed in (
        0,
        3,
        6,
        7,
    ):  # both spellings of null, new fields, late events, two ways to declare
        arguments = ["feed", "--database", database, "--dpid", 478, "--logins", logins]
        arguments += ["--hour", "2026-01-31T00", "--hours", 6, "--segment", "9001:24"]
        arguments += ["--seed", seed, "--into", tmp_path / f"feed-{seed}"]
        assert sandbox(*arguments, *(["--integration-code", code] if code else [])) == 0
        told = [line for line in capsys.readouterr().out.splitlines() if line[:4] == "day="]
        events = sum(int(line.partition("events ")[2].partition(",")[0]) for line in told)
        found = EventFeedExtractOperator(
            task_id="feed",
            location=str(tmp_path / f"feed-{seed}"),
            into=str(tmp_path / f"into-{seed}"),
            window_end="2026-01-31T06:00",
            dpid=478,
            integration_code=code,
        ).execute({})
        assert found["events_read"] == found["events_written"] == events >= USERS + len(LOGINS)
        assert len(found["hours"]) == len(told) > 1
        assert found["waiting"] == []
        assert pairs_of(found["id_pairs_url"]) == expected_pairs()
        rows = pq.read_table(tmp_path / f"into-{seed}" / "events").to_pylist()
        of_users = [row for row in rows if row["device"] in {uuid(n) for n in range(USERS)}]
        assert {tuple(row["all_traits"]) for row in of_users} == {(24,)}
        assert {tuple(row["realized_segments"]) for row in of_users} == {(9001,)}


@pytest.mark.usefixtures("aws")
def test_a_feed_in_a_bucket_has_the_etags_that_s3_gives(
    connect: Connect, s3: S3, bucket: str, logins: Path
) -> None:
    conn_id = connect(s3.airflow_connection())
    for seed in (0, 1):  # with checksums of both kinds
        arguments = ["feed", "--dpid", 478, "--logins", logins, "--hour", "2026-01-31T05"]
        arguments += ["--seed", seed, "--into", f"s3://{bucket}/{seed}"]
        assert sandbox(*arguments) == 0
        found = EventFeedExtractOperator(
            task_id="feed",
            location=f"s3://{bucket}/{seed}",
            into=f"s3://{bucket}/into-{seed}",
            window_end="2026-01-31T06:00",
            source_conn_id=conn_id,
        ).execute({})
        assert found["events_written"] >= len(LOGINS)
    write = Write(path="large", content=os.urandom(6 << 20), part_bytes=5 << 20)
    with open_outbox(f"s3://{bucket}") as outbox:
        outbox.put(write.path, write.content, write.part_bytes)
    etag = s3.client().head_object(Bucket=bucket, Key="large")["ETag"].strip('"')
    assert etag == write.etag
    assert etag.endswith("-2")


def test_segments_come_over_sftp(
    database: Path,
    sftp_server: SftpServer,
    connect: Connect,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AIRFLOW_AM_SANDBOX_SFTP_PASSWORD", sftp_server.password)
    monkeypatch.setenv("AIRFLOW_AM_SANDBOX_SFTP_HOST_KEY", sftp_server.host_key)
    place = f"sftp://{sftp_server.user}@{sftp_server.host}:{sftp_server.port}/sent/segments"
    arguments = ["segments", "--database", database, "--destination", 1234, "--dpid", 478]
    arguments += ["--segment", "9001:24", "--into", place]
    conn_id = connect(sftp_server.airflow_connection())
    for seed in (5, 13, 30):  # with one space between fields
        day = f"2026-01-{seed:02d}"
        assert sandbox(*arguments, "--seed", seed, "--time", f"{day}T14:00") == 0
        given = {"location": "sftp:///sent/segments", "source_conn_id": conn_id}
        seen = OutboundFilesSensor(
            task_id="arrived", batch_date=day, poke_interval=0.1, timeout=10, **given
        ).execute({})
        (report,) = OutboundLoadOperator(
            task_id="load", batches=seen, into=str(tmp_path / "loaded"), **given
        ).execute({})
        assert (report["rows_loaded"], report["lines_set_aside"]) == (USERS, 0)
    left = {path.suffix for path in (sftp_server.root / "sent" / "segments").iterdir()}
    assert left <= {".sync", ".gz", ".info"}


@pytest.mark.parametrize("seed", [0, 25, 30])
def test_what_waits_sees_each_step_and_takes_nothing_half(
    database: Path, tmp_path: Path, seed: int
) -> None:
    arguments = ["segments", "--database", database, "--destination", 1234, "--dpid", 478]
    arguments += ["--segment", "9001:24", "--into", tmp_path / "in", "--seed", seed]
    sending = threading.Thread(target=sandbox, args=[*arguments, "--pause", "0.05"])
    (tmp_path / "in").mkdir()
    sending.start()
    given = {"location": str(tmp_path / "in"), "destination": 1234}
    seen = OutboundFilesSensor(task_id="arrived", poke_interval=0.01, timeout=20, **given).execute(
        {}
    )
    task = OutboundLoadOperator(
        task_id="load", batches=seen, into=str(tmp_path / "loaded"), **given
    )
    for _ in range(100):
        # Its control file may come once more, half at first: the task is retried.
        with suppress(AirflowException):
            (report,) = task.execute({})
            break
        time.sleep(0.05)
    sending.join()
    assert report["rows_loaded"] == USERS


def test_an_account_without_control_files_gets_none(database: Path, tmp_path: Path) -> None:
    arguments = ["segments", "--database", database, "--destination", 1234, "--dpid", 478]
    arguments += ["--segment", "9001:24", "--into", tmp_path / "in", "--seed", 3]
    assert sandbox(*arguments, "--no-control-files") == 0
    assert not list((tmp_path / "in").glob("*.info"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--into", "ftp://host/a"], "--into ftp://…: s3://BUCKET/PREFIX"),
        (["--into", "sftp://me:secret@host/a"], "the password belongs in AIRFLOW_AM_SANDBOX_SFTP"),
        (["--into", "sftp://host/a"], "sftp://USER@HOST:PORT/DIRECTORY is needed"),
        (["--into", "in", "--hour", "soon"], "--hour 'soon': a time such as"),
        (["--into", "in", "--hours", "0"], "--hours 0: 1 to 192"),
        (["--into", "in", "--pause", "-1"], "--pause -1.0: 0 to 86400"),
        (["--into", "in", "--logins", "none"], "--logins none: "),
    ],
)
def test_wrong_use_says_what_is_wrong(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["feed", "--dpid", "478", "--hour", "2026-01-31T00", *arguments]
    assert sandbox(*given) == 2
    error = capsys.readouterr().err
    assert message in error
    assert "secret" not in error
