"""The arguments of ``airflow-am format``."""

from __future__ import annotations

import argparse
from pathlib import Path

from airflow_am_provider.audience_manager import limits
from airflow_am_provider.audience_manager.identifiers import ID_KINDS
from airflow_am_provider.audience_manager.names import IdSyncPrefix, Mode
from airflow_am_provider.cli.arguments import add_json
from airflow_am_provider.formatting.choices import Compression, OnEmpty
from airflow_am_provider.sources.file_kinds import READABLE


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
    add(
        "--dpid",
        type=_number,
        required=True,
        metavar="N",
        help="Number of the data source of the user IDs.",
    )
    add(
        "--target-dpid",
        type=_number,
        metavar="N",
        help="Number of the data source whose traits or signals are set, when it is not --dpid. "
        "Needed for device IDs.",
    )
    add(
        "--mode",
        choices=[mode.value for mode in Mode],
        default=Mode.SYNC.value,
        help="sync adds and removes traits. overwrite replaces, for each user in the file, all "
        "traits of the target data source. (default: %(default)s)",
    )
    add(
        "--id-column",
        required=True,
        metavar="C",
        help="Column with the user ID, which is sent byte for byte.",
    )
    add(
        "--id-kind",
        choices=list(ID_KINDS),
        help="Kind of the user ID. It follows from --dpid, so it is needed only to say aam_uuid "
        "for a data source of your own.",
    )
    add(
        "--traits-column",
        type=_names,
        default=(),
        metavar="C,…",
        help="Column or columns with the IDs of traits that the user has. A value is one ID, "
        "several IDs with commas between them, or a list.",
    )
    add(
        "--traits-separator",
        default=",",
        metavar="S",
        help="What stands between the trait IDs of a text: one character, or json for texts such "
        "as [1, 2]. (default: %(default)s)",
    )
    add(
        "--removed-traits-column",
        type=_names,
        default=(),
        metavar="C,…",
        help="Column or columns with the IDs of traits that the user no longer has, in the same "
        "forms as --traits-column. Not with overwrite.",
    )
    add(
        "--ic-column",
        type=_names,
        default=(),
        metavar="C,…",
        help="Column or columns with codes of the key ic, in the same forms as --traits-column.",
    )
    add(
        "--trait-flags",
        type=_flags,
        default={},
        metavar="C=N,…",
        help="Boolean columns, and the trait that each stands for. True means that the user has "
        "the trait. Anything else says nothing. CSV files have no such columns.",
    )
    add(
        "--signal-columns",
        type=_keys,
        default={},
        metavar="A,B=KEY,…",
        help='Columns that are sent as signals "key"="value", under their own names or under other'
        " keys. Empty values are left out.",
    )
    add(
        "--remove-all-of-users-without-items",
        action="store_true",
        help="With the mode overwrite: remove all traits of users without any item. Otherwise the "
        "rows of these users are set aside.",
    )


def _add_id_sync(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "--master-dpid",
        type=_number,
        required=True,
        metavar="N",
        help="Number of the data source of the first column. 0 stands for AAM UUIDs. In a c2c_id "
        "file it is the CRM's.",
    )
    add(
        "--dpids",
        type=_numbers,
        required=True,
        metavar="N,…",
        help="Numbers of the data sources of the other columns, in the order of the columns.",
    )
    add(
        "--columns",
        type=_names,
        required=True,
        metavar="A,B,…",
        help="Columns with the IDs, the master's first. In a c2c_id file all others hold e-mails, "
        "and rows of one CRM ID must follow each other.",
    )
    add(
        "--prefix",
        choices=[prefix.value for prefix in IdSyncPrefix],
        default=IdSyncPrefix.ADOBE_ID.value,
        help="adobe_id maps device IDs to device IDs or CRM IDs. c2c_id maps CRM IDs to hashed "
        "e-mails. (default: %(default)s)",
    )
    add(
        "--hash-columns",
        type=_names,
        default=(),
        metavar="A,…",
        help="Those of the columns that hold plain e-mail addresses. They are trimmed, lower-cased"
        " and hashed with SHA-256 before they leave the task.",
    )
    add(
        "--allow-crm-master",
        action="store_true",
        help="Permit CRM IDs as master of an adobe_id file. Use it when an earlier file "
        "synchronised these IDs.",
    )


def _add_common(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "--refuse-hyphens",
        action="store_true",
        help="Set rows aside in which a MAID, TIFA or Vizio IFA has hyphens. Otherwise they are "
        "sent, with a warning: Adobe has not confirmed hyphens.",
    )
    add(
        "input",
        metavar="INPUT",
        nargs="+",
        help="CSV or Parquet files to read the rows from: a path or s3://bucket/key of a file or "
        "of a folder, or, with * and ? in the last name, of all files of such names. Known endings "
        f"are {', '.join(READABLE[:-1])} and {READABLE[-1]}. Row numbers go on from file to file.",
    )
    add(
        "--out",
        type=Path,
        required=True,
        metavar="DIR",
        help="Directory for the files. It is made when it is not there.",
    )
    add(
        "--delimiter",
        default=",",
        metavar="D",
        help="The character between the fields of a CSV file. (default: %(default)s)",
    )
    add(
        "--encoding",
        default="utf-8",
        metavar="E",
        help="The text encoding of CSV files, by a name that Python knows. Files are sent in "
        "UTF-8, whatever they were read in. (default: %(default)s)",
    )
    add(
        "--compression",
        choices=[compression.value for compression in Compression],
        help="How files are packed: gzip, none, or encrypted by PGP: pgp or gpg, which names end "
        "in then. (default: pgp with --pgp-public-key, else gzip)",
    )
    add(
        "--pgp-public-key",
        type=Path,
        metavar="FILE",
        help="Public key that files are encrypted to.",
    )
    add(
        "--pgp-fingerprint",
        metavar="HEX",
        help="The fingerprint of that key, as its owner tells it: 40 hexadecimal digits. A key "
        "with another one is refused.",
    )
    add(
        "--part-bytes",
        type=_number,
        default=limits.BEST_PART_BYTES,
        metavar="N",
        help="Uncompressed size in bytes at which the next part begins. (default: %(default)s)",
    )
    add(
        "--compressed-part-bytes",
        type=_number,
        default=limits.BEST_COMPRESSED_PART_BYTES,
        metavar="N",
        help="Compressed size in bytes at which the next part begins. (default: %(default)s)",
    )
    add(
        "--max-set-aside",
        default=0.01,
        metavar="N",
        help="How many rows may break a rule. A whole number is a count, a fraction is a share of "
        "the rows read: 1 is one row, 1.0 is all rows. (default: %(default)s)",
    )
    add(
        "--on-empty",
        choices=[word.value for word in OnEmpty],
        default=OnEmpty.SKIP.value,
        help="What happens when there is nothing to send: skip or fail. (default: %(default)s)",
    )
    add(
        "--suppression-source",
        metavar="FILE",
        help="File with the suppression list, the IDs of users of whom nothing is sent.",
    )
    add(
        "--suppression-column",
        metavar="C",
        help="Column of the IDs in the suppression list. Needed when the list has more than one "
        "column.",
    )
    add(
        "--suppression-hashed",
        action="store_true",
        help="Says that the suppression list holds the SHA-256 of the IDs, as 64 hexadecimal "
        "digits.",
    )
    add(
        "--suppression-allow-empty",
        action="store_true",
        help="Says that the suppression list may be empty, which means that nobody is on it. "
        "Otherwise an empty list is an error, as it may be a broken one.",
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
