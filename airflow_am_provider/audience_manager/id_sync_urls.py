"""URLs that synchronise IDs from a page or an e-mail: the pixel of Adobe's ID exchange.

Page: integration/sending-audience-data/batch-data-transfer-explained/id-sync-http.md, and
features/declared-ids.md for the form with ``d_cid``.

Such a URL pairs an ID with the cookie of **whoever calls it**. So it belongs into a page or an
e-mail that the customer's browser opens. A server that calls it in a loop over CRM IDs pairs all
of them with a device of its own.
"""

from __future__ import annotations

import re
from enum import IntEnum
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from airflow_am_provider.audience_manager.errors import ConfigurationError, DataError
from airflow_am_provider.audience_manager.file_kinds import check_dpid
from airflow_am_provider.audience_manager.identifiers import kind_of_data_source
from airflow_am_provider.audience_manager.personal_data import is_personal_data

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Authentication", "declared_id_url", "id_sync_url"]

ID_SYNC_PAGE: Final = "id-sync-http.md"
# The macro that Adobe fills in with its own ID of the caller's device; it stays as it is.
UUID_MACRO: Final = "${DD_UUID}"
# What stands between data source, ID and authentication. It is never encoded once more.
_BETWEEN: Final = "%01"
# DCS codes 301, 309 and 310: more than ten IDs, or more than three of a data source.
_MAX_IDS: Final = 10
_MAX_OF_ONE: Final = 3
# As Python and as templates write it.
_GDPR: Final = {"True": 1, "1": 1, "False": 0, "0": 0}
_DOMAIN: Final = "dpm"
_SUBDOMAIN: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?")


class Authentication(IntEnum):
    """Whether the person with an ID had logged in when the URL was made."""

    UNKNOWN = 0
    AUTHENTICATED = 1
    LOGGED_OUT = 2


def id_sync_url(
    dpid: int,
    user_id: str,
    *,
    redirect: str | None = None,
    gdpr: bool | None = None,
    gdpr_consent: str | None = None,
    domain: str = _DOMAIN,
) -> str:
    """The documented URL of one ID: ``https://dpm.demdex.net/ibs:dpid=…&dpuuid=…``.

    :param dpid: the data source of the ID.
    :param user_id: the ID, as it is; it is percent-encoded here.
    :param redirect: the URL that Adobe sends the browser on to. ``${DD_UUID}`` in it is replaced by
        Adobe's own ID of the device.
    :param gdpr: whether the European rules on consent hold; with ``gdpr_consent``, or neither.
    :param gdpr_consent: the consent string of IAB's framework.
    :param domain: the first part of the host, ``dpm`` by default.
    :raises DataError: when the ID breaks a rule of its data source, or it or the redirect holds
        personal data. The message masks it.
    :raises ConfigurationError: when a choice breaks a rule of the page.

    >>> id_sync_url(478, "crm/1 a", gdpr=True, gdpr_consent="BOEFEA")
    'https://dpm.demdex.net/ibs:dpid=478&dpuuid=crm%2F1%20a&gdpr=1&gdpr_consent=BOEFEA'
    """
    check_dpid("dpid", dpid)
    said = [f"dpid={dpid}", f"dpuuid={_encoded_id(dpid, user_id)}"]
    return _url(domain, said, redirect, gdpr, gdpr_consent)


def declared_id_url(
    ids: Sequence[tuple[int | str, str] | tuple[int | str, str, Authentication | int]],
    *,
    redirect: str | None = None,
    gdpr: bool | None = None,
    gdpr_consent: str | None = None,
    domain: str = _DOMAIN,
) -> str:
    """The URL of several declared IDs of one person: ``…/ibs:d_cid=DPID%01ID%01AUTH&…``.

    :param ids: up to ten: data source, ID, and whether the person had logged in
        (:class:`Authentication`), which may be left out. A data source is a number, or its
        integration code as text (``d_cid_ic``). Text of digits alone is refused: it may be
        either. At most three IDs of one data source.
    :param redirect: as for :func:`id_sync_url`.
    :param gdpr: as for :func:`id_sync_url`.
    :param gdpr_consent: as for :func:`id_sync_url`.
    :param domain: as for :func:`id_sync_url`.
    :raises DataError: when an ID breaks a rule of its data source, or it, a code or the redirect
        holds personal data.
    :raises ConfigurationError: when a choice breaks a rule of the page.

    >>> declared_id_url([(478, "crm-1", Authentication.AUTHENTICATED), ("crm", "a b")])
    'https://dpm.demdex.net/ibs:d_cid=478%01crm-1%011&d_cid_ic=crm%01a%20b'
    """
    if not 0 < len(ids) <= _MAX_IDS:
        raise ConfigurationError(
            f"ids: {len(ids)} of them: one to {_MAX_IDS} fit one request (DCS codes 301 and 309, "
            f"{ID_SYNC_PAGE})"
        )
    said = []
    for place, one in enumerate(ids):
        source, user_id, *state = one
        of_source = sum(other[0] == source for other in ids)
        if of_source > _MAX_OF_ONE:
            raise ConfigurationError(
                f"ids: {of_source} of the data source {source}: at most {_MAX_OF_ONE} of one "
                f"(DCS code 310, {ID_SYNC_PAGE})"
            )
        if isinstance(source, int):
            check_dpid(f"ids[{place}]", source)
            name = f"d_cid={source}"
        else:
            name = f"d_cid_ic={_encoded_code(source, place)}"
        pieces = [name, _encoded_id(source, user_id)]
        if state:
            pieces.append(str(_authentication(state[0], place).value))
        said.append(_BETWEEN.join(pieces))
    return _url(domain, said, redirect, gdpr, gdpr_consent)


