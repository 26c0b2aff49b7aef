"""Deliveries in staging: an identity that follows from the content, a name, a manifest.

A format task that runs again, because it was retried, cleared or backfilled, makes the same
content; its target then says which delivery that is, and the task hands out its manifest, with the
names that were given the first time. So nothing is sent under two names. Parts that are gone from
staging are put back.
"""

from __future__ import annotations

import hashlib
import json
import logging
import uuid
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING

from airflow_am_provider.audience_manager.errors import DataError, TransientError
from airflow_am_provider.audience_manager.file_kinds import DataFileKind, IdSyncFileKind
from airflow_am_provider.audience_manager.names import Mode, named
from airflow_am_provider.deliveries.expiry import expiry_warning
from airflow_am_provider.deliveries.layout import MANIFEST_FILE
from airflow_am_provider.deliveries.manifest import Manifest, Part
from airflow_am_provider.deliveries.target.commands import Stage
from airflow_am_provider.deliveries.target.events import Outcome, Refused
from airflow_am_provider.deliveries.target.names import subject_of, target_of
from airflow_am_provider.deliveries.target.records import Versions
from airflow_am_provider.deliveries.uploads.record import read_upload_record
from airflow_am_provider.deliveries.window import NO_WINDOW, Window
from airflow_am_provider.formatting.pipeline import FormatOptions, FormattedParts, format_rows

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pyarrow as pa

    from airflow_am_provider.audience_manager.file_kinds import FileKind
    from airflow_am_provider.deliveries.origin import Origin
    from airflow_am_provider.deliveries.target.commands import NewExtract
    from airflow_am_provider.deliveries.target.state import DeliveryEntry, TargetState
    from airflow_am_provider.deliveries.target.target import Target
    from airflow_am_provider.deliveries.targets import Targets
    from airflow_am_provider.deliveries.uploads.record import UploadRecord
    from airflow_am_provider.formatting.lines.line_writer import LineWriter
    from airflow_am_provider.storage.folder import Folder

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class DeliveryContext:
    """Where content goes and what time it is about: for another day it is another delivery.

    :param destination: where it goes, such as ``production/acme``.
    :param window: what time the data is about.
    :param run: what tells runs without a window apart, such as a run ID.
    :param series: what formats such deliveries again and again, ``DAG/TASK``.
    :param map_index: which of its mapped tasks; -1 for none.
    :param watermark: the watermark that moves when it is sent, or None.
    """

    destination: str
    window: Window = NO_WINDOW
    run: str | None = None
    series: str = ""
    map_index: int = -1
    watermark: str | None = None


@dataclass(frozen=True, kw_only=True)
class FormattedContent:
    """Parts that lie in staging and are no delivery yet.

    :param file_kind: what files they will be.
    :param removes: whether lines may take something away from users.
    :param context: what the delivery is for: destination, window, task.
    :param folder: where this attempt wrote, relative to the storage.
    :param result: what it wrote.
    """

    file_kind: FileKind
    removes: bool
    context: DeliveryContext
    folder: str
    result: FormattedParts

    @property
    def kind(self) -> str:
        """``data`` or ``id_sync``."""
        return _kind(self.file_kind)

    @property
    def content_id(self) -> str:
        """A hash of what is sent, where and for when."""
        context = self.context
        # Its kind stands for data source, target and mode.
        facts = [str(self.file_kind), context.destination, *context.window.texts]
        if not context.window.is_given:
            facts.append(context.run)
        facts.append(self.result.text_sha256)
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:20]

    @property
    def subject(self) -> str:
        """What it is a version of: see ``subject_of``."""
        context = self.context
        return subject_of(
            series=context.series,
            map_index=context.map_index,
            file_kind=self.file_kind,
            window=context.window,
            run=context.run,
        )


def stage_delivery(
    batches: Iterable[pa.RecordBatch],
    writer: LineWriter,
    targets: Targets,
    options: FormatOptions,
    *,
    context: DeliveryContext,
    now: datetime,
    origin: Origin | None = None,
) -> Manifest:
    """Format rows into the staging location and make a delivery of them.

    :param batches: the source's rows.
    :param writer: what turns them into lines.
    :param targets: of the staging location.
    :param options: how to write the parts.
    :param context: what the delivery is for: destination, window, task.
    :param now: the time, in UTC; the names' timestamp is taken from it.
    :param origin: the task that does it, if one does.
    :return: the manifest; without parts when no row was written.
    :raises DataError: as :func:`~airflow_am_provider.formatting.pipeline.format_rows` does; and
        when the delivery was sent in part, and what is gone of it cannot be made again.
    """
    content = format_content(batches, writer, targets.staging, options, context=context, now=now)
    return stage_content(content, targets, now=now, origin=origin)


