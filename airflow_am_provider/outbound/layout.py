"""How the lines of an account's files are made."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Layout:
    """How lines are made: Adobe's basic layout (outbound-file-name-contents.md).

    :param header_lines: how many lines at the begin of each file are none of data.
    :param separator_spaces: how many spaces stand between fields; None to see it from the lines.
    """

    header_lines: int = 0
    separator_spaces: int | None = None


BASIC = Layout()
