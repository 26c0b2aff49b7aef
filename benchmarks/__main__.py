"""``python -m benchmarks``: run comparisons, print ratios, keep everything as JSON."""

from __future__ import annotations

import argparse
import fcntl
import json
import tempfile
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import report
from benchmarks.machine import machine
from benchmarks.running import run_comparison
from benchmarks.suite import COMPARISONS
from benchmarks.world import world

if TYPE_CHECKING:
    from collections.abc import Iterator

RESULTS = Path(__file__).with_name("results")


def main() -> None:
    """Run the command."""
    args = _arguments()
    here = machine()
    print(*report.heading(here), sep="\n", flush=True)
    args.results.mkdir(parents=True, exist_ok=True)
    for name in args.only or COMPARISONS:
        # Each with servers of its own, so that none runs on what another one left in their caches.
        with (
            tempfile.TemporaryDirectory(prefix="airflow-am-bench-") as directory,
            world(Path(directory)) as servers,
        ):
            comparison = COMPARISONS[name](servers, args.rows)
            result = run_comparison(
                comparison,
                servers,
                args.repeats,
                lambda text: print(text, flush=True),
                partial(_locked, args.lock) if args.lock else nullcontext,
            )
        result = {"machine": here, "rows": args.rows, "repeats": args.repeats, **result}
        path = args.results / f"{name}-{args.rows}.json"
        path.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n")
        print("", *report.lines(result), "", sep="\n", flush=True)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000, help="rows of each source")
    parser.add_argument("--repeats", type=int, default=3, help="how often each side runs")
    parser.add_argument(
        "--only",
        nargs="*",
        choices=COMPARISONS,
        metavar="NAME",
        help="of " + ", ".join(COMPARISONS),
    )
    parser.add_argument(
        "--lock",
        type=Path,
        help="a file that others on this machine lock too; it is held for a repetition at a time",
    )
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder for the JSON files")
    return parser.parse_args()


if __name__ == "__main__":
    main()
