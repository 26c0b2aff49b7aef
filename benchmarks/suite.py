"""All comparisons, and the targets."""

from __future__ import annotations

import json
import shutil
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final

from benchmarks.c_compiler import compiled_loop
from benchmarks.comparison import (
    Comparison,
    Figure,
    Side,
    in_megabytes_a_processor_second,
    in_megabytes_a_second,
    peak_memory,
    processor_time,
    times_faster,
    times_its_memory,
    times_its_time,
)
from benchmarks.databases import NO_PANDAS, databases
from benchmarks.postgres_server import why_not as why_no_postgres
from benchmarks.repeated_rows import LONG_FORMS, SHAPES
from benchmarks.roads import roads
from benchmarks.rows import ATTRIBUTES, COLUMNS
from benchmarks.running import run_side
from benchmarks.workers import workers, workers_postgres
from benchmarks.world import OUTPUT_BUCKET, SOURCE_BUCKET

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from benchmarks.world import World

KINDS: Final = ("traits", "attrs")

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
            *(
                times_faster(f"{kind}: speed over the C loop's", kind, f"{kind} in C", 0.7)
                for kind in KINDS
            ),
            *(
                processor_time(f"{kind}: processor over its", kind, f"{kind} in C")
                for kind in KINDS
            ),
        ],
        same_bytes=[(kind, f"{kind} in C") for kind in KINDS],
        notes="The C loop checks no rule and computes no checksum.",
    )


def postgres(world: World, rows: int) -> Comparison:
    """PostgreSQL, against COPY, both by TLS as in production."""
    sides: dict[str, Side] = {}
    figures: list[Figure] = []
    missing = why_no_postgres()
    for kind in KINDS:
        table, uri = ("", "") if missing else world.encrypted_table(kind, rows)
        query = f"SELECT {', '.join(COLUMNS[kind])} FROM {table}"
        sides[kind] = Side(
            place="product:format_query",
            arguments={"kind": kind, "query": query, "conn_id": "crm_encrypted"},
            missing=missing,
        )
        sides[f"{kind} by COPY"] = Side(
            place="copy_out:copy_query", arguments={"query": query, "uri": uri}, missing=missing
        )
        figures.append(times_its_time(f"{kind}: time over COPY's", kind, f"{kind} by COPY", 1.3))
    figures += [
        processor_time(f"{kind}: processor over its", kind, f"{kind} by COPY") for kind in KINDS
    ]
    return Comparison(
        name="postgres",
        title="PostgreSQL by TLS to parts in S3, against COPY TO STDOUT, compressed, to S3",
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
            arguments={"query": _lines_in_sql(kind, table), "bucket": OUTPUT_BUCKET},
            missing="" if find_spec("pandas") else NO_PANDAS,
        )
        dump = f"{kind}, dumped as they are by SqlToS3Operator"
        sides[dump] = Side(
            place="s3_operator:dump_query",
            arguments={"query": query, "bucket": OUTPUT_BUCKET},
            missing="" if find_spec("pandas") else NO_PANDAS,
        )
        figures += [
            times_faster(f"{kind}: times as fast", kind, other, 12),
            times_its_memory(f"{kind}: memory over its", kind, other, 0.333),
            processor_time(f"{kind}: processor over its", kind, other),
            times_faster(f"{kind}: times as fast as its dump of them as they are", kind, dump),
        ]
    return Comparison(
        name="s3_operator",
        title="PostgreSQL to S3, against SqlToS3Operator with csv and gzip",
        sides=sides,
        figures=figures,
        same_bytes=[(kind, f"{kind} by SqlToS3Operator") for kind in KINDS],
        notes=(
            "For SqlToS3Operator items are formatted in SQL, so that the same lines come of it. It "
            "checks nothing. Its dumps of the columns as they are are no data files."
        ),
    )


