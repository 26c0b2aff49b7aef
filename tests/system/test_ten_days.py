"""Ten days backfilled, forwards and backwards, around a scheduled run: the last day counts."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta

import psycopg2
import pytest

from airflow_am_provider.deliveries.records import DeliveryRecords, DeliveryState
from airflow_am_provider.sandbox import Profiles
from airflow_am_provider.storage import S3Folder
from demo.world import STAGING_BUCKET, World, world
from tests.system.example_run import crm_uri

pytestmark = [pytest.mark.slow, pytest.mark.long]

DAG_ID = "audience_manager_daily"
FORWARDS = datetime(2026, 3, 1, tzinfo=UTC)
BACKWARDS = datetime(2026, 4, 1, tzinfo=UTC)
DAYS = 10
USERS = 60
# Every day two of three users get a trait and lose another one of the same four. The last of these
# days is yesterday, which Airflow runs by itself as soon as the DAG is unpaused.
_CHANGES = f"""
INSERT INTO web_logins
SELECT aam_uuid(n), customer_id(n), date_trunc('day', now(), 'UTC') - interval '5 hours'
FROM generate_series(1, {USERS}) n;
INSERT INTO trait_changes (customer_id, added_traits, removed_traits, changed_at)
SELECT customer_id(n), (700 + (day + n) % 4)::text, (700 + (day + n + 1 + n % 3) % 4)::text,
       begin + n * interval '1 second'
FROM (
    SELECT row_number() OVER (ORDER BY begin) AS day, begin
    FROM (
        SELECT generate_series('2026-03-01'::timestamptz, '2026-03-10', '1 day')
        UNION SELECT generate_series('2026-04-01'::timestamptz, '2026-04-10', '1 day')
        UNION SELECT date_trunc('day', now(), 'UTC') - interval '1 day'
    ) AS days(begin)
) AS numbered, generate_series(1, {USERS}) n
WHERE (n + day) % 3 > 0 ORDER BY day, n;
"""


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("ten-days")) as running:
        with (
            closing(psycopg2.connect(crm_uri(running))) as connection,
            connection,
            connection.cursor() as cursor,
        ):
            cursor.execute(_CHANGES)
        running.airflow.wait_for_dags(DAG_ID)
        running.airflow.api.unpause(DAG_ID)
        scheduled = running.airflow.api.wait_for_scheduled_run(DAG_ID)
        assert running.airflow.api.wait_for_run(DAG_ID, scheduled["dag_run_id"]) == "success"
        yield running


def expected(running: World, months: list[int]) -> dict[str, set[str]]:
    """Each user's traits when the changes of these months and of yesterday come in their order."""
    found: dict[str, set[str]] = {}
    with closing(psycopg2.connect(crm_uri(running))) as connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT customer_id, added_traits, removed_traits FROM trait_changes "
            "WHERE added_traits LIKE '70_' AND (extract(month FROM changed_at) = ANY(%s) "
            "OR changed_at >= date_trunc('day', now(), 'UTC') - interval '1 day') "
            "ORDER BY changed_at, change_id",
            [months],
        )
        for customer, added, removed in cursor.fetchall():
            found.setdefault(customer, set()).discard(removed)
            found[customer].add(added)
    return found


def known_traits(running: World) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    with Profiles(running.profiles) as profiles:
        for kind, _, user, _, value in (row for row in profiles.dump() if row[0] == "trait"):
            assert kind == "trait"
            found.setdefault(user, set()).add(value)
    return found


def backfill(running: World, first: datetime, *, run_backwards: bool = False) -> None:
    api = running.airflow.api
    backfill_id = api.create_backfill(
        DAG_ID,
        first,
        first + timedelta(days=DAYS - 1),
        max_active_runs=1,
        run_backwards=run_backwards,
    )
    runs = api.wait_for_backfill(backfill_id, timeout_s=1800)
    assert len(runs) == DAYS
    assert {run["state"] for run in runs} == {"success"}


def test_old_days_after_a_scheduled_run_end_with_the_last_state(running: World) -> None:
    assert known_traits(running) == expected(running, [])
    backfill(running, FORWARDS)
    assert known_traits(running) == expected(running, [3])


def test_days_that_run_backwards_end_with_the_last_state(running: World) -> None:
    backfill(running, BACKWARDS, run_backwards=True)
    assert known_traits(running) == expected(running, [3, 4])


def test_the_records_outlive_what_airflow_forgets(running: World) -> None:
    records = DeliveryRecords(staging(running))
    before = {record.manifest.delivery_id: record.state for record in records.all()}
    assert len(before) > 2 * DAYS
    assert set(before.values()) == {DeliveryState.RECONCILED}
    clean = ["db", "clean", "--clean-before-timestamp", "2100-01-01", "--skip-archive", "--yes"]
    subprocess.run(
        [sys.executable, "-m", "airflow", *clean],
        env={**os.environ, **running.airflow.environment},
        check=True,
        timeout=120,
    )
    assert not [run for run in running.airflow.api.runs() if run["run_type"] == "backfill"]
    assert {record.manifest.delivery_id: record.state for record in records.all()} == before


def staging(running: World) -> S3Folder:
    return S3Folder(running.s3.client(), STAGING_BUCKET, "audience-manager")
