"""What a file has inside, held against what its control file says, while it is read.

An MD5 is of the whole file. The ETag of an object that was uploaded in parts is the MD5 of the
parts' MD5s, with how many they were (features/cdf-files.md); how large a part was, no page says, so
that each usual size that gives so many parts is tried. Where none gives the ETag, the content is
not known to be right, and neither to be wrong.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Final

from airflow_am_provider.audience_manager.errors import TransientError
from airflow_am_provider.audience_manager.file_kinds import printable

if TYPE_CHECKING:
    from typing import BinaryIO

_MIB: Final = 1 << 20
#: Sizes of parts that clients of S3 use.
PART_SIZES: Final = tuple(
    size * _MIB for size in (5, 8, 10, 15, 16, 20, 25, 32, 50, 64, 100, 128, 256, 512)
)
_ETAG: Final = re.compile(r"(?P<digest>[0-9a-f]{32})-(?P<parts>\d+)")


def part_sizes(size: int, parts: int) -> tuple[int, ...]:
    """Usual sizes of a part with which a file of ``size`` bytes has so many parts.

    >>> part_sizes(2_709_730, 1)[0] == 5 << 20, part_sizes(20 << 20, 3)
    (True, (8388608,))
    """
    if parts == 1:
        return PART_SIZES[:1] if size <= PART_SIZES[0] else (size,)
    return tuple(part for part in PART_SIZES if -(-size // part) == parts)


class NotAsListed(TransientError):
    """A file is not, or not yet, what its control file says."""


class _PartedMd5:
    """The ETag of an object uploaded in parts of one size."""

    def __init__(self, part_size: int) -> None:
        self._part_size = part_size
        self._part = hashlib.md5(usedforsecurity=False)
        self._filled = 0
        self._digests = bytearray()
        self._parts = 0

    def update(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            room = self._part_size - self._filled
            piece, view = view[:room], view[room:]
            self._part.update(piece)
            self._filled += len(piece)
            if self._filled == self._part_size:
                self._end_part()

    def etag(self) -> str:
        if self._filled or not self._parts:
            self._end_part()
        whole = hashlib.md5(bytes(self._digests), usedforsecurity=False)
        return f"{whole.hexdigest()}-{self._parts}"

    def _end_part(self) -> None:
        self._digests += self._part.digest()
        self._parts += 1
        self._filled = 0
        self._part = hashlib.md5(usedforsecurity=False)


class CheckedStream:
    """A file that is counted and hashed while it is read, and never seeks.

    :param source: the file, as it lies in the inbox.
    :param size: bytes that it should have.
    :param checksum: its MD5, or the ETag of an object in parts; None when nothing is known.
    :param name: for messages.
    """

    def __init__(self, source: BinaryIO, *, size: int, checksum: str | None, name: str) -> None:
        self._source = source
        self._size = size
        self._checksum = (checksum or "").lower() or None
        self._name = name
        self._read = 0
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._begin = b""
        match = _ETAG.fullmatch(self._checksum or "")
        parts = part_sizes(size, int(match["parts"])) if match else ()
        self._parted = [_PartedMd5(part) for part in parts]
        self._is_parted = match is not None
        # The MD5 of one part's MD5 is the same however large a part may be.
        self._is_certain = match is None or int(match["parts"]) == 1
        self.is_checked = False
        """Whether its content is known, and not its size alone: after :meth:`check`."""

    def read(self, size: int = -1, /) -> bytes:
        """Read up to ``size`` bytes."""
        data = self._source.read(size)
        self._read += len(data)
        if self._is_parted:
            for parted in self._parted:
                parted.update(data)
        elif self._checksum is not None:
            self._md5.update(data)
        return data

    def check(self) -> None:
        """Hold what was read against what should be there.

        :raises NotAsListed: when it is something else: it may be on its way still, or replaced.
        """
        while self.read(_MIB):
            pass  # what a packed file has after its end
        if self._read != self._size:
            raise NotAsListed(
                f"{printable(self._name)}: {self._read:,} bytes were read, {self._size:,} are "
                f"expected; it may be that it is replaced at this moment. Nothing of the batch is "
                f"loaded; it is tried again"
            )
        if self._checksum is None:
            return
        found = {self._md5.hexdigest()}
        if self._is_parted:
            found = {parted.etag() for parted in self._parted}
        self.is_checked = self._checksum in found
        if not self.is_checked and self._is_certain:
            raise NotAsListed(
                f"{printable(self._name)}: it has {self._size:,} bytes, but not the checksum "
                f"{self._checksum} that its control file says (transfer-control-files.md). Nothing "
                f"of the batch is loaded; it is tried again. If it stays so, ask Adobe to send the "
                f"batch again"
            )
