"""Deliveries in staging: an identity that follows from the content, a name, a manifest.

A format task that runs again, because it was retried, cleared or backfilled, makes the
same content; it then finds the delivery that is there and hands out its manifest, with
the names that were given the first time. So nothing is sent under two names. Parts that
are gone from staging are put back.
"""

from __future__ import annotations

import hashlib
import json
import logging
import uuid
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from airflow_am_provider.audience_manager.companions import MANIFEST_FILE
from airflow_am_provider.audience_manager.errors import DataError, TransientError
from airflow_am_provider.audience_manager.names import Encoding, IdSyncFileName
from airflow_am_provider.formatting.manifest import Manifest, Part
from airflow_am_provider.formatting.pipeline import FormatOptions, FormattedParts, format_rows
from airflow_am_provider.formatting.sent_record import SendingFiles, read_sent

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    import pyarrow as pa

    from airflow_am_provider.audience_manager.names import DataFileName
    from airflow_am_provider.formatting.lines import LineWriter
    from airflow_am_provider.formatting.sent_record import SentRecord
    from airflow_am_provider.formatting.storage import Storage

log = logging.getLogger(__name__)

_MOST_SECONDS_AHEAD: Final = 1000
_NAMES: Final = "names"
#: Stands in for the timestamp until the name is given.
NO_TIMESTAMP: Final = 1_000_000_000


@dataclass(frozen=True, kw_only=True)
class Scope:
    """What a delivery's content is said of: the same content for another day is another delivery.

    :param destination: where it goes, such as ``production/acme``.
    :param window_start: first moment of the data as ISO 8601, or None.
    :param window_end: first moment after the data as ISO 8601, or None.
    :param run: what tells runs without a window apart, such as a run ID.
    :param series: what formats such deliveries again and again, ``DAG/TASK``.
    :param watermark: the folder in staging where it is noted what became of the window, or None.
    """

    destination: str
    window_start: str | None = None
    window_end: str | None = None
    run: str | None = None
    series: str = ""
    watermark: str | None = None


@dataclass(frozen=True, kw_only=True)
class Content:
    """Parts that lie in staging and are no delivery yet.

    :param name: the name that they will have, but for its timestamp and split number.
    :param removes: whether lines may take something away from users.
    :param scope: what the content is said of.
    :param folder: where this attempt wrote, relative to the storage.
    :param result: what it wrote.
    :param follows: the number of the snapshot that the content supposes to be there, where it does:
        the same lines behind other ones are another delivery.
    """

    name: DataFileName | IdSyncFileName
    removes: bool
    scope: Scope
    folder: str
    result: FormattedParts
    follows: int | None = None

    @property
    def kind(self) -> str:
        """``data`` or ``id_sync``."""
        return _kind(self.name)

    @property
    def identity(self) -> str:
        """A hash of what is sent, where and for when."""
        scope = self.scope
        # The name without its timestamp stands for data source, target and mode.
        facts = [str(self.name), scope.destination, scope.window_start, scope.window_end]
        if scope.window_start is None and scope.window_end is None:
            facts.append(scope.run)
        facts.append(self.result.text_sha256)
        if self.follows is not None:
            facts.append(str(self.follows))
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:20]


def stage_delivery(
    batches: Iterable[pa.RecordBatch],
    writer: LineWriter,
    storage: Storage,
    options: FormatOptions,
    *,
    scope: Scope,
    now: datetime,
) -> Manifest:
    """Format rows into the staging location and write the manifest last.

    :param batches: the source's rows.
    :param writer: what turns them into lines.
    :param storage: the staging location.
    :param options: how to write the parts.
    :param scope: what the content is said of.
    :param now: the time, in UTC; the names' timestamp is taken from it.
    :return: the manifest; without parts when no row was written.
    :raises DataError: as :func:`~airflow_am_provider.formatting.pipeline.format_rows` does; and
        when the delivery was sent in part, and what is gone of it cannot be made again.
    """
    content = format_content(batches, writer, storage, options, scope=scope, now=now)
    return stage_content(content, storage, now=now)


