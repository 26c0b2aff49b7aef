"""Why rows were set aside, in words, with a row to look at for each reason."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from airflow_am_provider.audience_manager.errors import AudienceManagerError
from airflow_am_provider.audience_manager.rules import RULES, Rule
from airflow_am_provider.audience_manager.words import counted

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_am_provider.storage.folder import Folder

# An example is a help, and not worth reading a file of gigabytes.
_LOOKED_THROUGH_BYTES: Final = 1 << 20


def reasons_in_words(counts: Mapping[str, int], staging: Folder, rejects: str | None) -> list[str]:
    """A sentence for each reason: how many rows, the rule, and the first row as an example.

    :param counts: how many rows for each rule, by the rule's code.
    :param staging: where the rejects file lies.
    :param rejects: the file, relative to it; None where there is none.
    """
    examples = first_rows(staging, rejects)
    return [_sentence(reason, count, examples.get(reason)) for reason, count in counts.items()]


def first_rows(staging: Folder, rejects: str | None) -> dict[str, str]:
    """The number of the first row of each reason, as far as the file's first megabyte tells.

    :param staging: where the rejects file lies.
    :param rejects: the file, relative to it; None where there is none.
    """
    if rejects is None:
        return {}
    try:
        with staging.open_read(rejects) as file:
            begin = file.read(_LOOKED_THROUGH_BYTES)
    except AudienceManagerError:
        return {}
    header, *lines = begin.splitlines() or [b""]
    # Where several partitions were made one delivery, a row has its number in its partition.
    at = 1 if header.startswith(b"partition,") else 0
    found: dict[str, str] = {}
    for cells in (line.split(b",") for line in lines):
        if len(cells) > at + 1 and cells[at].isdigit():
            of = f" of partition {int(cells[0])}" if at and cells[0].isdigit() else ""
            reason = cells[at + 1].decode("ascii", "replace")
            found.setdefault(reason, f"row {int(cells[at]):,}{of}")
    return found


def _sentence(reason: str, count: int, example: str | None) -> str:
    text = RULES[Rule(reason)]
    such_as = "" if example is None else f", such as {example}"
    kept = ", and nothing is lost with them" if text.loses_nothing else ""
    return (
        f"{counted(count, 'row')} set aside{such_as}: {text.sentence} ({reason}, {text.page}){kept}"
    )
