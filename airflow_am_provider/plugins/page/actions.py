"""What can be done about a delivery: Airflow's own pages, and commands; only what may help."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any, Final

from airflow_am_provider.deliveries.standing import Special
from airflow_am_provider.deliveries.target.state import DeliveryState
from airflow_am_provider.plugins.page.answers import run_url, task_url

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from airflow_am_provider.deliveries.standing import Notes

Action = dict[str, Any]
_DOUBT_HINT: Final = (
    "First say whose the file is, by one of the commands below; then it goes on where it stopped"
)
_UPLOAD_HINT: Final = "Once what it says is mended: it goes on where it stopped"
_SENSOR_HINT: Final = "It looks once more, from when sending began, and waits as long as before"
_FORMAT_HINT: Final = (
    "Once the source is mended: other rows make a new version, which is sent; the same rows are "
    "the same delivery, and change nothing"
)


def actions(
    facts: dict[str, Any], notes: Notes, guard: Mapping[str, Any] | None
) -> Iterator[Action]:
    """Airflow's own pages, where what is to be done is done; what helps most comes first.

    :param facts: the delivery's row of the table.
    :param notes: what lies beside it that says more than its state.
    :param guard: what its guard found, or None.
    """
    yield from _helping(facts, notes, guard or {})
    url = run_url(facts["dag_id"], facts["run_id"])
    if url is not None:
        yield _action("Open the run in Airflow", url)


def _helping(facts: dict[str, Any], notes: Notes, guard: Mapping[str, Any]) -> Iterator[Action]:
    standing = facts["standing"]
    if standing == Special.APPROVAL_WAITING:
        url = _task(guard)
        if url is not None:
            yield _action(
                "Approve or reject in Airflow",
                f"{url}/required_actions",
                "The guard waits for a person: nothing is sent before",
            )
    elif standing == Special.STOPPED_BY_GUARD:
        yield from _clear_format(facts)
        yield from _link("Open the guard in Airflow", _task(guard))
    elif standing in (Special.SENDING_FAILED, Special.FILE_IN_DOUBT):
        hint = _UPLOAD_HINT if standing == Special.SENDING_FAILED else _DOUBT_HINT
        upload = _task(notes.failure)
        if upload is not None:
            yield _action("Clear the upload in Airflow", upload, hint)
        else:
            url = run_url(facts["dag_id"], facts["run_id"])
            yield from _link("Clear the upload in its run in Airflow", url, hint)
    elif standing in (Special.NO_ANSWER_IN_TIME, Special.LOOKING_FAILED):
        yield from _link("Clear the receipt sensor in Airflow", _task(notes.looking), _SENSOR_HINT)
    elif standing in (DeliveryState.SENT, DeliveryState.PICKED_UP):
        yield from _link("Open the receipt sensor in Airflow", _task(notes.looking))
    elif standing == Special.REJECTED:
        hint = "A person is asked again; who approves it then takes the rejection back"
        yield from _link("Clear the guard in Airflow", _task(guard), hint)
        yield from _clear_format(facts)
    elif standing in (DeliveryState.FAILED, DeliveryState.ABANDONED):
        yield from _clear_format(facts)


def _clear_format(facts: dict[str, Any]) -> Iterator[Action]:
    yield from _link("Clear the task that formatted it in Airflow", facts["task_url"], _FORMAT_HINT)


def _link(label: str, url: str | None, hint: str | None = None) -> Iterator[Action]:
    if url is not None:
        yield _action(label, url, hint)


def _action(label: str, url: str, hint: str | None = None) -> Action:
    return {"label": label, "url": url, "hint": hint}


def _task(note: Mapping[str, Any] | None) -> str | None:
    """The page of the task that a note names."""
    task = (note or {}).get("task") or {}
    index = task.get("map_index", -1)
    return task_url(task.get("dag_id"), task.get("run_id"), task.get("task_id"), index)


def commands(
    facts: dict[str, Any], conn_id: str | None, in_doubt: str | None
) -> Iterator[dict[str, str]]:
    """Commands that may help.

    :param facts: the delivery's row of the table.
    :param conn_id: a connection that leads to its staging location.
    :param in_doubt: the file of which a person has to say whose it is, or None.
    """
    where = f"--conn-id {shlex.quote(conn_id)}" if conn_id else "--conn-id CONNECTION"
    delivery_id = facts["delivery_id"]
    base = "airflow-am deliveries"
    yield {"label": "All that is known", "command": f"{base} show {delivery_id} {where}"}
    if in_doubt is not None:
        name = shlex.quote(in_doubt)
        yield {
            "label": "The file there is this delivery's",
            "command": f"{base} confirm {delivery_id} {name} {where}",
        }
        yield {
            "label": "The file there is somebody else's",
            "command": f"{base} rename {delivery_id} {where}",
        }
    if facts["times_sent"]:
        yield {
            "label": "Send the same bytes again, as when a receipt is lost",
            "command": f"{base} resend {delivery_id} {where}",
        }
    if facts["is_outstanding"]:
        yield {
            "label": "Give it up, so that nothing waits for it",
            "command": f"{base} abandon {delivery_id} --reason 'WHY' {where}",
        }
