"""DeliveryNotifier tells what is wrong with deliveries, by Airflow's own notifiers."""

from __future__ import annotations

import asyncio
import json
import logging
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from email.policy import default
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from aiosmtpd.controller import Controller
from airflow.sdk import BaseNotifier

from airflow_am_provider.airflow_compat import AirflowFailException
from airflow_am_provider.audience_manager.errors import ConfigurationError
from airflow_am_provider.deliveries.notices import TITLES, Topic
from airflow_am_provider.deliveries.records import DeliveryRecords, DeliveryState
from airflow_am_provider.deliveries.targets import Targets
from airflow_am_provider.deliveries.uploads.idle_keys import note_use
from airflow_am_provider.hooks.audience_manager import AudienceManagerHook
from airflow_am_provider.notifications.delivery import DeliveryNotifier
from airflow_am_provider.operators.guard import GuardOperator
from airflow_am_provider.storage import LocalFolder
from demo.local.processes import free_port
from tests.docs_pages import DOCS, anchors
from tests.own_log import own_messages
from tests.staged_deliveries import send, stage

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from airflow_am_provider.deliveries.manifest import Manifest
    from tests.connections import Connect

pytestmark = pytest.mark.filterwarnings("ignore")

PAGE = "https://airflow.example.com/team/audience-manager/"
DOCUMENTATION = "https://github.com/airflow-am-provider/airflow-am-provider/blob/main/docs/"
SENT_AT = datetime(2026, 11, 5, 2, tzinfo=UTC)
RUN = {"dag_id": "crm", "dag_run_id": "scheduled__1"}


