"""Work on one thing while another is under way: one thread and a short queue each.

Reading, compressing and uploading release Python's lock for most of their time, so a
thread each is enough to keep two cores busy.
"""

from __future__ import annotations

import logging
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator

T = TypeVar("T")

log = logging.getLogger(__name__)


def prefetched(source: Iterable[T], depth: int = 2) -> Generator[T]:
    """Iterate over a source while a thread reads ahead.

    :param source: what to read; closed in that thread at the end, where it can be.
    :param depth: how many items may wait; this bounds the memory.
    """
    iterator = iter(source)
    end = object()
    waiting: deque[Future[T | object]] = deque()
    pool = ThreadPoolExecutor(1, thread_name_prefix="read-ahead")
    try:
        while True:
            while len(waiting) < depth:
                waiting.append(pool.submit(next, iterator, end))
            item = waiting.popleft().result()
            if item is end:
                return
            yield item  # type: ignore[misc]  # everything but the end mark is a T
    finally:
        for future in waiting:
            future.cancel()
        # A source may hold a connection, which some drivers want closed in the thread that used it.
        error = pool.submit(_close, iterator).exception()
        if error is not None:
            log.warning("Could not close the source: %s", type(error).__name__)
        pool.shutdown()


def _close(iterator: Iterator[T]) -> None:
    close = getattr(iterator, "close", None)
    if close is not None:
        close()


class BackgroundWorker(Generic[T]):
    """Hands items to a thread that works on them in order while the caller goes on.

    :param work: what to do with each item.
    :param depth: how many items may wait; this bounds the memory.

    An error in the thread is raised at a later :meth:`put` or at :meth:`close`.
    """

    def __init__(self, work: Callable[[T], None], depth: int = 2) -> None:
        self._work = work
        self._failed = False
        self._depth = depth
        self._waiting: deque[Future[None]] = deque()
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="write-behind")

    def put(self, item: T) -> None:
        """Hand over the next item; waits while too many are waiting."""
        while len(self._waiting) >= self._depth:
            self._waiting.popleft().result()
        self._waiting.append(self._pool.submit(self._do, item))

    def close(self) -> None:
        """Wait until everything is done."""
        try:
            while self._waiting:
                self._waiting.popleft().result()
        finally:
            self.abandon()

    def _do(self, item: T) -> None:
        # What waits when an item fails would be written after a gap.
        if self._failed:
            return
        self._failed = True
        self._work(item)
        self._failed = False

    def abandon(self) -> None:
        """Drop what waits, after an error elsewhere."""
        self._pool.shutdown(cancel_futures=True)
