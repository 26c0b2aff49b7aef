"""The check finds rules that are broken on purpose."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from airflow_am_provider.audience_manager.names import Mode
from airflow_am_provider.deliveries.target import closing, decide, snapshots, staging
from airflow_am_provider.deliveries.target.commands import Stage
from airflow_am_provider.deliveries.target.events import Event
from airflow_am_provider.deliveries.target.state import TargetState
from tests.target_model.explorer import explore
from tests.target_model.settings import Setting, Task
from tests.target_model.worlds import CHANGES, CHANGES_OF_DAYS, EXTRACT, WHOLE

added = staging._added
queued = decide.queued
moved = decide._moved


def _names_by_content(
    state: TargetState, command: Stage, *, delivery_id: str, version: int
) -> tuple[TargetState, Event]:
    """Names that are taken for one content alone."""
    apart = replace(command, name=f"{command.name}.{command.content_id}")
    state, event = added(state, apart, delivery_id=delivery_id, version=version)
    assert event.entry is not None
    entry = replace(event.entry, name=command.name)
    return state.with_entry(entry), replace(event, entry=entry)


def _first_free(_: Mode | None, *, now: int, last: int = 0) -> int:
    """Any second that is free here, though elsewhere the other mode may have it."""
    return max(now, last + 1)


def _at_the_end(state: TargetState, entry: Any, at: str) -> TargetState:
    """A queue whose places are those of the moment, whatever the data's age."""
    state = queued(state, entry, at)
    others = [one for one in state.queue if one != entry.delivery_id]
    return replace(state, queue=(*others, entry.delivery_id))


def _moved_early(state: TargetState, entry: Any, at: str) -> TargetState:
    """A watermark that moves when a delivery gets its place, before it was sent."""
    end = entry.window.texts[1]
    return moved(queued(state, entry, at), entry.watermark, end)


def _nothing(*_: object) -> list[object]:
    return []


def _no_landmarks(_: object) -> tuple[object, ...]:
    return ()


def _unchanged(state: TargetState, _: object) -> TargetState:
    return state


def _setting(*tasks: Task, asked: str = "", staged: int = 2) -> Setting:
    wanted = frozenset(asked.split())
    return Setting(name="broken", tasks=tasks, most_staged=staged, asked=wanted, attempts=True)


DAYS_WITH_WATERMARK = replace(CHANGES_OF_DAYS, watermark="w")


@pytest.mark.parametrize(
    ("module", "name", "rule", "setting", "invariant"),
    [
        (staging, "_added", _names_by_content, _setting(CHANGES), "names_are_never_shared"),
        (
            staging,
            "free_timestamp",
            _first_free,
            _setting(CHANGES, WHOLE, staged=1),
            "a_second_belongs_to_one_mode_whoever_gives_the_name",
        ),
        (
            decide,
            "undone_by",
            _nothing,
            _setting(CHANGES, asked="resend"),
            "an_older_version_never_begins_after_a_newer_one",
        ),
        (
            decide,
            "too_new_for",
            _nothing,
            _setting(CHANGES_OF_DAYS),
            "old_data_is_never_the_last_word",
        ),
        (
            decide,
            "blockers",
            _nothing,
            _setting(CHANGES, WHOLE),
            "what_conflicts_is_never_on_its_way_together",
        ),
        (
            closing,
            "landmarks",
            _no_landmarks,
            _setting(Task(series="whole", mode=WHOLE.mode, contents="A"), staged=3),
            "pruned_history_decides_like_all_of_it",
        ),
        (
            decide,
            "with_extract_again",
            _unchanged,
            _setting(EXTRACT, asked="abandon reopen"),
            "a_difference_is_right_from_every_possible_state",
        ),
        (
            snapshots,
            "STRAGGLERS_LAST",
            -1,
            _setting(EXTRACT, asked="abandon", staged=4),
            "a_difference_is_right_from_every_possible_state",
        ),
        (
            decide,
            "queued",
            _moved_early,
            _setting(DAYS_WITH_WATERMARK),
            "the_watermark_passes_no_window_that_was_not_sent",
        ),
        (
            decide,
            "queued",
            _at_the_end,
            replace(_setting(CHANGES_OF_DAYS), attempts=False),
            "old_data_is_never_the_last_word",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_broken_rule_is_found(
    module: object,
    name: str,
    rule: Callable[..., object],
    setting: Setting,
    invariant: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert not explore(setting, depth=4, with_way_out=False).violations
    monkeypatch.setattr(module, name, rule)

    found = explore(setting, depth=9, seconds=20, stop_at=invariant)

    assert invariant in found.violations, str(found)