def format_content(
    batches: Iterable[pa.RecordBatch],
    writer: LineWriter,
    storage: Folder,
    options: FormatOptions,
    *,
    context: DeliveryContext,
    now: datetime,
) -> FormattedContent:
    """Format rows into a folder of staging; see :func:`stage_delivery`."""
    file_kind = writer.file_kind.packed(options.encoding)
    folder = attempt_folder(_kind(file_kind), now)
    result = format_rows(batches, writer, storage, folder, options)
    return FormattedContent(
        file_kind=file_kind,
        removes=writer.removes,
        context=context,
        folder=folder,
        result=result,
    )


def attempt_folder(kind: str, now: datetime) -> str:
    """Each attempt writes to a folder of its own, so that two of them never mix."""
    return f"deliveries/{kind}/attempts/{now:%Y-%m-%d}-{uuid.uuid4().hex[:12]}"


def stage_content(
    content: FormattedContent,
    targets: Targets,
    *,
    now: datetime,
    is_shared: bool = False,
    extract: NewExtract | None = None,
    origin: Origin | None = None,
) -> Manifest:
    """Make a delivery of what was formatted, unless it is one already.

    :param content: what was formatted.
    :param targets: of the staging location.
    :param now: the time, in UTC; the names' timestamp is taken from it.
    :param is_shared: whether other tasks or deliveries may count on the same files, as on those of
        a partition: none is deleted then.
    :param extract: the snapshot that a difference leaves.
    :param origin: the task that stages it, if one does.
    :return: the manifest, with the counts and the rejects of these very rows; without parts when no
        row was written.
    :raises DataError: when the delivery was sent in part, and what is gone of it cannot be made
        again.
    :raises TransientError: when another task has made a snapshot of the same extract meanwhile.
    """
    result, storage = content.result, targets.staging
    manifest = _manifest(content, storage, now)
    if not result.parts:
        # There is no delivery; the manifest beside the rejects says why.
        write_manifest(storage, manifest)
        return manifest
    target = targets.named(content.context.destination, target_of(content.file_kind))
    seen: list[TargetState] = []

    def command(state: TargetState) -> Stage:
        seen.append(state)
        return _stage_command(content, target, manifest, extract, state, origin)

    try:
        event = target.decide(command)
    except Refused as refusal:
        raise TransientError(str(refusal)) from None
    entry = event.entry
    assert entry is not None
    # A difference says again what still holds, and an .overwrite says everything.
    if extract is None and entry.mode is Mode.SYNC:
        warning = expiry_warning(seen[-1], content.context.series, now.date())
        if warning is not None:
            log.warning("%s", warning)
    manifest = replace(
        manifest,
        delivery_id=entry.delivery_id,
        location=entry.location,
        parts=named_parts(result, content.file_kind, entry.timestamp),
    )
    staged = None if event.outcome is Outcome.DONE else _staged_already(storage, entry)
    if staged is None:
        write_manifest(storage, manifest)
        return manifest
    staged = _staged_again(storage, manifest, staged, entry, is_shared=is_shared)
    # What is sent is what was staged first; what is told is what was read now.
    return replace(
        staged,
        rows_read=manifest.rows_read,
        rows_written=manifest.rows_written,
        rows_set_aside=manifest.rows_set_aside,
        set_aside_by_reason=manifest.set_aside_by_reason,
        rejects=manifest.rejects,
        contents=manifest.contents,
        is_repeat=True,
    )


def write_manifest(storage: Folder, manifest: Manifest) -> None:
    """Write a manifest into the folder of its delivery."""
    content = json.dumps(manifest.to_json(), indent=2).encode()
    storage.write_bytes(f"{manifest.location}/{MANIFEST_FILE}", content)


def _manifest(content: FormattedContent, storage: Folder, now: datetime) -> Manifest:
    """The manifest of what was formatted, before it is a delivery."""
    result, context = content.result, content.context
    return Manifest(
        delivery_id=content.content_id,
        kind=content.kind,
        staging=storage.url,
        location=content.folder,
        destination=context.destination,
        removes=content.removes,
        series=context.series,
        window=context.window,
        rows_read=result.rows_read,
        rows_written=result.rows_written,
        rows_set_aside=result.rows_set_aside,
        set_aside_by_reason=result.set_aside_by_reason,
        rejects=result.rejects,
        contents=result.contents,
        items=result.items,
        lines_without_items=result.lines_without_items,
        remarks=result.remarks,
        created_at=now.isoformat(timespec="seconds"),
        parts=(),
    )


