"""What one side of a comparison took, once."""

from __future__ import annotations

import re
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import TracebackType


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came of the work.

    :param rows: rows, or whatever is counted.
    :param bytes: bytes of lines, uncompressed unless the side says otherwise.
    :param content: what tells the lines from others, where the side says it.
    """

    rows: int
    bytes: int
    content: str = ""


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What the work took.

    :param seconds: from begin to end, imports left out.
    :param cpu_seconds: of all threads of the side's processes; servers are not in it.
    :param peak_mb: the most memory that one process held, imports included, in 1e6 bytes.
    """

    seconds: float
    cpu_seconds: float
    peak_mb: float
    rows: int
    bytes: int
    content: str = ""

    def to_json(self) -> dict[str, Any]:
        """As plain JSON."""
        return asdict(self)


class Stopwatch:
    """Measures what is done in its block."""

    def __init__(self) -> None:
        self._seconds = self._cpu_seconds = self._peak_mb = 0.0

    def __enter__(self) -> None:
        self._cpu_seconds -= time.process_time()
        self._seconds -= time.perf_counter()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._seconds += time.perf_counter()
        self._cpu_seconds += time.process_time()
        self._peak_mb = max(self._peak_mb, peak_mb())

    def add(self, *, seconds: float = 0.0, cpu_seconds: float = 0.0, peak_mb: float = 0.0) -> None:
        """What other processes took, that did the work for this one."""
        self._seconds += seconds
        self._cpu_seconds += cpu_seconds
        self._peak_mb = max(self._peak_mb, peak_mb)

    def reading(self, outcome: Outcome) -> Reading:
        """What it measured, with what came of the work."""
        return Reading(
            seconds=round(self._seconds, 4),
            cpu_seconds=round(self._cpu_seconds, 4),
            peak_mb=round(self._peak_mb, 1),
            **asdict(outcome),
        )


def peak_mb() -> float:
    """The most memory this process held; getrusage would begin with what its parent held."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) * 1024 / 1e6
