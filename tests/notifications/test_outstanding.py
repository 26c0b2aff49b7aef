"""A missed deadline tells which deliveries are not acknowledged."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from airflow_am_provider.deliveries.records import DeliveryRecords, DeliveryState
from airflow_am_provider.deliveries.targets import Targets
from airflow_am_provider.notifications.outstanding import OutstandingDeliveriesNotifier
from airflow_am_provider.storage import LocalFolder
from tests.staged_deliveries import send, stage

if TYPE_CHECKING:
    from pathlib import Path

    from tests.connections import Connect

WINDOWS = {
    f"0000000{day}": (f"2026-11-0{day}T00:00:00+00:00", f"2026-11-0{day + 1}T00:00:00+00:00")
    for day in (1, 2, 3)
}
SENT_AT = datetime(2026, 11, 5, 2, tzinfo=UTC)


@pytest.fixture
def staging(tmp_path: Path) -> LocalFolder:
    return LocalFolder(tmp_path / "staging")


@pytest.fixture
def conn_id(staging: LocalFolder, audience_manager: Connect) -> str:
    return audience_manager(
        environment="custom", bucket="inbound", partner_name="acme", aws_conn_id="none",
        staging_location=staging.url,
    )  # fmt: skip


def delivery(staging: LocalFolder, delivery_id: str, series: str) -> None:
    """Stage a delivery of a task and note that it was sent."""
    names = {f"ftp_dpm_478_15{delivery_id[:8]}.sync": b"a\td_sid=1\n"}
    manifest = stage(
        staging, names, delivery_id=delivery_id, series=series, window=WINDOWS[delivery_id]
    )
    send(staging, manifest, at=SENT_AT, in_order=True)


@pytest.mark.parametrize(
    "run",
    [
        pytest.param({"dag_id": "crm", "dag_run_id": "scheduled__1"}, id="as JSON"),
        pytest.param(SimpleNamespace(dag_id="crm", run_id="scheduled__1"), id="as an object"),
    ],
)
@pytest.mark.parametrize("in_triggerer", [True, False])
def test_it_tells_what_of_the_dag_is_not_acknowledged(
    staging: LocalFolder, conn_id: str, run: object, in_triggerer: bool
) -> None:
    told: list[str] = []

    class Notifier(OutstandingDeliveriesNotifier):
        def tell(self, text: str) -> None:
            told.append(text)

    delivery(staging, "00000001", "crm/format")
    delivery(staging, "00000002", "another/format")
    delivery(staging, "00000003", "crm/format")
    DeliveryRecords(Targets(staging)).end("00000003", DeliveryState.ABANDONED, "wrong")
    context: Any = {"dag_run": run, "deadline": {"id": "1"}}
    notifier = Notifier(audience_manager_conn_id=conn_id, context=context)

    async def awaited() -> None:
        await notifier

    if in_triggerer:
        asyncio.run(awaited())
    else:
        notifier.notify(context)
    (text,) = told
    assert text == (
        "Run scheduled__1 of crm is not done in time. Deliveries of this DAG that are not "
        "acknowledged: 1; 00000001 (2026-11-01T00:00:00+00:00 to 2026-11-02T00:00:00+00:00) sent "
        "since 2026-11-05T02:00:00+00:00. A receipt that comes later still counts. The sensor "
        "finds it. If the sensor has given up, clear it"
    )


def test_a_version_that_another_one_has_replaced_is_not_outstanding(
    staging: LocalFolder, conn_id: str
) -> None:
    """The rows were corrected and formatted anew before the first version was sent."""
    told: list[str] = []

    class Notifier(OutstandingDeliveriesNotifier):
        def tell(self, text: str) -> None:
            told.append(text)

    first = stage(staging, delivery_id="a" * 20, series="crm/format")
    second = stage(staging, delivery_id="b" * 20, series="crm/format")
    context: Any = {"dag_run": {"dag_id": "crm", "dag_run_id": "one"}}
    Notifier(audience_manager_conn_id=conn_id, context=context).notify(context)
    (text,) = told
    assert f"not acknowledged: 1; {second.delivery_id} " in text
    assert first.delivery_id not in text
