r"""Whole inbound files, read line by line: what they say and which rules they break.

This is the reader of ``airflow-am check`` and of the sandbox. It takes names and lines as
Audience Manager does and shares no code with the engine that writes files.

>>> name = DataFileName.parse("ftp_dpm_478_1366545717.sync")
>>> reader = FileReader(name)
>>> [line.user_id for line in reader.lines([b"ann\td_sid=1\n", b"bob\n"])]
['ann']
>>> [(finding.line, finding.rule.value) for finding in reader.findings]
[(2, 'no_tab')]

Where only the findings count, :func:`scan` gives the same ones faster and in flat memory.

>>> scan(name, lambda: [b"ann\td_sid=1\nbo", b"b\n"]).findings == reader.findings
True
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from airflow_am_provider.audience_manager import limits
from airflow_am_provider.audience_manager.identifiers import kind_of_data_source
from airflow_am_provider.audience_manager.items import TraitItem
from airflow_am_provider.audience_manager.lines import (
    DataLine,
    Finding,
    IdSyncLine,
    Severity,
    read_data_line,
    read_id_sync_line,
)
from airflow_am_provider.audience_manager.names import (
    DataFileName,
    Encoding,
    IdSyncFileName,
    IdSyncPrefix,
)
from airflow_am_provider.audience_manager.plain_lines import plain_lines
from airflow_am_provider.audience_manager.rules import Rule
from airflow_am_provider.audience_manager.trait_counts import (
    LONG_LINE_BYTES,
    SHORTEST_ITEM_BYTES,
    long_lines,
    traits_in,
)
from airflow_am_provider.audience_manager.user_counts import (
    ExactCounts,
    SuspectCounts,
    UserCounts,
)

if TYPE_CHECKING:
    import re
    from collections.abc import Callable, Iterable, Iterator

# So that a file in which every line is wrong does not fill the memory with findings. The
# counts go on.
MAX_FINDINGS_PER_RULE = 100

# Longer than any line that Audience Manager reads, a carriage return included.
_TOO_LONG_BYTES = limits.MAX_LINE_BYTES + 2

# Lines within a text that is no longer than one line may be need no measuring.
_PART_BYTES = 65_536


class FileReader:
    """Reads one file; after :meth:`lines` is used up, knows everything about it.

    :param name: the parsed name of the file.
    :param users: counts the lines or the hashed e-mails of each user, exactly by default.
    :param traits: counts the traits on long lines of each user, exactly by default.
    """

    def __init__(
        self,
        name: DataFileName | IdSyncFileName,
        *,
        users: UserCounts | None = None,
        traits: UserCounts | None = None,
    ) -> None:
        self.name = name
        self.line_count = 0
        self.byte_count = 0
        self.findings: list[Finding] = []
        self.counts: Counter[Rule] = Counter()
        self._user_rule, limit = _user_rule(name)
        self._users = users or ExactCounts(limit=limit)
        self._traits = traits or ExactCounts(limit=limits.MAX_TRAITS_PER_USER)
        self._ended_with_newline = True

    def lines(self, raw_lines: Iterable[bytes]) -> Iterator[DataLine | IdSyncLine]:
        """Go through the file and yield the lines that Audience Manager would take.

        :param raw_lines: the lines with their newlines, as iterating over a binary file
            gives them.
        """
        for raw in raw_lines:
            line = self._take(raw)
            if line is not None:
                yield line
        self._finish()

    def report(self, rule: Rule, *, line: int | None = None, detail: str = "") -> None:
        """Add a finding; past a hundred of one rule only count it."""
        self.counts[rule] += 1
        if self.counts[rule] <= MAX_FINDINGS_PER_RULE:
            self.findings.append(Finding(rule=rule, line=line, detail=detail))

    @property
    def ok(self) -> bool:
        """Whether no rule is broken that would lose something."""
        return not any(finding.severity is Severity.ERROR for finding in self.findings)

    def scan(self, blocks: Iterable[bytes]) -> None:
        """Go through the file for its findings alone, in flat memory.

        :param blocks: its content, cut anywhere.
        """
        plain = plain_lines(self.name)
        rest = b""
        for part in _parts(blocks):
            end = part.rfind(b"\n") + 1
            if end:
                self._scan_lines(rest + part[:end], plain)
                rest = b""
            rest += part[end:]
            if len(rest) > _TOO_LONG_BYTES:
                # Nobody will read the line: its start is kept to tell, and its last byte,
                # which may be a carriage return.
                self.byte_count += len(rest) - _TOO_LONG_BYTES
                rest = rest[: _TOO_LONG_BYTES - 1] + rest[-1:]
        if rest:
            self._take(rest)
        self._finish()

    def _scan_lines(self, text: bytes, plain: re.Pattern[bytes]) -> None:
        if len(text) <= limits.MAX_LINE_BYTES and _is_utf8(text):
            user_ids = plain.findall(text)
            if len(user_ids) == text.count(b"\n"):
                self._take_plain(user_ids, text)
                return
        for raw in text.split(b"\n")[:-1]:
            self._take(raw + b"\n")

    def _take_plain(self, user_ids: list[bytes], text: bytes) -> None:
        found: list[tuple[int, Rule]] = []
        if self._user_rule is not None:
            over = self._users.places_over_limit(user_ids, _times_in_line(self.name))
            found = [(place, self._user_rule) for place in over]
        if isinstance(self.name, DataFileName):
            lost = {place for place, _ in found}
            for place, line in long_lines(text):
                if place in lost:
                    continue
                # Suspects are counted once more.
                is_rough = isinstance(self._traits, SuspectCounts)
                count = len(line) // SHORTEST_ITEM_BYTES if is_rough else traits_in(line)
                if self._traits.over_limit(user_ids[place], count):
                    found.append((place, Rule.TOO_MANY_TRAITS_PER_USER))
        for place, rule in sorted(found):
            self.report(rule, line=self.line_count + place + 1)
        self.line_count += len(user_ids)
        self.byte_count += len(text)
        self._ended_with_newline = True

    def _take(self, raw: bytes) -> DataLine | IdSyncLine | None:
        self.line_count += 1
        self.byte_count += len(raw)
        self._ended_with_newline = raw.endswith(b"\n")
        line, rules = self._read(raw[:-1] if self._ended_with_newline else raw)
        if line is not None and self._is_over_limit(line):
            assert self._user_rule is not None
            line, rules = None, [*rules, self._user_rule]
        elif isinstance(line, DataLine) and len(raw) > LONG_LINE_BYTES:
            traits = sum(isinstance(item, TraitItem) and item.realized for item in line.items)
            if self._traits.over_limit(line.user_id.encode(), traits):
                rules = [*rules, Rule.TOO_MANY_TRAITS_PER_USER]
        for rule in rules:
            self.report(rule, line=self.line_count)
        return line

    def _read(self, raw: bytes) -> tuple[DataLine | IdSyncLine | None, list[Rule]]:
        if self.line_count == 1 and raw.startswith(b"\xef\xbb\xbf"):
            # It would become part of the first ID, which then matches nobody.
            return None, [Rule.BYTE_ORDER_MARK]
        if isinstance(self.name, IdSyncFileName):
            return read_id_sync_line(raw, name=self.name)
        return read_data_line(raw, kind=kind_of_data_source(self.name.dpid), mode=self.name.mode)

    def _is_over_limit(self, line: DataLine | IdSyncLine) -> bool:
        if self._user_rule is None:
            return False
        if isinstance(line, IdSyncLine):
            return self._users.over_limit(line.ids[0].encode(), len(line.ids) - 1)
        return self._users.over_limit(line.user_id.encode())

    def _finish(self) -> None:
        if self.line_count == 0:
            self.report(Rule.EMPTY_FILE)
        elif not self._ended_with_newline:
            self.report(Rule.NO_FINAL_NEWLINE, line=self.line_count)
        if self.byte_count > limits.MAX_PART_BYTES:
            self.report(Rule.FILE_TOO_LARGE, detail=f"{self.byte_count:,} bytes uncompressed")
        if isinstance(self.name, IdSyncFileName) and not self.name.has_usual_master:
            self.report(Rule.ID_SYNC_MASTER, detail=f"data source {self.name.master_dpid}")


def scan(
    name: DataFileName | IdSyncFileName, open_blocks: Callable[[], Iterable[bytes]]
) -> FileReader:
    """Find what a file breaks, in flat memory whatever its size.

    :param name: the parsed name of the file.
    :param open_blocks: opens its content, cut anywhere. It is called again when a user may
        have more lines or traits than allowed, to count such users exactly.
    """
    _, limit = _user_rule(name)
    most = limits.MAX_TRAITS_PER_USER
    users, traits = SuspectCounts(limit=limit), SuspectCounts(limit=most)
    reader = FileReader(name, users=users, traits=traits)
    reader.scan(open_blocks())
    if users.suspects or traits.suspects:
        reader = FileReader(
            name,
            users=ExactCounts(limit=limit, suspects=users.suspects),
            traits=ExactCounts(limit=most, suspects=traits.suspects),
        )
        reader.scan(open_blocks())
    return reader


def size_problem(compressed_bytes: int, encoding: Encoding) -> str | None:
    """Why a packed file is too large, or None (inbound-file-compression.md)."""
    largest = limits.MAX_PART_BYTES
    if encoding is not Encoding.PLAIN:
        largest = limits.MAX_COMPRESSED_PART_BYTES
    if compressed_bytes <= largest:
        return None
    return f"{compressed_bytes:,} bytes as sent, {largest:,} allowed"


def _user_rule(name: DataFileName | IdSyncFileName) -> tuple[Rule | None, int]:
    """What is limited for each user of such a file, and to how much."""
    if isinstance(name, DataFileName):
        return Rule.TOO_MANY_LINES_PER_USER, limits.MAX_LINES_PER_USER
    if name.prefix is IdSyncPrefix.C2C_ID:
        return Rule.TOO_MANY_HASHED_EMAILS, limits.MAX_HASHED_EMAILS_PER_CRM_ID
    return None, 0


def _times_in_line(name: DataFileName | IdSyncFileName) -> int:
    """How much a plain line counts: itself, or the hashed e-mails it has."""
    return 1 if isinstance(name, DataFileName) else len(name.dpids)


def _parts(blocks: Iterable[bytes]) -> Iterator[bytes]:
    for block in blocks:
        for start in range(0, len(block), _PART_BYTES):
            yield block[start : start + _PART_BYTES]


def _is_utf8(text: bytes) -> bool:
    if text.isascii():
        return True
    try:
        text.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
