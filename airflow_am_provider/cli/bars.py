"""A bar for long work, where somebody looks at a terminal."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from airflow_am_provider.formatting.progress import shown_by

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.progress import Progress, TaskID


@contextmanager
def bar() -> Iterator[None]:
    """Draw progress on standard error, if that is a terminal; the answer is on standard output."""
    if not sys.stderr.isatty():
        yield
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    drawn = Progress(*columns, console=Console(stderr=True), transient=True)
    with drawn, shown_by(_Bar(drawn)):
        yield


class _Bar:
    def __init__(self, drawn: Progress) -> None:
        self._drawn = drawn
        self._tasks: dict[str, TaskID] = {}

    def update(self, what: str, done: int, total: int) -> None:
        if what not in self._tasks:
            self._tasks[what] = self._drawn.add_task(what, total=total)
        self._drawn.update(self._tasks[what], completed=min(done, total), total=total)
