"""What the REST API says of data sources and traits (api/rest-api-main/aam-api-getting-started.md).

Adobe's public pages name some fields only, so everything that is not needed may be missing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from airflow_am_provider.audience_manager.errors import TransientError

__all__ = ["DataSource", "Mapping", "OutboundTransfer", "Trait"]

ONBOARDED: Final = "ON_BOARDED_TRAIT"
ACTIVE: Final = "ACTIVE"


@dataclass(frozen=True, kw_only=True, slots=True)
class DataSource:
    """One data source (features/datasources-list-and-settings.md).

    :param dpid: its number.
    :param name: its name in Adobe's UI.
    :param status: ``ACTIVE`` or another word; None when the answer has none.
    :param id_type: what its IDs are of, such as ``CROSS_DEVICE``, ``COOKIE`` or ``DEVICE``.
    :param inbound: whether *Inbound* is ticked. It never blocks a file.
    :param sampling: whether samples of faulty records are kept.
    """

    dpid: int
    name: str = ""
    status: str | None = None
    id_type: str | None = None
    inbound: bool | None = None
    sampling: bool | None = None

    @property
    def is_active(self) -> bool:
        """Whether nothing says that it is not."""
        return self.status in (None, ACTIVE)

    @property
    def is_cross_device(self) -> bool:
        """Whether its IDs are of people: records wait for an ID sync instead of being lost."""
        return self.id_type == "CROSS_DEVICE"

    @classmethod
    def from_json(cls, document: object) -> DataSource:
        """Read one.

        :raises TransientError: when it is no data source.
        """
        fields = _Fields(document, "data source")
        return cls(
            dpid=fields.number("dataSourceId"),
            name=fields.text("name") or "",
            status=fields.text("status"),
            id_type=fields.text("idType"),
            inbound=fields.flag("inboundS2S"),
            sampling=fields.flag("samplingEnabled"),
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Trait:
    """One trait.

    :param sid: its number.
    :param kind: ``ON_BOARDED_TRAIT``, ``RULE_BASED_TRAIT``, ``ALGO_TRAIT`` …
    :param dpid: the data source it belongs to.
    :param name: its name in Adobe's UI.
    :param status: ``ACTIVE`` or another word.
    :param ttl_days: after how many days a user who is not said to have it again loses it; 0 for
        never, None when the answer does not say.
    :param created_at: when it was made, seconds since 1970; None when the answer does not say.
    :param rule: of a rule-based trait, the expression.
    """

    sid: int
    kind: str
    dpid: int | None = None
    name: str = ""
    status: str | None = None
    ttl_days: int | None = None
    created_at: float | None = None
    rule: str = ""

    @property
    def is_onboarded(self) -> bool:
        """Whether files can set it."""
        return self.kind == ONBOARDED

    @property
    def is_active(self) -> bool:
        """Whether nothing says that it is not."""
        return self.status in (None, ACTIVE)

    @classmethod
    def from_json(cls, document: object) -> Trait:
        """Read one.

        :raises TransientError: when it is no trait.
        """
        fields = _Fields(document, "trait")
        created = fields.optional_number("createTime")
        return cls(
            sid=fields.number("sid"),
            kind=fields.text("traitType") or "",
            dpid=fields.optional_number("dataSourceId"),
            name=fields.text("name") or "",
            status=fields.text("status"),
            ttl_days=fields.optional_number("ttl"),
            created_at=None if created is None else created / 1000,
            rule=fields.text("traitRule") or "",
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class OutboundTransfer:
    """One transfer to a destination, as the outbound history has it.

    :param file_name: the file that was sent, or empty.
    :param mode: ``syncType`` as Adobe gives it.
    :param full: whether it was a full publish.
    :param success: whether Adobe counts it as done.
    :param records: how many records were sent.
    :param started_at: seconds since 1970, or None.
    :param ended_at: seconds since 1970, or None.
    """

    file_name: str = ""
    mode: str | None = None
    full: bool | None = None
    success: bool | None = None
    records: int | None = None
    started_at: float | None = None
    ended_at: float | None = None

    @classmethod
    def from_json(cls, document: object) -> OutboundTransfer:
        """Read one.

        :raises TransientError: when it is no object.
        """
        fields = _Fields(document, "outbound transfer")
        started, ended = (fields.optional_number(name) for name in ("startTime", "endTime"))
        return cls(
            file_name=fields.text("dataFileName") or "",
            mode=fields.text("syncType"),
            full=fields.flag("fullPublish"),
            success=fields.flag("success"),
            records=fields.optional_number("successRecords"),
            started_at=None if started is None else started / 1000,
            ended_at=None if ended is None else ended / 1000,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Mapping:
    """What a destination sends: a segment or trait, and its names.

    :param sid: its number.
    :param name: its name.
    :param description: what was written about it.
    :param status: ``active`` or another word, as Adobe gives it.
    """

    sid: int
    name: str = ""
    description: str = ""
    status: str | None = None

    @classmethod
    def from_json(cls, document: object) -> Mapping:
        """Read one.

        :raises TransientError: when it is no mapping.
        """
        fields = _Fields(document, "mapping")
        return cls(
            sid=fields.number("sid"),
            name=fields.text("elementName") or "",
            description=fields.text("elementDescription") or "",
            status=fields.text("elementStatus"),
        )


class _Fields:
    """The fields of an answer, each of the type that is expected or as if it were not there."""

    def __init__(self, document: object, what: str) -> None:
        if not isinstance(document, dict):
            raise TransientError(
                f"Audience Manager's API: a {what} was expected, not {type(document).__name__}"
            )
        self._document = document
        self._what = what

    def number(self, name: str) -> int:
        value = self.optional_number(name)
        if value is None:
            raise TransientError(
                f"Audience Manager's API: a {self._what} without the number {name!r}"
            )
        return value

    def optional_number(self, name: str) -> int | None:
        value = self._document.get(name)
        if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 20:
            return int(value)
        return value if type(value) is int else None

    def text(self, name: str) -> str | None:
        value = self._document.get(name)
        return value if isinstance(value, str) else None

    def flag(self, name: str) -> bool | None:
        value = self._document.get(name)
        return value if isinstance(value, bool) else None
