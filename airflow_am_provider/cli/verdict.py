"""The verdict on one file, by its name and its content."""

from __future__ import annotations

import os
import signal
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from io import BytesIO
from typing import TYPE_CHECKING, Any, Final

from airflow_am_provider.audience_manager.errors import DataError
from airflow_am_provider.audience_manager.files import scan, size_problem
from airflow_am_provider.audience_manager.lines import Finding, Severity
from airflow_am_provider.audience_manager.names import (
    DataFileName,
    Encoding,
    FileName,
    IdSyncFileName,
    OracleDataCloudFileName,
    parse_file_name,
)
from airflow_am_provider.audience_manager.rules import RULES, Rule
from airflow_am_provider.cli.sources import S3
from airflow_am_provider.cli.unpack import Packing, Unpacker, packing_of
from airflow_am_provider.formatting.openpgp import recipients_of
from airflow_am_provider.formatting.overlap import prefetched

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Iterator, Sequence

    from airflow_am_provider.cli.sources import Source

_EXPECTED: Final = {
    Encoding.PLAIN: Packing.PLAIN,
    Encoding.GZIP: Packing.GZIP,
    Encoding.PGP: Packing.OPENPGP,
    Encoding.GPG: Packing.OPENPGP,
}


# The keys that a message is for stand at its beginning.
_MESSAGE_START_BYTES: Final = 1 << 16
# Half a second of work: less is done before another process has started.
_WORTH_A_PROCESS_BYTES: Final = 16 << 20


@dataclass(kw_only=True)
class Verdict:
    """What was found in a file.

    :param source: the file.
    :param name: its parsed name, or None when it has none.
    :param lines: how many lines it has, or None when it was not looked into.
    :param bytes: its size, unpacked, or None when it was not looked into.
    :param findings: what is wrong with it, at most a hundred for each rule.
    :param counts: how often each rule is broken, beyond the hundred as well.
    """

    source: Source
    name: FileName | None = None
    lines: int | None = None
    bytes: int | None = None
    findings: list[Finding] = field(default_factory=list)
    counts: dict[Rule, int] = field(default_factory=dict)

    @property
    def kind(self) -> str:
        """``data``, ``id_sync`` or ``unknown``."""
        if isinstance(self.name, DataFileName):
            return "data"
        return "id_sync" if isinstance(self.name, IdSyncFileName) else "unknown"

    @property
    def ok(self) -> bool:
        """Whether nothing is lost at Adobe, as far as can be seen."""
        return not any(finding.severity is Severity.ERROR for finding in self.findings)

    def note(self, rule: Rule, detail: str = "") -> None:
        """Add a finding on the file as a whole."""
        self.findings.append(Finding(rule=rule, detail=detail))
        self.counts[rule] = self.counts.get(rule, 0) + 1

    def to_json(self) -> dict[str, object]:
        """The verdict as ``airflow-am check --json`` prints it."""
        return {
            "path": self.source.path,
            "kind": self.kind,
            "name": None if self.name is None else name_elements(self.name),
            "lines": self.lines,
            "bytes": self.bytes,
            "ok": self.ok,
            "findings": [
                {
                    "line": finding.line,
                    "rule": finding.rule.value,
                    "severity": finding.severity.value,
                    "message": finding.message,
                }
                for finding in (*self.findings, *self._left_out())
            ],
        }

    def _left_out(self) -> Iterator[Finding]:
        """What the list of findings does not hold, so that it is not taken for complete."""
        listed = dict.fromkeys(self.counts, 0)
        for finding in self.findings:
            listed[finding.rule] += 1
        for rule, count in self.counts.items():
            if count > listed[rule]:
                detail = f"{count:,} lines in all, {listed[rule]:,} of them listed"
                yield Finding(rule=rule, detail=detail)


def judge_all(sources: Sequence[Source]) -> list[Verdict]:
    """Look at files, on all cores where they are large.

    :raises ConfigurationError: when one cannot be read.
    """
    large = [source for source in sources if source.size >= _WORTH_A_PROCESS_BYTES]
    processes = min(len(large), os.cpu_count() or 1)
    # What comes over a network waits for that.
    if processes < 2 or any(source.path.startswith(S3) for source in large):
        return [judge(source) for source in sources]
    ignore_interrupts = partial(signal.signal, signal.SIGINT, signal.SIG_IGN)
    with ProcessPoolExecutor(processes, initializer=ignore_interrupts) as pool:
        return list(pool.map(judge, sources))


