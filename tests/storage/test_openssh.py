"""OpenSSH's own server, where this machine has one: its rename, which must not replace anything."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from paramiko.sftp import CMD_WRITE

from airflow_am_provider.storage.drops import Broken, Refused
from airflow_am_provider.storage.drops.sftp import LenientSftpClient, SftpSession

_SERVER = next(
    filter(
        os.path.exists,
        ("/usr/lib/openssh/sftp-server", "/usr/libexec/openssh/sftp-server"),
    ),
    shutil.which("sftp-server"),
)
pytestmark = pytest.mark.skipif(_SERVER is None, reason="no sftp-server of OpenSSH here")


class _Pipe:
    """What paramiko speaks SFTP over: a process instead of an SSH channel."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._in, self._out = process.stdin, process.stdout
        self.active = True

    def send(self, data: bytes) -> int:
        return self._in.write(data)

    def recv(self, size: int) -> bytes:
        return self._out.read(size)

    def get_name(self) -> str:
        return "sftp-server"

    def close(self) -> None:
        self._in.close()


@pytest.fixture
def session(tmp_path: Path) -> Iterator[SftpSession]:
    assert _SERVER is not None
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([_SERVER], bufsize=0, **pipes) as process:
        client = LenientSftpClient(_Pipe(process))
        yield SftpSession(client, str(tmp_path), client.close)
        client.close()


def test_a_first_sending_replaces_nothing(session: SftpSession, tmp_path: Path) -> None:
    (tmp_path / "a.part").write_bytes(b"ours")
    (tmp_path / "a").write_bytes(b"somebody else's")
    with pytest.raises(Refused):
        session.rename("a.part", "a", replace=False)
    assert (tmp_path / "a").read_bytes() == b"somebody else's"
    assert (tmp_path / "a.part").read_bytes() == b"ours"
    session.rename("a.part", "b", replace=False)
    assert session.names() == {"a", "b"}


def test_a_repetition_replaces_what_is_there(session: SftpSession, tmp_path: Path) -> None:
    (tmp_path / "a.part").write_bytes(b"ours")
    (tmp_path / "a").write_bytes(b"of the sending before")
    session.rename("a.part", "a", replace=True)
    assert session.names() == {"a"}
    assert (tmp_path / "a").read_bytes() == b"ours"


class _Zeros:
    """Some bytes to send."""

    def __init__(self, size: int) -> None:
        self.left = size

    def read(self, size: int = -1, /) -> bytes:
        size = min(size, self.left)
        self.left -= size
        return bytes(size)


def test_requests_are_as_long_as_the_host_says(session: SftpSession, tmp_path: Path) -> None:
    session.store("a.part", _Zeros(3_000_001), 0)
    assert (tmp_path / "a.part").stat().st_size == 3_000_001
    assert session._sftp.write_bytes == 261_120
    session._sftp._extensions = frozenset()
    del session._sftp.write_bytes
    assert session._sftp.write_bytes == 32_000


def test_of_a_file_with_a_hole_nothing_stays_that_could_be_gone_on_with(
    session: SftpSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    request, writes = session._sftp._async_request, iter(range(1_000))

    def one_write_fails(fileobj: object, kind: int, *arguments: object) -> object:
        if kind == CMD_WRITE and next(writes) == 1:
            arguments = (b"no such handle", *arguments[1:])
        return request(fileobj, kind, *arguments)

    monkeypatch.setattr(session._sftp, "_async_request", one_write_fails)
    with pytest.raises(Broken):
        session.store("a.part", _Zeros(3_000_000), 0)
    assert not (tmp_path / "a.part").exists()
