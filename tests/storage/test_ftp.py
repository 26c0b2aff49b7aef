"""An FTP directory, on a real server that loses the line on request."""

import ftplib
import hashlib
import io
import os
import random
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from uuid import uuid4

import pytest

from airflow_am_provider.audience_manager.errors import (
    ConfigurationError,
    DataError,
    TransientError,
)
from airflow_am_provider.storage.ftp import FtpDrop, Published, _names
from demo.local.ftp import FtpServer

NAME = "ftp_dpm_478_1366545717.sync.1.gz"
CONTENT = random.Random(7).randbytes(3_000_000) + b"\r\n\n\x00\xff"
TEMPORARY = f"{NAME}.0a1b.part"
SHA256 = hashlib.sha256(CONTENT).hexdigest()


def binary(server: FtpServer) -> ftplib.FTP:
    client = server.connect()
    client.voidcmd("TYPE I")
    return client


@pytest.fixture
def directory(ftp_server: FtpServer) -> Path:
    path = ftp_server.root / uuid4().hex
    path.mkdir()
    return path


@pytest.fixture
def drop(ftp_server: FtpServer, directory: Path) -> Iterator[FtpDrop]:
    with FtpDrop(partial(binary, ftp_server), f"/{directory.name}", pause_s=0.01) as drop:
        yield drop
    ftp_server.faults.unlink(missing_ok=True)


class Counting(io.BytesIO):
    """A source that knows how often it was begun."""

    begun = 0

    def seek(self, offset: int, whence: int = 0) -> int:
        self.begun += 1
        return super().seek(offset, whence)


def put(drop: FtpDrop, content: bytes = CONTENT, *, resume: bool = False) -> Counting:
    source = Counting(content)
    drop.put(TEMPORARY, source, size=len(CONTENT), sha256=SHA256, resume=resume)
    return source


def test_a_file_has_its_name_only_when_whole(drop: FtpDrop, directory: Path) -> None:
    put(drop)
    assert [path.name for path in directory.iterdir()] == [TEMPORARY]
    assert drop.publish(TEMPORARY, NAME) is Published.NOW
    assert [path.name for path in directory.iterdir()] == [NAME]
    assert (directory / NAME).read_bytes() == CONTENT


@pytest.mark.parametrize("control_too", [False, True])
def test_a_cut_line_is_taken_up_where_it_broke(
    drop: FtpDrop, directory: Path, ftp_server: FtpServer, control_too: bool
) -> None:
    ftp_server.cut_uploads(after_bytes=1_000_000, times=2, control_too=control_too)
    source = put(drop)
    assert source.begun == 3
    assert (directory / TEMPORARY).read_bytes() == CONTENT


def test_a_line_that_never_holds_is_an_error_for_later(
    drop: FtpDrop, directory: Path, ftp_server: FtpServer
) -> None:
    ftp_server.cut_uploads(after_bytes=1000, times=5)
    with pytest.raises(TransientError, match=r"^FTP: cannot upload 'ftp_dpm_.*part': .*, 5 times$"):
        put(drop)
    put(drop, resume=True)
    assert (directory / TEMPORARY).read_bytes() == CONTENT


def test_what_is_there_is_not_trusted_unless_told(drop: FtpDrop, directory: Path) -> None:
    (directory / TEMPORARY).write_bytes(b"of another file" * 1000)
    put(drop)
    assert (directory / TEMPORARY).read_bytes() == CONTENT


def test_more_than_there_should_be_starts_over(drop: FtpDrop, directory: Path) -> None:
    (directory / TEMPORARY).write_bytes(bytes(len(CONTENT) + 1))
    put(drop, resume=True)
    assert (directory / TEMPORARY).read_bytes() == CONTENT


@pytest.mark.parametrize("content", [CONTENT[:-1], CONTENT[:-1] + b"\x00", CONTENT + b"\n"])
def test_another_content_than_the_manifests_leaves_nothing(
    drop: FtpDrop, directory: Path, content: bytes
) -> None:
    with pytest.raises(DataError, match="nothing of it was sent under its name"):
        put(drop, content)
    assert list(directory.iterdir()) == []


def test_publishing_twice_is_publishing_once(drop: FtpDrop, directory: Path) -> None:
    put(drop)
    assert drop.publish(TEMPORARY, NAME) is Published.NOW
    assert drop.publish(TEMPORARY, NAME) is Published.BEFORE
    picked_up = directory / NAME.replace(".sync", ".processed")
    (directory / NAME).rename(picked_up)
    assert drop.publish(TEMPORARY, NAME) is Published.BEFORE
    picked_up.unlink()
    assert drop.publish(TEMPORARY, NAME) is Published.GONE


@pytest.mark.parametrize("name", [NAME, NAME.replace(".sync", ".processed")])
def test_a_name_that_something_else_has_or_had_is_left_alone(
    drop: FtpDrop, directory: Path, name: str
) -> None:
    (directory / name).write_bytes(b"somebody else's")
    put(drop)
    assert drop.publish(TEMPORARY, NAME) is Published.TAKEN
    assert (directory / name).read_bytes() == b"somebody else's"
    assert (directory / TEMPORARY).exists()


def test_a_refusal_is_not_tried_again(ftp_server: FtpServer) -> None:
    with (
        FtpDrop(partial(binary, ftp_server), "/absent", pause_s=60) as drop,
        pytest.raises(ConfigurationError) as caught,
    ):
        drop.check()
    assert str(caught.value) == (
        "FTP: cannot enter '/absent': the host refuses with reply 550; check the account's rights "
        "and ftp_directory"
    )


def test_hostile_names_in_a_listing_are_left_out(drop: FtpDrop, directory: Path) -> None:
    assert drop.names() == frozenset()
    for name in (b"good.sync", b"bad\xff\xfe", b"bad\x1b[31m", "ü.sync".encode()):
        (directory / os.fsdecode(name)).touch()
    names = drop.names()
    assert "good.sync" in names
    assert not any("\x1b" in name or "/" in name for name in names)


@pytest.mark.parametrize("name", ["../a", "/etc/a", "a\r\nDELE b"])
def test_no_name_leaves_the_directory(drop: FtpDrop, name: str) -> None:
    with pytest.raises(ConfigurationError, match="names joined by '/' are expected"):
        drop.put(name, io.BytesIO(b""), size=0, sha256="", resume=False)
    with pytest.raises(ConfigurationError, match="names joined"):
        drop.publish(TEMPORARY, name)


class Listing:
    """An FTP host whose listing may hold anything."""

    encoding = "utf-8"

    def __init__(self, names: list[str]) -> None:
        self._names = names

    def nlst(self) -> list[str]:
        return self._names


def test_names_of_a_hostile_listing_lead_nowhere() -> None:
    good = "ftp_dpm_478_1366545717.processed.1.gz"
    hostile = ["..", ".", "", "../../etc/passwd", "a\\..\\b", "a\x00b", "a\r\nDELE b", "\x1b[2J",
               "\u202egz.exe", "x" * 300, "/", "in/", "\udcff"]  # fmt: skip
    listed = _names(Listing([*hostile, f"/in/{good}"]))
    # Of a path the last name counts, which is looked for in the folder that was listed.
    assert listed == {good, "passwd"}
