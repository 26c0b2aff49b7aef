"""Each task ends with a plain line outside of Airflow's folds: what happened, and what is next."""

from __future__ import annotations

import importlib
import pkgutil
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import DAG, BaseOperator

import airflow_am_provider.operators
import airflow_am_provider.sensors
from airflow_am_provider.airflow_compat import (
    AirflowException,
    AirflowFailException,
    AirflowRescheduleException,
    AirflowSkipException,
    TaskAwaitingInput,
    TaskDeferred,
)
from airflow_am_provider.hooks import quiet_aws
from airflow_am_provider.hooks.last_line import last_line
from tests.own_log import own_messages

# Operators warn when they are executed outside of a task; here they are, on purpose.
pytestmark = pytest.mark.filterwarnings("ignore")


class _Task(BaseOperator):
    """Does what it is told to do."""

    def __init__(self, ends: BaseException | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._ends = ends

    @last_line
    def execute(self, context: Any) -> str:
        if self._ends is not None:
            raise self._ends
        return "5 rows"

    def outcome(self, result: str) -> str:
        return f"Staged {result}."


def _said(
    caplog: pytest.LogCaptureFixture,
    ends: BaseException | None = None,
    context: dict[str, Any] | None = None,
    asks: str | None = None,
) -> str:
    caplog.set_level("INFO")
    with DAG("example", schedule=None):
        task = _Task(ends=ends, task_id="format")
        if asks is not None:
            task.next_while_waiting = asks
        task >> [
            BaseOperator(task_id="upload"),
            BaseOperator(task_id="tidy", trigger_rule="all_done"),
        ]
    try:
        task.execute(context=context or {})  # as Airflow does
    except BaseException as error:
        if ends is not error:
            raise
    return own_messages(caplog)[-1]


def test_what_was_done_and_which_tasks_are_next(caplog: pytest.LogCaptureFixture) -> None:
    assert _said(caplog) == "Staged 5 rows. Next: tidy and upload."


def test_a_skip_says_why_and_what_is_skipped_with_it(caplog: pytest.LogCaptureFixture) -> None:
    assert _said(caplog, AirflowSkipException("Nothing newer was sent")) == (
        "Skipped: Nothing newer was sent. Next: tidy, by its trigger rule; upload is skipped too."
    )


def test_a_failure_says_whether_airflow_tries_again(caplog: pytest.LogCaptureFixture) -> None:
    assert _said(caplog, AirflowFailException("dpid: missing")) == (
        "Failed: dpid: missing. Next: mend what it says, and clear this task: Airflow does not try "
        "again by itself."
    )
    context = {"ti": SimpleNamespace(try_number=1, max_tries=2)}
    assert _said(caplog, AirflowException("S3 does not answer"), context) == (
        "Failed for now: S3 does not answer. Next: Airflow tries again in about 0:05:00; 2 retries "
        "are left."
    )
    context = {"ti": SimpleNamespace(try_number=3, max_tries=2)}
    assert _said(caplog, AirflowException("S3 does not answer"), context) == (
        "Failed: S3 does not answer. Next: no retry is left; look into it, and clear this task."
    )


def test_what_other_errors_say_is_not_repeated(caplog: pytest.LogCaptureFixture) -> None:
    said = _said(caplog, ValueError("ann@example.com is no number"))
    assert said.startswith("Failed for now: ValueError. Next: ")


def test_waiting_is_told_too(caplog: pytest.LogCaptureFixture) -> None:
    deferred: BaseException = TaskDeferred(trigger=object(), method_name="execute_complete")
    assert _said(caplog, deferred) == (
        "Waiting, without a worker. Next: this task goes on by itself."
    )
    # Before Airflow 3.3, a task that asks is deferred as others are.
    asked = deferred if TaskAwaitingInput is TaskDeferred else TaskAwaitingInput(method_name="x")
    assert _said(caplog, asked, asks="answer the question") == (
        "Waiting, without a worker. Next: answer the question."
    )
    later = AirflowRescheduleException(datetime(2026, 3, 1, 4, 5, 6, tzinfo=UTC))
    assert _said(caplog, later) == (
        "Not over yet; the worker is free meanwhile. Next: this task looks again at 04:05:06 UTC."
    )


def test_every_operator_and_sensor_has_one() -> None:
    found = []
    for package in (airflow_am_provider.operators, airflow_am_provider.sensors):
        for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
            public = importlib.import_module(module.name)
            found += [getattr(public, name) for name in getattr(public, "__all__", ())]
    operators = [one for one in found if isinstance(one, type) and issubclass(one, BaseOperator)]
    assert len(operators) >= 12
    for one in operators:
        assert callable(getattr(one, "outcome", None)), one


class _Words:
    """A logger that keeps what it is told."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def info(self, text: str, *values: object) -> None:
        self.said.append(text % values)


def test_where_keys_come_from_is_said_once_and_for_others_as_often_as_they_ask() -> None:
    from airflow.providers.amazon.aws.utils import connection_wrapper

    wrapper: Any = connection_wrapper.AwsConnectionWrapper
    words = _Words()
    with quiet_aws.said_once():
        pass
    before = wrapper._log
    wrapper._log = quiet_aws.OnceLogger(words)
    try:
        for _ in range(3):
            with quiet_aws.said_once():
                wrapper._log.info("%s credentials retrieved", "aws_default")
        assert words.said == ["aws_default credentials retrieved"]
        for _ in range(2):
            wrapper._log.info("%s credentials retrieved", "aws_default")
        assert len(words.said) == 3
    finally:
        wrapper._log = before
