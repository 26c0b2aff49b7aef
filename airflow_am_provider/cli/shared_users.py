"""Users of an ``.overwrite`` who stand in several of the files that were given."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from airflow_am_provider.audience_manager import limits
from airflow_am_provider.audience_manager.files import MAX_FINDINGS_PER_RULE
from airflow_am_provider.audience_manager.lines import Finding
from airflow_am_provider.audience_manager.names import DataFileName, Encoding, Mode, named
from airflow_am_provider.audience_manager.rules import Rule
from airflow_am_provider.cli.unpack import Packing, Unpacker, packing_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from airflow_am_provider.cli.verdict import Verdict
    from airflow_am_provider.formatting.repeats.shared_users import SomeIds

# Only the start of a longer line is kept: an ID that Audience Manager takes is in it.
_KEPT: Final = limits.MAX_LINE_BYTES + 2
_RULE: Final = Rule.USER_IN_TWO_PARTS


def note_shared_users(verdicts: Iterable[Verdict]) -> None:
    """Add findings on users of an ``.overwrite`` who stand in several parts, in flat memory.

    :param verdicts: on files; those of one name but for the split number are parts of one delivery.
    :raises ConfigurationError: when a file cannot be read.
    """
    deliveries: dict[str, list[Verdict]] = {}
    for verdict in verdicts:
        if isinstance(verdict.name, DataFileName) and verdict.name.mode is Mode.OVERWRITE:
            kind = verdict.name.kind.packed(Encoding.PLAIN)
            delivery = str(named(kind, verdict.name.timestamp))
            deliveries.setdefault(delivery, []).append(verdict)
    for parts in deliveries.values():
        # A file that is given twice, or packed and unpacked, is one part.
        distinct = list({_split(one): one for one in parts}.values())
        if len(distinct) > 1:
            _note(distinct)


def _note(parts: Sequence[Verdict]) -> None:
    from airflow_am_provider.formatting.repeats.shared_users import shared_users

    def read() -> Iterator[SomeIds]:
        for number, part in enumerate(parts):
            yield from _ids_of(number, part)

    lines: list[list[tuple[int, int]]] = [[] for _ in parts]
    for found in shared_users(read):
        for part, line, other in zip(
            found.parts.tolist(), found.lines.tolist(), found.others.tolist(), strict=True
        ):
            counts = parts[part].counts
            counts[_RULE] = counts.get(_RULE, 0) + 1
            lines[part].append((line, other))
        # The first ones are told.
        lines = [sorted(some)[:MAX_FINDINGS_PER_RULE] for some in lines]
    for verdict, some in zip(parts, lines, strict=True):
        verdict.findings += [
            Finding(rule=_RULE, line=line, detail=f"also in {parts[other].source.file_name}")
            for line, other in some
        ]


def _ids_of(number: int, part: Verdict) -> Iterator[SomeIds]:
    """The user IDs of a file's lines, as far as it can be read."""
    import numpy as np

    from airflow_am_provider.formatting.columns.byte_columns import stretches
    from airflow_am_provider.formatting.repeats.shared_users import SomeIds

    count = 0
    for text in _whole_lines(part):
        data = np.frombuffer(text, np.uint8)
        ends = np.flatnonzero(data == ord("\n"))
        starts = np.concatenate(([0], ends[:-1] + 1))
        # What has no tab has no user ID.
        tabs = np.append(np.flatnonzero(data == ord("\t")), len(data))
        tabs = tabs[np.searchsorted(tabs, starts)]
        rows = np.flatnonzero(tabs < ends)
        ids = stretches(data, starts[rows], tabs[rows], len(data))
        yield SomeIds(number, rows + count + 1, ids)
        count += len(ends)


def _whole_lines(part: Verdict) -> Iterator[bytes]:
    source, unpacker = part.source, Unpacker()
    with source.open() as file:
        packing = packing_of(file)
    if not source.size or packing not in (Packing.PLAIN, Packing.GZIP):
        return
    unpack = unpacker.gzip if packing is Packing.GZIP else unpacker.plain
    rest = b""
    for block in unpack(source.open()):
        end = block.rfind(b"\n") + 1
        if end:
            yield rest + block[:end]
            rest = b""
        rest = (rest + block[end:])[:_KEPT]
    if rest:
        yield rest + b"\n"


def _split(part: Verdict) -> int | None:
    assert isinstance(part.name, DataFileName)
    return part.name.split
