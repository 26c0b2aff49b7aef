"""Names of inbound files: data files, ID sync files, and one partner's own form.

Pages: inbound-s3-filenames.md, inbound-ftp-filenames.md (the same grammar on S3 and FTP),
id-sync-file-based.md, inbound-file-encryption.md, custom-partner-integrations.md.

>>> name = parse_file_name("ftp_dpm_478_567_1366545717.sync.gz")
>>> name.dpid, name.target_dpid, str(name)
(478, 567, 'ftp_dpm_478_567_1366545717.sync.gz')

What a name says but for its time and part is a type of its own: a file is made before it is named.

>>> str(name.kind), str(named(name.kind, 1400000000))
('ftp_dpm_478_567.sync.gz', 'ftp_dpm_478_567_1400000000.sync.gz')
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, TypeVar

from airflow_am_provider.audience_manager.errors import ConfigurationError, DataError
from airflow_am_provider.audience_manager.file_kinds import ID_SYNC_PAGE as ID_SYNC_PAGE
from airflow_am_provider.audience_manager.file_kinds import MAX_DPID as MAX_DPID
from airflow_am_provider.audience_manager.file_kinds import NAMING_PAGE as NAMING_PAGE
from airflow_am_provider.audience_manager.file_kinds import (
    DataFileKind,
    IdSyncFileKind,
    not_a_name,
    tail,
)
from airflow_am_provider.audience_manager.file_kinds import Encoding as Encoding
from airflow_am_provider.audience_manager.file_kinds import IdSyncPrefix as IdSyncPrefix
from airflow_am_provider.audience_manager.file_kinds import Mode as Mode
from airflow_am_provider.audience_manager.file_kinds import printable as printable
from airflow_am_provider.audience_manager.identifiers import is_device_data_source

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_am_provider.audience_manager.file_kinds import FileKind

# 10 digits of UNIX seconds. The encryption page shows 9 in an example; the naming pages
# say 10, so 10 are written and others refused (docs/choices.md).
MIN_TIMESTAMP: Final = 1_000_000_000
MAX_TIMESTAMP: Final = 9_999_999_999


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
        _ = self.kind  # it knows the rules about data sources
        _check_timestamp_and_split(self.timestamp, self.split, NAMING_PAGE)

    @property
    def kind(self) -> DataFileKind:
        """What the name says, but for its timestamp and split number."""
        return DataFileKind(
            dpid=self.dpid,
            target_dpid=self.target_dpid,
            mode=self.mode,
            encoding=self.encoding,
        )

    def __str__(self) -> str:
        rest = tail(self.split, self.encoding)
        return f"{self.kind.stem}_{self.timestamp}.{self.mode}{rest}"

    @classmethod
    def parse(cls, text: str) -> DataFileName:
        """Read a name.

        :raises DataError: when it is not the name of a data file; says which element is wrong.
        """
        match = _DATA_FILE.fullmatch(text)
        if match is None:
            raise not_a_name(text, "a data file", _DATA_FILE_FORM, NAMING_PAGE)
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
        _ = self.kind  # it knows the rules about data sources
        _check_timestamp_and_split(self.timestamp, self.split, ID_SYNC_PAGE)

    @property
    def kind(self) -> IdSyncFileKind:
        """What the name says, but for its timestamp and split number."""
        return IdSyncFileKind(
            prefix=self.prefix,
            master_dpid=self.master_dpid,
            dpids=self.dpids,
            encoding=self.encoding,
        )

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
        return f"{self.kind.stem}_{self.timestamp}.sync{tail(self.split, self.encoding)}"

    @classmethod
    def parse(cls, text: str) -> IdSyncFileName:
        """Read a name.

        :raises DataError: when it is not the name of an ID sync file.
        """
        match = _ID_SYNC_FILE.fullmatch(text)
        if match is None:
            raise not_a_name(text, "an ID sync file", _ID_SYNC_FORM, ID_SYNC_PAGE)
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
            raise not_a_name(
                text, "an Oracle Data Cloud file", _ODC_FORM, "custom-partner-integrations.md"
            )
        return cls(text=text)


FileName = DataFileName | IdSyncFileName | OracleDataCloudFileName


def named(
    kind: FileKind, timestamp: int, split: int | None = None
) -> DataFileName | IdSyncFileName:
    """The name of a file of some kind.

    :param kind: what it is.
    :param timestamp: UNIX time in seconds, 10 digits, UTC.
    :param split: number of the part of a split file, from 1, or None for a whole one.
    :raises ConfigurationError: when timestamp or split number breaks its rule.
    """
    if isinstance(kind, IdSyncFileKind):
        return IdSyncFileName(
            prefix=kind.prefix,
            master_dpid=kind.master_dpid,
            dpids=kind.dpids,
            timestamp=timestamp,
            split=split,
            encoding=kind.encoding,
        )
    return DataFileName(
        dpid=kind.dpid,
        target_dpid=kind.target_dpid,
        timestamp=timestamp,
        mode=kind.mode,
        split=split,
        encoding=kind.encoding,
    )


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


def _number(text: str | None) -> int | None:
    return None if text is None else int(text)
