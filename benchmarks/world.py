"""The servers, and what tells a side of a comparison how to reach them."""

from __future__ import annotations

import json
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from benchmarks.mysql_server import mysql_server
from benchmarks.postgres_server import encrypted_postgres
from benchmarks.s3_server import s3_server
from benchmarks.stored_rows import (
    to_duckdb,
    to_mysql,
    to_parquet,
    to_parquet_files,
    to_postgres,
    to_sqlite,
)
from demo.local.postgres import Postgres, postgres

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from demo.local.s3 import S3

SOURCE_BUCKET: Final = "source"
OUTPUT_BUCKET: Final = "output"


@dataclass(frozen=True, kw_only=True)
class World:
    """What runs, and where data lies.

    :param directory: for everything.
    :param stack: ends what is started later.
    :param emptied: folders that sides write into, beside the bucket.
    """

    directory: Path
    s3: S3
    postgres: Postgres
    stack: ExitStack
    emptied: list[Path] = field(default_factory=list)

    @property
    def sqlite_path(self) -> Path:
        """The file of the SQLite database."""
        return self.directory / "crm.sqlite"

    def parquet(self, kind: str, rows: int) -> str:
        """The URL of a Parquet file with so many rows, made when it is first asked for."""
        key = f"{kind}-{rows}.parquet"
        if not (self.directory / "s3" / "objects" / SOURCE_BUCKET / key).exists():
            return to_parquet(self.s3, SOURCE_BUCKET, key, kind, rows, self.directory)
        return f"s3://{SOURCE_BUCKET}/{key}"

    def parquet_files(self, kind: str, rows: int, files: int) -> str:
        """The URL of a folder with so many rows in so many Parquet files, likewise."""
        folder = f"{kind}-{rows}"
        if not (self.directory / "s3" / "objects" / SOURCE_BUCKET / folder).exists():
            return to_parquet_files(
                self.s3, SOURCE_BUCKET, folder, kind, rows, files, self.directory
            )
        return f"s3://{SOURCE_BUCKET}/{folder}/"

    def table(self, kind: str, rows: int) -> str:
        """The name of PostgreSQL's table with the rows, likewise."""
        return self._once(f"postgres-{kind}", lambda: to_postgres(self.postgres.uri(), kind, rows))

    def encrypted_table(self, kind: str, rows: int) -> tuple[str, str]:
        """The name of such a table of a server that speaks TLS alone, and that one's URI.

        The first one starts the server.
        """
        uri = str(json.loads(self._once("encrypted", self._start_encrypted))["uri"])
        return self._once(f"encrypted-{kind}", lambda: to_postgres(uri, kind, rows)), uri

    def sqlite_table(self, kind: str, rows: int) -> str:
        """The name of SQLite's table with the rows, likewise."""
        return self._once(f"sqlite-{kind}", lambda: to_sqlite(self.sqlite_path, kind, rows))

    def duckdb_table(self, kind: str, rows: int) -> str:
        """The name of DuckDB's table with the rows, likewise."""
        path = self.directory / "crm.duckdb"
        return self._once(f"duckdb-{kind}", lambda: to_duckdb(path, kind, rows))

    def mysql_table(self, kind: str, rows: int) -> str:
        """The name of MySQL's table with the rows, likewise; the first one starts the server."""
        port = int(self._once("mysql", self._start_mysql))
        return self._once(f"mysql-{kind}", lambda: to_mysql(port, kind, rows))

    def staged(self, conn_id: str) -> Path:
        """The folder in which what a connection stages lies on this machine's disk."""
        inside = "s3/objects/output/staging" if conn_id == "audience_manager_default" else "staging"
        return self.directory / inside

    def empty_output(self) -> None:
        """Throw away what a side wrote, so that all begin alike."""
        client = self.s3.client()
        pages = client.get_paginator("list_objects_v2").paginate(Bucket=OUTPUT_BUCKET)
        for key in [item["Key"] for page in pages for item in page.get("Contents", ())]:
            client.delete_object(Bucket=OUTPUT_BUCKET, Key=key)
        for path in (path for folder in self.emptied for path in folder.iterdir()):
            path.unlink()

    def environment(self) -> dict[str, str]:
        """Airflow's settings and connections for a side."""
        connections: dict[str, dict[str, object]] = {
            "crm": self.postgres.airflow_connection(),
            "crm_encrypted": json.loads(self._once("encrypted", lambda: "{}", keep=False)).get(
                "connection", {}
            ),
            "crm_sqlite": {"conn_type": "sqlite", "host": str(self.sqlite_path)},
            "crm_duckdb": {"conn_type": "duckdb", "host": str(self.directory / "crm.duckdb")},
            "crm_mysql": {
                "conn_type": "mysql",
                "host": "127.0.0.1",
                "port": int(self._once("mysql", lambda: "0", keep=False)),
                "login": "root",
                "schema": "crm",
                "extra": {"charset": "utf8mb4"},
            },
            "aws_default": self.s3.airflow_connection(),
            "decisions": {
                "conn_type": "sqlite",
                "host": str(self.directory / "decisions.sqlite"),
            },
        }
        for name, staging in (
            ("audience_manager_default", f"s3://{OUTPUT_BUCKET}/staging"),
            ("staged_on_disk", str(self.directory / "staging")),
        ):
            fields = {
                "environment": "custom",
                "bucket": OUTPUT_BUCKET,
                "partner_name": "acme",
                "aws_conn_id": "aws_default",
                "staging_location": staging,
            }
            if staging.startswith("s3://"):
                # rclone keeps no conditional writes, so decisions have another place.
                fields["state_conn_id"] = "decisions"
            connections[name] = {"conn_type": "audience_manager", "extra": fields}
        return {
            "AIRFLOW_HOME": str(self.directory / "airflow"),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__LOGGING__LOGGING_LEVEL": "WARNING",
            # rclone sends the whole object's checksum with a part of it, which boto3 then refuses.
            "AWS_RESPONSE_CHECKSUM_VALIDATION": "when_required",
            **{
                f"AIRFLOW_CONN_{name.upper()}": json.dumps(connection)
                for name, connection in connections.items()
            },
        }

    def _start_encrypted(self) -> str:
        server = self.stack.enter_context(encrypted_postgres(self.directory / "encrypted"))
        return json.dumps({"uri": server.uri(), "connection": server.airflow_connection()})

    def _start_mysql(self) -> str:
        return str(self.stack.enter_context(mysql_server(self.directory / "mysql")))

    def _once(self, name: str, make: Callable[[], str], *, keep: bool = True) -> str:
        mark = self.directory / f"{name}.table"
        if mark.exists():
            return mark.read_text()
        made = make()
        if keep:
            mark.write_text(made)
        return made


@contextmanager
def world(directory: Path) -> Iterator[World]:
    """Start the servers; stop them when the block is left."""
    with (
        postgres(directory / "postgres") as database,
        s3_server(directory / "s3") as s3,
        ExitStack() as stack,
    ):
        for bucket in (SOURCE_BUCKET, OUTPUT_BUCKET):
            s3.create_bucket(bucket)
        yield World(directory=directory, s3=s3, postgres=database, stack=stack)
