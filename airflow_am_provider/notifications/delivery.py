"""Tells people about deliveries, by whatever notifiers Airflow has."""

from __future__ import annotations

import copy
import html
import logging
from datetime import UTC, datetime, timedelta
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from airflow.sdk import BaseNotifier

from airflow_am_provider.audience_manager.errors import ConfigurationError
from airflow_am_provider.deliveries.notices import DOCS, TITLES, Notice, Topic, of_dag, of_delivery
from airflow_am_provider.hooks.connections import DEFAULT_CONN_ID
from airflow_am_provider.hooks.polling import Seen, Waiting, in_thread
from airflow_am_provider.links import NAMED_BY, delivery_ids, page_url
from airflow_am_provider.parameters import choice

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow.sdk import Context

__all__ = ["DeliveryNotifier"]

_logger = logging.getLogger(__name__)
# Nobody looks again later, so a line that breaks for a moment is borne.
_INTERVAL_S: Final = 5.0
_TIMEOUT: Final = timedelta(minutes=2)


class DeliveryNotifier(BaseNotifier):
    """Tell what is wrong with a task's deliveries, or with a DAG's, by Airflow's own notifiers.

    As ``on_failure_callback`` or ``on_success_callback`` of a task, or among the ``notifiers`` of a
    ``GuardOperator``, it looks at the deliveries that the task was given or returned, and says
    nothing where all is well. As callback of a deadline alert (Airflow 3.2 and newer), or of a DAG,
    it tells which deliveries of the DAG are not acknowledged.

    A message has sentences with figures, an address of the page for each delivery, and the section
    of the documentation that says what to do. It has no data of customers. Without a delegate it is
    an error in the log.

    :param delegate: What passes it on: a notifier such as ``SlackNotifier(…)``, or a list of
        notifiers. Their templates find the message as ``audience_manager``, with ``subject``,
        ``text``, ``html``, ``url``, ``runbook``, ``topics`` and ``deliveries``. In the ``kwargs``
        of a deadline alert, which are stored, a notifier is written ``{"classpath": "…", "kwargs":
        {…}}``. Example: ``SlackNotifier(text="{{ audience_manager.text }}")``.
    :param audience_manager_conn_id: Airflow connection of the type ``audience_manager``. It knows
        the staging location and where deliveries go. All tasks of one delivery use the same.
        (templated)
    :param about: Which topics are told: some of ``late``, ``failed``, ``match_rate``, ``guard``,
        ``expiring`` and ``idle_keys``. All of them when not given.
    :param docs_url: Where the documentation is, for links to what to do; ends in a slash.
    :param kwargs: what Airflow gives notifiers.
    :raises ConfigurationError: when there is no such topic, or a delegate is no notifier.

    Example::

        DeliveryReceiptSensor(
            task_id="receipt",
            delivery=upload.output,
            on_failure_callback=DeliveryNotifier(
                delegate=SmtpNotifier(
                    to="oncall@example.com",
                    subject="{{ audience_manager.subject }}",
                    html_content="{{ audience_manager.html }}",
                )
            ),
        )
    """

    template_fields: Sequence[str] = ("audience_manager_conn_id",)

    def __init__(
        self,
        delegate: object = None,
        audience_manager_conn_id: str = DEFAULT_CONN_ID,
        about: Sequence[str] | None = None,
        docs_url: str = DOCS,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        given = delegate if isinstance(delegate, list | tuple) else [delegate]
        self.delegates = [_notifier(one) for one in given if one is not None]
        self.audience_manager_conn_id = audience_manager_conn_id
        if isinstance(about, str):
            raise ConfigurationError(f"about: a list was expected, not {about!r}")
        self.about = [choice("about", topic, Topic) for topic in about or Topic]
        self.docs_url = docs_url

    def notify(self, context: Context) -> None:
        """Find out and tell, in a worker or the DAG processor."""
        message = self._message(context)
        failures = []
        for notifier, to_tell in self._to_tell(message, context):
            try:
                notifier(to_tell)
            except Exception as error:  # noqa: BLE001  # the others are told all the same
                failures.append(error)
        if failures:
            raise failures[0]

    async def async_notify(self, context: Context) -> None:
        """Find out and tell, in the triggerer, which has other things to do meanwhile."""
        message = await in_thread(self._message, context)
        failures = []
        for notifier, to_tell in self._to_tell(message, context):
            try:
                if type(notifier).async_notify is BaseNotifier.async_notify:
                    await in_thread(notifier, to_tell)
                else:
                    notifier.context = to_tell
                    await notifier
            except Exception as error:  # noqa: BLE001  # the others are told all the same
                failures.append(error)
        if failures:
            raise failures[0]

    def _to_tell(
        self, message: Mapping[str, Any] | None, context: Mapping[str, Any]
    ) -> list[tuple[Any, Any]]:
        """Each delegate with what it is told; their templates are filled in copies."""
        if message is None:
            return []
        if not self.delegates:
            _logger.error("%s", message["text"])
        return [
            (copy.copy(one), {**context, "audience_manager": message}) for one in self.delegates
        ]

    def _message(self, context: Mapping[str, Any]) -> dict[str, Any] | None:
        """What there is to tell; None for nothing."""
        run, task = context.get("dag_run"), context.get("task")
        dag_id, run_id = _fact(run, "dag_id"), _fact(run, "run_id", "dag_run_id")
        waiting = Waiting(_INTERVAL_S, deadline=datetime.now(UTC) + _TIMEOUT)
        seen = waiting.until_over(partial(self._look, context, dag_id))
        notices = [] if seen is None else [one for one in seen.result if one.topic in self.about]
        is_all_well = task is not None and "exception" not in context
        if seen is not None and not notices and (is_all_well or len(self.about) < len(Topic)):
            return None
        if task is None:
            head = f"Run {run_id} of {dag_id} is not done in time"
            if not notices:
                head += ". No delivery of this DAG is waited for"
        else:
            head = f"Task {task.task_id} in run {run_id} of {dag_id}"
            if "exception" in context:
                head += " failed. Its log says why"
        if seen is None:
            head += f". What became of the deliveries is not known: {waiting.told()}"
        return self._written(head, notices, dag_id)

    def _look(self, context: Mapping[str, Any], dag_id: str) -> Seen:
        from airflow_am_provider.deliveries.records import DeliveryRecords
        from airflow_am_provider.deliveries.uploads.idle_keys import idle_warning
        from airflow_am_provider.hooks.audience_manager import AudienceManagerHook

        hook, now = AudienceManagerHook(self.audience_manager_conn_id), datetime.now(UTC)
        targets, task = hook.targets(), context.get("task")
        if task is None:
            found = of_dag(targets, dag_id)
        else:
            records = DeliveryRecords(targets)
            is_awaited = "exception" in context and hasattr(task, "delivery")
            found = []
            for delivery_id in _deliveries(context):
                try:
                    record = records.find(delivery_id)
                except ConfigurationError:
                    continue  # a delivery of which nothing was staged
                found += of_delivery(record, now.date(), is_awaited=is_awaited)
        warning = idle_warning(hook, now)
        if warning is not None:
            found.append(Notice(topic=Topic.IDLE_KEYS, sentence=warning))
        return Seen("", is_over=True, result=found)

    def _written(self, head: str, notices: Sequence[Notice], dag_id: str) -> dict[str, Any]:
        """A message, in each form that delegates may want."""
        topics = list(dict.fromkeys(one.topic for one in notices))
        deliveries = list(dict.fromkeys(one.delivery_id for one in notices if one.delivery_id))
        titles = ", ".join(TITLES[topic][0] for topic in topics) or "a task failed"
        lines, items = [f"{head}."], []
        for one in notices:
            links = {"what to do": self.docs_url + TITLES[one.topic][1]}
            if one.delivery_id:
                links = {"the delivery": _address(one.delivery_id), **links}
            lines += [one.sentence, *(f"  {title}: {url}" for title, url in links.items())]
            anchors = ", ".join(
                f'<a href="{html.escape(url)}">{title}</a>' for title, url in links.items()
            )
            items.append(f"<li>{html.escape(one.sentence)} ({anchors})</li>")
        return {
            "subject": f"Audience Manager: {titles} ({dag_id})",
            "text": "\n".join(lines),
            "html": f"<p>{html.escape(lines[0])}</p><ul>{''.join(items)}</ul>",
            "url": _address(deliveries[0]) if len(deliveries) == 1 else page_url(),
            "runbook": self.docs_url + (TITLES[topics[0]][1] if topics else "receipts.md#at-3-am"),
            "topics": [str(topic) for topic in topics],
            "deliveries": deliveries,
        }


def _notifier(given: Any) -> BaseNotifier:
    """A delegate, as an object or as what makes one."""
    if isinstance(given, dict):
        module, _, name = str(given.get("classpath", "")).rpartition(".")
        try:
            given = getattr(import_module(module), name)(**given.get("kwargs", {}))
        except (ImportError, AttributeError, ValueError, TypeError) as error:
            raise ConfigurationError(
                f"delegate: {given.get('classpath')!r} makes no notifier: {error}"
            ) from None
    if not isinstance(given, BaseNotifier):
        raise ConfigurationError(f"delegate: {type(given).__name__} is no notifier of Airflow's")
    return given


def _deliveries(context: Mapping[str, Any]) -> list[str]:
    """Those that the task was given, or else returned."""
    for name in NAMED_BY:
        found = delivery_ids(getattr(context["task"], name, None))
        if found:
            return found
    task = context.get("ti")
    return [] if task is None else delivery_ids(task.xcom_pull(task_ids=task.task_id))


def _address(delivery_id: str) -> str:
    return f"{page_url()}#/deliveries/{quote(delivery_id, safe='')}"


def _fact(run: object, *names: str) -> str:
    """What is known of the run: an object in a worker, plain JSON in the triggerer."""
    for name in names:
        found = run.get(name) if isinstance(run, dict) else getattr(run, name, None)
        if found:
            return str(found)
    return "unknown"
