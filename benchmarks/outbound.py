"""``python -m benchmarks.outbound``: a batch of segment files into Parquet and into PostgreSQL.

Beside DuckDB, which reads the same files into the same columns of Parquet, and beside ``COPY FROM``
of the same rows, as CSV that is there already. Each side is a process of its own, one after the
other in turn; its peak memory is the process's.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, closing
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from benchmarks import report
from benchmarks.machine import machine
from benchmarks.readings import peak_mb

if TYPE_CHECKING:
    from airflow_am_provider.outbound.batches import Batch

RESULTS = Path(__file__).with_name("results")
ROOT = "S3_1234_20914_iter_1768953600000"
_BLOCK_ROWS = 50_000


def main() -> None:
    """Run the command, or one side of it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.outbound", description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--only", nargs="*", default=list(SIDES), choices=list(SIDES))
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--side", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--uri", default="", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.side:
        print(json.dumps(_reading(args.side, args.folder, args.uri)))
        return
    here = machine()
    print(*report.heading(here), sep="\n", flush=True)
    with tempfile.TemporaryDirectory(prefix="airflow-am-bench-") as directory:
        folder = Path(directory)
        size = _fill(folder / "inbox", args.rows)
        print(f"{args.rows:,} lines, {size / 1e9:.2f} GB in 4 files", flush=True)
        readings = _all(folder, args)
    for side, found in readings.items():
        seconds = median(one["seconds"] for one in found)
        print(
            f"{side:10} {args.rows / seconds / 1e6:6.2f} M rows/s, processor "
            f"{median(one['processor'] for one in found):.1f} s, peak "
            f"{max(one['peak_mb'] for one in found):,.0f} MB"
        )
    for ours, theirs in (("parquet", "duckdb"), ("table", "copy")):
        if ours in readings and theirs in readings:
            ratios = [
                b["seconds"] / a["seconds"]
                for a, b in zip(readings[ours], readings[theirs], strict=True)
            ]
            print(
                f"{ours} over {theirs}: {median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f})"
            )
    result = {"machine": here, "rows": args.rows, "bytes": size, "readings": readings}
    args.results.mkdir(exist_ok=True)
    (args.results / f"outbound-{args.rows}.json").write_text(json.dumps(result, indent=1) + "\n")


def _all(folder: Path, args: argparse.Namespace) -> dict[str, list[dict[str, float]]]:
    readings: dict[str, list[dict[str, float]]] = {side: [] for side in args.only}
    with ExitStack() as stack:
        uri = ""
        if {"table", "copy"} & set(args.only):
            from demo.local.postgres import postgres

            # Its user may be another one than ours.
            data = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="airflow-am-pg-")))
            uri = stack.enter_context(postgres(data)).create_database("warehouse")
        if "copy" in args.only:
            _write_csv(folder)
        for _ in range(args.repeats):
            for side in args.only:
                readings[side].append(_in_process(side, folder, uri))
    return readings


def _in_process(side: str, folder: Path, uri: str) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.outbound", "--side", side]
    done = subprocess.run(
        [*command, "--folder", str(folder), "--uri", uri],
        check=True,
        capture_output=True,
        text=True,
    )
    reading: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return reading


def _reading(side: str, folder: Path, uri: str) -> dict[str, float]:
    run = SIDES[side]
    prepared = PREPARE.get(side, _nothing)(folder, uri)
    started, before = time.monotonic(), time.process_time()
    run(folder, uri, prepared)
    return {
        "seconds": time.monotonic() - started,
        "processor": time.process_time() - before,
        "peak_mb": peak_mb(),
    }


def _nothing(_: Path, __: str) -> None:
    return None


def _batch(folder: Path, _: str) -> Batch:
    from airflow_am_provider.outbound import parquet  # noqa: F401  # loaded before the clock runs
    from airflow_am_provider.outbound.arrival import ArrivalWatch, WantedBatches
    from airflow_am_provider.outbound.batches import NameForm
    from airflow_am_provider.storage import LocalFolder

    inbox = LocalFolder(str(folder / "inbox"))
    (batch,) = ArrivalWatch(inbox, WantedBatches(form=NameForm())).look().complete
    return batch


def _parquet(folder: Path, _: str, batch: Any) -> None:
    from airflow_am_provider.outbound.parquet import load_into_parquet
    from airflow_am_provider.storage import LocalFolder

    load_into_parquet(
        LocalFolder(str(folder / "inbox")), batch, LocalFolder(str(folder / "parquet"))
    )


def _duckdb(folder: Path, _: str, __: Any) -> None:
    import duckdb

    connection = duckdb.connect()
    connection.execute("SET preserve_insertion_order = false; SET memory_limit = '1GB'")
    connection.execute(f"""
        COPY (
            SELECT fields[1] AS user_id, 20914::BIGINT AS id_dpid,
                CAST(string_split(fields[2], ',') AS BIGINT[]) AS segments,
                CASE WHEN len(fields) > 2 THEN CAST(string_split(fields[3], ',') AS BIGINT[])
                    ELSE [] END AS removed_segments,
                1234::BIGINT AS destination, 'iter' AS mode,
                make_timestamp(1768953600000000) AS batch_time, '{ROOT}' AS batch
            FROM (SELECT list_filter(string_split(line, ' '), lambda part: part <> '') AS fields
                FROM read_csv('{folder}/inbox/*.sync.gz', columns = {{'line': 'VARCHAR'}},
                    delim = '\\x01', quote = '', escape = '', header = false))
        ) TO '{folder}/duckdb.parquet' (FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1)
    """)


