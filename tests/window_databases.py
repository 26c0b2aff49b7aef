"""Databases that windows are compared in, each in a session that begins in some time zone."""

from __future__ import annotations

import importlib
import shutil
import sqlite3
import time
from abc import ABC, abstractmethod
from contextlib import closing, contextmanager
from importlib.util import find_spec
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import duckdb

from demo.local.processes import HOST

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    import pytest
    from airflow.providers.common.sql.hooks.sql import DbApiHook

    from demo.local.postgres import Postgres

# MariaDB's offsets end at +13:00, one hour before Kiritimati's.
_OFFSETS = {"UTC": "+00:00", "America/New_York": "-05:00", "Pacific/Kiritimati": "+13:00"}
ZONES = tuple(_OFFSETS)


class Database(ABC):
    """One server and driver.

    :param name: the heading of its recipes.
    """

    name: str
    #: What stands where a value is to be bound.
    mark = "%s"

    @abstractmethod
    def connect(self, zone: str) -> Any:
        """A connection whose session begins in a time zone."""

    def hook(self, zone: str) -> DbApiHook:
        return cast("DbApiHook", SimpleNamespace(get_conn=lambda: self.connect(zone)))

    def make_table(self, column: str, rows: Sequence[tuple[str, object]]) -> None:
        """A table ``people`` of labels and values in a column ``changed_at`` of some type."""
        with closing(self.connect("UTC")) as connection:
            with closing(connection.cursor()) as cursor:
                cursor.execute("DROP TABLE IF EXISTS people")
                cursor.execute(f"CREATE TABLE people (label VARCHAR(40), changed_at {column})")
                sql = f"INSERT INTO people VALUES ({self.mark}, {self.mark})"
                for row in rows:
                    cursor.execute(sql, row)
            connection.commit()

    @contextmanager
    def worker_in(self, zone: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        """The worker's own zone, where it counts."""
        yield


class PostgresDatabase(Database):
    """By one driver."""

    name = "PostgreSQL"

    def __init__(self, driver: str, server: Postgres) -> None:
        self._driver = importlib.import_module(driver)
        self._uri = server.uri()

    def connect(self, zone: str) -> Any:
        return self._driver.connect(self._uri, options=f"-c timezone={zone}")


class SqliteDatabase(Database):
    name = "SQLite"
    mark = "?"

    def __init__(self, directory: Path) -> None:
        self._path = directory / "crm.sqlite"

    def connect(self, zone: str) -> Any:
        return sqlite3.connect(self._path)

    @contextmanager
    def worker_in(self, zone: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        with monkeypatch.context() as patch:
            patch.setenv("TZ", zone)
            time.tzset()
            yield
        time.tzset()


class DuckDatabase(Database):
    name = "DuckDB"
    mark = "?"

    def __init__(self, directory: Path) -> None:
        self._path = str(directory / "crm.duckdb")

    def connect(self, zone: str) -> Any:
        connection = duckdb.connect(self._path)
        connection.execute(f"SET TimeZone = '{zone}'")
        return connection


class MysqlDatabase(Database):
    """Its sessions begin in a fixed offset, as nobody has loaded zones into the server."""

    name = "MySQL and MariaDB"

    def __init__(self, driver: str, port: int) -> None:
        self._driver = importlib.import_module(driver)
        self._port = port

    def connect(self, zone: str) -> Any:
        connection = self._driver.connect(
            host=HOST,
            port=self._port,
            user="root",
            charset="utf8mb4",
            init_command=f"SET time_zone = '{_OFFSETS[zone]}'",
        )
        with closing(connection.cursor()) as cursor:
            cursor.execute("CREATE DATABASE IF NOT EXISTS crm")
        connection.select_db("crm")
        return connection


def postgres_drivers() -> list[str]:
    """Airflow's older sets of packages have the older driver only."""
    return [name for name in ("psycopg", "psycopg2") if find_spec(name)]


def mysql_drivers() -> list[str]:
    """None where there is no MariaDB to connect to."""
    if shutil.which("mariadbd") is None:
        return []
    return [name for name in ("MySQLdb", "pymysql") if find_spec(name)]
