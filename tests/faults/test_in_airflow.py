"""Processes of a whole Airflow are killed at drawn moments, and every delivery comes out whole.

More of them: ``make faults-airflow N=20 SEED=1``.
"""

from pathlib import Path

import pytest

from demo.local.airflow import Airflow
from tests.faults.airflow_job import results_in_airflow
from tests.faults.airflow_schedule import COMPONENTS, TASK, WATCHER, airflow_schedule_of
from tests.faults.world import world
from tests.system.components import Components

# Kills a task, one's watcher, the triggerer and the scheduler.
SEEDS = (2,)


@pytest.mark.slow
def test_whatever_is_killed_when_each_delivery_is_whole(
    local_airflow: Airflow, components: Components, tmp_path: Path
) -> None:
    with world(tmp_path) as servers:
        results = list(results_in_airflow(servers, local_airflow, components, SEEDS, tmp_path))
    assert not any(result.problems for result in results), "\n".join(map(str, results))
    assert all(result.lost for result in results)


def test_a_number_says_all_of_a_schedule_and_every_process_has_its_turn() -> None:
    schedules = [airflow_schedule_of(seed) for seed in range(1, 101)]
    assert len({str(schedule) for schedule in schedules}) == 100
    assert list(map(str, schedules)) == [str(airflow_schedule_of(seed)) for seed in range(1, 101)]
    victims = {loss.victim for one in schedules for losses in one.losses for loss in losses}
    assert victims == {*COMPONENTS, TASK, WATCHER}
