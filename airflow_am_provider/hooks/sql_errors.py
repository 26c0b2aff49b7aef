"""What a database says of a value quotes the value, which may be personal data."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from airflow_am_provider.audience_manager.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator

# SQLSTATE classes of data exceptions and of constraints: their texts hold values of rows.
_OF_VALUES: Final = ("22", "23")


@contextmanager
def without_values() -> Iterator[None]:
    """Turn a PostgreSQL driver's error about a value into one that does not quote it.

    :raises DataError: for such an error; all others go on as they are.
    """
    try:
        yield
    except Exception as error:
        # psycopg and psycopg2 each have a name of their own for it.
        state = getattr(error, "sqlstate", None) or getattr(error, "pgcode", None)
        if not isinstance(state, str) or not state.startswith(_OF_VALUES):
            raise
        raise DataError(
            f"sql: the database stumbled over a value: {type(error).__name__} (SQLSTATE {state}). "
            f"Its words are left out, as they quote the value; run the query by hand to see them"
        ) from None
