"""The example DAGs, backfilled once in a whole world of real servers, and what they left."""

import gzip
import json
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import psycopg2
from psycopg2 import sql

from airflow_am_provider.sandbox import FileEntry, Ledger, Profiles
from airflow_am_provider.sandbox.database import connect
from demo import crm
from demo.local.airflow_api import AirflowApi
from demo.world import ADOBE_BUCKET, STAGING_BUCKET, World, world
from tests.system.crm_truth import Truth, plant

#: Those whose result does not depend on what the others did before, and the one whose does.
DAILY_DAGS = (
    "audience_manager_daily",
    "audience_manager_deliver",
    "audience_manager_hashed_emails",
    "audience_manager_mobile",
)
MONTHLY_DAG = "audience_manager_monthly_overwrite"
#: Run by a test of its own, since it asks a person.
APPROVAL_DAG = "audience_manager_approval"
#: The tasks that format, and those that send what they formatted.
UPLOADS = {
    ("audience_manager_daily", "extract_ids"): "upload_ids",
    ("audience_manager_daily", "format_traits"): "upload_traits",
    ("audience_manager_deliver", "deliver.extract_ids"): "deliver.upload_ids",
    ("audience_manager_deliver", "deliver.format"): "deliver.upload",
    ("audience_manager_hashed_emails", "extract_emails"): "upload",
    ("audience_manager_mobile", "gaid.format"): "gaid.upload",
    ("audience_manager_mobile", "idfa.format"): "idfa.upload",
    (MONTHLY_DAG, "format_loyalty"): "upload",
}
_ENDED = ("success", "failed")
#: A test starts these by hand, for a day gone by: their clocks would only make runs that skip.
_POLICY = """
def dag_policy(dag):
    from datetime import UTC, datetime

    if dag.dag_id in ("audience_manager_circle", "audience_manager_feed"):
        dag.end_date = datetime(2026, 9, 22, tzinfo=UTC)
"""


