"""Up to where a task's rows were delivered, told from notes in staging that are never rewritten.

No file says "up to here": such a pointer would have to move before a delivery is sent, and lose
its rows when sending fails, or after, and be forgotten by a killed worker. Instead each run claims
a window, and notes which delivery it made of it. The next one begins where the last window ends
whose delivery was sent, or that had nothing to send.
"""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from itertools import groupby
from typing import TYPE_CHECKING, Final

from airflow_am_provider.audience_manager.errors import DataError
from airflow_am_provider.formatting.sent_record import SendingFiles

if TYPE_CHECKING:
    from airflow_am_provider.formatting.manifest import Manifest
    from airflow_am_provider.stores.entry import Folder

# Of a fixed width, so that names sort as the moments do.
_END: Final = "%Y%m%dT%H%M%S.%fZ"
_EMPTY: Final = "empty"
_DELIVERED: Final = "delivered"


class Watermark:
    """The notes of one task of one DAG about one destination.

    :param staging: the staging location.
    :param folder: where in it the notes lie; each task and destination has its own.
    """

    def __init__(self, staging: Folder, folder: str) -> None:
        self.folder = folder
        self._staging = staging

    def claimed(self, run_id: str) -> tuple[datetime, datetime] | None:
        """The window that a run claimed before, or None."""
        path = self._claim(run_id)
        content = self._staging.read_bytes(path)
        return None if content is None else self._window(path, content)

    def claim(self, run_id: str, start: datetime, end: datetime) -> tuple[datetime, datetime]:
        """Claim a window for a run, for all its tries and mapped tasks.

        :return: the run's window: another one, when another task of it was quicker.
        """
        window = {"window_start": _iso(start), "window_end": _iso(end), "run_id": run_id}
        if self._staging.create(self._claim(run_id), _text(window)):
            return start, end
        claimed = self.claimed(run_id)
        return (start, end) if claimed is None else claimed

    def up_to(self) -> datetime | None:
        """The end of the last window that was delivered, or None when none was."""
        names = (
            entry.path.rpartition("/")[2] for entry in self._staging.list(f"{self.folder}/ends/")
        )
        notes = sorted((name.removesuffix(".json").rsplit(".", 1) for name in names), reverse=True)
        for end, group in groupby(notes, key=lambda note: note[0]):
            outcomes = [outcome for _, outcome in group]
            if _DELIVERED in outcomes or _EMPTY in outcomes:
                return _moment(end)
            if any(self._was_sent(end, outcome) for outcome in outcomes):
                # Remembered, since the delivery itself may be cleaned away one day.
                self._staging.create(self._note(end, _DELIVERED), b"{}")
                return _moment(end)
        return None

    def note(self, manifest: Manifest) -> None:
        """Note what a window's rows became: a delivery, or nothing to send.

        :param manifest: it has a window.
        """
        assert manifest.window_end is not None
        end = datetime.fromisoformat(manifest.window_end).astimezone(UTC).strftime(_END)
        outcome = manifest.delivery_id if manifest.parts else _EMPTY
        content = {
            "window_start": manifest.window_start,
            "window_end": manifest.window_end,
            "location": manifest.location,
        }
        self._staging.create(self._note(end, outcome), _text(content))

    def _was_sent(self, end: str, outcome: str) -> bool:
        path = self._note(end, outcome)
        content = self._staging.read_bytes(path) or b"{}"
        try:
            location = str(json.loads(content)["location"])
        except (KeyError, TypeError, ValueError) as error:
            raise self._broken(path, error) from None
        return self._staging.exists(SendingFiles(location=location).sent)

    def _window(self, path: str, content: bytes) -> tuple[datetime, datetime]:
        try:
            document = json.loads(content)
            return (
                datetime.fromisoformat(document["window_start"]),
                datetime.fromisoformat(document["window_end"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise self._broken(path, error) from None

    def _broken(self, path: str, error: Exception) -> DataError:
        return DataError(
            f"{self._staging.url}/{path}: not a note of a window: {error}; which one it was is not "
            f"known, so nothing is read. Put the file right, or set window_start and window_end"
        )

    def _claim(self, run_id: str) -> str:
        return f"{self.folder}/runs/{_short_hash(run_id)}.json"

    def _note(self, end: str, outcome: str) -> str:
        return f"{self.folder}/ends/{end}.{outcome}.json"


def _moment(end: str) -> datetime:
    return datetime.strptime(end, _END).replace(tzinfo=UTC)


def _iso(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat()


def _short_hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:20]


def _text(document: object) -> bytes:
    return json.dumps(document, indent=2).encode()
