"""``python -m benchmarks``: run comparisons, print ratios, keep everything as JSON."""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

from benchmarks import report
from benchmarks.machine import machine
from benchmarks.running import run_comparison
from benchmarks.suite import COMPARISONS
from benchmarks.world import world

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
                comparison, servers, args.repeats, lambda text: print(text, flush=True)
            )
        result = {"machine": here, "rows": args.rows, "repeats": args.repeats, **result}
        path = args.results / f"{name}-{args.rows}.json"
        path.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n")
        print("", *report.lines(result), "", sep="\n", flush=True)


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
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder for the JSON files")
    return parser.parse_args()


if __name__ == "__main__":
    main()
