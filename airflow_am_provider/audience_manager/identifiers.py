"""The kinds of user ID that Audience Manager knows, and what each looks like.

Page: reference/ids-in-aam.md. Every kind has the same verbs: ``problem``, ``validate``,
``is_valid``. IDs are case-sensitive and pass byte for byte, so nothing is trimmed or
changed here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from airflow_am_provider.audience_manager.errors import ConfigurationError, DataError
from airflow_am_provider.audience_manager.personal_data import is_personal_data, mask
from airflow_am_provider.audience_manager.placeholders import is_blank, is_placeholder, is_rounded
from airflow_am_provider.audience_manager.rules import RULES, Rule

UPPER_GUID_PATTERN: Final = r"[0-9A-F]{8}-[0-9A-F]{4}-[0-9A-F]{4}-[0-9A-F]{4}-[0-9A-F]{12}"
LOWER_GUID_PATTERN: Final = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
ALPHANUMERIC_PATTERN: Final = r"[0-9A-Za-z]+"
# Whether IDs that Adobe's page calls alphanumeric have hyphens is not confirmed.
HYPHENATED_PATTERN: Final = r"[0-9A-Za-z]+(?:-[0-9A-Za-z]+)+"
# What a platform reports for a device whose owner opted out of tracking: thousands of
# people would share one profile. Adobe's pages are silent; see docs/choices.md.
OPTED_OUT_GUID: Final = "00000000-0000-0000-0000-000000000000"

# inbound-file-contents.md, "Invalid Characters": neither a colon nor an encoded one.
COLON_PATTERN: Final = r":|%3[Aa]"
# id-sync-file-based.md, "Other Format Requirements": unencoded IDs only.
URL_ENCODED_PATTERN: Final = r"%[0-9A-Fa-f]{2}"
CONTROL_PATTERN: Final = r"[\x00-\x1f\x7f]"

# Invisible, and left at the start of text by some exports: the ID then matches nobody.
BYTE_ORDER_MARK: Final = "\ufeff"

_COLON = re.compile(COLON_PATTERN)
_CONTROL = re.compile(CONTROL_PATTERN)


@dataclass(frozen=True, kw_only=True, slots=True)
class IdKind:
    """One kind of user ID.

    :param name: the name used in parameters, such as ``gaid``.
    :param title: Adobe's name for it.
    :param dpid: the data source Adobe reserves for it, or None for the customer's own.
    :param pattern: a regular expression for the whole ID, or None when it is opaque.
    :param example: one good ID.
    """

    name: str
    title: str
    dpid: int | None
    pattern: str | None
    example: str

    @property
    def is_device(self) -> bool:
        """Whether IDs of this kind belong to a device, not to a person in a CRM."""
        return self.dpid is not None

    @property
    def takes_hyphens(self) -> bool:
        """Whether hyphens in IDs of this kind are a warning, since Adobe's word on them is open."""
        return self.pattern == ALPHANUMERIC_PATTERN

    def problem(self, value: str) -> Rule | None:
        """The first rule that an ID breaks, or None.

        >>> GAID.problem("E4FE9BDE-CAA0-47B6-908D-FFBA3FA184F2")
        <Rule.ID_FORM: 'id_form'>
        """
        if not value:
            return Rule.EMPTY_ID
        if _CONTROL.search(value):
            return Rule.ID_CONTROL_CHARACTER
        if value.startswith(BYTE_ORDER_MARK):
            return Rule.BYTE_ORDER_MARK
        if is_blank(value):
            return Rule.EMPTY_ID
        if is_placeholder(value):
            return Rule.ID_PLACEHOLDER
        if is_rounded(value):
            return Rule.ID_ROUNDED
        if is_personal_data(value):
            return Rule.PERSONAL_DATA
        if self.pattern is not None:
            is_hyphenated = self.takes_hyphens and re.fullmatch(HYPHENATED_PATTERN, value)
            if not is_hyphenated and re.fullmatch(self.pattern, value) is None:
                return Rule.ID_FORM
            if value == OPTED_OUT_GUID:
                return Rule.ID_OPTED_OUT
            return Rule.ID_HYPHEN if is_hyphenated else None
        return Rule.ID_COLON if _COLON.search(value) else None

    def validate(self, value: str) -> str:
        """Return the ID unchanged.

        :raises DataError: when it breaks a rule; the message masks the ID.

        >>> AAM_UUID.validate("07955261652886032950143702505894272138")
        '07955261652886032950143702505894272138'
        """
        rule = self.problem(value)
        if rule is not None and rule is not Rule.ID_HYPHEN:
            text = RULES[rule]
            raise DataError(f"{self.title} {mask(value)}: {text.sentence} ({text.page})")
        return value

    def is_valid(self, value: str) -> bool:
        """Whether an ID breaks no rule, save that hyphens are not confirmed."""
        return self.problem(value) in (None, Rule.ID_HYPHEN)


