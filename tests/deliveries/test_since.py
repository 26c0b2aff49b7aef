"""Since when a delivery is in its state: that moment stays when it is looked at once more."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_am_provider.deliveries.records import DeliveryState
from airflow_am_provider.deliveries.target.commands import Acknowledge
from airflow_am_provider.deliveries.targets import Targets
from airflow_am_provider.storage import LocalFolder
from tests.staged_deliveries import send, stage

if TYPE_CHECKING:
    from pathlib import Path


def test_a_run_that_is_done_again_does_not_move_it(tmp_path: Path) -> None:
    targets = Targets(LocalFolder(tmp_path))
    manifest = stage(targets)
    send(targets, manifest)
    target = targets.of(manifest)
    for at, reason, state, since in (
        ("2026-11-06", "too few", DeliveryState.FAILED, "2026-11-06"),
        # Judged anew, by another limit.
        ("2026-11-09", "too many", DeliveryState.FAILED, "2026-11-06"),
        ("2026-11-12", None, DeliveryState.RECONCILED, "2026-11-12"),
    ):
        target.decide(
            Acknowledge(
                delivery_id=manifest.delivery_id,
                sending=1,
                at=at,
                state=state,
                reason=reason,
                figures={},
                closed=target.closed(manifest.delivery_id, target.state()),
            )
        )
        entry = target.find(manifest.delivery_id)
        assert entry is not None
        assert (entry.state, entry.reason, entry.since) == (state, reason, since)
