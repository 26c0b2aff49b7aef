"""``airflow-am format``: files for Audience Manager from CSV or Parquet."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from airflow_am_provider.audience_manager.errors import ConfigurationError, DataError
from airflow_am_provider.audience_manager.identifiers import ID_KINDS
from airflow_am_provider.audience_manager.names import IdSyncPrefix, Mode
from airflow_am_provider.audience_manager.words import counted
from airflow_am_provider.cli.bars import bar
from airflow_am_provider.cli.format_arguments import add_arguments as add_arguments
from airflow_am_provider.cli.sources import tables_at
from airflow_am_provider.cli.text import Colour, coloured, number, print_json, table
from airflow_am_provider.formatting.choices import Compression, OnEmpty
from airflow_am_provider.formatting.progress import BytesProgress

if TYPE_CHECKING:
    import argparse
    from collections.abc import Collection, Generator, Iterator, Sequence

    import pyarrow as pa

    from airflow_am_provider.audience_manager.file_kinds import Encoding
    from airflow_am_provider.audience_manager.identifiers import IdKind
    from airflow_am_provider.cli.sources import Source
    from airflow_am_provider.deliveries.manifest import Manifest
    from airflow_am_provider.formatting.lines.line_writer import LineWriter
    from airflow_am_provider.formatting.openpgp import Recipient
    from airflow_am_provider.suppression.ids import Suppression


def run(args: argparse.Namespace) -> int:
    """Make the files and print their manifest."""
    # Arrow and numpy take their time to import, and only this command needs them.
    from airflow_am_provider.cli.local_delivery import make_delivery
    from airflow_am_provider.deliveries.manifest import nothing_to_send
    from airflow_am_provider.formatting.acceptance import limit
    from airflow_am_provider.formatting.parts import PartSizes
    from airflow_am_provider.formatting.pipeline import FormatOptions

    encoding, recipient = _packing(args)
    options = FormatOptions(
        encoding=encoding,
        recipient=recipient,
        sizes=PartSizes(
            part_bytes=args.part_bytes, compressed_part_bytes=args.compressed_part_bytes
        ),
        max_set_aside=limit("--max-set-aside", args.max_set_aside),
    )
    writer = _data_writer(args) if args.kind == "data" else _id_sync_writer(args)
    writer.suppression = _suppression(args, writer.id_kinds)
    directory = args.out.absolute()
    files = [file for path in args.input for file in tables_at(path)]
    with bar(), closing(_rows(args, files, writer.columns, "Formatting")) as rows:
        manifest = make_delivery(rows, writer, directory, options, now=datetime.now(UTC))
    rejects = str(directory / manifest.rejects) if manifest.rejects else None
    if not manifest.parts and args.on_empty == OnEmpty.FAIL:
        listed = f". Rows set aside are listed in {rejects}" if rejects else ""
        raise DataError(f"{nothing_to_send(manifest)}; --on-empty fail{listed}")
    if args.json:
        # The stored manifest has paths relative to its directory, which may be moved. Here
        # they are whole, so that they lead to the files from anywhere.
        parts = tuple(replace(part, path=str(directory / part.path)) for part in manifest.parts)
        print_json(replace(manifest, parts=parts, rejects=rejects).to_json())
    else:
        print(*_report(manifest), sep="\n")
    return 0


def _packing(args: argparse.Namespace) -> tuple[Encoding, Recipient | None]:
    from airflow_am_provider.formatting.openpgp import Recipient

    path = args.pgp_public_key
    encoding = Compression(args.compression or ("pgp" if path else "gzip")).encoding
    if path is None:
        if encoding.is_encrypted or args.pgp_fingerprint:
            raise ConfigurationError("--pgp-public-key: missing, so nobody could read the files")
        return encoding, None
    if not encoding.is_encrypted:
        raise ConfigurationError(
            f"--compression {args.compression}: with --pgp-public-key files are encrypted, and a "
            f"file is packed by gzip or by PGP, never by both (inbound-file-encryption.md)"
        )
    try:
        key = path.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"--pgp-public-key: {error.strerror}: {path}") from None
    return encoding, Recipient.pinned(
        key,
        args.pgp_fingerprint,
        key_field="--pgp-public-key",
        fingerprint_field="--pgp-fingerprint",
    )


def _rows(
    args: argparse.Namespace,
    sources: Sequence[Source],
    columns: Sequence[str] | None,
    what: str,
) -> Generator[pa.RecordBatch]:
    """The rows of files, one after the other; what is done with them is shown on a terminal."""
    # Here, and not where they are read: that is another thread, which knows of no terminal.
    progress = BytesProgress(what, sum(source.size for source in sources))
    return _read(args, sources, columns, progress)


def _read(
    args: argparse.Namespace,
    sources: Sequence[Source],
    columns: Sequence[str] | None,
    progress: BytesProgress,
) -> Generator[pa.RecordBatch]:
    from airflow_am_provider.sources.tables import read_table

    for source in sources:
        with source.open() as file:
            yield from read_table(
                progress.counting(file),
                source.file_name,
                columns,
                delimiter=args.delimiter,
                encoding=args.encoding,
            )


def _suppression(args: argparse.Namespace, kinds: Collection[IdKind]) -> Suppression | None:
    from airflow_am_provider.suppression.ids import Suppression

    if args.suppression_source is None:
        if args.suppression_column or args.suppression_hashed or args.suppression_allow_empty:
            raise ConfigurationError("--suppression-source: missing, so nobody would be left out")
        return None
    suppression = Suppression()
    columns = None if args.suppression_column is None else [args.suppression_column]
    files = tables_at(args.suppression_source)
    with closing(_rows(args, files, columns, "Suppression list")) as rows:
        suppression.add(
            rows,
            "--suppression-source",
            column=args.suppression_column,
            hashed=args.suppression_hashed,
            allow_empty=args.suppression_allow_empty,
            kinds=kinds,
        )
    return suppression


def _data_writer(args: argparse.Namespace) -> LineWriter:
    from airflow_am_provider.formatting.lines.data_lines import DataFileSpec, DataLineWriter

    return DataLineWriter(
        DataFileSpec(
            dpid=args.dpid,
            target_dpid=args.target_dpid,
            mode=Mode(args.mode),
            id_column=args.id_column,
            id_kind=ID_KINDS[args.id_kind] if args.id_kind else None,
            traits_columns=args.traits_column,
            traits_separator=args.traits_separator,
            removed_traits_columns=args.removed_traits_column,
            ic_columns=args.ic_column,
            trait_flags=args.trait_flags,
            signal_columns=args.signal_columns,
            remove_all_of_users_without_items=args.remove_all_of_users_without_items,
            refuse_hyphens=args.refuse_hyphens,
        )
    )


def _id_sync_writer(args: argparse.Namespace) -> LineWriter:
    from airflow_am_provider.formatting.lines.id_sync import id_sync_writer
    from airflow_am_provider.formatting.lines.id_sync_lines import IdSyncSpec

    return id_sync_writer(
        IdSyncSpec(
            master_dpid=args.master_dpid,
            dpids=args.dpids,
            columns=args.columns,
            prefix=IdSyncPrefix(args.prefix),
            hash_columns=args.hash_columns,
            allow_crm_master=args.allow_crm_master,
            refuse_hyphens=args.refuse_hyphens,
        )
    )


def _report(manifest: Manifest) -> Iterator[str]:
    from airflow_am_provider.deliveries.manifest import said_of_joined_rows
    from airflow_am_provider.formatting.remarks import warnings_of

    yield (
        f"{counted(manifest.rows_read, 'row')} read, {number(manifest.rows_written)} written, "
        f"{number(manifest.rows_set_aside)} set aside"
    )
    if joined := said_of_joined_rows(manifest):
        yield f"  {joined}"
    for reason, count in manifest.set_aside_by_reason.items():
        yield f"  {number(count)} {reason}"
    for warning in warnings_of(manifest.remarks):
        yield f"{coloured('warning', Colour.DOUBTFUL)} {warning}"
    if manifest.rejects is not None:
        yield f"Set aside: {manifest.staging}/{manifest.rejects}"
    if not manifest.parts:
        yield "Nothing to send, so no file was written"
        return
    yield f"Written to {manifest.staging}:"
    rows = [
        [part.file_name, number(part.lines), number(part.bytes), number(part.compressed_bytes)]
        for part in manifest.parts
    ]
    headers = ["file", "lines", "bytes", "as-sent"]
    yield from (f"  {line}" for line in table(headers, rows, right="lines bytes as-sent"))
