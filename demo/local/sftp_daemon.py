"""The process behind :mod:`demo.local.sftp`: asyncssh with faults on request.

``python -m demo.local.sftp_daemon PORT USER PASSWORD DIRECTORY``
"""

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

import asyncssh

from demo.local.processes import HOST


class _Login(asyncssh.SSHServer):
    user: str
    password: str
    keys: Path

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self._connection = conn

    def begin_auth(self, username: str) -> bool:
        # Read at each login: a key may come, or be replaced, while the server runs.
        if username == self.user and self.keys.exists():
            self._connection.set_authorized_keys(str(self.keys))
        return True

    def public_key_auth_supported(self) -> bool:
        return True

    def password_auth_supported(self) -> bool:
        return bool(self.password)

    def validate_password(self, username: str, password: str) -> bool:
        return (username, password) == (self.user, self.password)


class _Files(asyncssh.SFTPServer):
    """The files, with uploads that end at a byte when the file of faults says so."""

    directory: Path

    def __init__(self, channel: asyncssh.SSHServerChannel[bytes]) -> None:
        super().__init__(channel, chroot=bytes(self.directory / "root"))
        self._connection = channel.get_connection()
        self._fault: dict[str, Any] | None = None
        self._written = 0

    def open(self, path: bytes, pflags: int, attrs: asyncssh.SFTPAttrs) -> object:
        if pflags & asyncssh.FXF_WRITE:
            self._fault, self._written = self._take_fault(), 0
        return super().open(path, pflags, attrs)

    def write(self, file_obj: Any, offset: int, data: bytes) -> int:
        if self._fault is not None:
            data = data[: max(self._fault["after_bytes"] - self._written, 0)]
            self._written += len(data)
        if data:
            super().write(file_obj, offset, data)
        if self._fault is not None and self._written >= self._fault["after_bytes"]:
            file_obj.flush()
            self._connection.abort()
        return len(data)

    def _take_fault(self) -> dict[str, Any] | None:
        """The fault for an upload that begins now; counts it as used."""
        path = self.directory / "faults.json"
        if not path.exists():
            return None
        fault: dict[str, Any] = json.loads(path.read_text())
        if fault["times"] < 1:
            return None
        path.write_text(json.dumps({**fault, "times": fault["times"] - 1}))
        return fault


async def serve(port: int, directory: Path) -> None:
    """Serve until ended by a signal."""
    await asyncssh.listen(
        HOST,
        port,
        server_factory=_Login,
        server_host_keys=[directory / "host_key"],
        sftp_factory=_Files,
    )
    await asyncio.Event().wait()


def main(arguments: list[str]) -> None:
    """Serve on localhost."""
    port, _Login.user, _Login.password, directory = arguments
    _Files.directory = Path(directory)
    _Login.keys = Path(directory) / "user_key.pub"
    (Path(directory) / "pid").write_text(str(os.getpid()))
    asyncio.run(serve(int(port), Path(directory)))


if __name__ == "__main__":
    main(sys.argv[1:])
