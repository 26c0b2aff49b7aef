"""A receipt whose match rate is far from the past of its target is a warning."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_am_provider.audience_manager.names import Mode
from airflow_am_provider.deliveries.past_rates import LOOKED_AT, doubts
from airflow_am_provider.deliveries.target.state import DeliveryEntry, DeliveryState

_ENTRY = DeliveryEntry(
    delivery_id="now",
    content_id="now",
    location="deliveries/data/now",
    name="ftp_dpm_478",
    timestamp=1,
    mode=Mode.SYNC,
    removes=False,
    series="daily/format",
    subject="now",
    staged=1000,
    state=DeliveryState.SENT,
)


def _past(
    stored: int, number: int, state: DeliveryState = DeliveryState.RECONCILED, **more: Any
) -> DeliveryEntry:
    figures = {"records_received": 1000, "stored_records": stored}
    return replace(_ENTRY, delivery_id=f"before{number}", figures=figures, state=state, **more)


def _told(past: list[DeliveryEntry], received: int, stored: int | None) -> list[str]:
    """What is said of a delivery; reading more of the past than is allowed is an error."""

    def deliveries() -> Any:
        yield _ENTRY
        for number, entry in enumerate(past):
            assert number < LOOKED_AT, "the whole history was read"
            yield entry

    target = SimpleNamespace(deliveries=deliveries)
    targets: Any = SimpleNamespace(named=lambda *_: target)
    counts = {"records_received": received, "stored_records": stored}
    known = {name: count for name, count in counts.items() if count is not None}
    status: Any = SimpleNamespace(
        reconciliation=SimpleNamespace(counts=known),
        delivery=SimpleNamespace(
            record=lambda _: SimpleNamespace(entry=_ENTRY),
            destination_name="production/acme",
            target="478",
        ),
    )
    return doubts(status, targets)


@pytest.mark.parametrize(
    ("stored", "said"),
    [
        (700, "the match rate is 70.0 %, far below 90.0 %, the median of the last 5 acknowledged "),
        (1900, "the match rate is 190.0 %, far above 90.0 %, "),
    ],
)
def test_a_rate_that_is_far_from_its_past_is_told(stored: int, said: str) -> None:
    past = [_past(stored, at) for at, stored in enumerate((880, 900, 950, 890, 910, 10, 10, 10))]
    (told,) = _told(past, 1000, stored)
    assert told.startswith(said)
    assert ("Once that is mended, clear the task that formatted it" in told) is ("below" in told)


@pytest.mark.parametrize("stored", [730, 1000, None])
def test_what_is_usual_or_not_known_is_not(stored: int | None) -> None:
    assert _told([_past(900, at) for at in range(5)], 1000, stored) == []


def test_a_short_past_and_a_small_delivery_say_nothing() -> None:
    assert _told([_past(900, at) for at in range(2)], 1000, 10) == []
    assert _told([_past(900, at) for at in range(5)], 99, 10) == []


def test_other_files_and_what_was_never_processed_are_no_past() -> None:
    others = [_past(900, at, name="ftp_dpm_12") for at in range(9)]
    others += [_past(900, at, DeliveryState.ABANDONED) for at in range(9)]
    others += [_past(900, at, mode=Mode.OVERWRITE) for at in range(9)]
    assert _told(others, 1000, 10) == []


def test_of_a_long_history_only_the_newest_part_is_read() -> None:
    assert _told([_past(900, at, name="ftp_dpm_12") for at in range(500)], 1000, 10) == []
