"""Names of inbound files: data files, ID sync files, and one partner's own form.

Pages: inbound-s3-filenames.md, inbound-ftp-filenames.md (the same grammar on S3 and FTP),
id-sync-file-based.md, inbound-file-encryption.md, custom-partner-integrations.md.

>>> name = parse_file_name("ftp_dpm_478_567_1366545717.sync.gz")
>>> name.dpid, name.target_dpid, str(name)
(478, 567, 'ftp_dpm_478_567_1366545717.sync.gz')
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Final, TypeVar

from airflow_am_provider.audience_manager.errors import ConfigurationError, DataError
from airflow_am_provider.audience_manager.identifiers import (
    is_device_data_source,
    is_global_device_data_source,
)

if TYPE_CHECKING:
    from collections.abc import Callable

NAMING_PAGE: Final = "inbound-s3-filenames.md"
ID_SYNC_PAGE: Final = "id-sync-file-based.md"

# 10 digits of UNIX seconds. The encryption page shows 9 in an example; the naming pages
# say 10, so 10 are written and others refused (docs/choices.md).
MIN_TIMESTAMP: Final = 1_000_000_000
MAX_TIMESTAMP: Final = 9_999_999_999
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


class IdSyncPrefix(StrEnum):
    """What an ID sync file matches."""

    ADOBE_ID = "adobe_id"  # device IDs to device IDs or CRM IDs
    C2C_ID = "c2c_id"  # CRM IDs to hashed e-mail addresses


@dataclass(frozen=True, kw_only=True, slots=True)
class DataFileName:
    """Name of a data file: ``ftp_dpm_DPID[_TARGETDPID]_TIMESTAMP(.sync|.overwrite)[.SPLIT][.gz]``.

    :param dpid: the data source whose IDs are in the file.
    :param target_dpid: the data source whose traits or signals are set. Mandatory when
        ``dpid`` is a global device data source.
    :param timestamp: UNIX time in seconds, 10 digits, UTC.
    :param mode: ``sync`` or ``overwrite``.
    :param split: number of the part of a split file, from 1, or None for a whole one.
    :param encoding: gzip, OpenPGP or plain.
    :raises ConfigurationError: when an element breaks its rule.

    >>> str(DataFileName(dpid=478, timestamp=1366545717, split=1, encoding=Encoding.GZIP))
    'ftp_dpm_478_1366545717.sync.1.gz'
    """

    dpid: int
    timestamp: int
    target_dpid: int | None = None
    mode: Mode = Mode.SYNC
    split: int | None = None
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
        _check_timestamp_and_split(self.timestamp, self.split, NAMING_PAGE)

    def __str__(self) -> str:
        target = "" if self.target_dpid is None else f"_{self.target_dpid}"
        return (
            f"ftp_dpm_{self.dpid}{target}_{self.timestamp}.{self.mode}"
            f"{_tail(self.split, self.encoding)}"
        )

    @classmethod
    def parse(cls, text: str) -> DataFileName:
        """Read a name.

        :raises DataError: when it is not the name of a data file; says which element is wrong.
        """
        match = _DATA_FILE.fullmatch(text)
        if match is None:
            raise _not_a_name(text, "a data file", _DATA_FILE_FORM, NAMING_PAGE)
        return _checked(
            text,
            NAMING_PAGE,
            lambda: cls(
                dpid=int(match["dpid"]),
                target_dpid=_number(match["target"]),
                timestamp=int(match["timestamp"]),
                mode=Mode(match["mode"]),
                split=_number(match["split"]),
                encoding=Encoding(match["encoding"] or ""),
            ),
        )

    def with_split(self, split: int | None) -> DataFileName:
        """The name of another part of the same file."""
        return replace(self, split=split)

    def packed(self, encoding: Encoding) -> DataFileName:
        """The name of the same file in another encoding."""
        return replace(self, encoding=encoding)


@dataclass(frozen=True, kw_only=True, slots=True)
class IdSyncFileName:
    """Name of an ID sync file.

    ``(adobe_id|c2c_id)_MASTERDPID_DPID[_DPID…]_TIMESTAMP.sync[.SPLIT][.gz]``

    :param prefix: ``adobe_id`` or ``c2c_id``.
    :param master_dpid: the data source of the first column; 0 stands for AAM UUIDs.
    :param dpids: the data sources of the other columns, in their order; a ``c2c_id`` file has one.
    :param timestamp: UNIX time in seconds, 10 digits, UTC.
    :param split: number of the part of a split file, from 1, or None for a whole one.
    :param encoding: gzip, OpenPGP or plain.
    :raises ConfigurationError: when an element breaks its rule.

    >>> str(IdSyncFileName(master_dpid=0, dpids=(12345,), timestamp=1476312152))
    'adobe_id_0_12345_1476312152.sync'
    """

    master_dpid: int
    dpids: tuple[int, ...]
    timestamp: int
    prefix: IdSyncPrefix = IdSyncPrefix.ADOBE_ID
    split: int | None = None
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
        _check_timestamp_and_split(self.timestamp, self.split, ID_SYNC_PAGE)

    @property
    def columns(self) -> tuple[int, ...]:
        """The data sources of all columns, the master's first."""
        return (self.master_dpid, *self.dpids)

    @property
    def has_usual_master(self) -> bool:
        """Whether the first column holds what the page says it must.

        Device IDs in an ``adobe_id`` file, though the page's own second sample has CRM IDs
        there, which an earlier file had synchronised (docs/choices.md); CRM IDs in a
        ``c2c_id`` file.
        """
        return is_device_data_source(self.master_dpid) is (self.prefix is IdSyncPrefix.ADOBE_ID)

    def __str__(self) -> str:
        dpids = "_".join(map(str, self.columns))
        return f"{self.prefix}_{dpids}_{self.timestamp}.sync{_tail(self.split, self.encoding)}"

    @classmethod
    def parse(cls, text: str) -> IdSyncFileName:
        """Read a name.

        :raises DataError: when it is not the name of an ID sync file.
        """
        match = _ID_SYNC_FILE.fullmatch(text)
        if match is None:
            raise _not_a_name(text, "an ID sync file", _ID_SYNC_FORM, ID_SYNC_PAGE)
        master, *dpids = (int(dpid) for dpid in match["dpids"].split("_"))
        return _checked(
            text,
            ID_SYNC_PAGE,
            lambda: cls(
                prefix=IdSyncPrefix(match["prefix"]),
                master_dpid=master,
                dpids=tuple(dpids),
                timestamp=int(match["timestamp"]),
                split=_number(match["split"]),
                encoding=Encoding(match["encoding"] or ""),
            ),
        )

    def with_split(self, split: int | None) -> IdSyncFileName:
        """The name of another part of the same file."""
        return replace(self, split=split)

    def packed(self, encoding: Encoding) -> IdSyncFileName:
        """The name of the same file in another encoding."""
        return replace(self, encoding=encoding)


