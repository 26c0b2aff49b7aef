"""Why rows were set aside: the first row numbers and masked examples of each reason."""

from __future__ import annotations

import csv
import io
import re
import shlex
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from airflow_am_provider.plugins.page.words import reason_words

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_am_provider.deliveries.manifest import Manifest
    from airflow_am_provider.storage.folder import Folder

# Examples are a help, and not worth reading a file of gigabytes.
_LOOKED_THROUGH_BYTES: Final = 1 << 20
_MOST_ROWS: Final = 5
_MOST_EXAMPLES: Final = 3
# As audience_manager.personal_data.mask writes it. Anything else in its place is not shown.
_MASKED: Final = re.compile(r"[A-Za-z0-9]{0,2}… \(\d+ characters\)")


@dataclass
class _Found:
    rows: list[int] = field(default_factory=list)
    examples: list[str] = field(default_factory=list)


def set_aside_reasons(
    counts: Mapping[str, int], manifest: Manifest | None, staging: Folder | None
) -> list[dict[str, Any]]:
    """Each reason, the most frequent first.

    :param counts: rows for each rule, by the rule's code.
    :param manifest: the delivery's; None where it cannot be read.
    :param staging: where it lies.
    """
    rejects = None if manifest is None else manifest.rejects
    found = {} if staging is None or rejects is None else _first(staging, rejects)
    reasons = []
    for reason, count in sorted(counts.items(), key=lambda one: -one[1]):
        first = found.get(reason, _Found())
        command = None
        if manifest is not None and rejects is not None:
            command = _command(f"{manifest.staging}/{rejects}", reason)
        reasons.append(
            {
                "reason": reason,
                "words": reason_words(reason),
                "count": count,
                "first_rows": first.rows,
                "examples": first.examples,
                "command": command,
            }
        )
    return reasons


def _first(staging: Folder, path: str) -> dict[str, _Found]:
    with staging.open_read(path) as file:
        begin = file.read(_LOOKED_THROUGH_BYTES)
    # The last line may be cut.
    whole = begin[: begin.rfind(b"\n") + 1].decode("utf-8", "replace")
    found: dict[str, _Found] = {}
    for row in csv.DictReader(io.StringIO(whole)):
        first = found.setdefault(row.get("reason") or "", _Found())
        number, masked = row.get("row_number") or "", row.get("id_masked") or ""
        if number.isdigit() and len(first.rows) < _MOST_ROWS:
            first.rows.append(int(number))
        if _MASKED.fullmatch(masked) and len(first.examples) < _MOST_EXAMPLES:
            partition = row.get("partition")
            where = f"partition {partition}, row {number}" if partition else f"row {number}"
            first.examples.append(f"{where}: {masked}")
    return found


def _command(url: str, reason: str) -> str:
    pattern = shlex.quote(f",{reason},")
    if url.startswith("s3://"):
        return f"aws s3 cp {shlex.quote(url)} - | grep {pattern}"
    return f"grep {pattern} {shlex.quote(url)}"
