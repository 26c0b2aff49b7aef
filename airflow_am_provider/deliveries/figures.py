"""The figures of a delivery, under one name each: in logs, on the command line and in tables.

============== ==================================================================================
rows           what the source gave. Rows read = rows written + rows set aside
lines          what is in the files. Several rows of a user may stand on one line
records        what Audience Manager says it received and stored; one for each line
match rate     which share of the records received was stored
============== ==================================================================================
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from airflow_am_provider.audience_manager.words import counted

if TYPE_CHECKING:
    from collections.abc import Mapping

#: What each figure is called where a person reads it, by its name in JSON.
TITLES: Final = {
    "rows_read": "rows read",
    "rows_written": "rows written",
    "rows_set_aside": "rows set aside",
    "lines": "lines",
    "records_received": "records received",
    "stored_records": "records stored",
    "match_rate": "match rate",
    "times_sent": "times sent",
}
#: Those of them that are counted and kept; the others follow.
COUNTS: Final = (
    "rows_read",
    "rows_written",
    "rows_set_aside",
    "lines",
    "records_received",
    "stored_records",
)


def rows_in_words(document: Mapping[str, Any]) -> str:
    """The rows of a manifest or of an upload's result: all that were read, and what became of them.

    >>> rows_in_words({"rows_read": 1001, "rows_written": 1000, "rows_set_aside": 1})
    '1,001 rows read = 1,000 rows written + 1 row set aside'
    """
    read, written, aside = (
        document[name] for name in ("rows_read", "rows_written", "rows_set_aside")
    )
    return (
        f"{counted(read, 'row')} read = {counted(written, 'row')} written + "
        f"{counted(aside, 'row')} set aside"
    )


def lines_in_words(rows_written: int, lines: int) -> str:
    """How many lines the rows became, and why there are not as many as rows.

    >>> lines_in_words(8976, 5988)
    '8,976 rows on 5,988 lines, as rows of one user are joined'
    >>> lines_in_words(10, 10)
    '10 lines'
    """
    if rows_written == lines:
        return counted(lines, "line")
    return (
        f"{counted(rows_written, 'row')} on {counted(lines, 'line')}, as rows of one user are "
        f"joined"
    )


def match_rate(received: int | None, stored: int | None) -> float | None:
    """Which share of the records received was stored; None where one of the two is not known.

    >>> match_rate(200, 150), match_rate(0, 0), match_rate(None, 5)
    (0.75, None, None)
    """
    return stored / received if received and stored is not None else None


def share_in_words(share: float | None) -> str:
    """A share in percent; a dash where it is not known.

    >>> share_in_words(0.9987), share_in_words(None)
    ('99.9 %', '-')
    """
    return "-" if share is None else f"{share:.1%}".replace("%", " %")
