"""A task that sends changes alone hears on which day what it sent first begins to expire."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from airflow_am_provider.audience_manager.names import Mode
from airflow_am_provider.deliveries.expiry import expiry_warning
from airflow_am_provider.deliveries.staging import DeliveryContext, stage_delivery
from airflow_am_provider.deliveries.target.commands import (
    Acknowledge,
    Begin,
    Complete,
    Enqueue,
    OnOlder,
)
from airflow_am_provider.deliveries.target.document import from_text, to_text
from airflow_am_provider.deliveries.target.state import DeliveryState
from airflow_am_provider.deliveries.window import Window
from airflow_am_provider.formatting.lines.data_lines import DataFileSpec, DataLineWriter
from airflow_am_provider.formatting.pipeline import FormatOptions
from tests.formatting.memory_folder import memory_targets
from tests.formatting.running import table

if TYPE_CHECKING:
    import pytest

    from airflow_am_provider.deliveries.target.target import Target

FIRST = datetime(2026, 3, 1, 12, tzinfo=UTC)


class Task:
    """Formats and sends, on days that a test chooses."""

    def __init__(self) -> None:
        self.targets = memory_targets()

    @property
    def target(self) -> Target:
        return self.targets.named("beta/acme", "478")

    def send(self, day: int, *, mode: Mode = Mode.SYNC, series: str = "crm/changes") -> None:
        now = FIRST + timedelta(days=day)
        manifest = stage_delivery(
            [table([(f"u{day}", "1")])],
            DataLineWriter(
                DataFileSpec(dpid=478, id_column="id", traits_columns=("traits",), mode=mode)
            ),
            self.targets,
            FormatOptions(),
            context=DeliveryContext(
                destination="beta/acme", window=Window(start=now), series=series
            ),
            now=now,
        )
        target, key, at = self.target, manifest.delivery_id, now.isoformat()
        target.decide(Enqueue(delivery_id=key, at=at, on_older=OnOlder.SEND))
        target.decide(Begin(delivery_id=key, url="s3://b", day=at[:10], at=at, in_order=False))
        target.decide(Complete(delivery_id=key, sending=1, at=at))
        target.decide(
            lambda state: Acknowledge(
                delivery_id=key,
                sending=1,
                at=at,
                state=DeliveryState.RECONCILED,
                closed=target.closed(key, state),
            )
        )


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    found = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    caplog.clear()
    return found


def test_the_day_is_named_from_40_days_before_it_on(caplog: pytest.LogCaptureFixture) -> None:
    task = Task()
    for day in (0, 1, 79):
        task.send(day)
    assert warnings(caplog) == []
    task.send(80)
    (warning,) = warnings(caplog)
    assert warning.startswith(
        "What crm/changes sent first, on 2026-03-01, begins to expire on 2026-06-29: a trait that"
    )
    assert "send everything before that day, as an .overwrite or with" in warning
    task.send(121)
    (warning,) = warnings(caplog)
    assert "began to expire on 2026-06-29" in warning


def test_an_overwrite_of_the_target_begins_anew(caplog: pytest.LogCaptureFixture) -> None:
    task = Task()
    task.send(0)
    task.send(75, mode=Mode.OVERWRITE, series="crm/everything")
    task.send(100)
    assert warnings(caplog) == []
    task.send(160)
    assert "sent first, on 2026-05-15, begins to expire on 2026-09-12" in warnings(caplog)[0]


def test_each_task_has_a_day_of_its_own(caplog: pytest.LogCaptureFixture) -> None:
    task = Task()
    task.send(0)
    task.send(50, series="crm/loyalty")
    task.send(90, series="crm/loyalty")
    assert warnings(caplog) == []
    task.send(90)
    assert "crm/changes" in warnings(caplog)[0]


def test_where_it_cannot_be_known_that_is_said() -> None:
    task = Task()
    task.send(0)
    document = json.loads(to_text(task.target.state(), "beta/acme", "478"))
    # As a version of the package wrote it that did not keep the day.
    del document["said_since"]
    before = from_text(json.dumps(document).encode(), "here")
    warning = expiry_warning(before, "crm/changes", FIRST.date())
    assert warning is not None
    assert warning.startswith("On which day what crm/changes sent first begins to expire cannot")
    assert expiry_warning(before, "crm/new", FIRST.date()) is None


def test_the_document_keeps_the_day() -> None:
    task = Task()
    task.send(0)
    state = task.target.state()
    assert state.said_since == {"crm/changes": "2026-03-01"}
    assert from_text(to_text(state, "beta/acme", "478"), "here") == state
