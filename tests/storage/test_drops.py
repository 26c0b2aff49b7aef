"""Directories on other hosts, on real servers that lose the line on request."""

import hashlib
import io
import os
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from airflow_am_provider.audience_manager.errors import (
    ConfigurationError,
    DataError,
    TransientError,
)
from airflow_am_provider.hooks.ftp import TimedFTPHook
from airflow_am_provider.hooks.sftp import open_sftp
from airflow_am_provider.storage.drops import Drop, Published, Refused, Session
from airflow_am_provider.storage.drops.ftp import FtpSession
from tests.connections import Connect

NAME = "ftp_dpm_478_1366545717.sync.1.gz"
CONTENT = random.Random(7).randbytes(3_000_000) + b"\r\n\n\x00\xff"
TEMPORARY = f"{NAME}.0a1b.part"
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@dataclass(frozen=True)
class Place:
    """A directory on a host, and how to drop files there."""

    server: Any
    path: Path
    protocol: str
    open_session: Callable[[str], Session]

    def drop(self, directory: str | None = None, pause_s: float = 0.01) -> Drop:
        directory = directory or f"/{self.path.name}"
        opener = partial(self.open_session, directory)
        return Drop(opener, self.protocol, directory, pause_s=pause_s)


@pytest.fixture(params=["ftp", "sftp"])
def place(request: pytest.FixtureRequest, connect: Connect) -> Iterator[Place]:
    server: Any = request.getfixturevalue(f"{request.param}_server")
    conn_id = connect(server.airflow_connection())
    open_session: Callable[[str], Session] = partial(open_sftp, conn_id)
    if request.param == "ftp":
        open_session = partial(FtpSession.open, TimedFTPHook(conn_id).new_connection)
    path = server.root / uuid4().hex
    path.mkdir()
    yield Place(server, path, request.param.upper(), open_session)
    server.faults.unlink(missing_ok=True)


@pytest.fixture
def directory(place: Place) -> Path:
    return place.path


@pytest.fixture
def drop(place: Place) -> Iterator[Drop]:
    with place.drop() as drop:
        yield drop


class Counting(io.BytesIO):
    """A source that knows how often it was begun."""

    begun = 0

    def seek(self, offset: int, whence: int = 0) -> int:
        self.begun += 1
        return super().seek(offset, whence)


def put(drop: Drop, content: bytes = CONTENT, *, resume: bool = False) -> Counting:
    source = Counting(content)
    drop.put(TEMPORARY, source, size=len(CONTENT), sha256=SHA256, resume=resume)
    return source


def test_a_file_has_its_name_only_when_whole(drop: Drop, directory: Path) -> None:
    put(drop)
    assert [path.name for path in directory.iterdir()] == [TEMPORARY]
    assert drop.publish(TEMPORARY, NAME) is Published.NOW
    assert [path.name for path in directory.iterdir()] == [NAME]
    assert (directory / NAME).read_bytes() == CONTENT


@pytest.mark.parametrize("how", [{}, {"control_too": True}])
def test_a_cut_line_is_taken_up_where_it_broke(
    drop: Drop, directory: Path, place: Place, how: dict[str, bool]
) -> None:
    if how and place.protocol == "SFTP":
        pytest.skip("there is one line only")
    place.server.cut_uploads(after_bytes=1_000_000, times=2, **how)
    source = put(drop)
    assert source.begun == 3
    assert (directory / TEMPORARY).read_bytes() == CONTENT


def test_a_line_that_never_holds_is_an_error_for_later(
    drop: Drop, directory: Path, place: Place
) -> None:
    place.server.cut_uploads(after_bytes=1000, times=5)
    with pytest.raises(
        TransientError, match=rf"^{place.protocol}: cannot upload 'ftp_dpm_.*part': .*, 5 times$"
    ):
        put(drop)
    put(drop, resume=True)
    assert (directory / TEMPORARY).read_bytes() == CONTENT


def test_what_is_there_is_not_trusted_unless_told(drop: Drop, directory: Path) -> None:
    (directory / TEMPORARY).write_bytes(b"of another file" * 1000)
    put(drop)
    assert (directory / TEMPORARY).read_bytes() == CONTENT


