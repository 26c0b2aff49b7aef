"""All comparisons, and the targets."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Final

from benchmarks.c_compiler import compiled_loop
from benchmarks.comparison import (
    Comparison,
    Figure,
    Side,
    times_faster,
    times_its_memory,
    times_its_time,
)
from benchmarks.rows import COLUMNS
from benchmarks.workers import workers, workers_postgres
from benchmarks.world import OUTPUT_BUCKET

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.world import World

KINDS: Final = ("traits", "attrs")
_NO_PANDAS: Final = "SqlToS3Operator needs pandas, which is not installed; `make bench` installs it"

# Forty characters, the last eight of which make it distinct, and six traits.
_GENERATED: Final = (
    "SELECT md5(n::text) || lpad(to_hex(n), 8, '0') AS id, "
    "concat_ws(',', 10000000 + n % 7, 10000100 + n % 11, 10000200 + n % 13, 10000300 + n % 17, "
    "10000400 + n % 1000, 10010000 + n % 90000) AS traits FROM generate_series(1, {count}) AS n"
)


def parquet(world: World, rows: int) -> Comparison:
    """Files, against the limit."""
    library, missing = compiled_loop(world.directory)
    sides: dict[str, Side] = {}
    for kind in KINDS:
        arguments = {"kind": kind, "url": world.parquet(kind, rows)}
        sides[kind] = Side(place="product:format_files", arguments=arguments)
        sides[f"{kind} in C"] = Side(
            place="c_formatter:format_files",
            arguments={**arguments, "library": library},
            missing=missing,
        )
    return Comparison(
        name="parquet",
        title="Parquet in S3 to parts in S3, against a C loop that only formats",
        sides=sides,
        figures=[
            times_faster(f"{kind}: speed over the C loop's", kind, f"{kind} in C", 0.7)
            for kind in KINDS
        ],
        same_bytes=[(kind, f"{kind} in C") for kind in KINDS],
        notes="The C loop checks no rule and computes no checksum.",
    )


def postgres(world: World, rows: int) -> Comparison:
    """PostgreSQL, against COPY."""
    sides: dict[str, Side] = {}
    figures: list[Figure] = []
    for kind in KINDS:
        query = f"SELECT {', '.join(COLUMNS[kind])} FROM {world.table(kind, rows)}"
        sides[kind] = Side(place="product:format_query", arguments={"kind": kind, "query": query})
        sides[f"{kind} by COPY"] = Side(
            place="copy_out:copy_query",
            arguments={"query": query, "uri": world.postgres.uri()},
        )
        figures.append(times_its_time(f"{kind}: time over COPY's", kind, f"{kind} by COPY", 1.3))
    return Comparison(
        name="postgres",
        title="PostgreSQL to parts in S3, against COPY TO STDOUT, compressed, to S3",
        sides=sides,
        figures=figures,
        notes="COPY's rows are not lines yet: they are shorter, and nothing is checked.",
    )


def s3_operator(world: World, rows: int) -> Comparison:
    """PostgreSQL, against what a user would take today."""
    sides: dict[str, Side] = {}
    figures: list[Figure] = []
    for kind in KINDS:
        table = world.table(kind, rows)
        query = f"SELECT {', '.join(COLUMNS[kind])} FROM {table}"
        sides[kind] = Side(place="product:format_query", arguments={"kind": kind, "query": query})
        other = f"{kind} by SqlToS3Operator"
        sides[other] = Side(
            place="s3_operator:dump_query",
            arguments={"query": _items_in_sql(kind, table), "bucket": OUTPUT_BUCKET},
            missing="" if find_spec("pandas") else _NO_PANDAS,
        )
        figures += [
            times_faster(f"{kind}: times as fast", kind, other, 12),
            times_its_memory(f"{kind}: memory over its", kind, other, 0.333),
        ]
    return Comparison(
        name="s3_operator",
        title="PostgreSQL to S3, against SqlToS3Operator with csv and gzip",
        sides=sides,
        figures=figures,
        same_bytes=[("traits", "traits by SqlToS3Operator")],
        notes=(
            "For SqlToS3Operator traits are formatted in SQL, so that the same lines come of it; "
            "attrs are only dumped, since csv would quote the quotes of signals. It checks nothing."
        ),
    )


def _items_in_sql(kind: str, table: str) -> str:
    if kind == "traits":
        return f"SELECT id, 'd_sid=' || replace(traits, ',', ',d_sid=') AS items FROM {table}"
    return f"SELECT {', '.join(COLUMNS[kind])} FROM {table}"


def growth(world: World, rows: int) -> Comparison:
    """Memory and time of once, three times and ten times as many rows."""
    sides: dict[str, Side] = {}
    for count in (rows, 3 * rows, 10 * rows):
        sides[f"Parquet, {count:,}"] = Side(
            place="product:format_files",
            arguments={"kind": "traits", "url": world.parquet("traits", count)},
        )
        sides[f"PostgreSQL, {count:,}"] = Side(
            place="product:format_query",
            arguments={"kind": "traits", "query": _GENERATED.format(count=count)},
        )
    return Comparison(
        name="growth",
        title="Peak memory as rows grow",
        sides=sides,
        figures=[
            Figure(
                title=f"{name}: peak memory",
                sides=(name,),
                compute=lambda reading: reading.peak_mb,
                unit="MB",
                at_most=512,
            )
            for name in sides
        ],
        notes="PostgreSQL makes its rows while they are read, which takes most of the time.",
    )


COMPARISONS: Final[dict[str, Callable[[World, int], Comparison]]] = {
    "parquet": parquet,
    "postgres": postgres,
    "s3_operator": s3_operator,
    "growth": growth,
    "workers": workers,
    "workers_postgres": workers_postgres,
}
