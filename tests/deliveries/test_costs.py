"""What decisions cost: as much after many deliveries of a target as after a few."""

from collections import Counter

from airflow_am_provider.audience_manager.names import Mode
from airflow_am_provider.deliveries.queue_gate import QueueGate
from airflow_am_provider.deliveries.target.commands import Acknowledge, Stage
from airflow_am_provider.deliveries.target.decide import decide
from airflow_am_provider.deliveries.target.homes import Loaded
from airflow_am_provider.deliveries.target.state import DeliveryState, TargetState
from airflow_am_provider.deliveries.targets import Targets
from tests.formatting.memory_folder import MemoryFolder, MemoryHome
from tests.staged_deliveries import send, stage

_PAGE = 50


def _live(targets: Targets, number: int) -> None:
    """A delivery's life: staged, waiting for one look, sent, acknowledged."""
    manifest = stage(
        targets,
        {"ftp_dpm_478_1366545717.sync.gz": b"%d" % number},
        delivery_id=f"d{number}",
        removes=True,
        window=(f"{2000 + number}-01-01T00:00:00+00:00", f"{2001 + number}-01-01T00:00:00+00:00"),
    )
    assert QueueGate(targets=targets, manifest=manifest).waits_for() == []
    send(targets, manifest, in_order=True)
    targets.of(manifest).decide(
        Acknowledge(
            delivery_id=manifest.delivery_id, sending=1, at="", state=DeliveryState.RECONCILED
        )
    )


def test_a_delivery_costs_the_same_after_150_as_after_a_few() -> None:
    asked: Counter[str] = Counter()

    class Counted(MemoryHome):
        def load(self, key: str) -> Loaded | None:
            asked["read"] += 1
            return super().load(key)

        def store(self, key: str, content: bytes, *, if_version: str | None) -> bool:
            asked["write"] += 1
            return super().store(key, content, if_version=if_version)

    targets = Targets(MemoryFolder(), Counted())
    costs = []
    for number in range(150 + _PAGE):
        before = asked.copy()
        _live(targets, number)
        costs.append(asked - before)
    # A page of history is written now and then: what fifty deliveries cost, whenever they come.
    early, late = (sum(costs[at : at + _PAGE], Counter()) for at in (_PAGE, 150))
    assert early == late
    assert late.total() <= 23 * _PAGE
    assert max(cost.total() for cost in costs) <= 31


def test_however_many_are_staged_in_one_second_each_has_a_name() -> None:
    state, given = TargetState(), []
    for number in range(1001):
        command = Stage(
            content_id=f"d{number}",
            folder="deliveries/data",
            name="ftp_dpm_478",
            now=1_366_545_717,
            at="",
            mode=Mode.SYNC,
            removes=False,
            series="daily/format",
            subject=f"run {number}",
        )
        state, event = decide(state, command)
        assert event.entry is not None
        given.append(event.entry.timestamp)
    assert given == list(range(1_366_545_717, 1_366_545_717 + 1001))