def _lines_in_sql(kind: str, table: str) -> str:
    items = "'d_sid=' || replace(traits, ',', ',d_sid=')"
    if kind == "attrs":
        signals = (f"""'"{key}"="' || nullif({key}, '') || '"'""" for key in ATTRIBUTES)
        items = f"concat_ws(',', {', '.join(signals)})"
    return f"SELECT id, {items} AS items FROM {table}"


def generated_rows(count: int) -> str:
    """A query for so many rows that PostgreSQL makes while they are read."""
    return _GENERATED.format(count=count)


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
            arguments={"kind": "traits", "query": generated_rows(count)},
        )
    return Comparison(
        name="growth",
        title="Peak memory as rows grow",
        sides=sides,
        figures=[peak_memory(name) for name in sides],
        notes="PostgreSQL makes its rows while they are read, which takes most of the time.",
    )


def duplicates(world: World, rows: int) -> Comparison:
    """Rows that are set aside, beside rows that are not."""
    clean, *others = SHAPES
    sides = {
        shape: Side(place="product:set_rows_aside", arguments={"url": world.parquet(shape, rows)})
        for shape in SHAPES
    }
    figures: list[Figure] = []
    for shape in others:
        target = None if "bad" in shape else 2
        figures += [
            times_its_time(f"{shape}: time over that without", shape, clean, target),
            processor_time(f"{shape}: processor over its", shape, clean),
        ]
    figures += [peak_memory(shape) for shape in SHAPES]
    return Comparison(
        name="duplicates",
        title="Parquet in S3 to parts in S3, with rows that are set aside",
        sides=sides,
        figures=figures,
    )


def overwrite(world: World, rows: int) -> Comparison:
    """Rows of a user made one line, beside the same rows as they are."""
    sides = {
        f"{shape}: {mode}": Side(
            place="product:set_rows_aside",
            arguments={"url": world.parquet(shape, rows), "mode": mode},
        )
        for shape in LONG_FORMS
        for mode in ("overwrite", "sync")
    }
    figures: list[Figure] = []
    for shape in LONG_FORMS:
        one, other = f"{shape}: overwrite", f"{shape}: sync"
        target = 1.1 if shape == "one row a user" else 2
        figures += [
            times_its_time(f"{shape}: time over that of .sync", one, other, target),
            processor_time(f"{shape}: processor over its", one, other),
        ]
    figures += [peak_memory(name) for name in sides]
    return Comparison(
        name="overwrite",
        title="Parquet in S3 to parts in S3, .overwrite against .sync of the same rows",
        sides=sides,
        figures=figures,
        notes="An .overwrite has one line a user, so that fewer and longer lines are packed.",
    )


def refresh(world: World, rows: int) -> Comparison:
    """A difference that says again what still holds, beside one that does not."""
    sides: dict[str, Side] = {}
    figures: list[Figure] = []
    turns = {"nothing again": 0, "a day's turns": 1, "everybody's turns": None}
    for count in (rows, 10 * rows):
        arguments = snapshot_on_disk(world, count)
        names = {what: f"{count:,}: {what}" for what in turns}
        for what, days in turns.items():
            sides[names[what]] = Side(
                place="comparing:compare", arguments={**arguments, "days": days}
            )
            figures.append(
                Figure(
                    title=f"{names[what]}: peak memory",
                    sides=(names[what],),
                    compute=lambda reading: reading.peak_mb,
                    unit="MB",
                    at_most=512,
                )
            )
        without, *others = names.values()
        for name in others:
            figures += [
                times_its_time(f"{name}: time over that without", name, without),
                processor_time(f"{name}: processor over its", name, without),
            ]
    return Comparison(
        name="refresh",
        title="An extract on disk compared with a snapshot, where what still holds is said again",
        sides=sides,
        figures=figures,
        notes="A hundredth of the users has changed. A day's turns are those of an 80th.",
    )


