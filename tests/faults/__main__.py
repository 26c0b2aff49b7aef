"""Runs many schedules of faults and prints a table: ``make faults N=200 SEED=1``."""

import argparse
import json
import sys
import tempfile
import time
from contextlib import nullcontext
from pathlib import Path

from tests.faults.many import busy, results_of, table


def main() -> int:
    """Run them; 0 when all is well."""
    parser = argparse.ArgumentParser(prog="make faults", description=__doc__)
    parser.add_argument("-n", type=int, default=20, help="how many schedules (N=)")
    parser.add_argument("--seed", type=int, default=1, help="the first one's number (SEED=)")
    parser.add_argument(
        "--at-once",
        type=int,
        default=2,
        help="how many at the same time; for the most part each waits (AT_ONCE=)",
    )
    parser.add_argument("--calm", action="store_true", help="the same jobs without faults")
    parser.add_argument(
        "--loaded", action="store_true", help="something else keeps all cores busy (LOADED=1)"
    )
    parser.add_argument("--json", type=Path, help="write what came of each schedule to a file")
    asked = parser.parse_args()
    directory = Path(tempfile.mkdtemp(prefix="airflow-am-faults-"))
    seeds = range(asked.seed, asked.seed + asked.n)
    begun = time.monotonic()
    results = []
    with busy() if asked.loaded else nullcontext():
        for result in results_of(seeds, directory, is_calm=asked.calm, at_once=asked.at_once):
            results.append(result)
            print(f"{len(results):4} of {asked.n}  {result['said']}", flush=True)
            if asked.json:
                asked.json.write_text(json.dumps(results, indent=2))
    print(table(results, time.monotonic() - begun))
    return int(len(results) < asked.n or any(result["problems"] for result in results))


if __name__ == "__main__":
    sys.exit(main())
