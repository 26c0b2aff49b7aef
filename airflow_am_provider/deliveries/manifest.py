"""The manifest of a delivery: what was staged, under which names, with which counts.

It is plain JSON, small enough for an XCom, and lies beside the parts as
``manifest.json``. The layout is public and documented in docs/manifest.md.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final

from airflow_am_provider.audience_manager.errors import ConfigurationError, DataError
from airflow_am_provider.audience_manager.names import (
    DataFileName,
    IdSyncFileName,
    OracleDataCloudFileName,
    parse_file_name,
)
from airflow_am_provider.audience_manager.words import counted
from airflow_am_provider.deliveries.window import NO_WINDOW, Window, with_texts, with_window

MANIFEST_VERSION: Final = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """One staged file.

    :param path: where it lies, relative to the staging location.
    :param file_name: the name it has at Adobe.
    :param lines: how many lines it has.
    :param bytes: its size in bytes, uncompressed.
    :param compressed_bytes: its size in bytes as staged and sent.
    :param sha256: checksum of the bytes as staged and sent, hexadecimal.
    """

    path: str
    file_name: str
    lines: int
    bytes: int
    compressed_bytes: int
    sha256: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Manifest:
    """What one formatting task staged. Rows read = rows written + rows set aside.

    :param delivery_id: identity of the delivery: it follows from what is sent, so that the
        same content for the same target has the same identity, whoever formats it again.
    :param kind: ``data`` or ``id_sync``.
    :param staging: the staging location, for people: ``s3://bucket/prefix`` or a path.
    :param location: the delivery's folder, relative to the staging location.
    :param destination: where it goes, such as ``production/acme``; empty for files that a person
        sends.
    :param removes: whether it may take something away from users: an ``.overwrite``, or lines with
        ``d_unsid``. Deliveries that only add may arrive in any order.
    :param series: what formats such deliveries again and again, ``DAG/TASK``; their order counts.
    :param window: what time the data is about; in JSON ``window_start`` and ``window_end``.
    :param rows_read: rows the source gave.
    :param rows_written: rows that are in the parts.
    :param rows_set_aside: rows that are not.
    :param set_aside_by_reason: how many of them for each rule, by the rule's code.
    :param rejects: the rejects file, relative to the staging location, or None.
    :param contents: the file that names its data sources and traits, relative to the staging
        location; None where the connection has no ``api_conn_id``.
    :param items: how many items all lines of an ``.overwrite`` have; None of other files.
    :param lines_without_items: how many of its lines have none, and so empty a user; None of
        other files.
    :param remarks: counts of what is worth a look and keeps no row out, by
        :class:`~airflow_am_provider.formatting.remarks.Remark`.
    :param created_at: when it was staged, as ISO 8601 in UTC.
    :param parts: the staged files, in the order of their split numbers.
    :param is_repeat: whether it was staged by an attempt before this one; not in JSON.
    """

    delivery_id: str
    kind: str
    staging: str
    location: str
    destination: str = ""
    # Where nothing is said, order counts: that is the safe reading.
    removes: bool = True
    series: str = ""
    rows_read: int
    rows_written: int
    rows_set_aside: int
    set_aside_by_reason: dict[str, int] = field(default_factory=dict)
    window: Window = NO_WINDOW
    rejects: str | None = None
    contents: str | None = None
    items: int | None = None
    lines_without_items: int | None = None
    remarks: dict[str, int] = field(default_factory=dict)
    created_at: str
    parts: tuple[Part, ...]
    version: int = MANIFEST_VERSION
    is_repeat: bool = field(default=False, compare=False)

    def __post_init__(self) -> None:
        if self.rows_read != self.rows_written + self.rows_set_aside:
            raise DataError(
                f"manifest {self.delivery_id}: {self.rows_read} rows read are not "
                f"{self.rows_written} written + {self.rows_set_aside} set aside"
            )
        if sum(self.set_aside_by_reason.values()) != self.rows_set_aside:
            raise DataError(
                f"manifest {self.delivery_id}: the reasons do not add up to "
                f"{self.rows_set_aside} rows set aside"
            )
        for place, part in enumerate(self.parts):
            if isinstance(parse_file_name(part.file_name), OracleDataCloudFileName):
                raise DataError(
                    f"manifest {self.delivery_id}: parts[{place}].file_name: files of Oracle "
                    f"Data Cloud are never written"
                )

    @property
    def file_name(self) -> DataFileName | IdSyncFileName:
        """The parsed name of the first part.

        :raises DataError: when there is no part.
        """
        if not self.parts:
            raise DataError(f"manifest {self.delivery_id}: no parts, so there is nothing to name")
        name = parse_file_name(self.parts[0].file_name)
        assert not isinstance(name, OracleDataCloudFileName)  # checked when it was built
        return name

    def named(self, timestamp: int) -> Manifest:
        """The same with another timestamp in its names: a stranger's file may have had this one.

        :raises DataError: when there is no part.
        """
        if self.file_name.timestamp == timestamp:
            return self
        parts = []
        for part in self.parts:
            name = parse_file_name(part.file_name)
            assert not isinstance(name, OracleDataCloudFileName)  # checked when it was built
            parts.append(replace(part, file_name=str(replace(name, timestamp=timestamp))))
        return replace(self, parts=tuple(parts))

    @property
    def lines_by_file(self) -> dict[str, int]:
        """How many lines each file has, by its name at Adobe: what a receipt is held against."""
        return {part.file_name: part.lines for part in self.parts}

    def to_json(self) -> dict[str, Any]:
        """The manifest as plain JSON."""
        document = {**with_texts(self), "parts": [asdict(part) for part in self.parts]}
        del document["is_repeat"]
        return document

    @classmethod
    def from_json(cls, document: object) -> Manifest:
        """Read a manifest.

        :param document: what :meth:`to_json` gave, or that as JSON text.
        :raises ConfigurationError: when it is no manifest of this version; says what is wrong.
        """
        if isinstance(document, str | bytes):
            try:
                document = json.loads(document)
            except ValueError as error:
                raise ConfigurationError(f"manifest: not JSON: {error}") from None
        if not isinstance(document, dict):
            raise ConfigurationError(
                f"manifest: an object was expected, not {type(document).__name__}; pass what a "
                f"format operator returned"
            )
        if "partition" in document:
            raise ConfigurationError(
                "manifest: one partition of a delivery; put CombinePartitionsOperator between the "
                "format task and this one"
            )
        if document.get("version") != MANIFEST_VERSION:
            raise ConfigurationError(
                f"manifest: version {document.get('version')!r} cannot be read, only "
                f"{MANIFEST_VERSION}; pass what a format operator returned"
            )
        try:
            parts = tuple(Part(**part) for part in document["parts"])
            return cls(**{**with_window(document), "parts": parts})
        except (TypeError, KeyError, ValueError) as error:
            raise ConfigurationError(f"manifest: {error}") from None


def said_of_joined_rows(manifest: Manifest) -> str:
    """Say how many lines the rows became, where several stand on one; otherwise nothing."""
    lines = sum(part.lines for part in manifest.parts)
    if lines == manifest.rows_written:
        return ""
    return f"{manifest.rows_written:,} rows joined on {lines:,} lines"


def nothing_to_send(manifest: Manifest) -> str:
    """Say that a delivery has no parts, and why none is made."""
    return (
        f"Nothing to send: {counted(manifest.rows_read, 'row')} read, "
        f"{manifest.rows_set_aside:,} of them set aside. An empty file is invalid "
        f"(inbound-s3-filenames.md), so none is made"
    )
