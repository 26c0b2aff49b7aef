"""The same delivery over lines that are cut and from workers that are killed.

Whatever happens on the way, Audience Manager ends up knowing the same of all users.
"""

import hashlib
import re
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from demo.local.airflow import Airflow
from demo.local.ftp import FtpServer
from demo.local.imap import ImapServer
from demo.local.postgres import Postgres
from demo.local.s3 import S3
from tests.system.components import Components
from tests.system.delivery_airflow import (
    PARTS,
    Delivery,
    expected_traits,
    fill,
    kill_task,
    sandbox,
    start,
    traits_of_all,
)
from tests.system.relay import Relay, Silence, relay_to

pytestmark = pytest.mark.slow

_STAGING = "interrupted-staging"
_BUCKET = "interrupted-adobe"


@dataclass(frozen=True, kw_only=True)
class Lines:
    """Airflow, and the lines on which it reaches S3 and FTP."""

    airflow: Airflow
    s3: S3
    to_s3: Relay
    ftp: FtpServer
    to_ftp: Relay
    mail: ImapServer
    directory: Path

    @contextmanager
    def sandbox(self, inbox: str) -> Iterator[Path]:
        """Be Audience Manager; gives its database."""
        database = self.directory / f"{hashlib.sha256(inbox.encode()).hexdigest()[:8]}.sqlite"
        mail = f"imap://{quote(self.mail.user)}@{self.mail.host}:{self.mail.port}/INBOX"
        with sandbox(database, inbox, mail=mail, password=self.mail.password):
            yield database


@pytest.fixture(scope="module")
def lines(
    tmp_path_factory: pytest.TempPathFactory,
    local_airflow: Airflow,
    postgres: Postgres,
    s3: S3,
    ftp_server: FtpServer,
    imap_server: ImapServer,
) -> Iterator[Lines]:
    directory = tmp_path_factory.mktemp("interrupted")
    for bucket in (_STAGING, _BUCKET):
        s3.create_bucket(bucket)
    common = {
        "environment": "custom",
        "partner_name": "acme",
        "aws_conn_id": "s3",
        "bucket": _BUCKET,
        "staging_location": f"s3://{_STAGING}/am",
        "receipts_imap_conn_id": "mailbox",
    }
    with (
        relay_to(int(s3.endpoint_url.rpartition(":")[2])) as to_s3,
        relay_to(ftp_server.port) as to_ftp,
        pytest.MonkeyPatch.context() as environment,
    ):
        for name, value in s3.environment.items():
            environment.setenv(name, value)
        aws = s3.airflow_connection()
        relayed = {"endpoint_url": f"http://127.0.0.1:{to_s3.port}"}
        connections: dict[str, Mapping[str, object]] = {
            "customers": postgres.airflow_connection(fill(postgres)),
            "s3": {**aws, "extra": {**_extra(aws), **relayed}},
            "ftp": {**ftp_server.airflow_connection(), "port": to_ftp.port},
            "mailbox": imap_server.airflow_connection(),
            "over_s3": _audience_manager(common, transport="s3"),
            **{
                f"over_ftp_{name}": _audience_manager(
                    common, transport="ftp", ftp_conn_id="ftp", ftp_directory=f"/{name}"
                )
                for name in ("cut", "killed", "lost")
            },
        }
        for conn_id, connection in connections.items():
            local_airflow.api.add_connection(conn_id, connection)
        yield Lines(
            airflow=local_airflow,
            s3=s3,
            to_s3=to_s3,
            ftp=ftp_server,
            to_ftp=to_ftp,
            mail=imap_server,
            directory=directory,
        )


def _extra(connection: dict[str, object]) -> dict[str, Any]:
    extra = connection["extra"]
    assert isinstance(extra, dict)
    return extra


def _audience_manager(common: dict[str, str], **extra: str) -> dict[str, object]:
    return {"conn_type": "audience_manager", "extra": {**common, **extra}}


@dataclass
class Watched:
    """What was seen in a folder while a delivery went there.

    :param sizes: every size that was seen of every name.
    """

    sizes: dict[str, set[int]]


@contextmanager
def watched(folder: Path) -> Iterator[Watched]:
    """Look into a folder all the time."""
    stop = threading.Event()
    seen = Watched({})

    def look() -> None:
        while not stop.is_set():
            for path in folder.iterdir():
                try:
                    seen.sizes.setdefault(path.name, set()).add(path.stat().st_size)
                except FileNotFoundError:  # renamed a moment ago
                    continue
            time.sleep(0.001)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield seen
    finally:
        stop.set()
        thread.join()


def sizes_by_name(delivery: Delivery) -> dict[str, int]:
    parts = delivery.result("format")["parts"]
    return {part["file_name"]: part["compressed_bytes"] for part in parts}


