"""A delivery in a directory of one's own: the files under the names that they are sent under.

A staging location is made for tasks that run again and must find what they did before.
Here a person wants files to look at and to send: each run makes its own, side by side.

    ftp_dpm_478_1366545717.sync.1.gz
    ftp_dpm_478_1366545717.sync.2.gz
    ftp_dpm_478_1366545717.sync.rejects.csv
    ftp_dpm_478_1366545717.sync.manifest.json

Only the user who runs the command may read them.
"""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from airflow_am_provider.audience_manager.file_kinds import DataFileKind
from airflow_am_provider.audience_manager.names import IdSyncFileName, named
from airflow_am_provider.deliveries.layout import MANIFEST_FILE
from airflow_am_provider.deliveries.manifest import Manifest, Part
from airflow_am_provider.deliveries.staging import named_parts
from airflow_am_provider.deliveries.target.names import free_timestamp
from airflow_am_provider.formatting.file_names import REJECTS_FILE
from airflow_am_provider.formatting.pipeline import FormatOptions, FormattedParts, format_rows
from airflow_am_provider.storage.local import LocalFolder, make_private_folder

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime
    from pathlib import Path

    import pyarrow as pa

    from airflow_am_provider.audience_manager.names import DataFileName
    from airflow_am_provider.formatting.lines.line_writer import LineWriter


def make_delivery(
    batches: Iterable[pa.RecordBatch],
    writer: LineWriter,
    directory: Path,
    options: FormatOptions,
    *,
    now: datetime,
) -> Manifest:
    """Format rows into files of a directory; the manifest is written last.

    :param batches: the source's rows.
    :param writer: what turns them into lines.
    :param directory: where to, as an absolute path; made when it is not there.
    :param options: how to write the files.
    :param now: the time, in UTC; the names' timestamp is taken from it.
    :return: the manifest, its paths relative to the directory. Without parts when no row was
        written; then no manifest is stored.
    :raises DataError: when more rows are set aside than allowed. Only the rejects file is left,
        under its name.
    """
    storage = LocalFolder(directory)
    name, work = _reserved_name(writer, directory, int(now.timestamp()))
    try:
        result = format_rows(
            batches, writer, storage, work, options, rejects=f"{name}.{REJECTS_FILE}"
        )
        file_kind = writer.file_kind.packed(options.encoding)
        parts = _placed(named_parts(result, file_kind, name.timestamp), directory)
    finally:
        _remove_empty(directory / work)
    manifest = Manifest(
        delivery_id=_identity(writer, result),
        kind="id_sync" if isinstance(name, IdSyncFileName) else "data",
        staging=storage.url,
        location=".",
        destination="",
        removes=writer.removes,
        rows_read=result.rows_read,
        rows_written=result.rows_written,
        rows_set_aside=result.rows_set_aside,
        set_aside_by_reason=result.set_aside_by_reason,
        rejects=result.rejects,
        items=result.items,
        lines_without_items=result.lines_without_items,
        remarks=result.remarks,
        created_at=now.isoformat(timespec="seconds"),
        parts=parts,
    )
    if parts:
        content = json.dumps(manifest.to_json(), indent=2)
        storage.write_bytes(f"{name}.{MANIFEST_FILE}", content.encode())
    return manifest


def _reserved_name(
    writer: LineWriter, directory: Path, timestamp: int
) -> tuple[DataFileName | IdSyncFileName, str]:
    """A name that no file in the directory has, and a folder to work in that keeps it reserved.

    Where a name is taken, that of the mode's next second is tried. The folder is told from
    finished files at a glance.
    """
    mode = writer.file_kind.mode if isinstance(writer.file_kind, DataFileKind) else None
    now = timestamp
    while True:
        timestamp = free_timestamp(mode, now=now)
        name = named(writer.file_kind, timestamp)
        work = f"unfinished-{name}"
        with suppress(FileExistsError):
            make_private_folder(directory)
            (directory / work).mkdir(0o700)
            # In this order, or a run that ends in between would be missed.
            if not any(directory.glob(f"{name}*")):
                return name, work
            (directory / work).rmdir()
        now = timestamp + 1


def _placed(parts: tuple[Part, ...], directory: Path) -> tuple[Part, ...]:
    """Move the parts to where they stay."""
    for part in parts:
        (directory / part.path).replace(directory / part.file_name)
    return tuple(replace(part, path=part.file_name) for part in parts)


def _identity(writer: LineWriter, result: FormattedParts) -> str:
    """A hash of what is sent: what file it is, and the lines."""
    facts = [str(writer.file_kind), result.text_sha256]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:20]


def _remove_empty(directory: Path) -> None:
    """Remove a directory and those in it as far as they are empty."""
    for path in (*directory.glob("*/"), directory):
        with suppress(OSError):
            path.rmdir()
