"""Kills processes of a whole Airflow at drawn moments: ``make faults-airflow N=10 SEED=1``."""

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path


def main() -> int:
    """Run the schedules, all in one Airflow, one after the other; 0 when all is well."""
    parser = argparse.ArgumentParser(prog="make faults-airflow", description=__doc__)
    parser.add_argument("-n", type=int, default=5, help="how many schedules (N=)")
    parser.add_argument("--seed", type=int, default=1, help="the first one's number (SEED=)")
    asked = parser.parse_args()
    directory = Path(tempfile.mkdtemp(prefix="airflow-am-faults-airflow-"))
    # Before Airflow is imported anywhere in this process.
    os.environ["AIRFLOW_HOME"] = str(directory / "own")
    from tests.faults.airflow_job import faults_airflow, results_in_airflow
    from tests.faults.world import world
    from tests.system.components import Components

    begun = time.monotonic()
    results = []
    seeds = range(asked.seed, asked.seed + asked.n)
    with (
        world(directory) as servers,
        faults_airflow(servers, directory) as started,
        Components(started) as components,
    ):
        for result in results_in_airflow(servers, started, components, seeds, directory):
            results.append(result)
            print(f"{len(results):4} of {asked.n}  {result}", flush=True)
    failed = [result.seed for result in results if result.problems]
    losses: dict[str, int] = {}
    for result in results:
        for victim, count in result.lost.items():
            losses[victim] = losses.get(victim, 0) + count
    said = ", ".join(f"{count} times {victim}" for victim, count in sorted(losses.items()))
    print(
        f"{len(results)} schedules in {time.monotonic() - begun:.0f} s; killed {said}; "
        f"{sum(result.tries for result in results)} tries of tasks, "
        f"{sum(result.clears for result in results)} times cleared; "
        f"{len(failed)} failed{f': seeds {failed}' if failed else ''}"
    )
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