def test_more_than_there_should_be_starts_over(drop: Drop, directory: Path) -> None:
    (directory / TEMPORARY).write_bytes(bytes(len(CONTENT) + 1))
    put(drop, resume=True)
    assert (directory / TEMPORARY).read_bytes() == CONTENT


@pytest.mark.parametrize("content", [CONTENT[:-1], CONTENT[:-1] + b"\x00", CONTENT + b"\n"])
def test_another_content_than_the_manifests_leaves_nothing(
    drop: Drop, directory: Path, content: bytes
) -> None:
    with pytest.raises(DataError, match="nothing of it was sent under its name"):
        put(drop, content)
    assert list(directory.iterdir()) == []


def test_publishing_twice_is_publishing_once(drop: Drop, directory: Path) -> None:
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
    drop: Drop, directory: Path, name: str
) -> None:
    (directory / name).write_bytes(b"somebody else's")
    put(drop)
    assert drop.publish(TEMPORARY, NAME) is Published.TAKEN
    assert (directory / name).read_bytes() == b"somebody else's"
    assert (directory / TEMPORARY).exists()


def test_a_refusal_is_not_tried_again(place: Place) -> None:
    with place.drop("/absent", pause_s=60) as drop, pytest.raises(ConfigurationError) as caught:
        drop.check()
    reply = "reply 550" if place.protocol == "FTP" else "no such file or directory"
    assert str(caught.value) == (
        f"{place.protocol}: cannot enter '/absent': the host refuses with {reply}; check "
        f"ftp_directory, and the account's rights"
    )


def test_a_repetition_takes_the_place_of_what_has_the_name(drop: Drop, directory: Path) -> None:
    (directory / NAME).write_bytes(b"of the sending before")
    put(drop)
    assert drop.publish(TEMPORARY, NAME, only_new=False) is Published.NOW
    assert {path.name: path.read_bytes() for path in directory.iterdir()} == {NAME: CONTENT}


def test_hostile_names_in_a_listing_are_left_out(drop: Drop, directory: Path) -> None:
    assert drop.names() == frozenset()
    for name in (b"good.sync", b"bad\xff\xfe", b"bad\x1b[31m", "ü.sync".encode()):
        (directory / os.fsdecode(name)).touch()
    names = drop.names()
    assert "good.sync" in names
    assert not any("\x1b" in name or "/" in name for name in names)


@pytest.mark.parametrize("name", ["../a", "/etc/a", "a\r\nDELE b"])
def test_no_name_leaves_the_directory(drop: Drop, name: str) -> None:
    with pytest.raises(ConfigurationError, match="names joined by '/' are expected"):
        drop.put(name, io.BytesIO(b""), size=0, sha256="", resume=False)
    with pytest.raises(ConfigurationError, match="names joined"):
        drop.publish(TEMPORARY, name)


class Blind:
    """A session of an account that may write and not look."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)

    def names(self) -> frozenset[str]:
        return frozenset()


def test_an_account_that_may_not_look_is_told_so_at_once(place: Place, directory: Path) -> None:
    name = f"/{directory.name}"
    with Drop(lambda: Blind(place.open_session(name)), place.protocol, name) as drop:
        put(drop)
        with pytest.raises(ConfigurationError, match=r"does not list it in '/.*nothing was sent"):
            drop.publish(TEMPORARY, NAME)
    assert list(directory.iterdir()) == []


class Stubborn(Blind):
    """A session of an account that may write, look, and rename nothing."""

    def names(self) -> frozenset[str]:
        return self._session.names()

    def rename(self, old: str, new: str, *, replace: bool) -> None:
        raise Refused("permission denied")


def test_an_account_that_may_not_rename_is_told_what_to_mend(place: Place, directory: Path) -> None:
    name = f"/{directory.name}"
    opened = partial(place.open_session, name)
    with Drop(lambda: Stubborn(opened()), place.protocol, name, pause_s=0) as drop:
        put(drop)
        with pytest.raises(
            ConfigurationError,
            match=r"cannot rename '.*part': the host refuses with permission denied; check ftp_dir",
        ):
            drop.publish(TEMPORARY, NAME)


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
    host: Any = Listing([*hostile, f"/in/{good}"])
    listed = FtpSession(host).names()
    # Of a path the last name counts, which is looked for in the folder that was listed.
    assert listed == {good, "passwd"}