@dataclass(frozen=True, kw_only=True, slots=True)
class OracleDataCloudFileName:
    """Name of a file from Oracle Data Cloud (custom-partner-integrations.md).

    Recognised, never written: its lines are ``ID type<TAB>ID<TAB>trait,…``.
    """

    text: str

    def __str__(self) -> str:
        return self.text

    @classmethod
    def parse(cls, text: str) -> OracleDataCloudFileName:
        """Read a name.

        :raises DataError: when it is not such a name.
        """
        if _ODC_FILE.fullmatch(text) is None:
            raise _not_a_name(
                text, "an Oracle Data Cloud file", _ODC_FORM, "custom-partner-integrations.md"
            )
        return cls(text=text)


FileName = DataFileName | IdSyncFileName | OracleDataCloudFileName


def parse_file_name(text: str) -> FileName:
    """Read the name of any inbound file.

    :raises DataError: when it is none; the message tells the form that it was closest to.

    >>> type(parse_file_name("c2c_id_123_898_1454442149.sync.gz")).__name__
    'IdSyncFileName'
    """
    if text.startswith("ftp_dpm_odc_"):
        return OracleDataCloudFileName.parse(text)
    if text.startswith(tuple(f"{prefix}_" for prefix in IdSyncPrefix)):
        return IdSyncFileName.parse(text)
    return DataFileName.parse(text)


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


