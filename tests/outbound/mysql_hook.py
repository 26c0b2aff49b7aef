"""MySQL as Airflow's hook has it, by whichever driver is there."""

from __future__ import annotations

import importlib
from typing import Any

from airflow.providers.common.sql.hooks.sql import DbApiHook

from demo.local.processes import HOST
from tests.window_databases import mysql_drivers

DRIVERS = mysql_drivers()


class MysqlHook(DbApiHook):
    """What the hook of Airflow's provider does, whose package needs a compiler.

    :param port: of a server that lets everybody in.
    :param database: is made.
    :param local_infile: whether the connection's extra allows ``LOAD DATA LOCAL INFILE``.
    """

    conn_name_attr = "mysql_conn_id"
    dialect_name = "mysql"
    supports_autocommit = True

    def __init__(self, port: int, database: str, *, local_infile: bool) -> None:
        super().__init__()
        self._local_infile = local_infile
        self._port = port
        self._database = database
        with self._connect(None) as connection:
            connection.cursor().execute(f"CREATE DATABASE IF NOT EXISTS {database}")

    @property
    def connection_extra(self) -> dict[str, Any]:
        return {"local_infile": self._local_infile}

    def get_conn(self) -> Any:
        return self._connect(self._database)

    def set_autocommit(self, conn: Any, autocommit: bool) -> None:
        conn.autocommit(autocommit)

    def _connect(self, database: str | None) -> Any:
        driver = importlib.import_module(DRIVERS[0])
        return driver.connect(
            host=HOST,
            port=self._port,
            user="root",
            charset="utf8mb4",
            local_infile=1,
            **({} if database is None else {"database": database}),
        )
