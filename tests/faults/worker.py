"""The process that makes one attempt of one task, as a worker of Airflow does."""

import asyncio
import json
import logging
import os
import signal
import sys
from datetime import UTC, datetime, timedelta
from functools import partial
from multiprocessing.connection import Connection
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

from tests.faults.trouble import MIDNIGHT

_logger = logging.getLogger(__name__)

# What a fork of the fork server finds imported, as tasks of LocalExecutor do.
PRELOAD = (
    "airflow.providers.amazon.aws.hooks.s3",
    "airflow.providers.common.sql.hooks.sql",
    "airflow.providers.ftp.hooks.ftp",
    "airflow.providers.postgres.hooks.postgres",
    "airflow_am_provider.deliveries.staging",
    "airflow_am_provider.deliveries.combining",
    "airflow_am_provider.hooks.audience_manager",
    "airflow_am_provider.deliveries.uploads.sending",
    "airflow_am_provider.hooks.mailbox",
    "airflow_am_provider.deliveries.receipt_report",
    "airflow_am_provider.sources.files",
    "airflow_am_provider.sources.sql",
    "airflow_am_provider.operators.data_file",
    "airflow_am_provider.operators.id_sync",
    "airflow_am_provider.operators.combine_partitions",
    "airflow_am_provider.operators.upload",
    "airflow_am_provider.sensors.receipt",
    "airflow_am_provider.sensors.replay",
    "airflow_am_provider.triggers.queue",
    "airflow_am_provider.triggers.receipt",
    "boto3.s3.transfer",
    "time_machine",
    "tests.faults.worker",
    "tests.faults.warm",
)


def attempt(order: dict[str, Any], answer: Connection) -> None:
    """Make an attempt and tell what came of it, unless it is killed meanwhile.

    :param order: ``env``, ``log``, ``operator`` and ``arguments`` (or ``trigger``), ``context``,
        ``event`` of a trigger, ``clock_s``, ``frozen_at`` and ``kill_at_end``.
    """
    os.environ.update(order["env"])
    # Airflow's own log goes to the standard output.
    log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for stream in (1, 2):
        os.dup2(log, stream)
    logging.basicConfig(level=logging.INFO, force=True)
    if order["frozen_at"] is None:
        _set_clock(order["clock_s"])
    else:
        import time_machine

        time_machine.travel(order["frozen_at"], tick=False).start()
    _set_pieces(order["piece_bytes"])
    outcome = _made(order)
    _logger.info("Outcome: %s", outcome)
    if order["kill_at_end"]:
        os.kill(os.getpid(), signal.SIGKILL)
    answer.send(outcome)
    answer.close()
    # Threads of clients are no reason to stay.
    sys.stdout.flush()
    os._exit(0)


def _set_clock(clock_s: int | str) -> None:
    import time_machine

    now = datetime.now(UTC)
    if clock_s == MIDNIGHT:
        # A moment before the day that has begun for everybody else.
        moved = now.replace(hour=0, minute=0, second=0) - timedelta(seconds=1)
    elif clock_s:
        moved = now + timedelta(seconds=int(clock_s))
    else:
        return
    time_machine.travel(moved, tick=True).start()


def _set_pieces(piece_bytes: int) -> None:
    """Small parts in many pieces; S3 itself takes no pieces of less than 5 MiB."""
    if not piece_bytes:
        return
    from airflow_am_provider.deliveries.uploads import s3_destination
    from airflow_am_provider.storage.s3 import copy as s3_copy

    resumable = partial(s3_destination.ResumableObject, piece_bytes=piece_bytes)
    patch.object(s3_destination, "ResumableObject", resumable).start()
    patch.object(s3_copy, "_PIECE_BYTES", piece_bytes).start()


