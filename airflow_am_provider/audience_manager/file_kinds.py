"""What a file is, whenever it is sent: a name but for its timestamp and split number.

A file is made before it is named. Pages: as for :mod:`airflow_am_provider.audience_manager.names`.

>>> kind = parse_file_kind("ftp_dpm_478_567.sync.gz")
>>> kind.stem, str(kind)
('ftp_dpm_478_567', 'ftp_dpm_478_567.sync.gz')
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from airflow_am_provider.audience_manager.errors import ConfigurationError, DataError
from airflow_am_provider.audience_manager.identifiers import is_global_device_data_source

NAMING_PAGE: Final = "inbound-s3-filenames.md"
ID_SYNC_PAGE: Final = "id-sync-file-based.md"

# Data source IDs and split numbers are 32-bit integers in Adobe's API.
MAX_DPID: Final = 2**31 - 1


class Mode(StrEnum):
    """What a data file does to a user's traits."""

    SYNC = "sync"
    OVERWRITE = "overwrite"


class Encoding(StrEnum):
    """How a file is packed; the value is the extension without its dot."""

    PLAIN = ""
    GZIP = "gz"
    PGP = "pgp"
    GPG = "gpg"

    @property
    def is_encrypted(self) -> bool:
        """Whether only the owner of a key can read it (inbound-file-encryption.md)."""
        return self in (Encoding.PGP, Encoding.GPG)


class IdSyncPrefix(StrEnum):
    """What an ID sync file matches."""

    ADOBE_ID = "adobe_id"  # device IDs to device IDs or CRM IDs
    C2C_ID = "c2c_id"  # CRM IDs to hashed e-mail addresses


@dataclass(frozen=True, kw_only=True, slots=True)
class DataFileKind:
    """What the name of a data file says, but for its timestamp and split number.

    :param dpid: the data source whose IDs are in the file.
    :param target_dpid: the data source whose traits or signals are set. Mandatory when
        ``dpid`` is a global device data source.
    :param mode: ``sync`` or ``overwrite``.
    :param encoding: gzip, OpenPGP or plain.
    :raises ConfigurationError: when an element breaks its rule.

    >>> str(DataFileKind(dpid=478, target_dpid=567, mode=Mode.OVERWRITE))
    'ftp_dpm_478_567.overwrite'
    """

    dpid: int
    target_dpid: int | None = None
    mode: Mode = Mode.SYNC
    encoding: Encoding = Encoding.PLAIN

    def __post_init__(self) -> None:
        check_dpid("dpid", self.dpid)
        if self.target_dpid is not None:
            check_dpid("target_dpid", self.target_dpid)
        elif is_global_device_data_source(self.dpid):
            raise ConfigurationError(
                f"target_dpid: missing; data source {self.dpid} belongs to a device platform, so "
                f"the data source whose traits are set must be named ({NAMING_PAGE})"
            )

    @property
    def stem(self) -> str:
        """What all modes have in common, such as ``ftp_dpm_478``.

        A ``.processed`` marker does not say which mode the file had (faq/faq-data-collection.md).
        """
        return f"ftp_dpm_{self.dpid}" + ("" if self.target_dpid is None else f"_{self.target_dpid}")

    def __str__(self) -> str:
        return f"{self.stem}.{self.mode}{tail(None, self.encoding)}"

    def packed(self, encoding: Encoding) -> DataFileKind:
        """The same in another encoding."""
        return replace(self, encoding=encoding)