def check(world: World, rows: int) -> Comparison:
    """The command that looks at files."""
    sides: dict[str, Side] = {}
    for kind in KINDS:
        folder = staged_on_disk(world, kind, rows)
        sides[kind] = Side(place="checking:check_files", arguments={"folder": str(folder)})
    return Comparison(
        name="check",
        title="airflow-am check of a delivery's files, start of the command included",
        sides=sides,
        figures=[
            *(in_megabytes_a_second(f"{kind}: text a second", kind, 100) for kind in KINDS),
            *(
                in_megabytes_a_processor_second(f"{kind}: a processor's second", kind)
                for kind in KINDS
            ),
        ],
    )


def staging(world: World, rows: int) -> Comparison:
    """From staging to the bucket, on disk and within S3."""
    aws = shutil.which("aws") or ""
    missing = "" if aws else "the AWS CLI (awscli) is not on the path"
    url = world.parquet("traits", rows)
    files = sorted(map(str, staged_on_disk(world, "traits", rows).glob("*.gz")))
    keys = [world.s3.access_key, world.s3.secret_key]
    arguments = {"aws": aws, "endpoint": world.s3.endpoint_url, "keys": keys}
    return Comparison(
        name="staging",
        title="Staging on disk to the bucket, against aws s3 cp of the same files",
        sides={
            "disk": Side(
                place="product:upload", arguments={"url": url, "conn_id": "staged_on_disk"}
            ),
            "disk by aws": Side(
                place="aws_cli:copy_files", arguments={**arguments, "files": files}, missing=missing
            ),
            "S3": Side(
                place="product:upload",
                arguments={"url": url, "conn_id": "audience_manager_default"},
            ),
        },
        figures=[times_its_time("disk: time over aws s3 cp's", "disk", "disk by aws", 1)],
        notes="The start of aws is in its time. S3: within one server, by copies of pieces.",
    )


def start(_world: World, _rows: int) -> Comparison:
    """What every worker and DAG processor pays before any work."""
    names = {"provider": "import of the provider", "dags": "all example DAGs"}
    return Comparison(
        name="start",
        title="Operator start: seconds over Airflow's own imports",
        sides={name: Side(place="start:start", arguments={"what": name}) for name in names},
        figures=[
            Figure(
                title=title,
                sides=(name,),
                compute=lambda reading: reading.bytes / 1e6,
                unit="s",
                at_most=0.3,
            )
            for name, title in names.items()
        ],
        notes="Bytes are microseconds here.",
    )


def staged_on_disk(world: World, kind: str, rows: int) -> Path:
    """A folder with the files of one delivery, named as they are sent."""
    folder = world.directory / f"files-{kind}-{rows}"
    if folder.exists():
        return folder
    folder.mkdir()
    url = world.parquet(kind, rows)
    run_side(Side(place="product:stage_files", arguments={"kind": kind, "url": url}), world)
    (path,) = (world.directory / "staging").rglob("manifest.json")
    for part in json.loads(path.read_text())["parts"]:
        (world.directory / "staging" / part["path"]).rename(folder / part["file_name"])
    path.unlink()
    return folder


def snapshot_on_disk(world: World, rows: int) -> dict[str, str]:
    """An extract on disk, and a folder with a snapshot of it."""
    name = world.parquet("traits", rows).rpartition("/")[2]
    extract = world.directory / "s3" / "objects" / SOURCE_BUCKET / name
    folder = world.directory / f"snapshots-{rows}"
    arguments = {"extract": str(extract), "folder": str(folder)}
    if not folder.exists():
        folder.mkdir()
        run_side(Side(place="comparing:first_snapshot", arguments=arguments), world)
    return arguments


COMPARISONS: Final[dict[str, Callable[[World, int], Comparison]]] = {
    "parquet": parquet,
    "postgres": postgres,
    "s3_operator": s3_operator,
    "databases": databases,
    "staging": staging,
    "roads": roads,
    "check": check,
    "start": start,
    "growth": growth,
    "duplicates": duplicates,
    "overwrite": overwrite,
    "refresh": refresh,
    "workers": workers,
    "workers_postgres": workers_postgres,
}
