"""How far long work has come, and how long it will still take: for logs, and for a terminal.

A log is told at a humane pace: for the first time after half a minute, then once a minute. Where
somebody looks at a terminal, ``shown_by`` names what draws there instead.
"""

from __future__ import annotations

import logging
import time
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, BinaryIO, Final, Protocol, cast

if TYPE_CHECKING:
    from collections.abc import Iterator

FIRST_AFTER_S: Final = 30.0
EVERY_S: Final = 60.0

_logger = logging.getLogger(__name__)
_MINUTE: Final = 60
_HOUR: Final = 3600


class Shown(Protocol):
    """What draws progress where somebody looks."""

    def update(self, what: str, done: int, total: int) -> None:
        """Draw how many bytes of all are done."""
        ...


_shown: ContextVar[Shown | None] = ContextVar("shows_progress", default=None)


@contextmanager
def shown_by(shown: Shown) -> Iterator[None]:
    """Have progress drawn, and not logged, meanwhile."""
    token = _shown.set(shown)
    try:
        yield
    finally:
        _shown.reset(token)


class Pace:
    """Says when a log should be told again."""

    def __init__(self) -> None:
        self.begun = time.monotonic()
        self._next = self.begun + FIRST_AFTER_S

    def is_due(self) -> bool:
        """Whether it should be told now; then the next time is a minute later."""
        now = time.monotonic()
        if now < self._next:
            return False
        self._next = now + EVERY_S
        return True


class BytesProgress:
    """How many bytes of all were read or sent.

    :param what: is done with them, such as ``Sending``.
    :param total: all of them.
    :param done: how many were done with before.
    """

    def __init__(self, what: str, total: int, done: int = 0) -> None:
        self._what, self._total, self._done = what, total, done
        self._before = done
        self._pace = Pace()
        # Whoever reads may do so in a thread of its own.
        self._shown = _shown.get()

    def add(self, count: int) -> None:
        """Count more of them."""
        self._done += count
        if self._shown is not None:
            self._shown.update(self._what, self._done, self._total)
        elif self._pace.is_due():
            _logger.info("%s", str(self))

    def counting(self, file: BinaryIO) -> BinaryIO:
        """A file whose reads are counted."""
        return cast("BinaryIO", _Counting(file, self))

    def __str__(self) -> str:
        seconds = max(time.monotonic() - self._pace.begun, 0.001)
        rate = (self._done - self._before) / seconds
        share = f" ({self._done / self._total:.0%})".replace("%", " %") if self._total else ""
        left = max(self._total - self._done, 0)
        said = (
            f"{self._what}: {self._done / 1e6:,.1f} of {self._total / 1e6:,.1f} MB{share} after "
            f"{duration(seconds)}, {rate / 1e6:,.1f} MB/s"
        )
        return f"{said}, about {duration(left / rate)} left" if rate and left else said


class _Counting:
    """A file that tells how much of it was read."""

    def __init__(self, file: BinaryIO, progress: BytesProgress) -> None:
        self._file, self._progress = file, progress
        self._read = 0

    def read(self, size: int = -1, /) -> bytes:
        data = self._file.read(size)
        self._read += len(data)
        self._progress.add(len(data))
        return data

    def seek(self, offset: int, whence: int = 0, /) -> int:
        at = self._file.seek(offset, whence)
        if not at:
            # Whoever goes back to its begin reads all of it once more.
            self._progress.add(-self._read)
            self._read = 0
        return at

    def __getattr__(self, name: str) -> object:
        return getattr(self._file, name)


def duration(seconds: float) -> str:
    """A duration as people say it.

    >>> duration(0.4), duration(42), duration(150), duration(7260)
    ('1 s', '42 s', '2 min 30 s', '2 h 1 min')
    """
    whole = max(1, round(seconds))
    if whole < _MINUTE:
        return f"{whole} s"
    if whole < _HOUR:
        return f"{whole // _MINUTE} min {whole % _MINUTE} s".replace(" 0 s", "")
    return f"{whole // _HOUR} h {whole % _HOUR // _MINUTE} min".replace(" 0 min", "")
