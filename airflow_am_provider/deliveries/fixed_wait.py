"""A fixed wait after a sending was completed, for accounts that get no sign of what was read.

Both its ends are times of one clock, that of what holds staging: when the last note of the sending
was written there, and when a note is written there now. The clocks of workers play no part, however
wrong they are. Staging's own clock can only spoil a wait while it is being set: put forward by an
hour, it makes one that is under way an hour shorter; put back, longer.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from airflow_am_provider.audience_manager.errors import ConfigurationError
from airflow_am_provider.deliveries.layout import numbered

if TYPE_CHECKING:
    from datetime import datetime

    from airflow_am_provider.deliveries.targets import Targets
    from airflow_am_provider.deliveries.uploads.result import UploadResult
    from airflow_am_provider.storage.folder import Folder

#: ID sync files are processed once a day, data files twice (reference/
#: reporting-file-transfer-timeframe.md).
ONE_DAY: Final = timedelta(days=1)
WAITING_FILE: Final = "waiting.json"


def wait_of(given: object, timeout_s: float | None = None) -> timedelta:
    """A duration as a user gave it.

    :param given: a timedelta, or seconds, perhaps as text.
    :param timeout_s: when the task that waits gives up, in seconds.
    :raises ConfigurationError: when it is no duration, or the task would give up before.
    """
    wait = given
    if not isinstance(wait, timedelta):
        try:
            wait = timedelta(seconds=float(str(given)))
        except (OverflowError, ValueError):
            raise ConfigurationError(f"wait: {given!r} is no number of seconds") from None
    if wait <= timedelta(0):
        raise ConfigurationError(f"wait: {given!r}: more than 0 seconds are needed")
    if timeout_s is not None and wait.total_seconds() >= timeout_s:
        raise ConfigurationError(
            f"wait: {wait} is no shorter than the task's timeout of {timedelta(seconds=timeout_s)}"
        )
    return wait


class FixedWait:
    """Tells whether so much time has passed since deliveries were sent whole.

    :param targets: of the staging location.
    :param wait: how long.
    """

    def __init__(self, targets: Targets, wait: timedelta) -> None:
        self._targets = targets
        self.wait = wait

    def left(self, delivery: UploadResult) -> timedelta:
        """How long there is still to wait; nothing, or less, when it is over.

        :raises TransientError: when staging does not answer.
        """
        record = delivery.record(self._targets)
        sending = None if record is None else record.entry.sending
        if sending is None or sending.number != delivery.sending or sending.sent_at is None:
            return self.wait
        completed = _last_written(
            self._targets.staging, f"{delivery.location}/{_notes(delivery.sending)}/"
        )
        if completed is None:
            # Notes are never deleted before the acknowledgement: somebody has tidied up by hand.
            completed = _last_written(self._targets.staging, f"{delivery.location}/manifest")
        now = self._now(delivery)
        return self.wait if completed is None else completed + self.wait - now

    def _now(self, delivery: UploadResult) -> datetime:
        """The time of what holds staging: that of a note written this moment."""
        staging = self._targets.staging
        path = f"{delivery.location}/{numbered(WAITING_FILE, delivery.sending)}"
        staging.write_bytes(path, b"{}")
        written = _last_written(staging, path)
        assert written is not None
        return written


def _notes(sending: int) -> str:
    return "sending" if sending == 1 else f"sending-{sending}"


def _last_written(staging: Folder, prefix: str) -> datetime | None:
    return max((one.modified for one in staging.list(prefix)), default=None)
