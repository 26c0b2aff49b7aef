"""The other databases, against what a user would take today."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, NamedTuple

from benchmarks.comparison import Comparison, Figure, Side, processor_time, times_faster
from benchmarks.mysql_server import why_not
from benchmarks.world import OUTPUT_BUCKET

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.world import World

NO_PANDAS = "SqlToS3Operator needs pandas, which is not installed; `make bench` installs it"


class _Database(NamedTuple):
    conn_id: str
    table: Callable[[str, int], str]
    missing: str


def databases(world: World, rows: int) -> Comparison:
    """MySQL by a server-side cursor, SQLite, DuckDB."""
    sides: dict[str, Side] = {}
    figures: list[Figure] = []
    no_duckdb = "" if find_spec("duckdb_provider") else "DuckDB needs airflow-provider-duckdb"
    for name, database in {
        "MySQL": _Database("crm_mysql", world.mysql_table, why_not()),
        "SQLite": _Database("crm_sqlite", world.sqlite_table, ""),
        "DuckDB": _Database("crm_duckdb", world.duckdb_table, no_duckdb),
    }.items():
        table = "traits" if database.missing else database.table("traits", rows)
        conn_id = database.conn_id
        sides[name] = Side(
            place="product:format_query",
            arguments={
                "kind": "traits",
                "query": f"SELECT id, traits FROM {table}",
                "conn_id": conn_id,
            },
            missing=database.missing,
        )
        other = f"{name} by SqlToS3Operator"
        items = "replace(traits, ',', ',d_sid=')"
        prefixed = f"concat('d_sid=', {items})" if name == "MySQL" else f"'d_sid=' || {items}"
        sides[other] = Side(
            place="s3_operator:dump_query",
            arguments={
                "query": f"SELECT id, {prefixed} AS items FROM {table}",
                "bucket": OUTPUT_BUCKET,
                "conn_id": conn_id,
            },
            missing=database.missing or ("" if find_spec("pandas") else NO_PANDAS),
        )
        figures.append(times_faster(f"{name}: times as fast", name, other, 3))
        figures.append(processor_time(f"{name}: processor over its", name, other))
    return Comparison(
        name="databases",
        title="Other databases to S3, against SqlToS3Operator with csv and gzip",
        sides=sides,
        figures=figures,
        same_bytes=[(name, f"{name} by SqlToS3Operator") for name in ("MySQL", "SQLite", "DuckDB")],
        notes="Traits. For SqlToS3Operator they are formatted in SQL. It checks nothing.",
    )
