"""Progress of long work: at a humane pace in a log, and drawn where somebody looks."""

from __future__ import annotations

import io

import pytest

from airflow_am_provider.formatting import progress
from airflow_am_provider.formatting.progress import BytesProgress, Pace, shown_by

_MB = 1_000_000


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [1000.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_a_log_is_told_after_half_a_minute_and_then_once_a_minute(clock: list[float]) -> None:
    pace, told = Pace(), []
    for second in range(300):
        clock[0] = 1000.0 + second
        if pace.is_due():
            told.append(second)
    assert told == [30, 90, 150, 210, 270]


def test_it_says_how_far_it_is_how_fast_and_how_long_it_will_take(
    clock: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    # A try before this one has sent half of it.
    sending = BytesProgress("Sending", 1000 * _MB, 500 * _MB)
    for _ in range(3):
        clock[0] += 20
        sending.add(50 * _MB)
    assert caplog.messages == [
        "Sending: 600.0 of 1,000.0 MB (60 %) after 40 s, 2.5 MB/s, about 2 min 40 s left"
    ]


def test_what_is_read_once_more_counts_once(clock: list[float]) -> None:
    sending = BytesProgress("Sending", 10)
    file = sending.counting(io.BytesIO(b"0123456789"))
    assert file.read(6) == b"012345"
    file.seek(0)
    assert file.read() == b"0123456789"
    clock[0] += 1
    assert str(sending).startswith("Sending: 0.0 of 0.0 MB (100 %) after 1 s")


def test_it_is_drawn_and_not_logged_where_somebody_looks(
    clock: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    drawn: list[tuple[str, int, int]] = []

    class Drawn:
        def update(self, what: str, done: int, total: int) -> None:
            drawn.append((what, done, total))

    with shown_by(Drawn()):
        formatting = BytesProgress("Formatting", 10)
        clock[0] += 100
        formatting.add(4)
    assert drawn == [("Formatting", 4, 10)]
    assert caplog.messages == []
