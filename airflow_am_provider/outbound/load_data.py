"""Rows into MySQL by ``LOAD DATA LOCAL INFILE``, through a named pipe: nothing lies on the disk."""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final

from airflow_am_provider.audience_manager.errors import DataError
from airflow_am_provider.outbound.csv_stream import csv_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

# A field of these that is empty is a null; the others are never null.
_NEVER_NULL: Final = ("user_id", "segments", "removed_segments", "batch")


def load_data(cursor: Any, table: str, schema: pa.Schema, blocks: Iterator[pa.RecordBatch]) -> None:
    """Add rows.

    :param cursor: of a connection that may send local files.
    :param table: its name, which is checked.
    :param schema: the columns of rows.
    :param blocks: rows; what goes wrong with them is raised here.
    :raises DataError: when the database has left a row out or changed one.
    """
    with TemporaryDirectory(prefix="airflow-am-") as folder:
        pipe = Path(folder) / "rows.csv"
        os.mkfifo(pipe, 0o600)
        writer = _Writer(pipe, blocks)
        writer.start()
        try:
            cursor.execute(_statement(table, schema, pipe))
        finally:
            writer.end()
        if writer.error is not None:
            raise writer.error
        _check(cursor, writer.rows)


def _check(cursor: Any, rows: int) -> None:
    """See that all rows are there as they are.

    What is an error of INSERT is a warning with LOCAL: rows that break a constraint are left out,
    and values that are too long are cut.
    """
    found = cursor.rowcount
    cursor.execute("SHOW WARNINGS")
    codes = sorted({str(code) for level, code, _ in cursor.fetchall() if level != "Note"})
    if found != rows or codes:
        raise DataError(
            f"the database took {found:,} of {rows:,} rows, and warns of some of them "
            f"({', '.join(codes) or 'without a number'}). Nothing of the batch is loaded. Do types "
            f"and constraints of the table fit its rows? A column may be shorter than an ID"
        )


def _statement(table: str, schema: pa.Schema, pipe: Path) -> str:
    columns = [name if name in _NEVER_NULL else f"@{name}" for name in schema.names]
    nulls = [f"{name} = NULLIF(@{name}, '')" for name in schema.names if name not in _NEVER_NULL]
    return (
        f"LOAD DATA LOCAL INFILE '{pipe}' INTO TABLE {table} CHARACTER SET utf8mb4 "
        f"FIELDS TERMINATED BY ',' OPTIONALLY ENCLOSED BY '\"' ESCAPED BY '' "
        f"LINES TERMINATED BY '\\n' ({', '.join(columns)}) SET {', '.join(nulls)}"
    )


class _Writer(threading.Thread):
    """Writes rows into the pipe while the driver reads them from it."""

    def __init__(self, pipe: Path, blocks: Iterator[pa.RecordBatch]) -> None:
        super().__init__(name="load-data", daemon=True)
        self._pipe = pipe
        self._blocks = blocks
        self.rows = 0
        self.error: BaseException | None = None

    def run(self) -> None:
        """Write all of them; the end of the file is the end of the rows."""
        try:
            with self._pipe.open("wb") as file:
                for block in self._blocks:
                    file.write(csv_of(block))
                    self.rows += block.num_rows
        except BrokenPipeError:
            pass  # the driver reads no more, and says why
        except BaseException as error:  # noqa: BLE001  # whoever waits raises it
            self.error = error

    def end(self) -> None:
        """Let go of a pipe that the driver has not opened, and wait for the end."""
        with suppress(OSError):
            os.close(os.open(self._pipe, os.O_RDONLY | os.O_NONBLOCK))
        self.join()
