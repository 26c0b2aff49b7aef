"""Lines of a delivery until all of them are known: as parts, or on the local disk.

Nearly always nothing repeats itself, and parts are written at once. Where something does, their
text would be packed, unpacked and packed once more. So lines wait on the local disk from the
moment in which that shows, as long as there is room for them.
"""

from __future__ import annotations

import logging
import math
import shutil
import tempfile
from typing import TYPE_CHECKING, Final

import numpy as np

from airflow_am_provider.formatting.columns.arrow import to_arrow
from airflow_am_provider.formatting.overlap import prefetched
from airflow_am_provider.formatting.reading_back import read_lines
from airflow_am_provider.formatting.repeats.exact_repeats import id_hashes
from airflow_am_provider.formatting.repeats.line_file import LineFile, rotated, rotated_back
from airflow_am_provider.formatting.text_copy import TextCopy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import pyarrow as pa

    from airflow_am_provider.audience_manager.names import Encoding
    from airflow_am_provider.formatting.columns.byte_columns import Rows
    from airflow_am_provider.formatting.columns.row_hash import Hashes
    from airflow_am_provider.formatting.parts import PartWriter
    from airflow_am_provider.formatting.repeats.exact_repeats import Repeats
    from airflow_am_provider.formatting.repeats.line_file import Share
    from airflow_am_provider.formatting.repeats.repeat_finder import RepeatFinder
    from airflow_am_provider.storage.folder import Folder

log = logging.getLogger(__name__)

_MOST_BYTES: Final = 16 << 30
# This share of what is free on the local disk: others need some, too.
_MOST_OF_DISK: Final = 0.5
# A line on the local disk costs some numbers besides its text.
_BYTES_BESIDES: Final = 20


class WaitingLines:
    """Takes the lines as they come; says which must not stay; and gives all of them again.

    :param open_parts: begins parts, and copies their text if it is given where to.
    :param storage: where parts lie.
    :param encoding: how they are packed.
    """

    def __init__(
        self,
        open_parts: Callable[[TextCopy | None], PartWriter],
        storage: Folder,
        encoding: Encoding,
    ) -> None:
        self._open_parts = open_parts
        self._storage = storage
        self._encoding = encoding
        self._copy: TextCopy | None = None
        self.parts: PartWriter = self._begun()
        self._file: LineFile | None = None
        self._count = 0
        self._room: float | None = None

    def write(self, lines: pa.Array, hashes: Hashes, *, repeat: bool) -> None:
        """Take the next lines.

        :param hashes: of their user IDs.
        :param repeat: whether some have come again so far.
        """
        if repeat and self._room is None:
            self._hold()
        if self._file is None:
            self.parts.write(lines)
        else:
            self._keep(self._file, lines, hashes)
            if self._room is not None and self._file.bytes > self._room:
                self._give_up()
        self._count += len(lines)

    def end(self) -> None:
        """No more lines come."""
        if self._file is None:
            self.parts.close()

    def repeats(self, finder: RepeatFinder) -> Iterator[Repeats]:
        """Those that must not stay."""
        if self._file is None:
            return finder.repeats(self._read_parts)
        return finder.repeats_in(self._file)

    def shares(self) -> Iterator[Share]:
        """All lines, those of some users at a time, in the order of the hashes of their IDs."""
        if self._file is not None:
            yield from self._file.shares()
            return
        # As many times as it takes, parts are read for the users that the local disk has room for.
        size = sum(part.bytes + _BYTES_BESIDES * part.lines for part in self.parts.parts)
        bits = max(0, math.ceil(math.log2(max(1.0, size / _room()))))
        for number in range(1 << bits):
            file = self._of_users(number, bits)
            for share in file.shares():
                yield rotated_back(share, bits)
            file.close()

    @property
    def are_parts(self) -> bool:
        """Whether the lines lie in parts already."""
        return self._file is None

    def read(self) -> Iterator[tuple[pa.Array, Rows]]:
        """All lines, some at a time, each time with the order in which they came."""
        if self._file is not None:
            yield from self._file.in_order()
            return
        for lines in self._read_parts():
            yield lines, np.arange(len(lines))

    def discard(self) -> None:
        """Delete what was written."""
        try:
            if self._file is not None:
                self._file.close()
        finally:
            self._discard_parts()

    def _read_parts(self) -> Iterator[pa.Array]:
        if self._copy is not None:
            return prefetched(self._copy.lines())
        return prefetched(read_lines(self._storage, self.parts.parts, self._encoding))

    def _begun(self) -> PartWriter:
        # Encrypted parts are for others to read.
        self._copy = TextCopy() if self._encoding.is_encrypted else None
        return self._open_parts(self._copy)

    def _discard_parts(self) -> None:
        try:
            self.parts.discard()
        finally:
            if self._copy is not None:
                self._copy.close()

    def _of_users(self, number: int, bits: int) -> LineFile:
        """The lines of users the hashes of whose IDs begin with a number of so many bits."""
        file, count = LineFile(), 0
        for lines in self._read_parts():
            hashes, numbers = id_hashes(lines), np.arange(count, count + len(lines))
            count += len(lines)
            if bits:
                here = (hashes >> np.uint64(64 - bits)) == np.uint64(number)
                hashes, numbers = hashes[here], numbers[here]
                lines = lines.filter(to_arrow(here))
            file.add(lines, rotated(hashes, bits), numbers)
        return file

    def _hold(self) -> None:
        self._room = _room()
        log.info(
            "Some users have several lines: all wait on the local disk until they are compared"
        )
        self.parts.close()
        self._file = LineFile()
        self._count = 0
        for lines in self._read_parts():
            self._keep(self._file, lines, id_hashes(lines))
            self._count += len(lines)
        self._discard_parts()

    def _keep(self, file: LineFile, lines: pa.Array, hashes: Hashes) -> None:
        file.add(lines, hashes, np.arange(self._count, self._count + len(lines)))

    def _give_up(self) -> None:
        """Write parts after all."""
        assert self._file is not None
        log.info("The local disk has no room for more lines: they are written to parts now")
        self.parts = self._begun()
        for lines, order in self._file.in_order():
            self.parts.write(lines.take(to_arrow(order)))
        self._file.close()
        self._file = None


def _room() -> float:
    """How many bytes of the local disk lines may take."""
    return min(_MOST_BYTES, _MOST_OF_DISK * shutil.disk_usage(tempfile.gettempdir()).free)