@dataclass(frozen=True, kw_only=True)
class ExampleRun:
    """A world in which the example DAGs did the two days of the demo's CRM, and the last month.

    :param truth: the CRM's rows.
    :param profiles: what the sandbox knew of users right after that.
    """

    world: World
    truth: Truth
    profiles: set[tuple[str, ...]]

    @property
    def api(self) -> AirflowApi:
        """The REST API, as the UI uses it."""
        return self.world.airflow.api

    @property
    def month(self) -> date:
        """The first day of the month that the monthly DAG did."""
        return datetime.fromisoformat(
            self.api.wait_for_scheduled_run(MONTHLY_DAG)["logical_date"]
        ).date()

    def run_id(self, dag_id: str, day: date) -> str:
        """The run whose logical date is midnight of a day."""
        (run,) = (run for run in self.api.runs(dag_id) if _day(run) == day)
        return str(run["dag_run_id"])

    def manifest(self, dag_id: str, task_id: str, day: date) -> dict[str, Any]:
        """What a formatting task returned; it is what lies in staging.

        But for the list of rows set aside: a run that found its files staged
        wrote a list of its own.
        """
        manifest = self.api.xcom(dag_id, self.run_id(dag_id, day), task_id)
        staged = self.s3_object(
            STAGING_BUCKET, f"audience-manager/{manifest['location']}/manifest.json"
        )
        assert {**json.loads(staged), "rejects": None} == {**manifest, "rejects": None}
        document: dict[str, Any] = manifest
        return document

    def sent_text(self, file_name: str) -> bytes:
        """A file as it arrived at Adobe, unpacked."""
        (entry,) = (entry for entry in self.ledger() if entry.name == file_name)
        path = entry.path.removeprefix(f"s3://{ADOBE_BUCKET}/")
        if path != entry.path:
            return gzip.decompress(self.s3_object(ADOBE_BUCKET, path))
        # Picked up from FTP, a file is renamed.
        return gzip.decompress(
            (self.world.ftp_root / file_name.replace(".sync", ".processed")).read_bytes()
        )

    def s3_object(self, bucket: str, key: str) -> bytes:
        """The content of an object."""
        body: bytes = self.world.s3.client().get_object(Bucket=bucket, Key=key)["Body"].read()
        return body

    def keys(self, bucket: str) -> dict[str, str]:
        """Every object's key, with the moment at which it was written."""
        pages = self.world.s3.client().get_paginator("list_objects_v2").paginate(Bucket=bucket)
        return {
            entry["Key"]: entry["LastModified"].isoformat()
            for page in pages
            for entry in page.get("Contents", ())
        }

    def ledger(self) -> list[FileEntry]:
        """Every file that the sandbox has dealt with."""
        with closing(connect(self.world.profiles)) as connection:
            return Ledger(connection).files()

    def digest(self) -> str:
        """A checksum of all that the sandbox knows of users."""
        with Profiles(self.world.profiles) as profiles:
            return profiles.digest()

    def destination(self) -> dict[str, object]:
        """What lies at Adobe, to see whether anything was written anew."""
        folder = {path.name: path.stat().st_mtime_ns for path in self.world.ftp_root.iterdir()}
        return {**self.keys(ADOBE_BUCKET), **folder}

    def wait(self) -> None:
        """Until all runs have ended."""
        deadline = time.monotonic() + 400
        while running := [run for run in self.api.runs() if run["state"] not in _ENDED]:
            assert time.monotonic() < deadline, running
            time.sleep(0.5)

    def states(self, dag_id: str, run_id: str) -> dict[str, tuple[str, int]]:
        """State and number of tries of each task of a run."""
        tasks = self.api.task_instances(dag_id, run_id)
        return {task["task_id"]: (task["state"], task["try_number"]) for task in tasks}

    def written_by_airflow(self) -> Iterator[tuple[str, str]]:
        """All that people and programs can read of the runs: logs, database, UI, staging.

        :return: a place, and the text there.
        """
        for path in sorted(self.world.airflow.home.rglob("*.log*")):
            if path.is_file():
                yield str(path), path.read_text(errors="replace")
        tables = sql.SQL(
            "SELECT string_agg(table_name, ' ') FROM information_schema.tables "
            "WHERE table_schema = 'public' AND table_type = 'BASE TABLE'"
        )
        for table in _query_airflow(self.world, tables).split():
            query = sql.SQL("SELECT coalesce(string_agg(t::text, E'\\n'), '') FROM {} t")
            yield table, _query_airflow(self.world, query.format(sql.Identifier(table)))
        for path in self._ui_paths():
            yield path, self.api.text(path)
        for key in self.keys(STAGING_BUCKET):
            if not key.endswith(".gz"):
                yield key, self.s3_object(STAGING_BUCKET, key).decode()

    def _ui_paths(self) -> Iterator[str]:
        """What the UI asks the API server for."""
        every_task = "/api/v2/dags/~/dagRuns/~/taskInstances"
        for name in ("dags", "importErrors", "connections", "variables", "plugins", "providers",
                     "eventLogs", "assets/events", "dagWarnings"):  # fmt: skip
            yield f"/api/v2/{name}?limit=100"
        yield "/api/v2/dags/~/dagRuns?limit=100"
        yield "/audience-manager/api/deliveries?limit=500"
        yield f"{every_task}?limit=100"
        yield f"{every_task}/~/xcomEntries?limit=100"
        for task in self.api.task_instances():
            path = f"/api/v2/dags/{task['dag_id']}/dagRuns/{task['dag_run_id']}/taskInstances"
            is_told = task["state"] == "success" and "format" in task["task_id"]
            if is_told or task["state"] == "failed":
                yield f"{path}/{task['task_id']}/logs/1?map_index={task['map_index']}"
            if is_told:
                result = "xcomEntries/return_value"
                yield f"{path}/{task['task_id']}/{result}?map_index={task['map_index']}"
        for dag_id in (*DAILY_DAGS, MONTHLY_DAG):
            yield f"/api/v2/dags/{dag_id}/details"