def _hook(uri: str) -> Any:
    from airflow.providers.postgres.hooks.postgres import PostgresHook

    os.environ["AIRFLOW_CONN_WAREHOUSE"] = uri.replace("postgresql://", "postgres://")
    return PostgresHook("warehouse")


def _table_batch(folder: Path, uri: str) -> Any:
    """Everything that a worker has imported before its task begins."""
    from airflow_am_provider.outbound import table  # noqa: F401  # loaded before the clock runs

    _emptied(uri)
    hook = _hook(uri)
    hook.get_conn().close()
    return _batch(folder, uri), hook


def _emptied(uri: str) -> None:
    import psycopg2

    with closing(psycopg2.connect(uri)) as connection, connection.cursor() as cursor:
        cursor.execute("DROP TABLE IF EXISTS segments, segments_batches, copied")
        cursor.execute(
            "CREATE TABLE copied (user_id TEXT NOT NULL, id_dpid BIGINT, segments TEXT NOT NULL, "
            "removed_segments TEXT NOT NULL, destination BIGINT, mode TEXT, "
            "batch_time TIMESTAMPTZ, batch TEXT NOT NULL)"
        )
        cursor.execute("CREATE INDEX ON copied (batch)")
        connection.commit()


def _table(folder: Path, _: str, prepared: Any) -> None:
    from airflow_am_provider.outbound.statements import Tables
    from airflow_am_provider.outbound.table import load_into_table
    from airflow_am_provider.storage import LocalFolder

    batch, hook = prepared
    load_into_table(LocalFolder(str(folder / "inbox")), batch, hook, Tables(rows="segments"))


def _copy(folder: Path, uri: str, _: Any) -> None:
    import psycopg2

    with (
        closing(psycopg2.connect(uri)) as connection,
        connection.cursor() as cursor,
        (folder / "rows.csv").open("rb") as file,
    ):
        cursor.copy_expert("COPY copied FROM STDIN WITH (FORMAT csv)", file, 1 << 20)
        connection.commit()


def _write_csv(folder: Path) -> None:
    """The rows as COPY takes them."""
    from isal import igzip

    with (folder / "rows.csv").open("wb") as rows:
        for path in sorted((folder / "inbox").glob("*.sync.gz")):
            with igzip.open(path, "rb") as file:
                for line in file:
                    user, segments, *removed = line.split()
                    gone = removed[0] if removed else b""
                    rows.write(
                        b'%s,20914,"%s","%s",1234,iter,2026-01-21 00:00:00+00,%s\n'
                        % (user, segments, gone, ROOT.encode())
                    )


def _fill(folder: Path, rows: int) -> int:
    """A batch of four files: IDs of 38 digits, one to seven segments, at times removed ones."""
    from isal import igzip

    folder.mkdir(parents=True)
    chance = random.Random(1)
    tails = []
    for _ in range(_BLOCK_ROWS):
        added = ",".join(str(chance.randrange(10**5, 10**7)) for _ in range(chance.randrange(1, 8)))
        gone = ",".join(str(chance.randrange(10**5, 10**7)) for _ in range(chance.randrange(3)))
        tails.append(f" {added} {gone}\n" if gone else f" {added}\n")
    files, total = [], 0
    for number in range(4):
        name = f"{ROOT}{f'{number:03d}' if number else ''}.sync.gz"
        mine = rows // 4
        with igzip.open(folder / name, "wb", compresslevel=1) as file:
            for start in range(0, mine, _BLOCK_ROWS):
                count = min(_BLOCK_ROWS, mine - start)
                first = 10**37 + number * 10**30 + start * 7_919
                block = "".join(
                    f"{first + row * 7_919_000_003}{tail}" for row, tail in enumerate(tails[:count])
                ).encode()
                total += len(block)
                file.write(block)
        content = (folder / name).read_bytes()
        files.append(
            {
                "FileName": name,
                "FileByteSize": len(content),
                "FileLineCount": mine,
                "FileSequenceNumber": number + 1,
                "md5": hashlib.md5(content, usedforsecurity=False).hexdigest(),
            }
        )
    (folder / f"{ROOT}.info").write_text(json.dumps({"Files": files}))
    return total


SIDES: dict[str, Any] = {"parquet": _parquet, "duckdb": _duckdb, "table": _table, "copy": _copy}
PREPARE: dict[str, Any] = {
    "parquet": _batch,
    "table": _table_batch,
    "copy": lambda _, uri: _emptied(uri),
}


if __name__ == "__main__":
    main()
