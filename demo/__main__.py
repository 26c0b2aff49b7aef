"""``make demo``: the main job on real parts, from CRM rows to reconciled receipts.

``make serve`` is the same with more days, and stays.
"""

from __future__ import annotations

import argparse
import sys
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from demo import crm, play, playing
from demo.command import DIRECTORY, SERVE_PORT, run_alone, say
from demo.deliveries import deliveries, keep, table
from demo.local.processes import dead
from demo.world import ADOBE_BUCKET, STAGING_BUCKET, World, world

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

#: The example DAGs that send a day with each run, and how many deliveries two days make.
DELIVERIES_OF: Final = {
    "audience_manager_daily": 4,
    "audience_manager_deliver": 4,
    "audience_manager_hashed_emails": 2,
    "audience_manager_mobile": 4,
}
#: The one that sends all customers: a delivery for the last month.
_MONTHLY_DAG: Final = "audience_manager_monthly_overwrite"
_LONGEST_S: Final = 600.0
_MARKS: Final = {
    "success": "●",
    "skipped": "-",
    "failed": "✗",
    "upstream_failed": "✗",
    "up_for_retry": "↻",
    "deferred": "…",
}
_ORDER: Final = "●-✗↻…○"
_LEGEND: Final = "a mark is a task: ● done, … waiting for a receipt, - nothing to do, ✗ failed"


def main() -> int:
    """Run the demo.

    :return: 0 only if every delivery is acknowledged.
    """
    parser = argparse.ArgumentParser(prog="demo", description=__doc__)
    parser.add_argument("--serve", action="store_true", help="stay until Ctrl-C")
    parser.add_argument("--port", type=int, default=None, help="port of Airflow's UI")
    arguments = parser.parse_args()
    port = arguments.port or (SERVE_PORT if arguments.serve else None)
    if arguments.serve:
        return run_alone(lambda: _serve(port), port=port, name="make serve")
    return run_alone(lambda: _demo(port), port=port, name="make demo", interrupted=130)


def _demo(port: int | None) -> int:
    """Send two days and all customers of the last month; 0 if every delivery is acknowledged."""
    with world(DIRECTORY, port=port, say=say) as running:
        return 0 if _main_job(running, crm.DAYS, [_MONTHLY_DAG]) else 1


def _serve(port: int | None) -> int:
    """Send the first days, say what there is to try, and stay until Ctrl-C."""
    days = playing.days()
    policies = playing.policies(days, list(DELIVERIES_OF))
    with world(
        DIRECTORY,
        port=port,
        days=days.all,
        policies=policies,
        in_database=True,
        # Somebody waits for what they have just done.
        environment={"AIRFLOW__AUDIENCE_MANAGER__PAGE_REFRESH_INTERVAL_S": "3"},
        say=say,
    ) as running:
        play.prepare(
            DIRECTORY, running.crm_uri, running.s3.environment, running.airflow.environment
        )
        login = playing.login(running)
        say(f"Airflow's UI: {login}")
        say("it can be looked at now; the first days are sent meanwhile")
        _main_job(running, days.sent, [_MONTHLY_DAG, playing.APPROVAL_DAG])
        print(f"\n{playing.try_this(days)}\nAirflow's UI: {login}\nCtrl-C ends all.", flush=True)
        playing.stay(running, DIRECTORY, say)
    return 0


def _main_job(running: World, days: Sequence[date], whole_dags: Sequence[str]) -> bool:
    """Backfill the example DAGs over the days, and say what became of it.

    :param days: two days, one after the other.
    :param whole_dags: those that send all customers, for the last month.
    """
    api = running.airflow.api
    running.airflow.wait_for_dags(*DELIVERIES_OF, *whole_dags)
    say(f"Airflow is up: {running.airflow.url}")
    first, last = (
        datetime(day.year, day.month, day.day, tzinfo=UTC) for day in (days[0], days[-1])
    )
    for dag_id in DELIVERIES_OF:
        api.unpause(dag_id)
        api.create_backfill(dag_id, first, last, max_active_runs=1)
    for dag_id in whole_dags:
        # Unpaused, it runs for the last month by itself. An older `.overwrite` at the same time
        # would be refused if it came second.
        api.unpause(dag_id)
        api.wait_for_scheduled_run(dag_id)
    say(f"backfills of {first:%Y-%m-%d} to {last:%Y-%m-%d} are queued; {_LEGEND}")
    succeeded = _watch(running)
    return _report(running, succeeded, sum(DELIVERIES_OF.values()) + len(whole_dags))


def _watch(running: World) -> bool:
    """Show what the tasks do until all runs have ended; whether all went well.

    There are more runs than those of the backfills: a DAG that is unpaused is scheduled too.
    """
    shown: dict[tuple[str, str], str] = {}
    deadline = time.monotonic() + _LONGEST_S
    while time.monotonic() < deadline:
        for process in dead():
            raise process.error()
        runs = running.airflow.api.runs()
        tasks: dict[tuple[str, str], list[str]] = {}
        for task in running.airflow.api.task_instances():
            key = (task["dag_id"], task["dag_run_id"])
            tasks.setdefault(key, []).append(task["state"] or "")
        for run in runs:
            key = (run["dag_id"], run["dag_run_id"])
            line = _run_line(run, tasks.get(key, []))
            if shown.get(key) != line:
                shown[key] = line
                say(line)
        if runs and all(run["state"] in ("success", "failed") for run in runs):
            return all(run["state"] == "success" for run in runs)
        time.sleep(1.0)
    say(f"gave up after {_LONGEST_S:.0f} seconds")
    return False


def _run_line(run: dict[str, Any], states: list[str]) -> str:
    marks = "".join(sorted((_MARKS.get(state, "○") for state in states), key=_ORDER.index))
    day = str(run["logical_date"])[:10]
    return f"{run['dag_id']:<36} {day} {run['run_type']:<9}  {marks:<6}  {run['state']}"


def _report(running: World, succeeded: bool, expected: int) -> bool:
    """Print the table, where things lie, and the verdict."""
    found = deliveries(running.s3)
    good_ones = sum(delivery.is_good for delivery in found)
    print(f"\n{table(found)}\n")
    buckets = DIRECTORY / "buckets"
    keep(running.s3, buckets)
    print(f"sent files           {buckets / ADOBE_BUCKET}, {running.ftp_root}")
    print(f"manifests, rejects   {buckets / STAGING_BUCKET}")
    print(f"profiles             {running.profiles}  (airflow-am sandbox profile)")
    print(f"logs                 {running.airflow.home / 'logs'}, {running.sandbox.log}\n")
    good = succeeded and good_ones == len(found) >= expected
    verdict = "every delivery is acknowledged" if good else "NOT every delivery is acknowledged"
    say(f"{good_ones} of {max(len(found), expected)} deliveries acknowledged: {verdict}")
    return good


if __name__ == "__main__":
    sys.exit(main())
