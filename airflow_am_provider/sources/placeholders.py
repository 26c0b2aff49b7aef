"""What a query asks for by name, and where it ends."""

from __future__ import annotations

import re


def asks_for(sql: str, name: str) -> bool:
    """Whether a query has a placeholder of that name, in the way of any driver.

    >>> asks_for("SELECT id FROM t WHERE at < %(window_end)s", "window_end")
    True
    >>> asks_for("SELECT id FROM t WHERE at < :window_end", "window")
    False
    """
    return placeholder(name).search(sql) is not None


def filled(sql: str, name: str, text: str) -> str:
    """A query with text of ours in place of a placeholder.

    >>> filled("SELECT id FROM t WHERE :in_partition", "in_partition", "1 = 1")
    'SELECT id FROM t WHERE 1 = 1'
    """
    return placeholder(name).sub(lambda _: text, sql)


def without_end(sql: str) -> str:
    """A query without its last semicolon, so that it can stand in parentheses.

    >>> without_end("SELECT 1; -- all of it")
    'SELECT 1'
    """
    return re.sub(r"\s*;\s*(--[^\n]*\s*)*\Z", "", sql)


def placeholder(name: str) -> re.Pattern[str]:
    """What a placeholder of that name looks like, in the way of any driver.

    >>> placeholder("window_end").findall("at < $window_end AND day < $window_end_date")
    ['$window_end']
    """
    # Not PostgreSQL's casts: `value::name`.
    return re.compile(rf"%\({name}\)s|(?<!:)[:@$]{name}\b")
