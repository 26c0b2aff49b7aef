"""A day with a deferred task, and a run by hand that reads a connection."""

from datetime import datetime, timedelta
from typing import Any

import pendulum
from airflow.providers.standard.triggers.temporal import TimeDeltaTrigger
from airflow.sdk import BaseHook, BaseOperator, dag, task
from airflow.timetables.interval import CronDataIntervalTimetable


class Wait(BaseOperator):
    def execute(self, context: Any) -> None:
        self.defer(trigger=TimeDeltaTrigger(timedelta(seconds=0)), method_name="resume")

    def resume(self, context: Any, event: object) -> str:
        end: datetime = context["data_interval_end"]
        return end.isoformat()


@dag(schedule=CronDataIntervalTimetable("@daily", "UTC"), start_date=pendulum.datetime(2026, 1, 1))
def daily() -> None:
    Wait(task_id="wait")


@dag(schedule=None)
def by_hand() -> None:
    @task
    def read_connection(params: Any = None, dag_run: Any = None) -> list[Any]:
        print("a line for the log")
        return [BaseHook.get_connection("crm").host, dag_run.logical_date, dag_run.conf]

    read_connection()


daily()
by_hand()
