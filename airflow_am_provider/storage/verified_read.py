"""Reading a staged part and knowing what was read, so that nothing else is sent by mistake."""

from __future__ import annotations

import hashlib
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Final

from airflow_am_provider.audience_manager.errors import DataError

if TYPE_CHECKING:
    from typing import BinaryIO

_BLOCK_BYTES: Final = 1 << 20
# What is smaller is hashed sooner than it is handed to a thread.
_LEAST_APART: Final = 1 << 16


class VerifiedReader:
    """A file that is counted and hashed while it is read.

    A block is hashed while its reader sends it and reads the next one: hashing, reading and sending
    take about as long each.

    :param source: what is read, from where it stands.

    >>> import io
    >>> reader = VerifiedReader(io.BytesIO(b"line"))
    >>> reader.read(), reader.size, reader.sha256[:8]
    (b'line', 4, '38a9c1e7')
    """

    def __init__(self, source: BinaryIO) -> None:
        self._source = source
        self._sha256 = hashlib.sha256()
        self._beside = ThreadPoolExecutor(1, "checksum")
        self._hashed: Future[None] = Future()
        self._hashed.set_result(None)
        self.size = 0

    @property
    def sha256(self) -> str:
        """Checksum of what was read so far, hexadecimal."""
        self._hashed.result()
        return self._sha256.hexdigest()

    def read(self, size: int = -1, /) -> bytes:
        """Read up to ``size`` bytes."""
        data = self._source.read(size)
        # The block before it comes first; so no more than two blocks are held either.
        self._hashed.result()
        if len(data) < _LEAST_APART:
            self._sha256.update(data)
        else:
            self._hashed = self._beside.submit(self._sha256.update, data)
        self.size += len(data)
        return data

    def skip(self, size: int) -> None:
        """Read ``size`` bytes and give them to nobody."""
        while size and (data := self.read(min(size, _BLOCK_BYTES))):
            size -= len(data)

    def check(self, name: str, *, size: int, sha256: str) -> None:
        """Hold what was read against what should have been.

        :raises DataError: when it is something else.
        """
        if (self.size, self.sha256) != (size, sha256):
            raise DataError(
                f"{name}: staged are {self.size:,} bytes with SHA-256 {self.sha256}, but the "
                f"manifest says {size:,} with {sha256}; nothing of it was sent under its name"
            )
