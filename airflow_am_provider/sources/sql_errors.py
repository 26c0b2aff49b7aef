"""What a database says of an error may quote rows, so it is not passed on.

Which errors do is not to be told: besides failed casts and constraints there are a function's own
``RAISE``, ``ASSERT``, texts that a query gives to ``error()``, and names that dynamic SQL makes of
values. So it is the other way round: shown are the error's type and code, words from a list, and
names that stand in the statement. PostgreSQL says apart which constraint a row breaks; that is
shown where its own checks say it, and not a function's ``RAISE``.
"""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from airflow_am_provider.audience_manager.errors import (
    AudienceManagerError,
    ConfigurationError,
    DataError,
    TransientError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# Classes of SQLSTATE: data exceptions and constraints; syntax and access.
_OF_VALUES: Final = ("22", "23")
_OF_THE_QUERY: Final = "42"
# Of a statement that writes there are besides: what the database does not have, and a schema that
# is not there.
_OF_THE_STATEMENT: Final = ("42", "0A", "3F")
# A table that is not there: another job may be making it anew.
_MISSING_TABLE: Final = "42P01"
# For drivers without SQLSTATE (PEP 249).
_DATA_ERRORS: Final = frozenset({"DataError", "IntegrityError"})
# Each of them is shown where it stands in a message, and nothing around it.
_WORDS: Final = (
    "no such column",
    "no such table",
    "no such function",
    "has no column named",
    "syntax error",
    "an explicit cast is required",
    "does not exist",
    "doesn't exist",
    "not found in FROM clause",
    "Unknown column",
    "ambiguous",
    "permission denied",
    "must appear in the GROUP BY clause",
    "is locked",
    "deadlock detected",
    "could not serialize access",
    "conflict with recovery",
    "canceling statement due to user request",
    "canceling statement due to statement timeout",
    "canceling statement due to lock timeout",
    "query was cancelled",
    "terminating connection",
    "server closed the connection unexpectedly",
    "SSL connection has been closed unexpectedly",
    "connection is closed",
    "connection already closed",
    "Lost connection",
    "server has gone away",
    "Connection refused",
    "timeout expired",
    "out of memory",
    "No space left on device",
    "disk I/O error",
    "unable to open database file",
    "file is not a database",
    "constraint failed",
    "violates check constraint",
    "violates not-null constraint",
    "violates unique constraint",
    "violates foreign key constraint",
    "Duplicate entry",
    "value too long for type",
    "Data too long for column",
    "invalid input syntax for type",
    "no partition of relation",
    "Loading local data is disabled",
    "read-only transaction",
    "attempt to write a readonly database",
    "S3ServiceException",
    "Access Denied",
    "Insufficient privileges",
    "No files found that match the pattern",
    "malformed JSON",
    "Could not decode to UTF-8",
    "Incorrect number of bindings",
    "placeholders but",
    "not all arguments converted",
)
# For drivers without SQLSTATE: by its class (PEP 249), or SQLite's words, which has none for it.
_OF_STATEMENTS: Final = "ProgrammingError"
_MISSING: Final = ("no such table", "no such column", "has no column named", "doesn't exist")
# Where PostgreSQL itself says that a row breaks a constraint; a function that raises may say any
# text to be its name.
_CHECKS: Final = frozenset({"execMain.c", "nbtinsert.c", "execIndexing.c", "ri_triggers.c"})
_MOST_NAMES: Final = 3
_QUOTED = re.compile(r"""["'`]([^"'`]{1,200})["'`]|: ([\w.$]{1,200})(?=\s|$)""")
_NAME = re.compile(r"[^\W\d]\w*")
# What is no name in a query: texts, comments.
_NO_NAMES = re.compile(r"'(?:[^']|'')*'|\$(\w*)\$.*?\$\1\$|--[^\n]*|/\*.*?\*/", re.DOTALL)


@contextmanager
def without_values(sql: str, parameter: str = "sql") -> Iterator[None]:
    """Turn whatever reading a query's rows raises into an error that quotes no row.

    Errors of this package go on as they are, and those of the operating system, such as a
    connection that was reset.

    :param sql: the query; names in it may be shown.
    :param parameter: what names the query, for messages.
    :raises DataError: for a value that a cast or a constraint does not take.
    :raises ConfigurationError: for a query that the database does not understand or allow.
    :raises TransientError: for anything else.
    """
    try:
        yield
    except Exception as error:  # each driver has errors of its own
        if _goes_on(error) or isinstance(error, InterruptedError):
            raise
        raise _told(error, sql, parameter) from None


@contextmanager
def without_rows(statement: Callable[[], str], parameter: str) -> Iterator[None]:
    """Turn whatever writing rows raises into an error that quotes none.

    Errors of this package go on as they are, those of the operating system, and Arrow's, which
    are for whoever catches these.

    :param statement: gives the statement that was run last; names in it may be shown.
    :param parameter: what names the tables or their database, for messages.
    :raises DataError: for a value that a column or a constraint does not take.
    :raises ConfigurationError: for a statement that the database does not understand or allow.
    :raises TransientError: for anything else.
    """
    try:
        yield
    except Exception as error:  # each driver has errors of its own
        if _goes_on(error) or "ArrowException" in _classes(error):
            raise
        raise _not_written(error, statement(), parameter) from None


def _goes_on(error: Exception) -> bool:
    """Whether it is this package's own, or the operating system's: those have a number.

    Arrow raises an OSError without one, with the words of whoever filled it.
    """
    is_of_the_system = isinstance(error, OSError) and error.errno is not None
    return is_of_the_system or isinstance(error, AudienceManagerError)


def _told(error: Exception, sql: str, parameter: str) -> AudienceManagerError:
    state = _state(error)
    kind: type[AudienceManagerError]
    if _is_of_values(error, state):
        kind, what = DataError, "the database stumbled over a value"
    elif state.startswith(_OF_THE_QUERY) and state != _MISSING_TABLE:
        kind, what = ConfigurationError, "the database refuses the query"
    else:
        kind, what = TransientError, "the database did not give all rows"
    return kind(
        f"{parameter}: {what}: {_known(error, state, sql)}. The rest of its words is left out, as "
        f"it may quote rows; run the query by hand to see it"
    )


def _not_written(error: Exception, sql: str, parameter: str) -> AudienceManagerError:
    state = _state(error)
    kind: type[AudienceManagerError]
    if _is_of_values(error, state):
        kind, what = DataError, "the database does not take a row"
    elif state.startswith(_OF_THE_STATEMENT) or (not state and _is_missing(error)):
        kind, what = ConfigurationError, "the database refuses a statement"
    else:
        kind, what = TransientError, "the database did not do what it was asked for"
    return kind(
        f"{parameter}: {what}: {_known(error, state, sql)}. Nothing of it is kept. The rest of its "
        f"words is left out, as it may quote rows; the database's own log may have it"
    )


def _state(error: Exception) -> str:
    # psycopg and psycopg2 each have a name of their own for it.
    state = getattr(error, "sqlstate", None) or getattr(error, "pgcode", None)
    return state if isinstance(state, str) else ""


def _is_of_values(error: Exception, state: str) -> bool:
    if state:
        return state.startswith(_OF_VALUES)
    return not _DATA_ERRORS.isdisjoint(_classes(error))


def _is_missing(error: Exception) -> bool:
    """Whether a driver without SQLSTATE says that a table or a column is not there."""
    return _OF_STATEMENTS in _classes(error) or any(words in str(error) for words in _MISSING)


def _classes(error: Exception) -> set[str]:
    """What its classes are called: drivers are known by names, and none is imported for it."""
    return {kind.__name__ for kind in type(error).__mro__}


def _known(error: Exception, state: str, sql: str) -> str:
    """What of an error is known to hold no value."""
    return f"{type(error).__name__}{_code(error, state)}{_shown(str(error), sql)}{_broken(error)}"


def _broken(error: Exception) -> str:
    """Which constraint a row breaks, where PostgreSQL's own checks say it."""
    said = getattr(error, "diag", None)
    name = getattr(said, "constraint_name", None)
    if getattr(said, "source_file", None) not in _CHECKS or not isinstance(name, str):
        return ""
    return f", constraint {name!r}" if _NAME.fullmatch(name) else ""


def _code(error: Exception, state: str) -> str:
    if state:
        return f" (SQLSTATE {state})"
    name = getattr(error, "sqlite_errorname", None)
    if isinstance(name, str):
        return f" ({name})"
    # MySQL's drivers give a number first.
    first = error.args[0] if error.args else None
    is_number = isinstance(first, int) and not isinstance(first, bool) and len(error.args) > 1
    return f" ({first})" if is_number else ""


def _shown(message: str, sql: str) -> str:
    """What of a message is known to hold no value."""
    words = [words for words in _WORDS if words in message]
    there = set(_NAME.findall(_NO_NAMES.sub(" ", sql)))
    quoted = (first or second for first, second in _QUOTED.findall(message))
    names = dict.fromkeys(
        name
        for name in quoted
        if all(_NAME.fullmatch(piece) and piece in there for piece in name.split("."))
    )
    told = [*words, *(repr(name) for name in list(names)[:_MOST_NAMES])]
    return f": {', '.join(told)}" if told else ""