_TAIL = r"(?:\.(?P<split>[0-9]{1,10}))?(?:\.(?P<encoding>gz|pgp|gpg))?"
_DATA_FILE_FORM = "ftp_dpm_DPID[_TARGETDPID]_TIMESTAMP(.sync|.overwrite)[.SPLIT][.gz|.pgp|.gpg]"
_DATA_FILE = re.compile(
    r"ftp_dpm_(?P<dpid>[0-9]{1,10})(?:_(?P<target>[0-9]{1,10}))?_(?P<timestamp>[0-9]{10})"
    r"\.(?P<mode>sync|overwrite)" + _TAIL,
    re.ASCII,
)
_ID_SYNC_FORM = "(adobe_id|c2c_id)_MASTERDPID_DPID[_DPID...]_TIMESTAMP.sync[.SPLIT][.gz|.pgp|.gpg]"
_ID_SYNC_FILE = re.compile(
    r"(?P<prefix>adobe_id|c2c_id)_(?P<dpids>[0-9]{1,10}(?:_[0-9]{1,10})+)"
    r"_(?P<timestamp>[0-9]{10})\.sync" + _TAIL,
    re.ASCII,
)
_ODC_FORM = "ftp_dpm_odc_DPID[_TARGETDPID]_TIMESTAMP(.sync|.overwrite)[.SPLIT][.gz]"
_ODC_FILE = re.compile(
    r"ftp_dpm_odc_[0-9]{1,10}(?:_[0-9]{1,10})?_(?P<timestamp>[0-9]{10})\.(?:sync|overwrite)"
    + _TAIL,
    re.ASCII,
)


_Name = TypeVar("_Name", DataFileName, IdSyncFileName)


def _checked(text: str, page: str, build: Callable[[], _Name]) -> _Name:
    """Build a name from its elements, and refuse a spelling that would not print back."""
    try:
        name = build()
    except ConfigurationError as error:
        raise DataError(f"file name {printable(text)!r}: {error}") from None
    if str(name) != text:
        raise DataError(
            f"file name {printable(text)!r}: numbers are written without leading zeros, so this "
            f"would be {str(name)!r} ({page})"
        )
    return name


def _check_timestamp_and_split(timestamp: int, split: int | None, page: str) -> None:
    if type(timestamp) is not int or not MIN_TIMESTAMP <= timestamp <= MAX_TIMESTAMP:
        raise ConfigurationError(
            f"timestamp: {timestamp!r} is not UNIX time in seconds with 10 digits ({page})"
        )
    if split is not None and (type(split) is not int or not 1 <= split <= MAX_DPID):
        raise ConfigurationError(f"split: {split!r} is not a part number from 1 ({page})")


def _tail(split: int | None, encoding: Encoding) -> str:
    return ("" if split is None else f".{split}") + (f".{encoding}" if encoding else "")


def _number(text: str | None) -> int | None:
    return None if text is None else int(text)


def printable(text: str) -> str:
    """A hostile file name as it may stand in a message: cut, without control characters."""
    clean = "".join(character if character.isprintable() else "?" for character in text)
    return clean if len(clean) <= 120 else f"{clean[:117]}..."


def _not_a_name(text: str, what: str, form: str, page: str) -> DataError:
    return DataError(f"file name {printable(text)!r} is not that of {what}: {form} ({page})")
