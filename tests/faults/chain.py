"""One run of a DAG: its tasks in turn, each tried again, and cleared when one has failed."""

import time
from collections import Counter
from typing import TYPE_CHECKING, Any

from tests.faults import crm
from tests.faults.process import outcome_of
from tests.faults.schedule import PARTITIONS, Run, Schedule
from tests.faults.stage import connection_of
from tests.faults.told import GivenUpError, JobFailedError, TaskFailedError

if TYPE_CHECKING:
    from tests.faults.job import Job

_MOST_CLEARS = 8
_MOST_RESENDS = 20
_EARLIER_S = 400
PART_BYTES = 103_000
# The number of a chain that befalls nothing: of a run that is cleared in the midst of another one.
_ALONE = 9
_NO_CONDITIONS = "keeps no conditional writes"


class Chain:
    """One run of the DAG.

    :param chain: 0, or 1 for the second of two that do the same at once.
    :param number: the run's.
    :param lines: which of the lines are its own.
    """

    def __init__(self, job: "Job", chain: int, number: int, run: Run, lines: int) -> None:
        self.failure: Exception | None = None
        self._job, self._chain, self._number, self._run = job, chain, number, run
        self._lines_number = lines
        self._context, self._stage = job.context, job.stage
        self._schedule: Schedule = self._stage.schedule
        self._attempts: Counter[str] = Counter()
        self._results: dict[str, Any] = {}
        back = self._schedule.there_and_back
        is_back = back is not None and back.run == number and chain != _ALONE
        self._turns = list(back.after) if back is not None and is_back else []

    def go(self) -> None:
        """Run it to its end; what prevents that is left in ``failure``."""
        try:
            self._wait_for_others()
            self._go()
        except GivenUpError:
            pass
        except Exception as error:  # noqa: BLE001  # it is raised again by whoever waits for this
            self.failure = error
        finally:
            # Whoever waits for it has to go on.
            self._job.uploaded[self._number].set()
            self._job.ended[self._number].set()

    def _go(self) -> None:
        for _ in range(_MOST_CLEARS):
            try:
                while task := self._next_task():
                    if task == "replay":
                        self._correct_before_replay()
                        task = self._next_task() or task
                    self._results[task] = self._task(task)
                    self._turn(task)
                return
            except TaskFailedError as failed:
                last = str(failed)
                self._clear()
        raise JobFailedError(f"cleared {_MOST_CLEARS} times, and still: {last}")

    def _next_task(self) -> str | None:
        return next((task for task in self._run.tasks if task not in self._results), None)

    def _wait_for_others(self) -> None:
        """Begin when it is time to: what waits for a receipt comes after what waits for none."""
        lost, run = self._schedule.lost, self._run
        if lost is not None and self._number == lost.run + 1:
            self._job.uploaded[lost.run].wait(_EARLIER_S)
        if run.place and self._schedule.transport == "ftp":
            # Over FTP, of two who look at once neither sees the other's name.
            begin = len(self._schedule.runs)
            for number in range(begin, begin + len(self._schedule.beside)):
                if number != self._number:
                    self._job.ended[number].wait(_EARLIER_S)

    def _clear(self) -> None:
        """What the user does with a failed run."""
        self._job.told.clears += 1
        lost = self._schedule.lost
        if lost is not None and lost.run == self._number and "upload" in self._results:
            # While others wait for its receipt, its rows are not read again.
            return
        if self._schedule.clears == "the run":
            if self._corrects("clear") and "format" in self._results:
                self._give_up(self._results["format"]["delivery_id"])
            self._results.clear()

    def _turn(self, task: str) -> None:
        """Let the rows be others from now on, and clear the run, where it has come so far."""
        if not self._turns or self._turns[0] != task:
            return
        self._turns.pop(0)
        self._job.put(self._run.window, crm.THERE_AND_BACK[2 - len(self._turns)])
        self._results.clear()

    def _corrects(self, when: str) -> bool:
        """Mend the rows of the run's window at their source, if that is to happen now."""
        correction = self._schedule.correction
        if correction is None or (correction.run, correction.when) != (self._number, when):
            return False
        window = self._run.window if correction.window is None else correction.window
        if window in self._job.contents or self._chain == _ALONE:
            return False
        self._job.put(window, crm.CORRECTED)
        return True

    def _correct_before_replay(self) -> None:
        """Mend rows between a receipt and the replay after it, and clear the run they are of."""
        if not self._corrects("replay"):
            return
        correction = self._schedule.correction
        assert correction is not None
        if correction.window == self._run.window:
            self._results.clear()
            return
        number = next(
            number
            for number, run in enumerate(self._schedule.runs)
            if run.window == correction.window
        )
        self._job.ended[number].wait(_EARLIER_S)
        newer = self._schedule.runs[number]
        cleared = Chain(self._job, _ALONE, number, newer, self._lines_number)
        cleared.go()
        if cleared.failure is not None:
            raise cleared.failure

    def _give_up(self, delivery_id: str) -> None:
        """What the user does with a delivery that is not to be sent on, by ``deliveries abandon``.

        Else what takes its place waits for it.
        """
        kind, said = self._once("abandon", "abandon", self._by_hand(delivery_id))
        if kind != "ok":
            raise JobFailedError(f"abandon: {said}")
        self._job.told.gave_up(delivery_id)

    def _by_hand(self, delivery_id: str) -> dict[str, Any]:
        return {
            "arguments": {"delivery_id": delivery_id, "conn_id": connection_of(self._run.place)}
        }

    def _task(self, task: str) -> Any:
        step = task.removesuffix("_ids")
        if step == "format":
            manifest = self._formatted(task)
            # A retry may have read what was mended meanwhile.
            content = self._content
            self._check_rows(task, manifest, content)
            if task == "format":
                self._job.told.contents[self._number] = content
            return manifest
        if step == "upload":
            return self._uploaded(task)
        if step == "replay":
            return self._replay()
        return self._receipt(task)

    @property
    def _content(self) -> str:
        """What rows its customers have now: nobody mends those of others."""
        if self._run.customers:
            return crm.PLAIN
        return self._job.contents.get(self._run.window, crm.PLAIN)

    def _formatted(self, task: str) -> dict[str, Any]:
        # Partitions are mapped tasks themselves.
        if not self._schedule.partitions or self._run.customers:
            manifest: dict[str, Any] = self._tried(task, task, self._format(task, None))
            return manifest
        shares = [
            self._tried(task, task, self._format(task, partition))
            for partition in range(PARTITIONS)
        ]
        combined: dict[str, Any] = self._tried(
            task, "combine", {"formatted": shares, **self._connection()}
        )
        return combined

    def _check_rows(self, task: str, manifest: dict[str, Any], content: str) -> None:
        """Hold what a format task tells against the rows that this very run read."""
        rows = crm.rows_of(self._schedule.variant, self._run, content)
        bad = sum(row.is_bad for row in rows)
        wanted = (len(rows), len(rows) - bad, bad)
        told = tuple(manifest[f"rows_{name}"] for name in ("read", "written", "set_aside"))
        if told != wanted:
            self._job.told.problems.append(
                f"rows: run {self._number}, {task}: read, written, set aside are {wanted}, and "
                f"{told} are told"
            )

    def _uploaded(self, task: str) -> Any:
        manifest = self._results[task.replace("upload", "format")]
        arguments = {
            "manifest": manifest,
            "after": self._results.get("upload_ids") if task == "upload" else None,
            "on_older": "replay" if self._run.replays else "refuse",
            "deferrable": self._schedule.deferrable,
            "poke_interval": 0.2,
            "order_timeout": 300,
            **self._connection(),
        }
        sent = self._tried(task, "upload", arguments)
        content = "" if task == "upload_ids" else self._job.told.contents[self._number]
        number = self._number if task == "upload" else ~self._number
        self._job.told.uploaded(number, content, sent)
        for name in ("rows_read", "rows_written", "rows_set_aside"):
            if sent[name] != manifest[name]:
                self._job.told.problems.append(
                    f"rows: run {self._number}, {task}: {name} {sent[name]}, of the manifest's "
                    f"{manifest[name]}"
                )
        if task == "upload":
            self._job.uploaded[self._number].set()
        return sent

    def _replay(self) -> Any:
        arguments = {
            "delivery": self._results["upload"],
            "acknowledged_by": self._schedule.acknowledged_by,
            "mode": "poke",
            "poke_interval": 0.3,
            "timeout": 60,
            **self._connection(),
        }
        return self._tried("replay", "replay", arguments)

    def _receipt(self, task: str) -> Any:
        sent = self._results[task.replace("receipt", "upload")]
        arguments = {
            "delivery": sent,
            "acknowledged_by": self._schedule.acknowledged_by,
            "deferrable": self._schedule.deferrable,
            "poke_interval": 0.15,
            "timeout": 2.5 if _KINDS[task] in self._job.loses else 30,
            **self._connection(),
        }
        result = self._tried(task, "receipt", arguments)
        self._job.told.receipts[sent["delivery_id"]] = result
        return result

    def _connection(self) -> dict[str, str]:
        place = self._run.place
        return {"audience_manager_conn_id": connection_of(place)} if place else {}

    def _format(self, task: str, partition: int | None) -> dict[str, Any]:
        has_window = not self._is_windowless
        start, end = crm.window(self._run.window)
        what: dict[str, Any] = {
            "dpid": crm.DPID,
            "id_column": "customer_id",
            "traits_column": "traits",
            "removed_traits_column": "removed",
        }
        if self._run.kind == "full":
            what.pop("removed_traits_column")
            what["mode"] = "overwrite"
        if task == "format_ids":
            columns = ["aam_uuid", "customer_id"]
            what = {"master_dpid": 0, "dpids": [crm.DPID], "columns": columns}
        if partition is not None:
            what |= {"partitions": PARTITIONS, "partition": partition}
        if has_window:
            what |= {"window_start": start, "window_end": end}
        return {
            "conn_id": "crm",
            "sql": crm.query(self._stage.table(self._run), task, self._run, has_window=has_window),
            "max_set_aside": 0.05,
            "part_bytes": PART_BYTES,
            **what,
            **self._connection(),
        }

    @property
    def _is_windowless(self) -> bool:
        return self._schedule.is_windowless and not self._run.customers

    def _tried(self, task: str, operator: str, arguments: dict[str, Any]) -> Any:
        """Try as often as the task may, and tell the result."""
        said = ""
        for retry in range(1 + self._schedule.retries):
            if retry and task == "format":
                self._corrects("retry")
            kind, said = self._once(task, operator, {"arguments": arguments})
            while kind == "deferred":
                kind, event = self._once(task, "trigger", {"trigger": said})
                if kind == "ok":
                    kind, said = self._once(
                        task, operator, {"arguments": arguments, "event": event}
                    )
                elif kind == "killed":
                    # Another triggerer takes over what the lost one had.
                    kind = "deferred"
                else:
                    said = event
            if kind in ("ok", "skip"):
                return said
            if kind == "timeout" and operator == "receipt":
                self._miss_receipt(task)
            if kind == "timeout":
                break
            if kind == "fail":
                self._fail_at_once(task, said)
                break
        raise TaskFailedError(f"{task}: {said}")

    def _fail_at_once(self, task: str, said: str) -> None:
        told = self._job.told
        told.at_once.append(f"{task}: {said}")
        if _NO_CONDITIONS in said:
            with self._job.lock:
                told.refused_for.append(said)
                if self._job.decided():
                    told.problems.append(f"store: refused, and yet something was decided: {said}")
                # What the sentence says has to be done.
                self._stage.is_in_sql = "state_conn_id" in said

    def _miss_receipt(self, task: str) -> None:
        """What the user does when no receipt came, by ``airflow-am deliveries``."""
        sent, kind = self._results[task.replace("receipt", "upload")], _KINDS[task]
        delivery_id, lost = sent["delivery_id"], self._schedule.lost
        if kind == "data" and self._job.loses:
            self._job.until_somebody_waits(delivery_id, self._number)
        is_lost = lost is not None and lost.run == self._number and kind == "data"
        if is_lost and lost is not None and lost.way == "abandon" and kind in self._job.loses:
            self._job.until_taken(list(sent["files"]))
            self._job.lose_no_more(kind)
            self._give_up(delivery_id)
            raise GivenUpError
        self._job.lose_no_more(kind)
        for _ in range(_MOST_RESENDS):
            # An object written anew within the second looks as the old one does.
            time.sleep(1.1)
            came, said = self._once(task, "resend", self._by_hand(delivery_id))
            if came == "ok":
                return
            if came == "fail":
                self._job.told.problems.append(f"resend: refused: {said}")
                break
        raise TaskFailedError(f"resend: {said}")

    def _once(self, task: str, operator: str, what: dict[str, Any]) -> tuple[str, Any]:
        """Make one attempt in a process of its own."""
        self._attempts[task] += 1
        self._job.told.attempts += 1
        number = self._attempts[task]
        trouble = self._schedule.trouble((self._chain, self._number, task, number))
        lines = self._stage.lines[self._lines_number]
        for line in lines.values():
            line.arm(trouble.faults)
        start, end = crm.window(self._run.window)
        name = f"{self._number}-{self._chain}-{task}-{number:02}-{operator}.log"
        order = {
            "env": self._stage.environment(self._lines_number),
            "log": str(self._stage.folder / name),
            "operator": operator,
            "context": {
                "dag_id": self._run.dag_id,
                "run_id": f"scheduled__{start}",
                # As plain cron strings have it: no time passes in the run's interval.
                "start": end if self._is_windowless else start,
                "end": end,
                "map_index": self._run.share,
            },
            "clock_s": trouble.clock_s,
            "frozen_at": self._job.frozen_at if task.startswith("format") else None,
            "kill_at_end": trouble.kill_at_end,
            "piece_bytes": self._schedule.piece_bytes,
            **what,
        }
        with self._stage.disk_filled(trouble.free_bytes), self._stage.ftp_cut(trouble.ftp_cut):
            outcome = outcome_of(self._context, order, trouble, lines)
        self._job.told.kills += outcome[0] == "killed"
        self._note_requests(operator, lines["s3"].asked)
        return outcome

    def _note_requests(self, operator: str, asked: list[str]) -> None:
        step = operator.removesuffix("_ids")
        count = sum(map(self._stage.is_cost, asked))
        most = self._job.told.most_asked
        most[step] = max(most.get(step, 0), count)


_KINDS = {"receipt_ids": "ids", "receipt": "data"}