@contextmanager
def backfilled(directory: Path, *, environment: Mapping[str, str]) -> Iterator[ExampleRun]:
    """Start the world, plant rows and backfill the example DAGs as the UI does.

    :param environment: more settings of Airflow's.
    """
    with world(directory, policies=_POLICY, environment=environment) as running:
        uri = crm_uri(running)
        plant(uri)
        run = ExampleRun(world=running, truth=Truth(uri), profiles=set())
        running.airflow.wait_for_dags(*DAILY_DAGS, MONTHLY_DAG)
        first, last = (
            datetime(day.year, day.month, day.day, tzinfo=UTC)
            for day in (crm.DAYS[0], crm.DAYS[-1])
        )
        for dag_id in DAILY_DAGS:
            running.airflow.api.unpause(dag_id)
            running.airflow.api.create_backfill(dag_id, first, last, max_active_runs=1)
        run.wait()
        # Who is known decides whom an overwrite reaches: it comes when all ID syncs are done.
        # It runs for the last month by itself, so that an older month would be too late.
        running.airflow.api.unpause(MONTHLY_DAG)
        running.airflow.api.wait_for_scheduled_run(MONTHLY_DAG)
        run.wait()
        with Profiles(running.profiles) as profiles:
            run.profiles.update(profiles.dump())
        yield run


def crm_uri(running: World) -> str:
    """The database of the CRM, from the connection that Airflow has."""
    given = json.loads(running.airflow.environment["AIRFLOW_CONN_CRM"])
    return (
        f"postgresql://{given['login']}:{given['password']}@{given['host']}:{given['port']}"
        f"/{given['schema']}"
    )


def plant_addresses(crm_uri: str, day: date) -> set[str]:
    """Put addresses where IDs should be, on a day of their own, and give them back."""
    people = {f"planted.person{number}@example.net" for number in range(40)}
    with (
        closing(psycopg2.connect(crm_uri)) as connection,
        connection,
        connection.cursor() as cursor,
    ):
        for number, person in enumerate(sorted(people)):
            cursor.execute(
                "INSERT INTO web_logins VALUES (%s, %s, %s::date + interval '1 hour')",
                [f"{number + 7:038}", person, day],
            )
    return people


def plant_emails(crm_uri: str, first: date, last: date) -> None:
    """Give some customers new e-mail addresses on days of their own."""
    with closing(psycopg2.connect(crm_uri, options="-c timezone=UTC")) as connection:
        connection.cursor().execute(
            "INSERT INTO customer_emails SELECT customer_id(n), 'new' || n || '@example.com', "
            "day + interval '1 hour' FROM generate_series(%s::date, %s, '1 day') AS day, "
            "generate_series(1, 50) AS n",
            [first, last],
        )
        connection.commit()


def secrets_of(running: World) -> set[str]:
    """The passwords and keys of all connections that Airflow was given."""
    connections = (
        json.loads(value)
        for name, value in running.airflow.environment.items()
        if name.startswith("AIRFLOW_CONN_")
    )
    found = {
        connection[field]
        for connection in connections
        # Of AWS, the login is a key; other logins are names.
        for field in ("password", *(["login"] if connection["conn_type"] == "aws" else []))
        if field in connection
    }
    return {*found, running.airflow.password} - {"admin"}


def _query_airflow(running: World, query: sql.Composed) -> str:
    uri = re.sub(
        r"^postgresql\+\w+", "postgresql",
        running.airflow.environment["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"],
    )  # fmt: skip
    with closing(psycopg2.connect(uri)) as connection, connection.cursor() as cursor:
        cursor.execute(query)
        row = cursor.fetchone()
    assert row is not None
    return str(row[0])


def _day(run: dict[str, Any]) -> date | None:
    logical_date = run["logical_date"]
    return None if logical_date is None else datetime.fromisoformat(logical_date).date()
