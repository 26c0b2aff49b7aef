"""Partitions that were formatted one by one become one delivery.

What a partition's task hands on is plain JSON, small enough for an XCom; the parts stay where
they are in staging. The delivery has one continuous numbering, one manifest and one file of rows
that were set aside.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from airflow_am_provider.audience_manager.errors import ConfigurationError, DataError
from airflow_am_provider.audience_manager.file_kinds import (
    DataFileKind,
    FileKind,
    Mode,
    parse_file_kind,
)
from airflow_am_provider.audience_manager.rules import RULES, Rule
from airflow_am_provider.audience_manager.words import counted
from airflow_am_provider.deliveries.partition import Partition
from airflow_am_provider.deliveries.staging import (
    DeliveryContext,
    FormattedContent,
    attempt_folder,
    stage_content,
)
from airflow_am_provider.deliveries.window import with_texts, with_window
from airflow_am_provider.formatting.acceptance import check_set_aside
from airflow_am_provider.formatting.file_names import REJECTS_FILE
from airflow_am_provider.formatting.overlap import prefetched
from airflow_am_provider.formatting.parts import WrittenPart
from airflow_am_provider.formatting.pipeline import FormattedParts, write_contents
from airflow_am_provider.formatting.reading_back import read_lines
from airflow_am_provider.formatting.rejects import HEADER
from airflow_am_provider.formatting.remarks import together
from airflow_am_provider.formatting.repeats.joined_lines import leading_ids
from airflow_am_provider.formatting.repeats.shared_users import SomeIds, shared_users

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import datetime

    from airflow_am_provider.deliveries.manifest import Manifest
    from airflow_am_provider.deliveries.origin import Origin
    from airflow_am_provider.deliveries.targets import Targets
    from airflow_am_provider.storage.folder import Folder

PARTITION_VERSION: Final = 2
_BLOCK_BYTES: Final = 1 << 20


@dataclass(frozen=True, kw_only=True)
class FormattedPartition:
    """What one task wrote of a delivery.

    :param partition: which share of the rows.
    :param partitioning: by what the rows were told from those of other partitions.
    :param is_by_user: whether no user can be in two partitions, by how they were told.
    :param staging: the staging location, for people.
    :param content: what was written.
    """

    partition: Partition
    partitioning: str
    is_by_user: bool
    staging: str
    content: FormattedContent

    def to_json(self) -> dict[str, Any]:
        """Plain JSON; the layout is documented in docs/manifest.md."""
        result = self.content.result
        return {
            "version": PARTITION_VERSION,
            "partition": self.partition.number,
            "partitions": self.partition.count,
            "partitioning": self.partitioning,
            "is_by_user": self.is_by_user,
            "file_kind": str(self.content.file_kind),
            "removes": self.content.removes,
            "context": with_texts(self.content.context),
            "staging": self.staging,
            "location": self.content.folder,
            **asdict(result),
            "parts": [asdict(part) for part in result.parts],
        }

    @classmethod
    def from_json(cls, document: object) -> FormattedPartition:
        """Read what :meth:`to_json` gave.

        :raises ConfigurationError: when it is something else.
        """
        if isinstance(document, dict) and "delivery_id" in document:
            raise ConfigurationError(
                "formatted: a whole delivery, which needs no combining; set partition= on the "
                "format operator, or upload its manifest"
            )
        if not isinstance(document, dict) or document.get("version") != PARTITION_VERSION:
            raise ConfigurationError(
                "formatted: not what a format operator with partition= returned"
            )
        try:
            facts = ("rows_read", "rows_written", "rows_set_aside", "set_aside_by_reason",
                     "text_sha256", "rejects", "max_set_aside", "contents", "items",
                     "lines_without_items", "remarks")  # fmt: skip
            return cls(
                partition=Partition(number=document["partition"], count=document["partitions"]),
                partitioning=document["partitioning"],
                is_by_user=document["is_by_user"],
                staging=document["staging"],
                content=FormattedContent(
                    file_kind=parse_file_kind(document["file_kind"]),
                    removes=document["removes"],
                    context=DeliveryContext(**with_window(document["context"])),
                    folder=document["location"],
                    result=FormattedParts(
                        parts=tuple(WrittenPart(**part) for part in document["parts"]),
                        **{fact: document[fact] for fact in facts},
                    ),
                ),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ConfigurationError(f"formatted: {error}") from None


def combine(
    partitions: Iterable[FormattedPartition],
    targets: Targets,
    *,
    now: datetime,
    origin: Origin | None = None,
) -> Manifest:
    """Make one delivery of all partitions.

    :param partitions: all of them, in any order.
    :param targets: of the staging location.
    :param now: the time, in UTC; the names' timestamp is taken from it.
    :param origin: the task that combines them, if one does.
    :return: the manifest; without parts when no partition has any.
    :raises ConfigurationError: when one is missing or there twice, or they do not belong together.
    :raises DataError: when more rows are set aside than allowed, or a part is gone; nothing is
        staged then.
    """
    storage = targets.staging
    ordered = sorted(partitions, key=lambda one: one.partition.number)
    _check_complete(ordered)
    first = ordered[0]
    if first.staging != storage.url:
        raise ConfigurationError(
            f"formatted: staged at {first.staging}, but the connection's staging location is "
            f"{storage.url}. Where it was changed on purpose, clear the tasks that formatted them, "
            f"with all that is after them. Otherwise change it back, or give each of the tasks the "
            f"same connection"
        )
    folder = attempt_folder(first.content.kind, now)
    _check_there(ordered, storage)
    _check_users(ordered, storage)
    results = [one.content.result for one in ordered]
    reasons: Counter[str] = Counter()
    for result in results:
        reasons.update(result.set_aside_by_reason)
    rejects = _join_rejects(ordered, storage, f"{folder}/{REJECTS_FILE}")
    rows_read = sum(result.rows_read for result in results)
    counts = {Rule(reason): count for reason, count in reasons.items()}
    max_set_aside = first.content.result.max_set_aside
    try:
        check_set_aside(counts, rows_read, max_set_aside)
    except DataError as error:
        raise DataError(f"{error}. Rows set aside are listed in {storage.url}/{rejects}") from None
    whole = FormattedParts(
        rows_read=rows_read,
        rows_written=sum(result.rows_written for result in results),
        rows_set_aside=sum(result.rows_set_aside for result in results),
        set_aside_by_reason=dict(sorted(reasons.items())),
        parts=tuple(part for result in results for part in result.parts),
        text_sha256=hashlib.sha256(
            "".join(result.text_sha256 for result in results).encode()
        ).hexdigest(),
        rejects=rejects,
        max_set_aside=max_set_aside,
        contents=_join_contents(ordered, storage, folder),
        items=_sum(result.items for result in results),
        lines_without_items=_sum(result.lines_without_items for result in results),
        remarks=together(result.remarks for result in results),
    )
    content = replace(first.content, folder=folder, result=whole)
    return stage_content(content, targets, now=now, is_shared=True, origin=origin)


def _join_contents(
    ordered: Sequence[FormattedPartition], storage: Folder, folder: str
) -> str | None:
    """One file of what all partitions say; None where one of them was not asked to tell."""
    paths = [one.content.result.contents for one in ordered]
    documents = []
    for path in paths:
        raw = None if path is None else storage.read_bytes(path)
        if raw is None:
            return None
        documents.append(json.loads(raw))
    whole = dict(documents[0])
    for name in ("traits", "removed_traits", "signal_keys"):
        whole[name] = sorted({one for document in documents for one in document[name]})
    return write_contents(storage, folder, whole)


def _sum(counts: Iterable[int | None]) -> int | None:
    """All of them together; None where they are not counted."""
    known = [count for count in counts if count is not None]
    return sum(known) if known else None


def _partitions(numbers: Iterable[int], count: int) -> list[str]:
    return [str(Partition(number=number, count=count)) for number in numbers]


def _check_complete(ordered: Sequence[FormattedPartition]) -> None:
    if not ordered:
        raise ConfigurationError("formatted: none; pass what the mapped format task returned")
    count = ordered[0].partition.count
    numbers = Counter(one.partition.number for one in ordered)
    missing = [number for number in range(count) if number not in numbers]
    twice = [number for number, times in numbers.items() if times > 1]
    for what, found in (("missing", missing), ("there more than once", twice)):
        if found:
            raise ConfigurationError(
                f"formatted: {', '.join(_partitions(found, count))} {what}; nothing was staged. "
                f"Map the format task over partition=range({count})"
            )
    facts: dict[str, set[Any]] = {
        "partitions": {one.partition.count for one in ordered},
        "partitioning": {one.partitioning for one in ordered},
        "file_kind": {str(one.content.file_kind) for one in ordered},
        "removes": {one.content.removes for one in ordered},
        "context": {one.content.context for one in ordered},
        "staging": {one.staging for one in ordered},
        "max_set_aside": {one.content.result.max_set_aside for one in ordered},
    }
    for fact, values in facts.items():
        if len(values) > 1:
            raise ConfigurationError(
                f"formatted: {fact} differs between them: "
                f"{' and '.join(sorted(map(str, values)))}; they are not of one delivery"
            )


def _check_there(ordered: Sequence[FormattedPartition], storage: Folder) -> None:
    for one in ordered:
        for part in one.content.result.parts:
            if storage.size(part.path) != part.compressed_bytes:
                raise DataError(
                    f"partition {one.partition}: {storage.url}/{part.path} is gone or has another "
                    f"size; nothing was staged. Clear that mapped task"
                )


def _check_users(ordered: Sequence[FormattedPartition], storage: Folder) -> None:
    """See that no user of an ``.overwrite`` is in two partitions, where only a person has said so.

    Nothing says that parts replace together (faq/faq-inbound-data-ingestion.md).
    """
    kind = ordered[0].content.file_kind
    is_overwrite = isinstance(kind, DataFileKind) and kind.mode is Mode.OVERWRITE
    if not is_overwrite or all(one.is_by_user for one in ordered):
        return
    check_can_compare(kind)

    def read() -> Iterator[SomeIds]:
        for one in ordered:
            parts = one.content.result.parts
            for lines in prefetched(read_lines(storage, parts, kind.encoding)):
                yield SomeIds(
                    one.partition.number, np.zeros(len(lines), np.int64), leading_ids(lines)
                )

    count, pair = 0, ""
    for found in shared_users(read):
        count += len(found.parts)
        pair = pair or f"{found.others[0]} and {found.parts[0]}"
    if count:
        users = counted(count, "user has", "users have")
        raise DataError(
            f"partitions: {users} rows in several of them, such as {pair}. An .overwrite replaces "
            f"part by part, so that one part would take away what another has set "
            f"({RULES[Rule.USER_IN_TWO_PARTS].page}). Nothing was staged. Divide the rows "
            f"by something that is the same for all rows of a user ID, or leave partition_by out"
        )


def check_can_compare(kind: FileKind) -> None:
    """Refuse partitions whose users have to be compared, and cannot be.

    :param kind: of files of partitions in several of which a user might be.
    :raises ConfigurationError: for an ``.overwrite`` that is encrypted.
    """
    if (
        isinstance(kind, DataFileKind)
        and kind.mode is Mode.OVERWRITE
        and kind.encoding.is_encrypted
    ):
        raise ConfigurationError(
            f"partition_by: an .overwrite has no user in two parts "
            f"({RULES[Rule.USER_IN_TWO_PARTS].page}), and in encrypted partitions that cannot be "
            f"seen; leave partition_by out, so that rows are divided by user ID, or format all "
            f"rows in one task"
        )


def _join_rejects(ordered: Sequence[FormattedPartition], storage: Folder, path: str) -> str | None:
    """One file of all rows that were set aside; each says which partition's row it is."""
    found = [one for one in ordered if one.content.result.rejects is not None]
    if not found:
        return None
    with storage.open_write(path) as joined:
        joined.write(b"partition," + HEADER)
        for one in found:
            prefix = b"%d," % one.partition.number
            rejects = one.content.result.rejects
            assert rejects is not None
            with storage.open_read(rejects) as file:
                if file.readline() != HEADER:
                    raise DataError(f"{storage.url}/{rejects}: not a file of rows set aside")
                while lines := file.readlines(_BLOCK_BYTES):
                    joined.writelines(prefix + line for line in lines)
    return path
