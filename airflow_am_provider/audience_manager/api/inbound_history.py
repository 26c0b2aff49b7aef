"""What the inbound history says of files: the Onboarding Status Report by machine.

``GET datasources/DPID/history/inbound``. Its fields stand in no public page, so they are read by
what their names mean, and what was not understood is said.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from airflow_am_provider.audience_manager.receipts.receipt import COUNT_LABELS
from airflow_am_provider.audience_manager.receipts.text import base_name

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["InboundFile", "read_history"]

_FILE_NAME = re.compile(
    r"(?:ftp_dpm|adobe_id|c2c_id)_[0-9_]+\.(?:sync|overwrite)[0-9A-Za-z.]*", re.ASCII
)
# Words that two spellings of a count differ in.
_LEFT_OUT: Final = frozenset({"records", "record", "total", "count", "number", "of", "num"})
_WORDS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")


def _meaning(name: str) -> frozenset[str]:
    """The words of a name that tell it from others: ``receivedRecords`` is *Records received*."""
    words = (word.lower() for word in _WORDS.findall(name.replace("AAM", "Aam")))
    return frozenset(word.rstrip("s") for word in words if word not in _LEFT_OUT)


# By the label of a receipt, and by the name that this package has for it.
_COUNTS: Final = {
    _meaning(words.replace("_", " ")): name
    for name, label in COUNT_LABELS.items()
    for words in (name, label)
}


@dataclass(frozen=True, kw_only=True, slots=True)
class InboundFile:
    """What the history says of one file.

    :param file_name: its name, without the path.
    :param counts: the counts that were understood, by the names that receipts have.
    :param not_understood: names of the other fields, for the log; never their values.
    """

    file_name: str
    counts: dict[str, int] = field(default_factory=dict)
    not_understood: tuple[str, ...] = ()


def read_history(document: object) -> Iterator[InboundFile]:
    """Find the files in an answer, whatever it is wrapped in.

    :param document: the answer's JSON.

    >>> (file,) = read_history([{"fileName": "s3n://b/ftp_dpm_7_1366545717.sync.gz",
    ...     "receivedRecords": 5, "storedRecords": 4, "colour": "red"}])
    >>> file.file_name, file.counts, file.not_understood
    ('ftp_dpm_7_1366545717.sync.gz', {'records_received': 5, 'stored_records': 4}, ('colour',))
    """
    if isinstance(document, list):
        for entry in document:
            yield from read_history(entry)
    elif isinstance(document, dict):
        name = _file_name(document)
        if name is None:
            for value in document.values():
                if isinstance(value, (dict, list)):
                    yield from read_history(value)
        else:
            yield _file(name, document)


def _file_name(entry: dict[str, Any]) -> str | None:
    for value in entry.values():
        if isinstance(value, str):
            last = base_name(value)
            if _FILE_NAME.fullmatch(last):
                return last
    return None


def _file(name: str, entry: dict[str, Any]) -> InboundFile:
    counts: dict[str, int] = {}
    unknown = []
    for key, value in _flat(entry):
        count = _COUNTS.get(_meaning(key))
        if count is not None and type(value) is int and value >= 0 and count not in counts:
            counts[count] = value
        elif not (isinstance(value, str) and base_name(value) == name):
            unknown.append(key)
    return InboundFile(file_name=name, counts=counts, not_understood=tuple(unknown))


def _flat(entry: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """The fields, those of objects within it too."""
    for key, value in entry.items():
        if isinstance(value, dict):
            yield from _flat(value)
        else:
            yield str(key), value