def judge(source: Source) -> Verdict:
    """Look at a file.

    :raises ConfigurationError: when it cannot be read.
    """
    verdict = Verdict(source=source)
    encoding = Encoding.PLAIN
    try:
        verdict.name = parse_file_name(source.file_name)
    except DataError as error:
        # The finding names the page itself.
        verdict.note(Rule.FILE_NAME, str(error).removesuffix(f" ({RULES[Rule.FILE_NAME].page})"))
    if isinstance(verdict.name, OracleDataCloudFileName):
        verdict.note(Rule.PARTNER_FORM)
        return verdict
    if verdict.name is not None:
        encoding = verdict.name.encoding
    if not source.size:
        _look_into(verdict, Packing.PLAIN)
        return verdict
    with source.open() as file:
        packing = packing_of(file)
    if verdict.name is not None and packing is not _EXPECTED[encoding]:
        said = f"ends in .{encoding}" if encoding else "says plain"
        verdict.note(Rule.EXTENSION, f"the name {said}, the content is {packing}")
    if encoding is not Encoding.PLAIN or packing is not Packing.PLAIN:
        # The size of a plain file is known when it was read.
        problem = size_problem(source.size, encoding or Encoding.GZIP)
        if problem is not None:
            verdict.note(Rule.FILE_TOO_LARGE, problem)
    if packing is Packing.GZIP and _is_encrypted_inside(source):
        verdict.note(Rule.GZIP_AND_PGP, "there is an OpenPGP message in the gzip file")
    elif packing in (Packing.PLAIN, Packing.GZIP):
        _look_into(verdict, packing)
    elif packing is Packing.OPENPGP:
        verdict.note(Rule.ENCRYPTED, _told_of_recipients(source))
    return verdict


def _told_of_recipients(source: Source) -> str:
    """For whom a message is, as far as its beginning says so."""
    with source.open() as file:
        key_ids = recipients_of(file.read(_MESSAGE_START_BYTES))
    if key_ids is None:
        return "an OpenPGP message; gpg, which says to which keys, is not on this machine"
    if not key_ids:
        return "begins as an OpenPGP message, and names no key"
    return (
        f"an OpenPGP message to the subkey {' and '.join(key_ids)}; gpg --show-keys "
        f"--with-subkey-fingerprint shows whose it is, as the end of a subkey's fingerprint"
    )


def _is_encrypted_inside(source: Source) -> bool:
    with closing(Unpacker().gzip(source.open())) as blocks:
        start = next(filter(None, blocks), b"")
    return packing_of(BytesIO(start)) is Packing.OPENPGP


def _look_into(verdict: Verdict, packing: Packing) -> None:
    unpacker = Unpacker()

    def blocks() -> Iterator[bytes]:
        file = verdict.source.open()
        if packing is not Packing.GZIP:
            return unpacker.plain(file)
        # Not only to unpack ahead: isal leaves the wide registers of its thread in a state
        # in which regular expressions run at a third of their speed there.
        return prefetched(unpacker.gzip(file))

    if isinstance(verdict.name, DataFileName | IdSyncFileName):
        reader = scan(verdict.name, blocks)
        verdict.lines, verdict.bytes = reader.line_count, reader.byte_count
        _add(verdict, reader.findings, reader.counts)
    else:
        _count(verdict, blocks())
    if unpacker.problem is not None:
        verdict.note(Rule.BROKEN_COMPRESSION, unpacker.problem)


def _add(verdict: Verdict, findings: list[Finding], counts: Counter[Rule]) -> None:
    verdict.findings += findings
    for rule, count in counts.items():
        verdict.counts[rule] = verdict.counts.get(rule, 0) + count


def _count(verdict: Verdict, blocks: Iterator[bytes]) -> None:
    """Count the lines of a file of which nothing else is known."""
    verdict.lines = verdict.bytes = 0
    last = b"\n"
    for block in filter(None, blocks):
        verdict.lines += block.count(b"\n")
        verdict.bytes += len(block)
        last = block[-1:]
    if last != b"\n":
        verdict.lines += 1
    if not verdict.bytes:
        verdict.note(Rule.EMPTY_FILE)


def name_elements(name: FileName) -> dict[str, Any]:
    """The elements of a name as JSON."""
    if isinstance(name, OracleDataCloudFileName):
        return {"partner": "odc"}
    elements: dict[str, Any] = {}
    if isinstance(name, DataFileName):
        elements |= {"dpid": name.dpid, "target_dpid": name.target_dpid, "mode": name.mode.value}
    else:
        elements |= {
            "prefix": name.prefix.value,
            "master_dpid": name.master_dpid,
            "dpids": list(name.dpids),
        }
    return elements | {
        "timestamp": name.timestamp,
        "split": name.split,
        "encoding": name.encoding.value or None,
    }
