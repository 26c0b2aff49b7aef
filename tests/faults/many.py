"""Runs many schedules, several at a time, and sums up what came of them."""

import multiprocessing
import os
import queue
import statistics
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


def results_of(
    seeds: Iterable[int], directory: Path, *, is_calm: bool, at_once: int
) -> Iterable[dict[str, Any]]:
    """What came of each schedule, as it comes; so many at once, each beside its own servers."""
    context = multiprocessing.get_context("spawn")
    waiting, done = context.Queue(), context.Queue()
    count = 0
    for seed in seeds:
        waiting.put(seed)
        count += 1
    sides = [
        context.Process(target=_side, args=(waiting, done, directory / f"side-{number}", is_calm))
        for number in range(min(at_once, count))
    ]
    for side in sides:
        side.start()
    while count:
        try:
            yield done.get(timeout=5)
            count -= 1
        except queue.Empty:
            if not any(side.is_alive() for side in sides):
                print(f"{count} schedules came to no end; see above", file=sys.stderr)
                break
    for side in sides:
        side.join()


@contextmanager
def busy() -> Iterator[None]:
    """Let each core have something else to do all the time."""
    context = multiprocessing.get_context("spawn")
    found = [context.Process(target=_spin, daemon=True) for _ in range(os.cpu_count() or 1)]
    for process in found:
        process.start()
    try:
        yield
    finally:
        for process in found:
            process.kill()


def _spin() -> None:
    while True:
        pass


def _side(waiting: Any, done: Any, directory: Path, is_calm: bool) -> None:
    # Before Airflow is imported anywhere in this process.
    home = directory / "airflow"
    home.mkdir(parents=True)
    os.environ["AIRFLOW_HOME"] = str(home)
    from tests.faults.drawing import calm, schedule_of
    from tests.faults.job import fork_server
    from tests.faults.running import run_schedule
    from tests.faults.world import world

    context = fork_server()
    with world(directory) as servers:
        while True:
            try:
                seed = waiting.get(timeout=0.5)
            except queue.Empty:
                return
            schedule = calm(seed) if is_calm else schedule_of(seed)
            result = run_schedule(servers, context, schedule, directory)
            done.put({**result.to_json(), "said": str(result)})


def table(results: list[dict[str, Any]], seconds: float) -> str:
    """Kinds of trouble, how many schedules had each, how often it came to pass, and the time."""
    by_kind = defaultdict(list)
    happened: Counter[str] = Counter()
    for result in results:
        for kind in result["kinds"] or ["nothing"]:
            by_kind[kind].append(result)
        happened.update(result["happened"])
    rows = [("kind", "schedules", "came to pass", "failed", "median s", "longest s")]
    for kind, found in sorted(by_kind.items()):
        times = [result["seconds"] for result in found]
        rows.append(
            (
                kind,
                str(len(found)),
                str(happened.get(kind, "")),
                str(sum(bool(result["problems"]) for result in found)),
                f"{statistics.median(times):.1f}",
                f"{max(times):.1f}",
            )
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(
            cell.ljust(width) if place == 0 else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]
    failed = [result["seed"] for result in results if result["problems"]]
    total = {
        name: sum(result[name] for result in results)
        for name in ("attempts", "kills", "clears", "sent_again", "waited")
    }
    at_once = sum(len(result["at_once"]) for result in results)
    summary = (
        f"{len(results)} schedules in {seconds:.0f} s: {total['attempts']} attempts, "
        f"{total['kills']} killed, {total['clears']} times cleared, {at_once} failures without "
        f"a retry, {total['sent_again']} files sent again under their name, "
        f"{total['waited']} receipts lost while a successor waited; "
        f"{len(failed)} failed{f': seeds {failed}' if failed else ''}"
    )
    return "\n".join([*lines, summary])
