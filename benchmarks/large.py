"""One large run, and a look at all that came of it: ``python -m benchmarks.large``.

Apart from the comparisons, since it takes an hour and much of a disk: 100 million rows are 9 GB of
Parquet, 6 GB of parts, and 14 GB of lines that are checked.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.comparison import Side
from benchmarks.machine import machine
from benchmarks.rows import ROWS_AT_A_TIME, ids, traits
from benchmarks.running import run_side
from benchmarks.suite import generated_rows
from benchmarks.world import OUTPUT_BUCKET, SOURCE_BUCKET, world

if TYPE_CHECKING:
    from benchmarks.world import World

_RESULTS = Path(__file__).with_name("results")


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.large", description=__doc__)
    parser.add_argument("source", choices=("parquet", "postgres"))
    parser.add_argument("--rows", type=int, default=100_000_000)
    parser.add_argument("--results", type=Path, default=_RESULTS)
    args = parser.parse_args()
    here = machine()
    with (
        tempfile.TemporaryDirectory(prefix="airflow-am-bench-") as directory,
        world(Path(directory)) as servers,
    ):
        reading = run_side(_side(args.source, servers, args.rows), servers)
        load = round(os.getloadavg()[0], 2)
        print(reading, f"load: {load}", flush=True)
        objects = Path(directory) / "s3" / "objects"
        # Room for what is checked.
        for file in (objects / SOURCE_BUCKET).iterdir():
            file.unlink()
        checked = _check(objects / OUTPUT_BUCKET / "staging", Path(directory) / "files")
    result = {
        "machine": here,
        "rows": args.rows,
        "load_after": load,
        "format": reading.to_json(),
        "check": checked,
    }
    args.results.mkdir(parents=True, exist_ok=True)
    path = args.results / f"large-{args.source}-{args.rows}.json"
    path.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(checked, indent=1))


def _side(source: str, servers: World, rows: int) -> Side:
    if source == "postgres":
        return Side(
            place="product:format_query",
            arguments={"kind": "traits", "query": generated_rows(rows)},
        )
    name = f"traits-{rows}.parquet"
    _write(servers.directory / "s3" / "objects" / SOURCE_BUCKET / name, rows)
    return Side(
        place="product:format_files",
        arguments={"kind": "traits", "url": f"s3://{SOURCE_BUCKET}/{name}"},
    )


def _write(path: Path, rows: int) -> None:
    """Rows with an ID of their own each; their traits come round again, since these take long."""
    rng = np.random.default_rng(1)
    some = [traits(rng, ROWS_AT_A_TIME)["traits"] for _ in range(4)]
    schema = pa.schema({"id": pa.string(), "traits": pa.string()})
    with pq.ParquetWriter(path, schema) as writer:
        for number, start in enumerate(range(0, rows, ROWS_AT_A_TIME)):
            size = min(ROWS_AT_A_TIME, rows - start)
            columns = [ids(rng, start, size), some[number % len(some)].slice(0, size)]
            writer.write_batch(pa.RecordBatch.from_arrays(columns, schema=schema))


def _check(staging: Path, folder: Path) -> dict[str, Any]:
    """Check every part under the name it is sent by."""
    (path,) = staging.rglob("manifest.json")
    manifest = json.loads(path.read_text())
    folder.mkdir()
    for part in manifest["parts"]:
        (staging / part["path"]).rename(folder / part["file_name"])
    command = [sys.executable, "-m", "airflow_am_provider.cli", "check", "--json", str(folder)]
    begun = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True)
    files = json.loads(done.stdout)["files"]
    return {
        "seconds": round(time.perf_counter() - begun, 1),
        "bytes": sum(file["bytes"] for file in files),
        "lines": sum(file["lines"] for file in files),
        "parts": len(files),
        "parts_without_findings": sum(not file["findings"] for file in files),
        **{name: manifest[name] for name in ("rows_read", "rows_written", "rows_set_aside")},
    }


if __name__ == "__main__":
    main()