@dataclass(frozen=True, kw_only=True, slots=True)
class IdSyncFileKind:
    """What the name of an ID sync file says, but for its timestamp and split number.

    :param prefix: ``adobe_id`` or ``c2c_id``.
    :param master_dpid: the data source of the first column; 0 stands for AAM UUIDs.
    :param dpids: the data sources of the other columns, in their order.
    :param encoding: gzip, OpenPGP or plain.
    :raises ConfigurationError: when an element breaks its rule.

    >>> str(IdSyncFileKind(master_dpid=0, dpids=(12345,)))
    'adobe_id_0_12345.sync'
    """

    master_dpid: int
    dpids: tuple[int, ...]
    prefix: IdSyncPrefix = IdSyncPrefix.ADOBE_ID
    encoding: Encoding = Encoding.PLAIN

    def __post_init__(self) -> None:
        check_dpid("master_dpid", self.master_dpid, zero_is="AAM UUIDs")
        if not self.dpids:
            raise ConfigurationError(
                f"dpids: empty; an ID sync file maps the master to at least one other data source "
                f"({ID_SYNC_PAGE})"
            )
        if self.prefix is IdSyncPrefix.C2C_ID and len(self.dpids) > 1:
            raise ConfigurationError(
                f"dpids: {len(self.dpids)}; a c2c_id file maps the CRM's data source to one of "
                f"hashed e-mails, so its name has two data sources "
                f"(people-based-destinations-workflow-combined.md)"
            )
        for number, dpid in enumerate(self.dpids):
            check_dpid(f"dpids[{number}]", dpid, zero_is="AAM UUIDs")

    @property
    def stem(self) -> str:
        """What all such names begin with, such as ``adobe_id_0_12345``."""
        return "_".join(map(str, (self.prefix, self.master_dpid, *self.dpids)))

    def __str__(self) -> str:
        return f"{self.stem}.sync{tail(None, self.encoding)}"

    def packed(self, encoding: Encoding) -> IdSyncFileKind:
        """The same in another encoding."""
        return replace(self, encoding=encoding)


FileKind = DataFileKind | IdSyncFileKind


def parse_file_kind(text: str) -> FileKind:
    """Read what ``str`` made of a kind of file.

    :raises DataError: when it is none.

    >>> parse_file_kind("c2c_id_123_898.sync.gz").stem
    'c2c_id_123_898'
    """
    match = _KIND.fullmatch(text)
    if match is None:
        raise not_a_name(text, "a kind of file", _KIND_FORM, NAMING_PAGE)
    encoding = Encoding(match["encoding"] or "")
    first, *others = (int(number) for number in match["dpids"].split("_"))
    try:
        kind = (
            DataFileKind(
                dpid=first,
                target_dpid=others[0] if others else None,
                mode=Mode(match["mode"]),
                encoding=encoding,
            )
            if match["prefix"] == "ftp_dpm"
            else IdSyncFileKind(
                prefix=IdSyncPrefix(match["prefix"]),
                master_dpid=first,
                dpids=tuple(others),
                encoding=encoding,
            )
        )
    except ConfigurationError as error:
        raise DataError(f"kind of file {printable(text)!r}: {error}") from None
    if str(kind) != text:
        raise not_a_name(text, "a kind of file", _KIND_FORM, NAMING_PAGE)
    return kind


_KIND_FORM = "(ftp_dpm|adobe_id|c2c_id)_DPID[_DPID...](.sync|.overwrite)[.gz|.pgp|.gpg]"
_KIND = re.compile(
    r"(?P<prefix>ftp_dpm|adobe_id|c2c_id)_(?P<dpids>[0-9]{1,10}(?:_[0-9]{1,10})*)"
    r"\.(?P<mode>sync|overwrite)(?:\.(?P<encoding>gz|pgp|gpg))?",
    re.ASCII,
)


def check_dpid(parameter: str, dpid: int, *, zero_is: str | None = None) -> None:
    """Check a data source ID.

    :param parameter: the parameter's name, for the message.
    :param zero_is: what 0 stands for here, or None where it is no data source.
    :raises ConfigurationError: when it is not a number Adobe could have given.
    """
    lowest = 1 if zero_is is None else 0
    if type(dpid) is not int or not lowest <= dpid <= MAX_DPID:
        zero = "" if zero_is is None else f", or 0 for {zero_is}"
        raise ConfigurationError(
            f"{parameter}: {dpid!r} is not a data source ID; a whole number from 1 to "
            f"{MAX_DPID}{zero} "
            f"(reference/ids-in-aam.md)"
        )


def tail(split: int | None, encoding: Encoding) -> str:
    """What stands at the end of a name."""
    return ("" if split is None else f".{split}") + (f".{encoding}" if encoding else "")


def printable(text: str) -> str:
    """A hostile file name as it may stand in a message: cut, without control characters."""
    clean = "".join(character if character.isprintable() else "?" for character in text)
    return clean if len(clean) <= 120 else f"{clean[:117]}..."


def not_a_name(text: str, what: str, form: str, page: str) -> DataError:
    """What is said of a text that is none."""
    return DataError(f"file name {printable(text)!r} is not that of {what}: {form} ({page})")