def format_content(
    batches: Iterable[pa.RecordBatch],
    writer: LineWriter,
    storage: Storage,
    options: FormatOptions,
    *,
    scope: Scope,
    now: datetime,
) -> Content:
    """Format rows into a folder of staging; see :func:`stage_delivery`."""
    name = writer.file_name(NO_TIMESTAMP).packed(options.encoding)
    folder = attempt_folder(_kind(name), now)
    result = format_rows(batches, writer, storage, folder, options)
    return Content(name=name, removes=writer.removes, scope=scope, folder=folder, result=result)


def attempt_folder(kind: str, now: datetime) -> str:
    """Each attempt writes to a folder of its own, so that two of them never mix."""
    return f"deliveries/{kind}/attempts/{now:%Y-%m-%d}-{uuid.uuid4().hex[:12]}"


def stage_content(
    content: Content, storage: Storage, *, now: datetime, is_shared: bool = False
) -> Manifest:
    """Make a delivery of what was formatted, unless it is one already.

    :param content: what was formatted.
    :param storage: the staging location.
    :param now: the time, in UTC; the names' timestamp is taken from it.
    :param is_shared: whether other tasks or deliveries may count on the same files, as on those of
        a partition: none is deleted then.
    :return: the manifest; without parts when no row was written.
    :raises DataError: when the delivery was sent in part, and what is gone of it cannot be made
        again.
    """
    result, delivery_id = content.result, content.identity
    # Where nothing was written there is no delivery; the manifest beside the rejects says why.
    location = f"deliveries/{content.kind}/{delivery_id}" if result.parts else content.folder
    path = f"{location}/{MANIFEST_FILE}"
    manifest = Manifest(
        delivery_id=delivery_id,
        kind=content.kind,
        staging=storage.url,
        location=location,
        destination=content.scope.destination,
        removes=content.removes,
        series=content.scope.series,
        window_start=content.scope.window_start,
        window_end=content.scope.window_end,
        rows_read=result.rows_read,
        rows_written=result.rows_written,
        rows_set_aside=result.rows_set_aside,
        set_aside_by_reason=result.set_aside_by_reason,
        rejects=result.rejects,
        items=result.items,
        lines_without_items=result.lines_without_items,
        remarks=result.remarks,
        created_at=now.isoformat(timespec="seconds"),
        parts=(),
    )
    if result.parts:
        staged = _staged_already(storage, path)
        if staged is not None:
            return _staged_again(storage, result, staged, manifest, is_shared=is_shared)
        name = _reserved_name(content.name, storage, delivery_id, int(now.timestamp()))
        manifest = replace(manifest, parts=named_parts(result, name))
    if storage.create(path, _text(manifest)):
        return manifest
    # Another attempt with the same content was quicker by a moment.
    staged = _staged_already(storage, path)
    if staged is None:
        raise TransientError(f"{storage.url}/{path}: there, and gone a moment later")
    if staged == manifest:
        # It was this one: an answer got lost, and the storage's client asked again.
        return manifest
    if manifest.parts:
        storage.delete(f"{_NAMES}/{_reservation(manifest.file_name)}")
    return _given_back(storage, result, staged, is_shared=is_shared)


def _kind(name: DataFileName | IdSyncFileName) -> str:
    return "id_sync" if isinstance(name, IdSyncFileName) else "data"


def named_parts(result: FormattedParts, name: DataFileName | IdSyncFileName) -> tuple[Part, ...]:
    """Give the parts their names: a single one has no split number."""
    only_one = len(result.parts) == 1
    parts = []
    for number, part in enumerate(result.parts, start=1):
        part_name = name.with_split(None if only_one else number)
        parts.append(
            Part(
                path=part.path,
                file_name=str(part_name),
                lines=part.lines,
                bytes=part.bytes,
                compressed_bytes=part.compressed_bytes,
                sha256=part.sha256,
            )
        )
    return tuple(parts)


