"""Deliveries of the same rows by whatever connection, with the DAG ``dags/delivery.py``."""

import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import psycopg2

from airflow_am_provider.sandbox import Account, Profiles, Sandbox, SandboxConfig
from demo.local.airflow import Airflow
from demo.local.postgres import Postgres

DAG_ID = "delivery"
DPID = 478
USERS = 8_500
# By the DAG's `part_bytes`.
PARTS = 3
_DATABASE = "delivered_customers"
_CUSTOMERS = f"""
CREATE TABLE customers AS
SELECT md5(n::text) AS id, '24,' || 30 + n % 7 AS traits FROM generate_series(1, {USERS}) AS n
"""


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """A run of the DAG."""

    airflow: Airflow
    run_id: str

    def tasks(self) -> dict[str, dict[str, Any]]:
        """The run's tasks by their names in the group."""
        found = self.airflow.api.task_instances(DAG_ID, self.run_id)
        return {task["task_id"].removeprefix("deliver."): task for task in found}

    def tries(self) -> dict[str, tuple[str, int]]:
        """State and number of tries of each task."""
        return {name: (task["state"], task["try_number"]) for name, task in self.tasks().items()}

    def result(self, task: str) -> dict[str, Any]:
        """What a task returned."""
        value: dict[str, Any] = self.airflow.api.xcom(DAG_ID, self.run_id, f"deliver.{task}")
        return value

    def log(self, task: str, *, try_number: int = 1) -> str:
        """What a task said."""
        task_id = f"deliver.{task}"
        return self.airflow.api.task_log(DAG_ID, self.run_id, task_id, try_number=try_number)

    def wait(self) -> str:
        """Wait for the end and tell the run's state."""
        return self.airflow.api.wait_for_run(DAG_ID, self.run_id, timeout_s=120)


def start(running: Airflow, connection: str) -> Delivery:
    """Deliver all customers by a connection."""
    run_id = running.api.trigger(DAG_ID, conf={"connection": connection})
    return Delivery(airflow=running, run_id=run_id)


def fill(database: Postgres) -> str:
    """Make the customers, in a database of their own; gives its name."""
    with closing(psycopg2.connect(database.create_database(_DATABASE))) as connection:
        connection.cursor().execute(_CUSTOMERS)
        connection.commit()
    return _DATABASE


@contextmanager
def sandbox(database: Path, inbox: str, *, mail: str, password: str) -> Iterator[None]:
    """Be Audience Manager for one inbox, for users whose IDs need no synchronisation."""
    config = SandboxConfig(
        database=database,
        inboxes=(inbox,),
        mailboxes=(mail,),
        mail_password=password,
        account=Account(cross_device=frozenset({DPID})),
    )
    stop = threading.Event()
    with ExitStack() as stack:
        served = stack.enter_context(Sandbox(config))
        thread = threading.Thread(
            target=served.serve, kwargs={"poll_interval_s": 0.2, "stop": stop}, daemon=True
        )
        thread.start()
        stack.callback(thread.join)
        stack.callback(stop.set)
        yield


def traits_of_all(database: Path) -> dict[str, frozenset[str]]:
    """Every user's traits, in a sandbox's database."""
    found: dict[str, set[str]] = {}
    with Profiles(database) as profiles:
        for kind, dpid, user, _, value in profiles.dump():
            assert (kind, dpid) == ("trait", str(DPID))
            found.setdefault(user, set()).add(value)
    return {user: frozenset(traits) for user, traits in found.items()}


def expected_traits(database: Postgres) -> dict[str, frozenset[str]]:
    """Every user's traits, in the source."""
    uri = database.create_database(_DATABASE)
    with closing(psycopg2.connect(uri)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT id, traits FROM customers")
        return {user: frozenset(traits.split(",")) for user, traits in cursor.fetchall()}


def kill_task(delivery: Delivery, task: str) -> None:
    """End a task's process as the kernel does when memory is short."""
    pid = delivery.tasks()[task]["pid"]
    (process,) = (child for child in psutil.Process().children(recursive=True) if child.pid == pid)
    process.kill()