def _stage_command(
    content: FormattedContent,
    target: Target,
    manifest: Manifest,
    extract: NewExtract | None,
    state: TargetState,
    origin: Origin | None,
) -> Stage:
    subject, content_id = content.subject, content.content_id
    if extract is not None:
        # Each difference is a thing of its own: it supposes what those before it have left.
        subject = f"{extract.series}#{extract.follows + 1}"
    versions, known = Versions(), None
    if extract is None:
        # Also where a version is open: a newer one may be done with, and its number is taken.
        versions = target.versions(subject)
        if versions.latest is None:
            known = target.closed(content_id, state)
    now = datetime.fromisoformat(manifest.created_at)
    result = content.result
    return Stage(
        content_id=content_id,
        folder=f"deliveries/{content.kind}",
        name=content.file_kind.stem,
        now=int(now.timestamp()),
        at=manifest.created_at,
        mode=content.file_kind.mode if isinstance(content.file_kind, DataFileKind) else None,
        removes=content.removes,
        series=content.context.series,
        subject=subject,
        window=content.context.window,
        watermark=content.context.watermark,
        figures={
            "created_at": manifest.created_at,
            "rows_read": result.rows_read,
            "rows_written": result.rows_written,
            "rows_set_aside": result.rows_set_aside,
            "set_aside_by_reason": result.set_aside_by_reason,
            "lines": sum(part.lines for part in result.parts),
            "files": len(result.parts),
            "bytes": sum(part.compressed_bytes for part in result.parts),
            "max_set_aside": result.max_set_aside,
            **({} if origin is None else {"origin": origin.to_json()}),
        },
        latest=versions.latest,
        latest_left=versions.latest_left,
        known=known,
        extract=extract,
    )


def _kind(file_kind: FileKind) -> str:
    return "id_sync" if isinstance(file_kind, IdSyncFileKind) else "data"


def named_parts(result: FormattedParts, file_kind: FileKind, timestamp: int) -> tuple[Part, ...]:
    """Give the parts their names: a single one has no split number."""
    only_one = len(result.parts) == 1
    parts = []
    for number, part in enumerate(result.parts, start=1):
        part_name = named(file_kind, timestamp, None if only_one else number)
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


def _staged_already(storage: Folder, entry: DeliveryEntry) -> Manifest | None:
    """The manifest of a delivery; None where who staged it was killed before it was written."""
    content = storage.read_bytes(f"{entry.location}/{MANIFEST_FILE}")
    return None if content is None else Manifest.from_json(content).named(entry.timestamp)


def _staged_again(
    storage: Folder, manifest: Manifest, staged: Manifest, entry: DeliveryEntry, *, is_shared: bool
) -> Manifest:
    """Go on with the delivery that is staged already; the new parts stand in for lost ones.

    :param manifest: what this attempt made.
    """
    try:
        was_sent = entry.sending is not None and entry.sending.sent_at is not None
        if was_sent or _is_whole(storage, staged):
            # Once all of it is there, under its names, nobody needs the parts any more.
            return _given_back(storage, manifest, staged, is_shared=is_shared)
        record = read_upload_record(storage, staged, entry.sending)
        if record is not None and record.parts and _files(manifest) != _files(staged):
            raise _other_files(storage, staged, record)
    except DataError:
        if not is_shared:
            _discard(storage, manifest, but=staged)
        raise
    log.info(
        "Parts of delivery %s are gone from staging: staged again, under the same names",
        staged.delivery_id,
    )
    write_manifest(storage, manifest)
    if not is_shared:
        _discard(storage, staged, but=manifest)
    return manifest


def _is_whole(storage: Folder, staged: Manifest) -> bool:
    return all(storage.size(part.path) == part.compressed_bytes for part in staged.parts)


def _files(manifest: Manifest) -> list[Part]:
    """What is sent, wherever it lies."""
    return [replace(part, path="") for part in manifest.parts]


def _other_files(storage: Folder, staged: Manifest, record: UploadRecord) -> DataError:
    sent = len(record.parts)
    why = "part_bytes, compressed_part_bytes or the package has changed. Put that back to go on, or"
    if staged.file_name.encoding.is_encrypted:
        why = "PGP makes other bytes each time. Put the parts back to go on, or"
    return DataError(
        f"delivery {staged.delivery_id}: {sent} of its {len(staged.parts)} files "
        f"{'was' if sent == 1 else 'were'} sent, parts of it are gone from {storage.url}, and the "
        f"same rows make other files now: {why} delete {storage.url}/{staged.location} to send all "
        f"of it under new names"
    )


def _given_back(
    storage: Folder, manifest: Manifest, staged: Manifest, *, is_shared: bool
) -> Manifest:
    log.info(
        "The same content is staged already as delivery %s, since %s: going on with that one, "
        "under its names",
        staged.delivery_id,
        staged.created_at,
    )
    if not is_shared:
        _discard(storage, manifest, but=staged)
    return staged


def _discard(storage: Folder, manifest: Manifest, *, but: Manifest) -> None:
    """Delete parts that a delivery is not made of; the rejects stay, as they are of other rows."""
    kept = {part.path for part in but.parts}
    for part in manifest.parts:
        if part.path not in kept:
            storage.delete(part.path)
