"""Receipts: what Audience Manager says became of delivered files.

Page: inbound-receipt-message.md. One receipt covers every file of a partner that was processed
together, of several deliveries perhaps, and its counts are totals over all of them; what that
means for one delivery is told by
:mod:`airflow_am_provider.audience_manager.receipts.reconciliation`.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow_am_provider.audience_manager.names import printable
from airflow_am_provider.audience_manager.receipts.no_match import stored_contradictions
from airflow_am_provider.audience_manager.receipts.text import COUNT_LABELS as COUNT_LABELS
from airflow_am_provider.audience_manager.receipts.text import (
    FILE_LABEL,
    MAX_COUNT,
    RECEIPT_PAGE,
    TIME_LABELS,
    base_name,
    read_path,
    read_statements,
)
from airflow_am_provider.audience_manager.receipts.text import NotAReceipt as NotAReceipt

if TYPE_CHECKING:
    from collections.abc import Container, Mapping


@dataclass(frozen=True, kw_only=True, slots=True)
class Receipt:
    """What one receipt says. A label that the receipt does not have is None, never 0.

    :param paths: the files as printed, at least one; see :attr:`files` for their own names.
    :param partner_id: the number Adobe greets.
    :param records_received: lines in all the files.
    :param format_errors: lines Adobe could not read.
    :param invalid_aam_id: AAM UUIDs that are not 38 digits.
    :param invalid_device_id: device IDs of the wrong form (reporting/onboarding-status-report.md;
        not in the published e-mail).
    :param no_matching_aam_id: users who were never synchronised. Whether their records are lost is
        told by :mod:`airflow_am_provider.audience_manager.receipts.no_match`.
    :param no_trait_realized: lines of which nothing maps to a trait.
    :param records_processed: usually equal to the records received.
    :param stored_records: records of which data is loaded.
    :param total_devices: devices for which data was loaded.
    :param total_signals: key-value pairs in the records processed.
    :param total_unused_signals: key-value pairs that map to no trait.
    :param total_realized_traits: traits of all users.
    :param total_removed_traits: traits that users had before and have no more.
    :param total_traits_failed_validation: traits that are not of the file's data source.
    :param total_users_failed_validation: records that had such traits.
    :param job_start: when processing began, in UTC, whole seconds.
    :param job_end: when processing ended, in UTC, whole seconds.
    :param warnings: what a person should know of the text that was read; not part of what the
        receipt says, so receipts that differ in it are equal.
    :raises NotAReceipt: when a value could not stand in a receipt.

    >>> receipt = Receipt(paths=("s3n://b/2018-05-17/ftp_dpm_7_1368806402.sync",), format_errors=3)
    >>> print(receipt)
    We have received your Adobe Audience Manager Server-To-Server file delivery
    File name:
    s3n://b/2018-05-17/ftp_dpm_7_1368806402.sync
    Format Errors: 3
    <BLANKLINE>
    """

    paths: tuple[str, ...]
    partner_id: int | None = None
    records_received: int | None = None
    format_errors: int | None = None
    invalid_aam_id: int | None = None
    invalid_device_id: int | None = None
    no_matching_aam_id: int | None = None
    no_trait_realized: int | None = None
    records_processed: int | None = None
    stored_records: int | None = None
    total_devices: int | None = None
    total_signals: int | None = None
    total_unused_signals: int | None = None
    total_realized_traits: int | None = None
    total_removed_traits: int | None = None
    total_traits_failed_validation: int | None = None
    total_users_failed_validation: int | None = None
    job_start: datetime | None = None
    job_end: datetime | None = None
    warnings: tuple[str, ...] = field(default=(), compare=False)

    def __post_init__(self) -> None:
        if not self.paths:
            raise NotAReceipt(f"no file name under {FILE_LABEL!r} ({RECEIPT_PAGE})")
        for place, path in enumerate(self.paths):
            if read_path(path) != path:
                raise NotAReceipt(
                    f"paths[{place}]: {printable(path)!r} is not the path of an inbound file "
                    f"({RECEIPT_PAGE})"
                )
        if len(set(self.paths)) < len(self.paths):
            raise NotAReceipt(f"paths: the same path stands twice ({RECEIPT_PAGE})")
        if not self.counts:
            raise NotAReceipt(
                f"no count: none of {', '.join(map(repr, COUNT_LABELS.values()))} is followed by "
                f"a number ({RECEIPT_PAGE})"
            )
        for name in ("partner_id", *self.counts):
            _check_count(name, getattr(self, name))
        for name in TIME_LABELS:
            _check_time(name, getattr(self, name))

    @property
    def files(self) -> tuple[str, ...]:
        """The files' own names, one for each path, in the printed order.

        The path in a receipt is not the path of delivery, so a file is known by its own name.
        """
        return tuple(base_name(path) for path in self.paths)

    @property
    def counts(self) -> dict[str, int]:
        """The counts that the receipt has, by field name, in Adobe's order."""
        values = {name: getattr(self, name) for name in COUNT_LABELS}
        return {name: value for name, value in values.items() if value is not None}

    @property
    def digest(self) -> str:
        """SHA-256 of what the receipt says, in hexadecimal: equal for copies of one receipt.

        Mail servers deliver twice and people forward, under other Message-IDs and in other
        wrappings; the order of files and their folders are left out for the same reason.
        """
        said = self.to_json() | {"files": sorted(set(self.files))}
        del said["warnings"]
        return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()

    @classmethod
    def parse_text(cls, text: str) -> Receipt:
        r"""Read a receipt from the text of a message.

        Lenient about whitespace, folding, quoting marks, the order of labels and thousands
        separators; strict about what is a receipt.

        :param text: the message's text, markup already taken off.
        :raises NotAReceipt: when the text names no file or no count, or holds two receipts.

        >>> receipt = Receipt.parse_text(
        ...     "Dear Adobe Partner: (ID:7)\nFile name:\n ftp_dpm_7_1368806402.sync\n"
        ...     "Records received: 40669900\nJob start time: 2018-05-17 18:07:49\n")
        >>> receipt.partner_id, receipt.records_received, receipt.format_errors
        (7, 40669900, None)
        >>> receipt.job_start.isoformat()
        '2018-05-17T18:07:49+00:00'
        """
        found = read_statements(text)
        values: dict[str, Any] = {**found.counts, **found.times}
        receipt = cls(paths=tuple(found.paths), partner_id=found.partner_id, **values)
        return replace(receipt, warnings=(*found.warnings, *_contradictions(receipt)))

    def to_text(self) -> str:
        """Print the receipt as Adobe's published message; :meth:`parse_text` reads it back."""
        lines = [] if self.partner_id is None else [f"Dear Adobe Partner: (ID:{self.partner_id})"]
        lines += ["We have received your Adobe Audience Manager Server-To-Server file delivery"]
        lines += [f"{FILE_LABEL}:", *self.paths]
        lines += [f"{COUNT_LABELS[name]}: {value}" for name, value in self.counts.items()]
        for name, label in TIME_LABELS.items():
            time = getattr(self, name)
            if time is not None:
                lines.append(f"{label}: {time.replace(tzinfo=None).isoformat(' ')}")
        return "".join(f"{line}\n" for line in lines)

    def __str__(self) -> str:
        return self.to_text()

    def to_json(self) -> dict[str, object]:
        """Give the receipt as plain JSON: absent counts as null, times in ISO 8601 with offset.

        >>> Receipt(paths=("b/ftp_dpm_7_1368806402.sync",), format_errors=3).to_json()["files"]
        ['ftp_dpm_7_1368806402.sync']
        """
        return {
            "partner_id": self.partner_id,
            "files": list(self.files),
            **{name: getattr(self, name) for name in COUNT_LABELS},
            **{name: _iso(getattr(self, name)) for name in TIME_LABELS},
            "warnings": list(self.warnings),
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Receipt:
        """Read what :meth:`to_json` gave; folders of files, which it leaves out, are not known.

        :raises NotAReceipt: when it is none.
        """
        try:
            said: dict[str, Any] = {name: document.get(name) for name in COUNT_LABELS}
            for name in TIME_LABELS:
                if document.get(name) is not None:
                    said[name] = datetime.fromisoformat(document[name])
            paths = tuple(map(str, document["files"]))
            return cls(paths=paths, partner_id=document["partner_id"], **said)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise NotAReceipt(f"not a receipt as JSON: {error!r}") from None

    def about(self, names: Container[str]) -> Receipt:
        """The same without the files that are not meant.

        :param names: the files' own names.
        :raises NotAReceipt: when none is left.
        """
        return replace(self, paths=tuple(one for one in self.paths if base_name(one) in names))


def _contradictions(receipt: Receipt) -> list[str]:
    """Figures that do not agree with each other: reported, never a failure."""
    said = list(stored_contradictions(receipt))
    received, processed = receipt.records_received, receipt.records_processed
    if received is not None and processed is not None and received != processed:
        said.append(
            f"'Records received' is {received:,}, but 'Records processed' is {processed:,}; "
            f"they are the same in most cases ({RECEIPT_PAGE})"
        )
    if receipt.job_start and receipt.job_end and receipt.job_end < receipt.job_start:
        said.append("'Job end time' is before 'Job start time'")
    return said


def _check_count(name: str, value: object) -> None:
    whole = isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_COUNT
    if value is not None and not whole:
        raise NotAReceipt(f"{name}: {value!r} is not a whole number from 0 ({RECEIPT_PAGE})")


def _check_time(name: str, value: datetime | None) -> None:
    if value is not None and (value.utcoffset() != timedelta(0) or value.microsecond):
        raise NotAReceipt(
            f"{name}: {value!r} is not a time in UTC of whole seconds ({RECEIPT_PAGE})"
        )


def _iso(time: datetime | None) -> str | None:
    return None if time is None else time.isoformat()
