"""What was read of a batch: lines read = lines loaded + lines set aside."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from airflow_am_provider.audience_manager.errors import DataError
from airflow_am_provider.audience_manager.file_kinds import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


class BadLine(NamedTuple):
    """A line that is set aside.

    :param number: its place in the block, from 0.
    :param reason: in a few words, without anything of the line.
    """

    number: int
    reason: str


class Reason(NamedTuple):
    """Why lines were set aside.

    :param text: in a few words.
    :param lines: how many.
    :param example: where the first of them stands.
    """

    text: str
    lines: int
    example: str

    def __str__(self) -> str:
        return f"{self.lines:,} set aside: {self.text} (first: {self.example})"


@dataclass
class ReadCounts:
    """What was read of a batch: lines read = lines loaded + lines set aside.

    :param lines_read: lines, header lines left out.
    :param set_aside: of them, what became no rows, by reason.
    :param examples: where the first line of each reason stands.
    :param header_lines: lines that were passed over at the begin of files.
    :param unchecked: files that are known by their sizes alone.
    """

    lines_read: int = 0
    set_aside: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)
    header_lines: int = 0
    unchecked: int = 0

    @property
    def lines_loaded(self) -> int:
        """Lines that became rows."""
        return self.lines_read - self.lines_set_aside

    @property
    def lines_set_aside(self) -> int:
        """Lines that became none."""
        return self.set_aside.total()

    def add(self, lines: int, bad: Iterable[BadLine], path: str, first_line: int) -> None:
        """Count a block of lines.

        :param lines: how many it has.
        :param bad: those of them that are set aside.
        :param path: of which file they are.
        :param first_line: the number of the first of them in it, from 1.
        """
        self.lines_read += lines
        for line in bad:
            self.set_aside[line.reason] += 1
            if line.reason not in self.examples:
                where = f"{printable(path)}, line {first_line + line.number:,}"
                self.examples[line.reason] = where

    def check_set_aside(
        self,
        allowed: float,
        *,
        lines: str = "lines",
        whole: str = "batch",
        settings: str = "line_template, header_lines, separator_spaces",
    ) -> None:
        """Compare the lines that were set aside with what is allowed.

        :param allowed: a whole number is a count, a fraction a share of the lines read.
        :param lines: what they are called.
        :param whole: what they are of.
        :param settings: parameters that say how they are made; nothing where there are none.
        :raises DataError: when there are more; says why they were set aside.
        """
        if self.lines_set_aside <= (
            allowed if isinstance(allowed, int) else allowed * self.lines_read
        ):
            return
        most = f"{allowed:,}" if isinstance(allowed, int) else f"{allowed:.2%}"
        asked = f"Are its {lines} made in another way ({settings})? " if settings else ""
        raise DataError(
            f"{self.lines_set_aside:,} of {self.lines_read:,} {lines} break the layout, "
            f"max_set_aside allows {most}: {'; '.join(map(str, self.reasons()))}. Nothing of the "
            f"{whole} is loaded. {asked}If they may be left out, raise max_set_aside"
        )

    def reasons(self) -> Iterator[Reason]:
        """Why lines were set aside, the most frequent reason first."""
        for reason, count in self.set_aside.most_common():
            yield Reason(reason, count, self.examples[reason])
