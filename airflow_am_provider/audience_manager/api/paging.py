"""Lists in pages: which page is asked for next, and when all are there.

The page of the API says: page 0 is the first, ten entries are a page unless ``pageSize`` says
otherwise, and with paging the list is wrapped in ``{total, page, pageSize, list}``. Without
paging, and from some services all the same, it is a bare array.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final

from airflow_am_provider.audience_manager.errors import TransientError

if TYPE_CHECKING:
    from collections.abc import Generator

_logger = logging.getLogger(__name__)

PAGE_SIZE: Final = 500
# A server that never comes to its last page must not hold a task for ever.
_MAX_PAGES: Final = 10_000


def pages(asked: dict[str, Any], key: str) -> Generator[dict[str, Any], object, list[Any]]:
    """Ask page after page; whoever drives it does the asking.

    It yields the parameters of a request and is sent the JSON of the answer, so that one and the
    same code serves with and without ``await``. Whether a bare array is a page or everything, its
    length does not tell: what comes with the next page does. So each entry counts once, by its key.

    :param asked: the other parameters of the query.
    :param key: the field that tells entries apart.
    :return: all entries, in the order in which they came first.
    :raises TransientError: when an answer is no list, or never ends.

    >>> way = pages({}, "sid")
    >>> next(way)["page"], way.send({"total": 2, "list": [{"sid": 5}]})["page"]
    (0, 1)
    """
    entries: dict[object, Any] = {}
    nameless = 0
    for page in range(_MAX_PAGES):
        answer = yield {**asked, "page": page, "pageSize": PAGE_SIZE}
        wrapped = answer if isinstance(answer, dict) else {"list": answer}
        listed = wrapped.get("list")
        if not isinstance(listed, list) or not all(isinstance(one, dict) for one in listed):
            raise TransientError("Audience Manager's API: the answer is no list of entries")
        known, total = len(entries), wrapped.get("total")
        for one in listed:
            if one.get(key) is not None:
                entries.setdefault(one[key], one)
        if len(entries) > known:  # else it may be a page that came before
            nameless += sum(one.get(key) is None for one in listed)
        told = total if type(total) is int else None
        if len(entries) == known or (told is not None and len(entries) >= told):
            if nameless:
                _logger.warning("Left out: %d entries of the API without %r", nameless, key)
            if told is not None and len(entries) + nameless < told:
                _logger.warning(
                    "The API says that there are %d entries, and gave %d: taken for all",
                    told,
                    len(entries) + nameless,
                )
            return list(entries.values())
    raise TransientError(f"Audience Manager's API: no last page among {_MAX_PAGES:,}")