def _url(
    domain: str, ids: list[str], redirect: str | None, gdpr: bool | None, consent: str | None
) -> str:
    """What both forms have in common: the host, then the IDs, then where to go on and consent."""
    said = [*ids, *([] if redirect is None else [f"redir={_redirect(redirect)}"])]
    said += _consent(gdpr, consent)
    return f"https://{_host(domain)}/ibs:{'&'.join(said)}"


def _authentication(value: int, place: int) -> Authentication:
    try:
        return Authentication(value)
    except ValueError:
        raise ConfigurationError(
            f"ids[{place}]: authentication {value!r}: 0 (unknown), 1 (authenticated) or 2 (logged "
            f"out) is expected ({ID_SYNC_PAGE})"
        ) from None


def _encoded_id(source: int | str, user_id: str) -> str:
    if not isinstance(user_id, str):
        raise DataError(f"user ID of the data source {source}: text is expected")
    # Each kind of ID has its rules, and none may be personal data. A code may be a platform's.
    code = source if isinstance(source, int) else source.removeprefix("DSID_")
    number = int(code) if str(code).isascii() and str(code).isdigit() else -1
    kind_of_data_source(number).validate(user_id)
    return _encoded(user_id, f"user ID of the data source {source}")


def _encoded_code(code: str, place: int) -> str:
    if not code:
        raise ConfigurationError(f"ids[{place}]: the integration code is empty")
    if code.isascii() and code.isdigit():
        # A template's numbers are text: as codes they would pair nobody, and nothing would say so.
        raise ConfigurationError(
            f"ids[{place}]: {code!r} is text, and so an integration code; a data source is a "
            f"number, {code} without quotes ({ID_SYNC_PAGE})"
        )
    if not code.isprintable():
        # Adobe's separator is such a character.
        raise ConfigurationError(
            f"ids[{place}]: the integration code holds a control character ({ID_SYNC_PAGE})"
        )
    what = f"ids[{place}]: integration code"
    _check_personal_data(code, what)
    return _encoded(code, what)


def _check_personal_data(text: str, what: str) -> None:
    if is_personal_data(text):
        raise DataError(f"{what}: no personal data belongs into a URL ({ID_SYNC_PAGE})")


def _encoded(text: str, what: str) -> str:
    """Percent-encoded as UTF-8; the message of an error shows nothing of the text."""
    try:
        return quote(text, safe="")
    except UnicodeEncodeError:
        raise DataError(f"{what}: is no text that UTF-8 can hold ({ID_SYNC_PAGE})") from None


def _redirect(url: str) -> str:
    if not url.startswith(("https://", "http://")):
        raise ConfigurationError(
            f"redirect: {url.partition('?')[0]!r} is no URL that begins with https:// "
            f"({ID_SYNC_PAGE})"
        )
    _check_personal_data(url, "redirect")
    # The macro is Adobe's to find, so it is left as it is.
    return UUID_MACRO.join(_encoded(piece, "redirect") for piece in url.split(UUID_MACRO))


def _consent(gdpr: bool | None, consent: str | None) -> list[str]:
    if (gdpr is None) != (consent is None):
        raise ConfigurationError(
            f"gdpr and gdpr_consent: both or neither are expected ({ID_SYNC_PAGE})"
        )
    if gdpr is None or consent is None:
        return []
    if not consent:
        raise ConfigurationError(f"gdpr_consent: empty; leave both out ({ID_SYNC_PAGE})")
    if str(gdpr) not in _GDPR:
        raise ConfigurationError(f"gdpr: {gdpr!r}: True or False is expected ({ID_SYNC_PAGE})")
    return [f"gdpr={_GDPR[str(gdpr)]}", f"gdpr_consent={_encoded(consent, 'gdpr_consent')}"]


def _host(domain: str) -> str:
    if not _SUBDOMAIN.fullmatch(domain):
        raise ConfigurationError(
            f"domain: {domain!r} is no first part of a host, such as 'dpm' in dpm.demdex.net"
        )
    return f"{domain}.demdex.net"
