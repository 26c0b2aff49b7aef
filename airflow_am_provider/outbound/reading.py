"""A batch's lines as Arrow columns, in flat memory; each file is checked while it is read.

Blocks of lines are read by two threads, since gzip, numpy and Arrow let go of Python's lock, and
come out in the order in which they stand in the files.
"""

from __future__ import annotations

import codecs
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING, Final, NamedTuple

from airflow_am_provider.audience_manager.errors import ConfigurationError, DataError
from airflow_am_provider.audience_manager.file_kinds import printable
from airflow_am_provider.outbound.checksums import CheckedStream, NotAsListed
from airflow_am_provider.outbound.layout import BASIC, Layout
from airflow_am_provider.outbound.unpacking import unpacked

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from concurrent.futures import Future
    from typing import BinaryIO

    from airflow_am_provider.outbound.batches import Batch, BatchFile
    from airflow_am_provider.outbound.counts import ReadCounts
    from airflow_am_provider.outbound.inbox import Inbox
    from airflow_am_provider.outbound.segment_lines import SegmentLines

_READ_BYTES: Final = 1 << 20
_THREADS: Final = 2
_AHEAD: Final = 6
#: A line of more bytes is no line: a file without ends of lines would fill the memory.
MOST_LINE_BYTES: Final = 16 << 20
# What a Hadoop SequenceFile begins with, which Adobe can send and nothing here reads.
_SEQUENCE_FILE: Final = b"SEQ\x06"


class BatchLines(NamedTuple):
    """A block's lines, and where they stand.

    :param file: of which file of the batch they are.
    :param first_line: the number of the first of them in it, from 1.
    :param lines: what they say.
    """

    file: BatchFile
    first_line: int
    lines: SegmentLines


def read_batch(
    inbox: Inbox,
    batch: Batch,
    counts: ReadCounts,
    layout: Layout = BASIC,
) -> Iterator[BatchLines]:
    """Read all files of a complete batch, one after the other.

    What comes out is for nobody's eyes before the last block is there: a file is known to be right
    when it was read to its end.

    :param inbox: where its files lie.
    :param batch: a complete batch.
    :param counts: are counted up.
    :param layout: how its lines are made.
    :raises TransientError: when a file is not, or not yet, what its control file says.
    :raises DataError: when a file cannot be read, or too many lines break the layout.
    """
    with ThreadPoolExecutor(_THREADS, "outbound") as pool:
        waiting: deque[tuple[BatchFile, int, Future[SegmentLines]]] = deque()
        spaces: int | None = None
        watch = _SpacesWatch(layout)
        try:
            for file in batch.files:
                number = 1
                for block, lines in file_blocks(inbox, file, counts, layout.header_lines):
                    spaces = layout.spaces_in(block, spaces)
                    waiting.append((file, number, pool.submit(layout.read, block, spaces)))
                    number += lines
                    while len(waiting) > _AHEAD:
                        yield watch.checked(_next(waiting, counts))
            while waiting:
                yield watch.checked(_next(waiting, counts))
            counts.check_set_aside(layout.max_set_aside)
        finally:
            for _, _, future in waiting:
                future.cancel()


class _SpacesWatch:
    """Sees that the lines of a batch do not contradict each other in their spaces.

    By these it is told whether a line's one list is of segments or of removed ones. Lines that
    depend on it may come long before the first that contradicts, so that the batch is refused.
    """

    def __init__(self, layout: Layout) -> None:
        self._is_said = layout.separator_spaces is not None
        self._seen: set[int] = set()
        self._first: str | None = None

    def checked(self, block: BatchLines) -> BatchLines:
        """A block that is like those before it.

        :raises DataError: when it is not, and some line depends on it.
        """
        lines = block.lines
        self._seen |= lines.spaces_seen
        if self._first is None and lines.first_doubtful is not None:
            number = block.first_line + lines.first_doubtful
            self._first = f"{printable(block.file.path)}, line {number:,}"
        if self._first is not None and len(self._seen) > 1 and not self._is_said:
            raise DataError(
                f"lines of the batch have {min(self._seen)} and {max(self._seen)} spaces between "
                f"fields, so that it cannot be told whether one list after several spaces is of "
                f"segments or of removed ones (first: {self._first}). Nothing of the batch is "
                f"loaded; say by separator_spaces how many stand between fields"
            )
        return block


def _next(
    waiting: deque[tuple[BatchFile, int, Future[SegmentLines]]], counts: ReadCounts
) -> BatchLines:
    file, number, future = waiting.popleft()
    lines = future.result()
    counts.add(lines.count, lines.bad, file.path, number)
    return BatchLines(file, number, lines)


def file_blocks(
    inbox: Inbox, file: BatchFile, counts: ReadCounts, header_lines: int
) -> Iterator[tuple[bytes, int]]:
    """A file's lines in blocks of whole ones, and how many each has; checked at the end.

    :param inbox: where it lies.
    :param file: what it should be.
    :param counts: header lines and files without a checksum are counted up.
    :param header_lines: how many lines at its begin are passed over.
    :raises TransientError: when it is not, or not yet, what its control file says.
    :raises DataError: when it cannot be read.
    """
    with ExitStack() as stack:
        raw = stack.enter_context(closing(_opened(inbox, file)))
        stream = CheckedStream(raw, size=file.size, checksum=file.checksum, name=file.path)
        total = 0
        is_first = True
        skip = header_lines
        read = stack.enter_context(unpacked(stream, file))
        for block in _whole_lines(read, file):
            lines = block.count(b"\n") + (not block.endswith(b"\n"))
            total += lines
            if is_first:
                # Some programs put it at the begin of what is UTF-8; it is of no ID.
                block = block.removeprefix(codecs.BOM_UTF8)
                is_first = False
            if skip:
                skipped = min(skip, lines)
                for _ in range(skipped):
                    block = block.partition(b"\n")[2]  # what is left of it
                skip -= skipped
                lines -= skipped
                counts.header_lines += skipped
            if block:
                yield block, lines
        stream.check()
        counts.unchecked += not stream.is_checked
        if file.lines is not None and total != file.lines:
            raise DataError(
                f"{printable(file.path)}: it has {total:,} lines, and its control file says "
                f"{file.lines:,} (transfer-control-files.md). Nothing of the batch is loaded; ask "
                f"Adobe to send it again"
            )


def _opened(inbox: Inbox, file: BatchFile) -> BinaryIO:
    try:
        return inbox.open_read(file.path)
    except ConfigurationError:
        if any(listed.path == file.path for listed in inbox.list()):
            raise
        # Whoever replaces a file may delete it first.
        raise NotAsListed(
            f"{printable(file.path)}: it was there and is gone; it may be that it is replaced at "
            f"this moment. Nothing of the batch is loaded; it is tried again"
        ) from None


def _whole_lines(read: Callable[[int], bytes], file: BatchFile) -> Iterator[bytes]:
    rest = b""
    is_first = True
    while data := read(_READ_BYTES):
        if is_first and data.startswith(_SEQUENCE_FILE):
            raise DataError(
                f"{printable(file.path)}: it is a Hadoop SequenceFile, which is not read; ask "
                f"Adobe for text files (outbound-file-name-contents.md)"
            )
        is_first = False
        end = data.rfind(b"\n") + 1
        if not end:
            rest += data
            if len(rest) > MOST_LINE_BYTES:
                raise DataError(
                    f"{printable(file.path)}: a line of more than {MOST_LINE_BYTES:,} bytes"
                )
            continue
        yield rest + data[:end]
        rest = data[end:]
    if rest:
        yield rest
