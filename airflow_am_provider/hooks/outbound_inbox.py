"""Opens the folder that Adobe sends to: a bucket, a directory, a directory on another host."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from airflow_am_provider.audience_manager.errors import ConfigurationError
from airflow_am_provider.audience_manager.file_kinds import printable
from airflow_am_provider.audience_manager.outbound.names import MODES, PAGE
from airflow_am_provider.hooks.connections import get_connection
from airflow_am_provider.hooks.folders import folder_of
from airflow_am_provider.hooks.polling import Seen
from airflow_am_provider.hooks.s3_clients import s3_client
from airflow_am_provider.outbound.arrival import ArrivalWatch, WantedBatches
from airflow_am_provider.outbound.batches import NameForm
from airflow_am_provider.parameters import is_given, optional_number, optional_whole_number

if TYPE_CHECKING:
    from airflow_am_provider.hooks.outbound_notes import BatchNotes
    from airflow_am_provider.outbound.batches import Batch
    from airflow_am_provider.outbound.inbox import Inbox
    from airflow_am_provider.outbound.sent_history import SentHistory
    from airflow_am_provider.storage import Folder
    from airflow_am_provider.storage.drops.reading import ReadingSession

AWS_DEFAULT: Final = "aws_default"


def open_folder(location: str, conn_id: str | None, *, asked_by: str, setting: str = "") -> Folder:
    """Open a folder that is read or written.

    :param location: ``s3://bucket/prefix``, ``file:///path`` or an absolute path.
    :param conn_id: the AWS connection for S3; ``aws_default`` if None.
    :param asked_by: the parameter that names the connection, for messages.
    :param setting: the parameter that names a folder that has to be there, for messages; empty
        for one that may be new.
    :raises ConfigurationError: when the location or the connection is none.
    """
    return folder_of(
        location,
        lambda: s3_client(conn_id or AWS_DEFAULT, asked_by),
        setting=setting,
        must_exist=bool(setting),
    )


def open_inbox(location: str, conn_id: str | None, *, asked_by: str = "source_conn_id") -> Inbox:
    """Open a folder that Adobe sends to.

    :param location: as for :func:`open_folder`, or ``sftp:///directory``, ``ftps:///directory`` or
        ``ftp:///directory`` on the host of the connection.
    :param conn_id: the connection that leads there.
    :param asked_by: the parameter that names it, for messages.
    :raises ConfigurationError: when the location or the connection is none.
    """
    protocol, _, directory = location.partition("://")
    if protocol not in _PROTOCOLS:
        return open_folder(location, conn_id, asked_by=asked_by, setting="location")
    if not directory.startswith("/"):
        raise ConfigurationError(
            f"location {printable(location)!r}: {protocol}:///directory is expected; the host is "
            f"the connection's"
        )
    if not conn_id:
        raise ConfigurationError(
            f"{asked_by}: missing; {printable(location)!r} needs an Airflow connection"
        )
    from airflow_am_provider.storage.drops.reading import RemoteInbox

    host = get_connection(conn_id, asked_by=asked_by).host or ""
    session = _PROTOCOLS[protocol]
    return RemoteInbox(lambda: session(conn_id, directory), f"{protocol}://{host}{directory}")


def _sftp_session(conn_id: str, directory: str) -> ReadingSession:
    from airflow_am_provider.hooks.sftp import open_sftp

    return open_sftp(conn_id, directory)


def _ftp_session(conn_id: str, directory: str) -> ReadingSession:
    from airflow_am_provider.hooks.ftp import open_ftp

    return open_ftp(conn_id, directory)


def _ftps_session(conn_id: str, directory: str) -> ReadingSession:
    from airflow_am_provider.hooks.ftps import open_ftps

    return open_ftps(conn_id, directory)


_PROTOCOLS: Final = {"sftp": _sftp_session, "ftps": _ftps_session, "ftp": _ftp_session}


def arrival_watch(
    *,
    location: str,
    source_conn_id: str | None = None,
    destination: object = None,
    batch_date: object = None,
    sync_mode: object = None,
    quiet_period: object = None,
    name_template: object = None,
    timestamp_digits: object = None,
    api_conn_id: object = None,
    waits: bool = True,
) -> ArrivalWatch:
    """What looks for batches, from parameters as a task has them.

    :param location: where files arrive.
    :param source_conn_id: the connection that leads there.
    :param destination: ID of the destination whose batches count.
    :param batch_date: the day in UTC of the names' timestamps.
    :param sync_mode: ``full`` or ``iter``; what batches are whose names say neither, too.
    :param quiet_period: seconds that a batch has to be quiet, for accounts without control files.
    :param name_template: how names are made, in Adobe's macros.
    :param timestamp_digits: 10 or 13.
    :param api_conn_id: the connection of Adobe's REST API, whose outbound history is asked.
    :param waits: whether it looks again and again. Who looks once sees no quiet period, and takes
        what is there: it is for who has the batches of somebody that has waited.
    :raises ConfigurationError: when one of them is none.
    """
    quiet = _quiet(quiet_period)
    form = NameForm(
        template=str(name_template) if is_given(name_template) else None,
        timestamp_digits=optional_whole_number("timestamp_digits", timestamp_digits),
        destination=optional_whole_number("destination", destination),
        mode=_mode(sync_mode),
    )
    wanted = WantedBatches(
        form=form,
        day=_day(batch_date),
        mode=form.mode,
        needs_control=quiet is None,
        quiet=quiet if waits else None,
    )
    inbox = open_inbox(location, source_conn_id)
    return ArrivalWatch(inbox, wanted, sent_history(api_conn_id, wanted))


def sent_history(api_conn_id: object, wanted: WantedBatches) -> SentHistory | None:
    """What Adobe says that it sent; None where nobody is asked.

    :param api_conn_id: the connection of the REST API.
    :param wanted: says of which destination.
    :raises ConfigurationError: when that is missing.
    """
    if not is_given(api_conn_id):
        return None
    destination = wanted.form.destination
    if destination is None:
        raise ConfigurationError(
            "destination: missing; with api_conn_id, Adobe is asked what it sent to it"
        )
    from airflow_am_provider.hooks.audience_manager_api import AudienceManagerApiHook
    from airflow_am_provider.outbound.sent_history import SentHistory

    api = AudienceManagerApiHook(str(api_conn_id))
    return SentHistory(partial(api.outbound_history, destination), wanted.form, wanted.day)


def seen_batches(watch: ArrivalWatch, notes: BatchNotes) -> Seen:
    """One look, for a sensor or a trigger: over when a batch is complete and none is on its way.

    What is more than a day old is not waited for: when it is complete, whoever clears the task
    gets it, and so does the next run that asks for no day.

    :param notes: what the page is told.
    """
    look = watch.look()
    notes.seen(look)
    batches = [described(batch) for batch in look.complete]
    is_over = bool(batches) and not look.is_one_on_its_way(datetime.now(UTC))
    known = "; ".join([str(look), *look.notes])
    if is_over and (look.waiting or look.undecided):
        known += (
            "; what is not complete is not waited for, as the time in its name is more than a day "
            "away; clear this task when all of it has come"
        )
    return Seen(
        known,
        is_over=is_over,
        result={"batches": batches},
        waited_for=f"a complete batch of outbound files: {known}",
    )


def _quiet(value: object) -> timedelta | None:
    seconds = optional_number("quiet_period", value)
    if seconds is not None and seconds <= 0:
        raise ConfigurationError(
            f"quiet_period: {value!r} is not more than nothing; without control files, it says how "
            f"many seconds nothing of a batch may have changed"
        )
    try:
        return None if seconds is None else timedelta(seconds=seconds)
    except OverflowError:
        raise ConfigurationError(
            f"quiet_period: {value!r} is more seconds than there are; a few hours are usual"
        ) from None


def described(batch: Batch) -> dict[str, Any]:
    """A complete batch, as sensors return it and events have it."""
    return {
        "batch": batch.batch_id,
        "version": batch.version,
        "mode": batch.mode,
        "files": len(batch.files),
        "bytes": batch.size,
    }


def _day(value: object) -> date | None:
    if not is_given(value):
        return None
    try:
        moment = datetime.fromisoformat(str(value).strip())
    except ValueError:
        raise ConfigurationError(
            f"batch_date: {value!r} is no day; one such as 2026-01-31 is expected"
        ) from None
    # A time without a zone is taken for UTC, as Airflow's own are.
    return (moment.astimezone(UTC) if moment.tzinfo else moment).date()


def _mode(value: object) -> str | None:
    if not is_given(value):
        return None
    if value not in MODES:
        raise ConfigurationError(
            f"sync_mode: {value!r} is none of {', '.join(map(repr, MODES))} ({PAGE})"
        )
    return str(value)
