"""The arguments of ``airflow-am format``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Final

from airflow_am_provider.audience_manager import limits
from airflow_am_provider.audience_manager.identifiers import ID_KINDS
from airflow_am_provider.audience_manager.names import Encoding, IdSyncPrefix, Mode
from airflow_am_provider.cli.arguments import add_json
from airflow_am_provider.formatting.acceptance import ON_EMPTY
from airflow_am_provider.sources.file_kinds import READABLE

ENCODINGS: Final = {"gzip": Encoding.GZIP, "none": Encoding.PLAIN}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.description = (
        "Make files for Audience Manager from CSV or Parquet files, checked against Adobe's "
        "contract. Rows that break a rule are set aside and counted. Exit 0: done; 1: too many "
        "rows break a rule, and nothing is written; 2: wrong use."
    )
    kinds = parser.add_subparsers(dest="kind", metavar="KIND", required=True)
    data = kinds.add_parser(
        "data", help="a data file: users and their traits or signals", allow_abbrev=False
    )
    _add_data(data)
    id_sync = kinds.add_parser(
        "id-sync", help="an ID sync file: IDs of the same people", allow_abbrev=False
    )
    _add_id_sync(id_sync)
    for kind in (data, id_sync):
        _add_common(kind)


def _add_data(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--dpid", type=_number, required=True, metavar="N", help="data source of the user IDs")
    add(
        "--target-dpid",
        type=_number,
        metavar="N",
        help="data source whose traits or signals are set; mandatory for device IDs",
    )
    add(
        "--mode",
        choices=[mode.value for mode in Mode],
        default=Mode.SYNC.value,
        help="sync adds and removes, overwrite replaces users' traits (default: %(default)s)",
    )
    add("--id-column", required=True, metavar="C", help="column with the user ID")
    add("--id-kind", choices=list(ID_KINDS), help="kind of ID; follows from the data source")
    add("--traits-column", type=_names, default=(), metavar="C,…", help="columns with trait IDs")
    add(
        "--traits-separator",
        default=",",
        metavar="S",
        help="what stands between trait IDs, or json for arrays (default: %(default)s)",
    )
    add(
        "--removed-traits-column",
        type=_names,
        default=(),
        metavar="C,…",
        help="columns with IDs of traits the user no longer has",
    )
    add("--ic-column", type=_names, default=(), metavar="C,…", help="columns with ic codes")
    add(
        "--trait-flags",
        type=_flags,
        default={},
        metavar="C=N,…",
        help="boolean columns, and the trait that each stands for (Parquet only)",
    )
    add(
        "--signal-columns",
        type=_keys,
        default={},
        metavar="A,B=KEY,…",
        help="columns sent as signals, under their own names or other keys",
    )
    add(
        "--remove-all-of-users-without-items",
        action="store_true",
        help="with --mode overwrite, remove all traits of users without any item",
    )


def _add_id_sync(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "--master-dpid",
        type=_number,
        required=True,
        metavar="N",
        help="data source of the first column; 0 stands for AAM UUIDs",
    )
    add(
        "--dpids",
        type=_numbers,
        required=True,
        metavar="N,…",
        help="data sources of the other columns",
    )
    add(
        "--columns",
        type=_names,
        required=True,
        metavar="A,B,…",
        help="columns with the IDs, the master's first",
    )
    add(
        "--prefix",
        choices=[prefix.value for prefix in IdSyncPrefix],
        default=IdSyncPrefix.ADOBE_ID.value,
        help="c2c_id maps CRM IDs to hashed e-mails (default: %(default)s)",
    )
    add(
        "--hash-columns",
        type=_names,
        default=(),
        metavar="A,…",
        help="those of the columns that hold e-mail addresses to be hashed",
    )
    add(
        "--allow-crm-master",
        action="store_true",
        help="permit CRM IDs as master of an adobe_id file, synchronised by an earlier one",
    )


def _add_common(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    kinds = f"{', '.join(READABLE[:-1])} or {READABLE[-1]}"
    add(
        "input",
        metavar="INPUT",
        nargs="+",
        help=f"{kinds}; a path or s3://bucket/key; of a folder, all such files in it; '*' and '?' "
        f"stand for more names",
    )
    add("--out", type=Path, required=True, metavar="DIR", help="directory for the files")
    add("--delimiter", default=",", metavar="D", help="what separates the fields of a CSV file")
    add(
        "--encoding",
        default="utf-8",
        metavar="E",
        help="what a CSV file's text is encoded in, such as latin-1, windows-1252 or utf-16 "
        "(default: %(default)s)",
    )
    add(
        "--compression",
        choices=list(ENCODINGS),
        default="gzip",
        help="how files are packed (default: %(default)s)",
    )
    add(
        "--part-bytes",
        type=_number,
        default=limits.BEST_PART_BYTES,
        metavar="N",
        help="uncompressed size at which the next part begins (default: %(default)s)",
    )
    add(
        "--compressed-part-bytes",
        type=_number,
        default=limits.BEST_COMPRESSED_PART_BYTES,
        metavar="N",
        help="compressed size at which the next part begins (default: %(default)s)",
    )
    add(
        "--max-set-aside",
        default=0.01,
        metavar="N",
        help="how many rows may break a rule: a count, or a share; 1 is one row, 1.0 all of them "
        "(default: %(default)s)",
    )
    add(
        "--on-empty",
        choices=ON_EMPTY,
        default="skip",
        help="when there is nothing to send: skip, and be done, or fail (default: %(default)s)",
    )
    add(
        "--suppress",
        metavar="FILE",
        help=f"list of IDs of users of whom nothing is sent: {kinds}; a path or s3://bucket/key",
    )
    add("--suppress-column", metavar="C", help="its column, where it has more than one")
    add("--suppress-hashed", action="store_true", help="it holds the SHA-256 of the IDs")
    add(
        "--suppress-allow-empty",
        action="store_true",
        help="a list without any ID means that nobody is on it; otherwise it is an error",
    )
    add_json(parser)


def _names(text: str) -> tuple[str, ...]:
    return tuple(text.split(","))


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(_number(piece) for piece in text.split(","))


def _number(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number") from None


def _keys(text: str) -> dict[str, str]:
    pairs = (piece.partition("=") for piece in text.split(","))
    return {column: key if equals else column for column, equals, key in pairs}


def _flags(text: str) -> dict[str, int]:
    pairs = (piece.rpartition("=") for piece in text.split(","))
    return {column: _number(trait) for column, _, trait in pairs}