def _kind(name: str, title: str, dpid: int | None, pattern: str | None, example: str) -> IdKind:
    return IdKind(name=name, title=title, dpid=dpid, pattern=pattern, example=example)


AAM_UUID: Final = _kind(
    "aam_uuid", "AAM UUID", 0, r"[0-9]{38}", "07955261652886032950143702505894272138"
)
# features/datasources-list-and-settings.md. No data source is reserved for it.
ECID: Final = _kind(
    "ecid", "Experience Cloud ID", None, AAM_UUID.pattern, "27145613820947213864301775284613928461"
)
DPUUID: Final = _kind("dpuuid", "DPUUID", None, None, "2132-3423vn-343fds-3432r")
GAID: Final = _kind(
    "gaid", "GAID (Android)", 20914, LOWER_GUID_PATTERN, "e4fe9bde-caa0-47b6-908d-ffba3fa184f2"
)
IDFA: Final = _kind(
    "idfa", "IDFA (iOS)", 20915, UPPER_GUID_PATTERN, "AEBE52E7-03EE-455A-B3C4-E57283966239"
)
RIDA: Final = _kind(
    "rida", "RIDA (Roku)", 121963, LOWER_GUID_PATTERN, "fcb2a29c-315a-5e6b-bcfd-d889ba19aada"
)
MAID: Final = _kind(
    "maid", "MAID (Windows)", 389146, ALPHANUMERIC_PATTERN, "8F4A7C2B9E1D4F60A3B5C7D9E1F20413"
)
TIFA: Final = _kind(
    "tifa", "TIFA (Samsung)", 963906, ALPHANUMERIC_PATTERN, "a9f1c36b74d84be5b0d3a1c2e4f56789"
)
FIRE_TV: Final = _kind(
    "fire_tv", "Fire TV ID", 488258, LOWER_GUID_PATTERN, "df07c7dc-cea7-4a89-b328-810ff5acb15d"
)
LGUDID: Final = _kind(
    "lgudid", "LGUDID (LG webOS)", 1171485, LOWER_GUID_PATTERN,
    "095f142a-ace8-ac5d-b86a-92c8be18b197",
)  # fmt: skip
VIZIO_IFA: Final = _kind("vizio_ifa", "Vizio IFA", 1171489, ALPHANUMERIC_PATTERN, "7XCBNROQJQPYW")

ID_KINDS: Final[dict[str, IdKind]] = {
    kind.name: kind
    for kind in (
        AAM_UUID, ECID, DPUUID, GAID, IDFA, RIDA, MAID, TIFA, FIRE_TV, LGUDID, VIZIO_IFA,
    )
}  # fmt: skip
_BY_DPID: Final = {kind.dpid: kind for kind in ID_KINDS.values() if kind.dpid is not None}


def id_kind(name: str) -> IdKind:
    """The kind of that name.

    :raises ConfigurationError: when there is none; the message lists those there are.

    >>> id_kind("idfa").dpid
    20915
    """
    try:
        return ID_KINDS[name]
    except KeyError:
        raise ConfigurationError(
            f"kind of ID {name!r} is not known: one of {', '.join(ID_KINDS)} "
            f"(reference/ids-in-aam.md)"
        ) from None


def kind_of_data_source(dpid: int) -> IdKind:
    """The kind of ID that a data source holds: a device platform's, or the customer's own.

    >>> kind_of_data_source(20914).name, kind_of_data_source(478).name
    ('gaid', 'dpuuid')
    """
    return _BY_DPID.get(dpid, DPUUID)


def is_global_device_data_source(dpid: int) -> bool:
    """Whether Adobe reserves a data source for a device platform (features/global-data-sources.md).

    >>> is_global_device_data_source(20915), is_global_device_data_source(0)
    (True, False)
    """
    return dpid != AAM_UUID.dpid and dpid in _BY_DPID


def is_device_data_source(dpid: int) -> bool:
    """Whether IDs of a data source are devices by themselves: AAM UUIDs and platforms' IDs.

    >>> is_device_data_source(0), is_device_data_source(20914), is_device_data_source(478)
    (True, True, False)
    """
    return dpid in _BY_DPID
