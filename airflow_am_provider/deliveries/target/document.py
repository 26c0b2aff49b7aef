"""A state as a JSON document that a person can read, and back."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from typing import Any, Final

from airflow_am_provider.audience_manager.errors import DataError
from airflow_am_provider.audience_manager.names import Mode
from airflow_am_provider.deliveries.target.state import (
    DeliveryEntry,
    DeliveryState,
    Extract,
    Refreshed,
    Sending,
    SnapshotSeries,
    TargetState,
)
from airflow_am_provider.deliveries.window import with_texts, with_window

DOCUMENT_VERSION: Final = 1


def to_text(state: TargetState, destination: str, target: str) -> bytes:
    """Write a state.

    :param destination: where the target's deliveries go.
    :param target: its name.
    """
    document = {
        "version": DOCUMENT_VERSION,
        "destination": destination,
        "target": target,
        **asdict(replace(state, entries={}, landmarks=(), done=())),
        "entries": [with_texts(one) for one in state.entries.values()],
        "landmarks": [with_texts(one) for one in state.landmarks],
        "done": [with_texts(one) for one in state.done],
    }
    return json.dumps(document, indent=1).encode()


def from_text(content: bytes, where: str) -> TargetState:
    """Read a state.

    :param where: the document, for the message.
    :raises DataError: when it is none of this version; says what is wrong.
    """
    try:
        document = json.loads(content)
        version = document.pop("version")
        if version != DOCUMENT_VERSION:
            raise ValueError(f"version {version!r} is not {DOCUMENT_VERSION}")
        document.pop("destination")
        document.pop("target")
        entries = [entry_from_json(one) for one in document.pop("entries")]
        # Where a document was written before this was noted, all pages are read.
        document.setdefault("history_until", "" if document["history"] is None else None)
        return TargetState(
            entries={one.delivery_id: one for one in entries},
            queue=tuple(document.pop("queue")),
            landmarks=tuple(map(entry_from_json, document.pop("landmarks"))),
            done=tuple(map(entry_from_json, document.pop("done"))),
            previous={key: tuple(ids) for key, ids in document.pop("previous").items()},
            snapshots={key: _series(one) for key, one in document.pop("snapshots").items()},
            **document,
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"{where}: not the state of a target: {error!r}; what is on its way is not known, so "
            f"nothing is sent. Restore the document, as from a version that the bucket keeps"
        ) from None


def whose(content: bytes, where: str) -> tuple[str, str]:
    """Destination and name of the target that a document is of.

    :raises DataError: when it is none.
    """
    try:
        document = json.loads(content)
        return str(document["destination"]), str(document["target"])
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{where}: not the state of a target: {error!r}") from None


def entry_from_json(document: dict[str, Any]) -> DeliveryEntry:
    """Read a delivery's entry.

    :raises KeyError, TypeError, ValueError: when it is none.
    """
    sending = document["sending"]
    return DeliveryEntry(
        **{
            **with_window(document),
            "mode": None if document["mode"] is None else Mode(document["mode"]),
            "state": DeliveryState(document["state"]),
            "sending": None if sending is None else Sending(**sending),
        }
    )


def _series(document: dict[str, Any]) -> SnapshotSeries:
    known = document["acknowledged"]
    return SnapshotSeries(
        **{
            **document,
            "acknowledged": None if known is None else _extract(known),
            "in_force": tuple(map(_extract, document["in_force"])),
            "given_up": tuple(map(_extract, document["given_up"])),
        }
    )


def _extract(document: dict[str, Any]) -> Extract:
    # One that an earlier version of the package wrote does not say when things were said.
    refreshed = tuple(Refreshed(**one) for one in document.get("refreshed", ()))
    return Extract(**{**document, "refreshed": refreshed})