class Recorder(BaseNotifier):
    """Keeps what its template made of the message."""

    template_fields = ("text",)
    told: list[str]

    def __init__(self, text: str = "{{ audience_manager.text }}", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.text = text
        self.told = []

    def notify(self, context: Any) -> None:
        self.told.append(self.text)


class Broken(BaseNotifier):
    """One whose service is down."""

    def notify(self, context: Any) -> None:
        raise ConnectionError("the service is down")


@pytest.fixture(autouse=True)
def base_url(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "https://airflow.example.com/team/")


@pytest.fixture
def staging(tmp_path: Path) -> LocalFolder:
    return LocalFolder(tmp_path / "staging")


@pytest.fixture
def conn_id(staging: LocalFolder, audience_manager: Connect) -> str:
    return audience_manager(
        environment="custom", bucket="inbound", partner_name="acme", aws_conn_id="none",
        staging_location=staging.url,
    )  # fmt: skip


def delivery(
    staging: LocalFolder,
    number: int,
    series: str = "crm/format",
    *,
    at: datetime = SENT_AT,
    counts: dict[str, int] | None = None,
    problems: tuple[str, ...] = (),
    is_sent: bool = True,
) -> Manifest:
    """A delivery of a task, as far as it came: staged, sent, or acknowledged with counts."""
    manifest = stage(
        staging,
        {f"ftp_dpm_478_15{number:08}.sync": b"a\td_sid=1\n"},
        delivery_id=f"{number:08}",
        series=series,
        window=(f"2026-11-{number:02}T00:00:00+00:00", f"2026-11-{number + 1:02}T00:00:00+00:00"),
    )
    if is_sent:
        send(staging, manifest, at=at, in_order=True)
    if counts is not None:
        records = DeliveryRecords(Targets(staging))
        found = {"acknowledged": True, "counts": counts, "problems": list(problems)}
        records.record_reconciliation(records.find(manifest.delivery_id), 1, found)
    return manifest


def of_task(manifest: Manifest, parameter: str = "delivery", **more: Any) -> Any:
    """What a callback of a task is given."""
    task = SimpleNamespace(task_id="receipt", **{parameter: {"delivery_id": manifest.delivery_id}})
    run = SimpleNamespace(dag_id="crm", run_id="scheduled__1")
    return {"dag_run": run, "task": task, **more}


def told(conn_id: str, context: Any, *texts: str, **arguments: Any) -> list[str]:
    """What delegates were told."""
    recorders = [Recorder(text) for text in texts or ("{{ audience_manager.text }}",)]
    notifier = DeliveryNotifier(recorders, audience_manager_conn_id=conn_id, **arguments)
    notifier(context)
    return [text for recorder in recorders for text in recorder.told]


@pytest.mark.parametrize(
    "run",
    [
        pytest.param(RUN, id="as JSON"),
        pytest.param(SimpleNamespace(dag_id="crm", run_id="scheduled__1"), id="as an object"),
    ],
)
@pytest.mark.parametrize("in_triggerer", [True, False])
def test_a_missed_deadline_tells_what_of_the_dag_is_not_acknowledged(
    staging: LocalFolder, conn_id: str, run: object, in_triggerer: bool
) -> None:
    delivery(staging, 1)
    delivery(staging, 2, "another/format")
    delivery(staging, 3)
    DeliveryRecords(Targets(staging)).end("00000003", DeliveryState.ABANDONED, "wrong")
    context: Any = {"dag_run": run, "deadline": {"id": "1"}}
    recorder = Recorder()
    notifier = DeliveryNotifier(recorder, audience_manager_conn_id=conn_id, context=context)

    async def awaited() -> None:
        await notifier

    if in_triggerer:
        asyncio.run(awaited())
    else:
        notifier(context)
    (text,) = recorder.told
    assert text == (
        f"Run scheduled__1 of crm is not done in time.\n"
        f".sync of ftp_dpm_478 for the window 2026-11-01T00:00:00+00:00 to "
        f"2026-11-02T00:00:00+00:00 (delivery 00000001) is sent since 2026-11-05T02:00:00+00:00, "
        f"and not acknowledged\n"
        f"  the delivery: {PAGE}#/deliveries/00000001\n"
        f"  what to do: {DOCUMENTATION}receipts.md#when-no-receipt-comes"
    )


def test_a_version_that_another_one_has_replaced_is_not_outstanding(
    staging: LocalFolder, conn_id: str
) -> None:
    """The rows were corrected and formatted anew before the first version was sent."""
    stage(staging, delivery_id="a" * 20, series="crm/format")
    second = stage(staging, delivery_id="b" * 20, series="crm/format")
    assert told(conn_id, {"dag_run": RUN}, "{{ audience_manager.deliveries | join(' ') }}") == [
        second.delivery_id
    ]


def test_a_receipt_that_does_not_come(staging: LocalFolder, conn_id: str) -> None:
    awaited = of_task(delivery(staging, 1), exception=TimeoutError("two days"))
    subject, url, text = told(
        conn_id,
        awaited,
        "{{ audience_manager.subject }}",
        "{{ audience_manager.url }}",
        "{{ audience_manager.text }}",
    )
    assert subject == "Audience Manager: late acknowledgement (crm)"
    assert url == f"{PAGE}#/deliveries/00000001"
    assert text.startswith("Task receipt in run scheduled__1 of crm failed. Its log says why.\n")
    assert "two days" not in text  # whatever an error says
    # The upload's own success is no reason to tell that an acknowledgement is still to come.
    assert told(conn_id, of_task(delivery(staging, 2), "manifest")) == []


def test_a_failed_reconciliation(staging: LocalFolder, conn_id: str) -> None:
    failed = delivery(
        staging, 1, counts={"records_received": 900}, problems=("format_errors: 7, more than 0",)
    )
    text, runbook = told(
        conn_id,
        of_task(failed),
        "{{ audience_manager.text }}",
        "{{ audience_manager.runbook }}",
        docs_url="https://wiki.example.com/am/",
    )
    assert "(delivery 00000001): format_errors: 7, more than 0\n" in text
    assert runbook == "https://wiki.example.com/am/receipts.md#at-3-am"
    good = delivery(staging, 2, counts={"records_received": 1000, "stored_records": 1000})
    assert told(conn_id, of_task(good)) == []


@pytest.mark.parametrize(("stored", "is_told"), [(400, True), (880, False), (1000, False)])
def test_a_match_rate_that_falls(
    staging: LocalFolder, conn_id: str, stored: int, is_told: bool
) -> None:
    for number in (1, 2, 3):
        delivery(staging, number, counts={"records_received": 1000, "stored_records": 700 + number})
    last = delivery(staging, 4, counts={"records_received": 1000, "stored_records": stored})
    texts = told(conn_id, of_task(last), "{{ audience_manager.topics[0] }}")
    assert texts == (["match_rate"] if is_told else [])


def test_a_guard_that_stops_a_delivery(staging: LocalFolder, conn_id: str) -> None:
    manifest = stage(staging, conn_id=conn_id)
    guard = GuardOperator(
        task_id="guard",
        manifest=manifest.to_json(),
        max_set_aside=0.001,
        audience_manager_conn_id=conn_id,
    )
    run = SimpleNamespace(dag_id="crm", run_id="scheduled__1")
    context: Any = {"dag_run": run, "run_id": "scheduled__1", "task": guard}
    with pytest.raises(AirflowFailException) as caught:
        guard.execute(context)
    (text,) = told(conn_id, {**context, "exception": caught.value})
    assert "(delivery 0123456789abcdef0123): " in text
    assert ": 5 of 2,005 rows break a rule, max_set_aside allows 0.10%" in text
    assert ". Nothing was sent\n" in text
    assert "operators.md#guardoperator" in text


def test_traits_that_expire_soon(staging: LocalFolder, conn_id: str) -> None:
    now = datetime.now(UTC)
    delivery(staging, 1, at=now - timedelta(days=100), counts={})
    second = delivery(staging, 2, is_sent=False)
    ti = SimpleNamespace(task_id="format", xcom_pull=lambda task_ids: second.to_json())
    context = of_task(second, "nothing", ti=ti)
    topics, text = told(
        conn_id, context, "{{ audience_manager.topics | join }}", "{{ audience_manager.text }}"
    )
    assert topics == "expiring"
    assert "begins to expire on " in text
    assert told(conn_id, context, about=["late", "failed"]) == []


def test_keys_that_nobody_uses(
    staging: LocalFolder, tmp_path: Path, audience_manager: Connect
) -> None:
    conn_id = audience_manager(
        environment="production", partner_name="acme", staging_location=staging.url
    )
    note_use(AudienceManagerHook(conn_id), datetime.now(UTC) - timedelta(days=90))
    (text,) = told(conn_id, {"dag_run": RUN})
    assert "nothing was sent to production/acme from here for 90 days" in text
    assert "connection.md#rights-on-aws" in text


def test_a_task_that_fails_before_there_is_a_delivery(conn_id: str) -> None:
    task = SimpleNamespace(task_id="format")
    context = {"dag_run": RUN, "task": task, "exception": ValueError("jo@example.com")}
    (text,) = told(conn_id, context)
    assert text == "Task format in run scheduled__1 of crm failed. Its log says why."
    assert told(conn_id, context, about=["guard"]) == []


def test_the_same_notifier_tells_twice(staging: LocalFolder, conn_id: str) -> None:
    """A template that was filled once would say the same of every delivery."""
    recorder = Recorder("{{ audience_manager.url }}")
    notifier = DeliveryNotifier(recorder, audience_manager_conn_id=conn_id)
    for number in (1, 2):
        notifier(of_task(delivery(staging, number), exception=TimeoutError()))
    assert [url[-1] for url in recorder.told] == ["1", "2"]


@pytest.mark.parametrize("in_triggerer", [True, False])
def test_one_delegate_that_fails_does_not_keep_others_from_telling(
    staging: LocalFolder, conn_id: str, in_triggerer: bool
) -> None:
    delivery(staging, 1)
    recorder = Recorder()
    notifier = DeliveryNotifier([Broken(), recorder], audience_manager_conn_id=conn_id)
    context: Any = {"dag_run": RUN}

    def tell() -> None:
        if in_triggerer:
            asyncio.run(notifier.async_notify(context))
        else:
            notifier(context)

    with pytest.raises(ConnectionError):
        tell()
    assert len(recorder.told) == 1


def test_without_a_delegate_it_is_an_error_in_the_log(
    staging: LocalFolder, conn_id: str, caplog: pytest.LogCaptureFixture
) -> None:
    delivery(staging, 1)
    DeliveryNotifier(audience_manager_conn_id=conn_id)({"dag_run": RUN})
    (text,) = own_messages(caplog, logging.ERROR)
    assert "(delivery 00000001) is sent since " in text


class Mails:
    """Keeps what an SMTP server takes."""

    def __init__(self) -> None:
        self.taken: list[Any] = []

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802  # so aiosmtpd looks for it
        self.taken.append(message_from_bytes(envelope.content, policy=default))
        return "250 OK"


@pytest.fixture
def smtp(connect: Connect) -> Iterator[tuple[str, Mails]]:
    mails = Mails()
    port = free_port()
    server = Controller(mails, hostname="127.0.0.1", port=port)
    server.start()
    extra = {"disable_ssl": True, "disable_tls": True, "from_email": "airflow@example.com"}
    yield (
        connect({"conn_type": "smtp", "host": "127.0.0.1", "port": port, "extra": extra}),
        mails,
    )
    server.stop()


@pytest.mark.parametrize("in_triggerer", [True, False])
def test_by_mail(
    staging: LocalFolder, conn_id: str, smtp: tuple[str, Mails], in_triggerer: bool
) -> None:
    """By the kwargs of a deadline alert, which are stored as JSON."""
    # The provider that Airflow 3.1.0 was published with imports what only Airflow's own tests have.
    pytest.importorskip("airflow.providers.smtp.notifications.smtp")
    smtp_conn_id, mails = smtp
    delivery(staging, 1)
    arguments = {
        "audience_manager_conn_id": conn_id,
        "delegate": {
            "classpath": "airflow.providers.smtp.notifications.smtp.SmtpNotifier",
            "kwargs": {
                "to": "oncall@example.com",
                "subject": "{{ audience_manager.subject }}",
                "html_content": "{{ audience_manager.html }}",
                "smtp_conn_id": smtp_conn_id,
            },
        },
    }
    context: Any = {"dag_run": RUN, "deadline": {"id": "1"}}
    notifier = DeliveryNotifier(**json.loads(json.dumps(arguments)), context=context)

    async def awaited() -> None:
        await notifier

    if in_triggerer:
        asyncio.run(awaited())
    else:
        notifier(context)
    (mail,) = mails.taken
    assert mail["Subject"] == "Audience Manager: late acknowledgement (crm)"
    assert mail["To"] == "oncall@example.com"
    body = mail.get_body(("html",)).get_content()
    assert f'<a href="{PAGE}#/deliveries/00000001">the delivery</a>' in body
    assert "receipts.md#when-no-receipt-comes" in body


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"about": ["weather"]}, "about: 'weather' is none of 'late', 'failed'"),
        ({"about": "late"}, "about: a list was expected, not 'late'"),
        ({"delegate": "slack"}, "delegate: str is no notifier of Airflow's"),
        ({"delegate": {"classpath": "no.such.Notifier"}}, "delegate: 'no.such.Notifier' makes no"),
        ({"delegate": {"classpath": "json.loads", "kwargs": {"s": "1"}}}, "int is no notifier"),
    ],
)
def test_wrong_parameters_are_told_when_the_dag_is_read(
    arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message):
        DeliveryNotifier(**arguments)


@pytest.mark.parametrize("topic", Topic)
def test_each_topic_has_a_section_that_says_what_to_do(topic: Topic) -> None:
    name, _, anchor = TITLES[topic][1].partition("#")
    assert anchor in anchors((DOCS / name).read_text())