def assert_no_half_file_was_seen(seen: Watched, whole: dict[str, int]) -> None:
    assert len(whole) == PARTS
    named = {name: sizes for name, sizes in seen.sizes.items() if not name.endswith(".part")}
    assert {name.replace(".processed", ".sync") for name in named} == set(whole)
    for name, sizes in named.items():
        assert sizes == {whole[name.replace(".processed", ".sync")]}, name


def kill_at(delivery: Delivery, task: str, silence: Silence) -> None:
    assert silence.has_fallen.wait(60)
    kill_task(delivery, task)


def test_over_ftp_a_cut_line_changes_nothing_and_no_half_file_is_seen(
    lines: Lines, postgres: Postgres
) -> None:
    folder = lines.ftp.root / "cut"
    folder.mkdir()
    with lines.sandbox(f"ftp-folder:{folder}") as database, watched(folder) as seen:
        lines.ftp.cut_uploads(after_bytes=30_000, control_too=True)
        delivery = start(lines.airflow, "over_ftp_cut")
        assert delivery.wait() == "success"
    assert delivery.tries()["upload"] == ("success", 1)
    assert delivery.result("receipt")["verdict"] == "reconciled"
    log = delivery.log("upload")
    assert re.search(
        r"FTP connection 'ftp': could not upload .*\.part \(.*\), attempt 1 of 5", log
    ), log
    assert re.search(r"Going on with .*\.part at byte 30,000 of", log), log
    whole = sizes_by_name(delivery)
    begun = f"{next(iter(whole))}."
    unfinished = [
        sizes
        for name, sizes in seen.sizes.items()
        if name.startswith(begun) and name.endswith(".part")
    ]
    assert any(30_000 in sizes for sizes in unfinished)
    assert_no_half_file_was_seen(seen, whole)
    assert traits_of_all(database) == expected_traits(postgres)


def test_over_s3_workers_killed_in_every_step_change_nothing(
    lines: Lines, postgres: Postgres
) -> None:
    silences = [
        lines.to_s3.fall_silent(rb"PUT /%s/\S+/parts/00002.gz" % _STAGING.encode()),
        lines.to_s3.fall_silent(rb"PUT /%s/\S+\.sync\.2\.gz" % _BUCKET.encode()),
        lines.to_s3.fall_silent(
            rb"PUT /%s/\S+\.sync\.3\.gz" % _BUCKET.encode(), answer=rb"HTTP/1.1 200"
        ),
    ]
    with lines.sandbox(f"s3://{_BUCKET}") as database:
        delivery = start(lines.airflow, "over_s3")
        for task, silence in zip(("format", "upload", "upload"), silences, strict=True):
            kill_at(delivery, task, silence)
        assert delivery.wait() == "success"
    assert delivery.tries() == {
        "format": ("success", 2),
        "upload": ("success", 3),
        "receipt": ("success", 1),
    }
    assert delivery.result("receipt")["verdict"] == "reconciled"
    assert traits_of_all(database) == expected_traits(postgres)


def test_over_ftp_workers_killed_before_and_after_a_word_change_nothing(
    lines: Lines, postgres: Postgres
) -> None:
    folder = lines.ftp.root / "killed"
    folder.mkdir()
    silences = [
        lines.to_ftp.fall_silent(rb"STOR \S+\.sync\.2\.gz", answer=rb"^226"),
        lines.to_ftp.fall_silent(rb"RNTO \S+\.sync\.2\.gz"),
        lines.to_ftp.fall_silent(rb"RNTO \S+\.sync\.3\.gz", answer=rb"^250"),
    ]
    with lines.sandbox(f"ftp-folder:{folder}") as database, watched(folder) as seen:
        delivery = start(lines.airflow, "over_ftp_killed")
        for silence in silences:
            kill_at(delivery, "upload", silence)
        assert delivery.wait() == "success"
    assert_no_half_file_was_seen(seen, sizes_by_name(delivery))
    assert delivery.tries()["upload"] == ("success", 4)
    assert delivery.result("receipt")["verdict"] == "reconciled"
    assert traits_of_all(database) == expected_traits(postgres)


def test_a_scheduler_and_a_triggerer_killed_in_the_middle_change_nothing(
    lines: Lines, components: Components, postgres: Postgres
) -> None:
    folder = lines.ftp.root / "lost"
    folder.mkdir()
    silence = lines.to_ftp.fall_silent(rb"STOR \S+\.sync\.2\.gz", answer=rb"^226")
    with lines.sandbox(f"ftp-folder:{folder}") as database:
        delivery = start(lines.airflow, "over_ftp_lost")
        assert silence.has_fallen.wait(60)
        for component in ("scheduler", "triggerer"):
            components.kill(component)
            components.replace(component)
        assert delivery.wait() == "success"
    assert delivery.tries()["upload"][1] > 1
    assert delivery.result("receipt")["verdict"] == "reconciled"
    assert traits_of_all(database) == expected_traits(postgres)