def _made(order: dict[str, Any]) -> tuple[str, Any]:
    from airflow_am_provider.airflow_compat import (
        AirflowFailException,
        AirflowSensorTimeout,
        AirflowSkipException,
    )
    from tests.airflow_compat import TaskDeferred

    try:
        if "trigger" in order:
            return "ok", asyncio.run(_event(*order["trigger"]))
        if order["operator"] in _BY_HAND:
            return "ok", _BY_HAND[order["operator"]](**order["arguments"])
        operator = _operator(order["operator"], order["arguments"])
        context = _context(order["context"])
        if "event" in order:
            result = operator.execute_complete(context, order["event"])
        else:
            result = operator.execute(context)
        # As XCom does, so that nothing passes that Airflow could not pass.
        return "ok", json.loads(json.dumps(result))
    except TaskDeferred as deferred:
        return "deferred", deferred.trigger.serialize()
    except AirflowSkipException as skip:
        return "skip", str(skip)
    except AirflowSensorTimeout as error:
        return "timeout", str(error)
    except AirflowFailException as error:
        _logger.exception("Failed for good")
        return "fail", str(error)
    except Exception as error:  # as Airflow does: whatever it is, it is tried again
        _logger.exception("Failed")
        return "retry", f"{type(error).__name__}: {error}"


def _operator(name: str, arguments: dict[str, Any]) -> Any:
    from airflow_am_provider.operators.combine_partitions import CombinePartitionsOperator
    from airflow_am_provider.operators.data_file import FormatDataFileOperator
    from airflow_am_provider.operators.id_sync import IdSyncExtractOperator
    from airflow_am_provider.operators.upload import UploadOperator
    from airflow_am_provider.sensors.receipt import DeliveryReceiptSensor
    from airflow_am_provider.sensors.replay import ReplayNewerSensor

    kinds: dict[str, Any] = {
        "format_ids": IdSyncExtractOperator,
        "format": FormatDataFileOperator,
        "combine": CombinePartitionsOperator,
        "upload": UploadOperator,
        "receipt": DeliveryReceiptSensor,
        "replay": ReplayNewerSensor,
    }
    return kinds[name](task_id=name, **arguments)


def _resend(delivery_id: str, conn_id: str) -> None:
    """What ``airflow-am deliveries resend`` does."""
    from airflow_am_provider.deliveries.uploads.sending import resend_delivery
    from airflow_am_provider.hooks.audience_manager import AudienceManagerHook
    from airflow_am_provider.hooks.errors import airflow_errors

    with airflow_errors():
        resend_delivery(AudienceManagerHook(conn_id), delivery_id)


def _abandon(delivery_id: str, conn_id: str) -> None:
    """What ``airflow-am deliveries abandon`` does."""
    from airflow_am_provider.deliveries.uploads.sending import abandon_delivery
    from airflow_am_provider.hooks.audience_manager import AudienceManagerHook
    from airflow_am_provider.hooks.errors import airflow_errors

    with airflow_errors():
        abandon_delivery(AudienceManagerHook(conn_id), delivery_id, "corrected at the source")


_BY_HAND = {"resend": _resend, "abandon": _abandon}


def _context(given: dict[str, Any]) -> Any:
    """What of Airflow's context operators look at."""
    run = SimpleNamespace(
        dag_id=given["dag_id"],
        run_id=given["run_id"],
        run_type="scheduled",
        run_after=datetime.now(UTC),
        conf={},
    )
    # Where nothing is mapped, all goes without.
    index = given["map_index"]
    task = {} if index is None else {"ti": SimpleNamespace(map_index=index)}
    return {
        **task,
        "dag_run": run,
        "run_id": given["run_id"],
        "data_interval_start": datetime.fromisoformat(given["start"]),
        "data_interval_end": datetime.fromisoformat(given["end"]),
        "params": {},
    }


async def _event(path: str, arguments: dict[str, Any]) -> dict[str, Any]:
    from importlib import import_module

    module, _, name = path.rpartition(".")
    trigger = getattr(import_module(module), name)(**arguments)
    event: dict[str, Any] = (await anext(trigger.run())).payload
    return event
