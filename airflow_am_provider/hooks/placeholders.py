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
    return re.search(rf"%\({name}\)s|[:@]{name}\b", sql) is not None


def without_end(sql: str) -> str:
    """A query without its last semicolon, so that it can stand in parentheses.

    >>> without_end("SELECT 1; -- all of it")
    'SELECT 1'
    """
    return re.sub(r"\s*;\s*(--[^\n]*\s*)*\Z", "", sql)
