"""One transaction of a database, in the words of its dialect."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_am_provider.outbound.dialects import Dialect


class Transaction:
    """Runs statements in which each value is ``?``.

    :param cursor: of the driver; its connection has begun a transaction.
    :param dialect: what the database has of its own.

    ``last`` is the statement that was run last, without its values.
    """

    def __init__(self, cursor: Any, dialect: Dialect) -> None:
        self.cursor = cursor
        self.dialect = dialect
        self.last = ""

    def run(self, statement: str, *values: object) -> None:
        """Run a statement."""
        self.last = statement
        self.cursor.execute(statement.replace("?", self.dialect.placeholder), values)

    def rows(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        """What a statement finds."""
        self.run(statement, *values)
        return [tuple(row) for row in self.cursor.fetchall()]

    def row(self, statement: str, *values: object) -> tuple[Any, ...] | None:
        """The first row that a statement finds; None where there is none."""
        return next(iter(self.rows(statement, *values)), None)

    def columns(self, table: str) -> frozenset[str]:
        """What the columns of a table are called, in small letters."""
        self.rows(f"SELECT * FROM {table} WHERE 1 = 0")
        return frozenset(str(one[0]).lower() for one in self.cursor.description or ())

    def lock(self, statement: str | None) -> None:
        """Run what keeps others out, where the dialect has it."""
        if statement is not None:
            self.run(statement)
            if self.cursor.description is not None:
                self.cursor.fetchall()
