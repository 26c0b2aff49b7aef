r"""Customer Data Feeds: what an event's line holds, and the IDs that a page declares in it.

Page: features/cdf-files.md. Fields are separated by the byte 0x01, the elements of an array and the
request's parameters by 0x02, key and value by 0x03. A null is ``\N``, which the page prints ``/N``.
New fields may come at the end.

>>> feed_folder("day=2017-09-14/hour=17/AAM_CDF_1234_0_0_0.gz")
datetime.datetime(2017, 9, 14, 17, 0, tzinfo=datetime.timezone.utc)
>>> declared_ids({"d_cid": ["478%01ann%011"]})
[DeclaredId(dpid=478, code=None, dpuuid='ann', authentication=1)]
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import unquote

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

PAGE: Final = "features/cdf-files.md"
FIELD, ELEMENT, VALUE = "\x01", "\x02", "\x03"
NULLS: Final = ("\\N", "/N")
#: The fields in their order; what comes after them is kept as it is.
FIELDS: Final = (
    "event_time",
    "device",
    "container_id",
    "realized_traits",
    "realized_segments",
    "parameters",
    "referer",
    "ip",
    "experience_cloud_id",
    "all_segments",
    "all_traits",
)
TIME_FORMAT: Final = "%Y-%m-%d %H:%M:%S"
ARRAYS: Final = ("realized_traits", "realized_segments", "all_segments", "all_traits")

# The page's two examples differ from its own syntax, and from each other.
_FILE: Final = re.compile(r"AAM[_-]CDF_(?P<partner>\d+)_[0-9_]+\.gz")
_FOLDER: Final = re.compile(
    r"(?:.*/)?day=(?P<day>\d{4}-\d\d-\d\d)/hour=(?P<hour>[01]\d|2[0-3])/[^/]+"
)
#: States of authentication, as pages declare them with an ID (features/declared-ids.md).
AUTHENTICATION: Final = {0: "unknown", 1: "logged in", 2: "logged out"}
#: Parameters that name an ID: data source's number, its integration code, both apart.
DECLARING: Final = ("d_cid", "d_cid_ic", "d_dpid", "d_dpuuid")


class DeclaredId(NamedTuple):
    """An ID that a page declared for a device.

    :param dpid: its data source; None where a code says which.
    :param code: the integration code of its data source; the API knows its number.
    :param dpuuid: the ID; None where it is not UTF-8 once its percent signs are decoded. Two of
        these would become one if what is wrong in them were replaced.
    :param authentication: 0 unknown, 1 logged in, 2 logged out; None where the page says nothing.
    """

    dpid: int | None
    code: str | None
    dpuuid: str | None
    authentication: int | None


def is_feed_file(name: str) -> bool:
    """Whether a name is that of a feed's file."""
    return _FILE.fullmatch(name) is not None


def feed_folder(path: str) -> datetime | None:
    """The hour of the folder that a file lies in: when Adobe began to prepare it."""
    match = _FOLDER.fullmatch(path)
    if match is None:
        return None
    try:
        day = datetime.strptime(match["day"], "%Y-%m-%d")  # noqa: DTZ007  # set below
    except ValueError:
        return None
    return day.replace(hour=int(match["hour"]), tzinfo=UTC)


def declared_ids(parameters: Mapping[str, Sequence[str]]) -> list[DeclaredId]:
    """The IDs that a request declares; what is no ID is passed over.

    :param parameters: the request's parameters, each with its values.
    """
    found = []
    for text in parameters.get("d_cid", ()):
        source, dpuuid, authentication = _apart(text)
        if source.isascii() and source.isdigit() and dpuuid and len(source) < 11:
            found.append(DeclaredId(int(source), None, _decoded(dpuuid), authentication))
    for text in parameters.get("d_cid_ic", ()):
        written, dpuuid, authentication = _apart(text)
        if (code := _decoded(written)) and dpuuid:
            found.append(DeclaredId(None, code, _decoded(dpuuid), authentication))
    for source, dpuuid in zip(
        parameters.get("d_dpid", ()), parameters.get("d_dpuuid", ()), strict=False
    ):
        if source.isascii() and source.isdigit() and dpuuid and len(source) < 11:
            found.append(DeclaredId(int(source), None, _decoded(dpuuid), None))
    return found


def _apart(text: str) -> tuple[str, str, int | None]:
    """``SOURCE%01ID[%01STATE]``, whose separator may be written in either form."""
    parts = text.replace("%01", FIELD).split(FIELD)
    if len(parts) not in (2, 3):
        return "", "", None
    state = parts[2] if len(parts) == 3 else ""  # see above
    is_state = state in map(str, AUTHENTICATION)
    return parts[0], parts[1], int(state) if is_state else None


def _decoded(text: str) -> str | None:
    try:
        return unquote(text, errors="strict")
    except UnicodeDecodeError:
        return None
