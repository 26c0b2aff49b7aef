"""Rows that a driver writes to a file, handed to who reads them: some megabytes at a time."""

from __future__ import annotations

import io
import threading
from contextlib import contextmanager, suppress
from queue import Empty, Full, Queue
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from airflow_am_provider.audience_manager import limits
from airflow_am_provider.audience_manager.errors import DataError
from airflow_am_provider.sources.running_queries import stopping

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sized

    Block: TypeAlias = bytearray | Exception | None

BLOCK_BYTES: Final = 4 << 20
_WAITING: Final = 2
# A larger row would not fit into memory several times, as it has to.
_MOST_ROW_BYTES: Final = 64 << 20


@contextmanager
def written_blocks(
    work: Callable[[Any], object], connection: Any, parameter: str = "sql"
) -> Iterator[Iterator[bytearray]]:
    """Run something that writes to a file in a thread.

    :param work: called with the file; what it raises is raised where the blocks are read.
    :param connection: what it waits for, as :func:`stopping` takes it.
    :param parameter: what names the query, for messages.
    :return: what was written, by the block.
    """
    queue: Queue[Block] = Queue(_WAITING)
    is_left = threading.Event()

    def put(item: Block) -> None:
        while True:
            with suppress(Full):
                return queue.put(item, timeout=1)
            if is_left.is_set():
                raise BrokenPipeError("nobody reads any more")

    def run() -> None:
        rows = _Rows(put, parameter)
        try:
            work(rows)
            rows.flush()
            put(None)
        except BrokenPipeError:
            pass
        except Exception as error:  # noqa: BLE001  # raised where the blocks are read
            with suppress(BrokenPipeError):
                put(error)

    def blocks() -> Iterator[bytearray]:
        while (block := queue.get()) is not None:
            if isinstance(block, Exception):
                raise block
            yield block

    thread = threading.Thread(target=run, name="copy", daemon=True)
    thread.start()
    try:
        yield blocks()
    finally:
        is_left.set()
        if thread.is_alive():
            with suppress(Empty):
                while True:
                    queue.get_nowait()
            with stopping(connection):
                thread.join()


def check_size(row: Sized, parameter: str) -> None:
    """See that a row can be held a few times.

    :param parameter: what names the query, for messages.
    :raises DataError: when it cannot.
    """
    if len(row) > _MOST_ROW_BYTES:
        raise DataError(
            f"{parameter}: a row of {len(row):,} bytes; at most {_MOST_ROW_BYTES:,} are held. No "
            f"line is longer than {limits.MAX_LINE_BYTES:,} (inbound-file-contents.md), so "
            f"leave longer values out in the query, as by WHERE "
            f"octet_length(...) <= {limits.MAX_LINE_BYTES}"
        )


class _Rows(io.RawIOBase):
    """Takes rows, one at a time, and passes them on by the block."""

    def __init__(self, put: Callable[[Block], None], parameter: str) -> None:
        super().__init__()
        self._put = put
        self._parameter = parameter
        self._block = bytearray()

    def write(self, rows: Any, /) -> int:
        check_size(rows, self._parameter)
        self._block += rows
        if len(self._block) >= BLOCK_BYTES:
            self.flush()
        return len(rows)

    def flush(self) -> None:
        # Let go of first: what nobody takes is not offered again when Python closes this file.
        block, self._block = self._block, bytearray()
        if block:
            self._put(block)
