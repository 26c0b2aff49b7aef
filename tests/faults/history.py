"""A target that has delivered for years: its document, its records, its pages of history."""

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cache

from airflow_am_provider.audience_manager.names import Mode
from airflow_am_provider.deliveries.target.commands import (
    Acknowledge,
    Begin,
    Command,
    Complete,
    End,
    Enqueue,
    Stage,
)
from airflow_am_provider.deliveries.target.decide import decide
from airflow_am_provider.deliveries.target.document import to_text
from airflow_am_provider.deliveries.target.history import with_page
from airflow_am_provider.deliveries.target.records import write_down
from airflow_am_provider.deliveries.target.state import DeliveryState, TargetState
from airflow_am_provider.deliveries.target.target import Target
from airflow_am_provider.deliveries.targets import Targets
from airflow_am_provider.deliveries.window import Window
from tests.faults.schedule import HISTORY
from tests.formatting.memory_folder import MemoryHome

_BEGUN = datetime(2022, 1, 1, tzinfo=UTC)
_SOMEWHERE = "custom/somewhere"
_TARGET = "478"
_OLD = "old"


def is_of_history(delivery_id: str) -> bool:
    """Whether a delivery was there before the job."""
    return delivery_id.startswith(_OLD)


def write_history(targets: Targets, destination: str) -> None:
    """Let a target have finished so many deliveries of the same tasks, a day's each.

    :param targets: of the staging location; nothing was decided there.
    :param destination: of the target.
    """
    begins = re.compile(f"custom-somewhere-[0-9a-f]{{8}}|{_SOMEWHERE}")
    own = re.search(r"/([^/]+)/", _document_key(Target(targets.home, destination, _TARGET)))
    assert own is not None

    def here(found: re.Match[str]) -> str:
        return destination if found[0] == _SOMEWHERE else own[1]

    def write(document: tuple[str, str]) -> None:
        key, content = (begins.sub(here, text) for text in document)
        assert targets.home.store(key, content.encode(), if_version=None)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, _documents()))


def _document_key(target: Target) -> str:
    return target._key  # a hash names it


@cache
def _documents() -> tuple[tuple[str, str], ...]:
    """What lies in a home after all of them, by key: worked out once."""
    # As Target.decide does it, but for the document, which is written once and not 5,000 times.
    home, state = MemoryHome(), TargetState()
    target = Target(home, _SOMEWHERE, _TARGET)
    details = _document_key(target).replace("targets/", "target-details/")
    for number in range(HISTORY):
        for command in _life(number):
            state, _ = decide(state, command)
        for entry in state.done:
            if entry.decided > state.written_down:
                write_down(home, details, entry)
        state = with_page(home, details, replace(state, written_down=state.sequence))
    content = to_text(state, _SOMEWHERE, _TARGET)
    assert home.store(_document_key(target), content, if_version=None)
    return tuple((key, content.decode()) for key, (content, _) in home.documents.items())


@dataclass(frozen=True, kw_only=True)
class _Task:
    dag: str
    mode: Mode


def _life(number: int) -> Iterator[Command]:
    """A delivery that was acknowledged; now and then one that was given up, or a full one."""
    task = _Task(dag="daily", mode=Mode.SYNC)
    if number % 7 == 0:
        task = _Task(dag="full", mode=Mode.OVERWRITE)
    delivery_id, begin = f"{_OLD}{number:017}", _BEGUN + timedelta(days=number)
    at = begin.isoformat()
    yield Stage(
        content_id=delivery_id,
        folder="deliveries/data",
        name="ftp_dpm_478",
        now=int(begin.timestamp()),
        at=at,
        mode=task.mode,
        removes=task.mode is Mode.SYNC,
        series=f"{task.dag}/format",
        subject=f"{task.dag} {at}",
        window=Window(start=begin, end=begin + timedelta(days=1)),
        figures={"rows_read": 1_000, "rows_written": 1_000, "created_at": at},
    )
    yield Enqueue(delivery_id=delivery_id, at=at)
    yield Begin(delivery_id=delivery_id, url="s3://somewhere", day=at[:10], at=at)
    if number % 20 == 0:
        yield End(delivery_id=delivery_id, at=at, state=DeliveryState.ABANDONED, reason="lost")
        return
    yield Complete(delivery_id=delivery_id, sending=1, at=at)
    yield Acknowledge(delivery_id=delivery_id, sending=1, at=at, state=DeliveryState.RECONCILED)
