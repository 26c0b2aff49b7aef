"""A small client of Airflow's REST API: what the UI does, as calls."""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from operator import itemgetter
from typing import Any, Self

import httpx

Json = dict[str, Any]
_ENDED = ("success", "failed")
_BEFORE_AN_ANSWER_S = 4.0


class ApiError(RuntimeError):
    """Airflow answered a request with an error; the message holds its answer."""


@dataclass(kw_only=True)
class AirflowApi:
    """The REST API of a running Airflow, as one of its users.

    :param url: where Airflow's UI is, without a slash at the end
    """

    url: str
    user: str
    password: str = field(repr=False)
    _client: httpx.Client = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._client = httpx.Client(base_url=self.url, timeout=30.0)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def log_in(self) -> None:
        """Get a token, used for all calls that follow."""
        credentials = {"username": self.user, "password": self.password}
        token = self._request("POST", "/auth/token", json=credentials)["access_token"]
        self._client.headers["Authorization"] = f"Bearer {token}"

    def health(self) -> Json:
        """What the components reported last; needs no token."""
        return self._request("GET", "/api/v2/monitor/health")

    def dags(self) -> list[Json]:
        """All DAGs that the DAG processor has read."""
        return self._list("/api/v2/dags", "dags")

    def import_errors(self) -> list[Json]:
        """DAG files that could not be read, each with its ``stack_trace``."""
        return self._list("/api/v2/importErrors", "import_errors")

    def asset_events(self) -> list[Json]:
        """What assets were told of."""
        return self._list("/api/v2/assets/events", "asset_events")

    def add_connection(self, conn_id: str, connection: Mapping[str, object]) -> None:
        """Store a connection in Airflow's database, as the form under "Connections" does.

        :param connection: in the form of its JSON; ``extra`` may be a mapping
        """
        extra = json.dumps(connection.get("extra") or {})
        body = {"connection_id": conn_id, **connection, "extra": extra}
        self._request("POST", "/api/v2/connections", json=body)

    def unpause(self, dag_id: str) -> None:
        """Let the scheduler run a DAG."""
        self._request("PATCH", f"/api/v2/dags/{dag_id}", json={"is_paused": False})

    def read_again(self, dag_id: str) -> None:
        """Have the DAG processor read a DAG's file now."""
        token = self._request("GET", f"/api/v2/dags/{dag_id}")["file_token"]
        self._request("PUT", f"/api/v2/parseDagFile/{token}")

    def trigger(
        self, dag_id: str, *, logical_date: datetime | None = None, conf: Json | None = None
    ) -> str:
        """Start a run and return its ID."""
        body = {"logical_date": _text(logical_date), "conf": conf or {}}
        return str(self._request("POST", f"/api/v2/dags/{dag_id}/dagRuns", json=body)["dag_run_id"])

    def clear(self, dag_id: str, run_id: str) -> None:
        """Let all tasks of a run run again, as the UI's "Clear" does."""
        path = f"/api/v2/dags/{dag_id}/dagRuns/{run_id}/clear"
        self._request("POST", path, json={"dry_run": False})

    def clear_task(self, dag_id: str, run_id: str, task_id: str) -> None:
        """Let a task run again, and what is downstream of it."""
        body = {
            "dry_run": False,
            "dag_run_id": run_id,
            "task_ids": [task_id],
            "include_downstream": True,
            "only_failed": False,
            "reset_dag_runs": True,
        }
        self._request("POST", f"/api/v2/dags/{dag_id}/clearTaskInstances", json=body)

    def wait_for_question(
        self, dag_id: str, run_id: str, task_id: str, *, timeout_s: float = 120.0
    ) -> Json:
        """Wait until a task asks a person, as under "Required Actions"; what it asks.

        :raises TimeoutError: if it does not ask in time
        """
        path = f"/api/v2/dags/{dag_id}/dagRuns/{run_id}/hitlDetails"
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            for asked in self._list(path, "hitl_details"):
                is_open = not asked["response_received"]
                if is_open and asked["task_instance"]["task_id"] == task_id:
                    # An answer that comes before the scheduler has heard that the task waits makes
                    # a failure of it in Airflow 3.3.2. A person is never that quick.
                    time.sleep(_BEFORE_AN_ANSWER_S)
                    return asked
            time.sleep(0.2)
        raise TimeoutError(f"{dag_id} {run_id}: {task_id} asks nothing")

    def answer(self, dag_id: str, run_id: str, task_id: str, option: str, **params: str) -> None:
        """Answer a task that asks a person."""
        self._request(
            "PATCH",
            f"{_task(dag_id, run_id, task_id)}/-1/hitlDetails",
            json={"chosen_options": [option], "params_input": params},
        )

    def create_backfill(
        self,
        dag_id: str,
        from_date: datetime,
        to_date: datetime,
        *,
        reprocess_behavior: str = "none",
        max_active_runs: int = 10,
        run_backwards: bool = False,
        conf: Json | None = None,
    ) -> int:
        """Start a backfill and return its ID.

        Airflow allows one per DAG at a time, and looks only every 30 seconds whether one has
        ended; those that have are closed here first.

        :param from_date: first logical date
        :param to_date: last logical date, itself included
        :param reprocess_behavior: ``none``, ``failed`` or ``completed``: which of the runs that
            exist already run again
        """
        self.close_ended_backfills(dag_id)
        body = {
            "dag_id": dag_id,
            "from_date": _text(from_date),
            "to_date": _text(to_date),
            "reprocess_behavior": reprocess_behavior,
            "max_active_runs": max_active_runs,
            "run_backwards": run_backwards,
            "dag_run_conf": conf or {},
        }
        return int(self._request("POST", "/api/v2/backfills", json=body)["id"])

    def close_ended_backfills(self, dag_id: str) -> None:
        """Say of a DAG's backfills that they are over, where all of their runs are.

        Airflow itself looks every 30 seconds, and until then refuses another one.
        """
        for backfill in self._list("/api/v2/backfills", "backfills", dag_id=dag_id):
            if not backfill["completed_at"] and not _running(self.backfill_runs(backfill["id"])):
                self._request("PUT", f"/api/v2/backfills/{backfill['id']}/cancel")

    def backfill_runs(self, backfill_id: int) -> list[Json]:
        """The runs of a backfill, in the order of their dates.

        They are there as soon as the backfill is created, those that run again under the ID that
        they had before.
        """
        backfill = self._request("GET", f"/api/v2/backfills/{backfill_id}")
        first, last = (datetime.fromisoformat(backfill[key]) for key in ("from_date", "to_date"))
        dated = (
            (datetime.fromisoformat(run["logical_date"]), run)
            for run in self.runs(backfill["dag_id"])
            if run["run_type"] == "backfill" and run["logical_date"]
        )
        return [run for date, run in sorted(dated, key=itemgetter(0)) if first <= date <= last]

    def runs(self, dag_id: str = "~") -> list[Json]:
        """Runs of a DAG, or of all DAGs, with ``dag_run_id`` and ``state``."""
        return self._list(f"/api/v2/dags/{dag_id}/dagRuns", "dag_runs")

    def run(self, dag_id: str, run_id: str) -> Json:
        """One run."""
        return self._request("GET", f"/api/v2/dags/{dag_id}/dagRuns/{run_id}")

    def wait_for_scheduled_run(self, dag_id: str, *, timeout_s: float = 60.0) -> Json:
        """Wait for the run that the scheduler makes of the last interval of an unpaused DAG.

        :raises TimeoutError: if there is none in time
        """
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            for run in self.runs(dag_id):
                if run["run_type"] == "scheduled":
                    return run
            time.sleep(0.2)
        raise TimeoutError(f"{dag_id}: no scheduled run")

    def task_instances(self, dag_id: str = "~", run_id: str = "~") -> list[Json]:
        """Task instances of a run, or of all runs of all DAGs."""
        path = f"/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances"
        return self._list(path, "task_instances")

    def task_log(
        self, dag_id: str, run_id: str, task_id: str, *, try_number: int = 1, map_index: int = -1
    ) -> str:
        """The log of one try as text: time, level and message per line."""
        content = self._request(
            "GET",
            f"{_task(dag_id, run_id, task_id)}/logs/{try_number}",
            params={"map_index": map_index, "full_content": True},
            headers={"Accept": "application/json"},
        )["content"]
        return "\n".join(map(_log_line, content))

    def task_tries(
        self, dag_id: str, run_id: str, task_id: str, *, map_index: int = -1
    ) -> list[Json]:
        """All tries of a task, with ``start_date`` and ``end_date``."""
        mapped = f"/{map_index}" if map_index >= 0 else ""
        path = f"{_task(dag_id, run_id, task_id)}{mapped}/tries"
        tries: list[Json] = self._request("GET", path)["task_instances"]
        return tries

    def xcom(
        self,
        dag_id: str,
        run_id: str,
        task_id: str,
        *,
        key: str = "return_value",
        map_index: int = -1,
    ) -> Any:
        """A value that a task returned or pushed."""
        return self._request(
            "GET",
            f"{_task(dag_id, run_id, task_id)}/xcomEntries/{key}",
            params={"map_index": map_index, "deserialize": False},
        )["value"]

    def wait_for_run(self, dag_id: str, run_id: str, *, timeout_s: float = 300.0) -> str:
        """Wait until a run has ended and return its state.

        :raises TimeoutError: if it has not ended in time
        """
        (run,) = self._wait(lambda: [self.run(dag_id, run_id)], timeout_s)
        return str(run["state"])

    def wait_for_run_of_asset(self, dag_id: str, *, timeout_s: float = 120.0) -> Json:
        """Wait until a run that an asset has started has ended, and return it.

        :raises TimeoutError: if there is none in time
        """
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            for run in self.runs(dag_id):
                if run["run_type"] == "asset_triggered" and run["state"] in _ENDED:
                    return run
            time.sleep(0.2)
        raise TimeoutError(f"{dag_id}: no run of an asset has ended")

    def wait_for_task(
        self, dag_id: str, run_id: str, task_id: str, *, timeout_s: float = 120.0
    ) -> None:
        """Wait until a task has succeeded.

        :raises TimeoutError: if it has not in time, or it has failed
        """
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            states = {one["task_id"]: one["state"] for one in self.task_instances(dag_id, run_id)}
            if states.get(task_id) == "success":
                return
            if states.get(task_id) in ("failed", "upstream_failed", "skipped"):
                break
            time.sleep(0.2)
        raise TimeoutError(f"{dag_id}, {task_id}: {states}")

    def wait_for_backfill(self, backfill_id: int, *, timeout_s: float = 300.0) -> list[Json]:
        """Wait until all runs of a backfill have ended and return them.

        :raises TimeoutError: if they have not ended in time
        """
        return self._wait(partial(self.backfill_runs, backfill_id), timeout_s)

    @staticmethod
    def _wait(get_runs: Callable[[], list[Json]], timeout_s: float) -> list[Json]:
        deadline = time.monotonic() + timeout_s
        while True:
            runs = get_runs()
            running = _running(runs)
            if not running:
                return runs
            if time.monotonic() > deadline:
                names = ", ".join(f"{run['dag_id']} {run['dag_run_id']}" for run in running)
                raise TimeoutError(f"still not ended after {timeout_s:g} seconds: {names}")
            time.sleep(0.2)

    def _list(self, path: str, key: str, **parameters: str) -> list[Json]:
        """All pages of a list."""
        found: list[Json] = []
        while True:
            page = self._request(
                "GET", path, params={"limit": 100, "offset": len(found), **parameters}
            )
            found += page[key]
            if not page[key] or len(found) >= page["total_entries"]:
                return found

    def text(self, path: str) -> str:
        """The answer to a GET as it is."""
        response = self._client.get(path)
        if response.is_error:
            raise ApiError(f"GET {path}: {response.status_code} {response.text}")
        return response.text

    def _request(self, method: str, path: str, **options: Any) -> Json:
        response = self._client.request(method, path, **options)
        if response.is_error:
            raise ApiError(f"{method} {path}: {response.status_code} {response.text}")
        answer: Json = response.json() if response.content else {}
        return answer


def _running(runs: list[Json]) -> list[Json]:
    return [run for run in runs if run["state"] not in _ENDED]


def _task(dag_id: str, run_id: str, task_id: str) -> str:
    return f"/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}"


def _text(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()


def _log_line(entry: Json | str) -> str:
    if isinstance(entry, str):
        return entry
    shown = [entry.get("timestamp") or "", entry.get("level") or "", entry["event"]]
    details = entry.get("error_detail") or []
    shown += [f"{error['exc_type']}: {error['exc_value']}" for error in details]
    return " ".join(part for part in shown if part)
