"""Says what is wrong where a query's parameters do not fit its placeholders.

Drivers raise errors of many kinds then, some of them Python's own, and none of them will go away
with another attempt.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from airflow_am_provider.audience_manager.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

# What drivers say: SQLite, psycopg, DuckDB; and Python's ``%``, which psycopg2 and MySQL's drivers
# use and let through. Servers have numbers or states for what they refuse.
_WORDS: Final = re.compile(
    r"number of bindings|supply a value for binding|has no name, but you supplied|"
    r"binding parameter|placeholders but|parameter missing|allowed as placeholders|"
    r"incomplete placeholder|positional and named placeholders|should be a sequence|"
    r"require a sequence|require a mapping|"
    r"not all arguments converted|not enough arguments|format requires a mapping|"
    r"unsupported format character|incomplete format|index out of range|is not a sequence|"
    r"dictionary update sequence|can(?:'t|not) adapt|"
    r"Values were not provided|excess parameters|count mismatch for prepared|"
    r"named and positional parameters|Unable to transform python value"
)
# Texts, comments and percent signs that stand for themselves hold no placeholder.
_NONE = re.compile(r"'(?:[^']|'')*'|\"[^\"]*\"|--[^\n]*|/\*.*?\*/|%%", re.DOTALL)
_NAMED = re.compile(r"%\((\w+)\)s|(?<![:\w])[:@$]([^\W\d]\w*)")
_NUMBERED = re.compile(r"%[sbt]|\?|(?<!\w)\$\d+")
_MOST_NAMES: Final = 10


@contextmanager
def fitting(
    sql: str, parameters: Mapping[str, Any] | Iterable[Any] | None, parameter: str
) -> Iterator[None]:
    """Turn what a driver raises when it binds values into an error that says what to mend.

    :param sql: the query.
    :param parameters: what is bound; names of it are shown, values are not.
    :param parameter: what names the query, for messages.
    :raises ConfigurationError: when parameters and placeholders do not fit.
    """
    try:
        yield
    except Exception as error:
        has_state = getattr(error, "sqlstate", None) or getattr(error, "pgcode", None)
        if has_state or isinstance(error, ConfigurationError) or not _is_misfit(error, sql):
            raise
        raise ConfigurationError(
            f"{parameter}: its placeholders and parameters do not fit ({type(error).__name__}): "
            f"it has {_asked(sql)}, and is given {_given(parameters)}. Each placeholder takes one "
            f"value that the driver knows: a dict where they have names, a list in their order "
            f"where they have none (PEP 249). Mend the query or parameters; with %s or %(name)s, "
            f"write a percent sign of its own as %%"
        ) from None


def _is_misfit(error: Exception, sql: str) -> bool:
    if isinstance(error, KeyError):
        return error.args[:1] != () and error.args[0] in _names(_NONE.sub(" ", sql))
    return _WORDS.search(str(error)) is not None


def _names(rest: str) -> list[str]:
    return list(dict.fromkeys(first or second for first, second in _NAMED.findall(rest)))


def _asked(sql: str) -> str:
    """The placeholders of a query, as far as they can be told without its driver."""
    rest = _NONE.sub(" ", sql)
    names, count = _names(rest), len(_NUMBERED.findall(rest))
    found = [_listed(names)] if names else []
    found += [f"{count} without a name"] if count else []
    return f"placeholders {' and '.join(found)}" if found else "no placeholder"


def _given(parameters: Mapping[str, Any] | Iterable[Any] | None) -> str:
    if parameters is None:
        return "nothing"
    if isinstance(parameters, Mapping):
        return f"a dict of {_listed(list(map(str, parameters)))}" if parameters else "an empty dict"
    count = len(list(parameters))
    return f"a list of {count} value{'' if count == 1 else 's'}"


def _listed(names: list[str]) -> str:
    more = len(names) - _MOST_NAMES
    return ", ".join(map(repr, names[:_MOST_NAMES])) + (f" and {more} more" if more > 0 else "")