def _staged_already(storage: Storage, path: str) -> Manifest | None:
    content = storage.read_bytes(path)
    return None if content is None else Manifest.from_json(content)


def _staged_again(
    storage: Storage,
    result: FormattedParts,
    staged: Manifest,
    manifest: Manifest,
    *,
    is_shared: bool,
) -> Manifest:
    """Go on with the delivery that is staged already; the new parts stand in for lost ones.

    :param manifest: what this attempt made, its parts without names.
    """
    try:
        if _is_whole(storage, staged):
            return _given_back(storage, result, staged, is_shared=is_shared)
        record = read_sent(storage, staged, SendingFiles(location=staged.location))
        if record is not None and record.sent_at is not None:
            # All of it is there, under its names: nobody needs the parts any more.
            return _given_back(storage, result, staged, is_shared=is_shared)
        again = replace(manifest, parts=named_parts(result, staged.file_name))
        if record is not None and record.parts and _files(again) != _files(staged):
            raise _other_files(storage, staged, record)
    except DataError:
        if not is_shared:
            _discard(storage, result, but=staged)
        raise
    log.info(
        "Parts of delivery %s are gone from staging: staged again, under the same names",
        staged.delivery_id,
    )
    storage.write_bytes(f"{staged.location}/{MANIFEST_FILE}", _text(again))
    if is_shared:
        return again
    kept = {part.path for part in again.parts} | {again.rejects}
    for path in [part.path for part in staged.parts] + [staged.rejects]:
        if path is not None and path not in kept:
            storage.delete(path)
    return again


def _is_whole(storage: Storage, staged: Manifest) -> bool:
    return all(storage.size(part.path) == part.compressed_bytes for part in staged.parts)


def _files(manifest: Manifest) -> list[Part]:
    """What is sent, wherever it lies."""
    return [replace(part, path="") for part in manifest.parts]


def _other_files(storage: Storage, staged: Manifest, record: SentRecord) -> DataError:
    sent = len(record.parts)
    return DataError(
        f"delivery {staged.delivery_id}: {sent} of its {len(staged.parts)} files "
        f"{'was' if sent == 1 else 'were'} sent, parts of it are gone from {storage.url}, and the "
        f"same rows make other files now: part_bytes, compressed_part_bytes or the package has "
        f"changed. Put that back to go on, or delete {storage.url}/{staged.location} to send all "
        f"of it under new names"
    )


def _text(manifest: Manifest) -> bytes:
    return json.dumps(manifest.to_json(), indent=2).encode()


def _given_back(
    storage: Storage, result: FormattedParts, staged: Manifest, *, is_shared: bool
) -> Manifest:
    log.info(
        "The same content is staged already as delivery %s, since %s: going on with that one, "
        "under its names",
        staged.delivery_id,
        staged.created_at,
    )
    if not is_shared:
        _discard(storage, result, but=staged)
    return staged


def _discard(storage: Storage, result: FormattedParts, *, but: Manifest) -> None:
    """Delete what was written, save what a delivery is made of."""
    kept = {part.path for part in but.parts} | {but.rejects}
    for path in [part.path for part in result.parts] + [result.rejects]:
        if path is not None and path not in kept:
            storage.delete(path)


def _reserved_name(
    name: DataFileName | IdSyncFileName, storage: Storage, delivery_id: str, timestamp: int
) -> DataFileName | IdSyncFileName:
    """A name that no other delivery has: two of one second get different seconds."""
    for later in range(_MOST_SECONDS_AHEAD):
        named = replace(name, timestamp=timestamp + later)
        if storage.create(f"{_NAMES}/{_reservation(named)}", delivery_id.encode()):
            return named
    raise TransientError(
        f"{storage.url}/{_NAMES}: the names of the next {_MOST_SECONDS_AHEAD} seconds are all taken"
    )


def _reservation(name: DataFileName | IdSyncFileName) -> DataFileName | IdSyncFileName:
    """A delivery's name is taken in every encoding."""
    return name.with_split(None).packed(Encoding.PLAIN)
