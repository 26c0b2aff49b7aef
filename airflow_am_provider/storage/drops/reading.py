"""A directory on another host that files are read from."""

from __future__ import annotations

import io
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, BinaryIO, Final, Protocol

from airflow_am_provider.audience_manager.errors import ConfigurationError, TransientError
from airflow_am_provider.storage.drops.session import Broken, Refused
from airflow_am_provider.storage.paths import checked_path

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from typing_extensions import Buffer

    from airflow_am_provider.storage.folder import ListedFile

    Errors = Callable[[], AbstractContextManager[None]]

_BUFFER_BYTES: Final = 1 << 20


class ReadingSession(Protocol):
    """A connection to a host, in one directory of it."""

    def files(self) -> list[ListedFile]:
        """The files in the directory, with their sizes."""
        ...

    def read(self, name: str) -> BinaryIO:
        """Open a file for reading, from its begin to its end."""
        ...

    def leave(self) -> None:
        """Say goodbye."""
        ...


class RemoteInbox:
    """A directory on another host, read by a connection for each file; a failed one is tried anew.

    :param open_session: connects, logs in and enters the directory; with timeouts.
    :param url: where it lies, for people.
    """

    def __init__(self, open_session: Callable[[], ReadingSession], url: str) -> None:
        self._open_session = open_session
        self.url = url

    def list(self, prefix: str = "") -> Iterator[ListedFile]:
        """Its files; folders in it are not looked into.

        :raises ConfigurationError: when the host refuses; :raises TransientError: when it fails.
        """
        with self._session() as session:
            found = session.files()
        yield from (file for file in found if file.path.startswith(prefix))

    def open_read(self, path: str) -> BinaryIO:
        """Open a file for reading from its begin to its end.

        :raises ConfigurationError: when the host refuses; :raises TransientError: when it fails.
        """
        name = checked_path(path)
        with self._errors():
            session = self._open_session()
            try:
                file = session.read(name)
            except BaseException:
                session.leave()
                raise
        return io.BufferedReader(_Reader(session, file, self._errors), _BUFFER_BYTES)

    def read_bytes(self, path: str) -> bytes | None:
        """The whole of a small file, or None when there is none."""
        with self._session() as session:
            try:
                with session.read(checked_path(path)) as file:
                    return file.read()
            except Refused:
                return None

    @contextmanager
    def _session(self) -> Iterator[ReadingSession]:
        with self._errors():
            session = self._open_session()
            try:
                yield session
            finally:
                with suppress(Refused, Broken):
                    session.leave()

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except Refused as error:
            raise ConfigurationError(f"{self.url}: the host refuses: {error}") from None
        except Broken as error:
            raise TransientError(f"{self.url}: the host or the line failed: {error}") from None


class _Reader(io.RawIOBase):
    """A file of a remote inbox, with the connection it comes by."""

    def __init__(self, session: ReadingSession, file: BinaryIO, errors: Errors) -> None:
        super().__init__()
        self._session = session
        self._file = file
        self._errors = errors

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Buffer, /) -> int:
        view = memoryview(buffer).cast("B")
        with self._errors():
            data = self._file.read(len(view))
        view[: len(data)] = data
        return len(data)

    def close(self) -> None:
        if not self.closed:
            with suppress(Refused, Broken):
                self._file.close()
            with suppress(Refused, Broken):
                self._session.leave()
        super().close()
