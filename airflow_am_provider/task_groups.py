"""The whole way in one call: ID sync first where wanted, then data, each with its receipt."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import TaskGroup

from airflow_am_provider.audience_manager.errors import ConfigurationError
from airflow_am_provider.operators.combine_partitions import CombinePartitionsOperator
from airflow_am_provider.operators.data_file import FormatDataFileOperator
from airflow_am_provider.operators.guard import GuardOperator
from airflow_am_provider.operators.id_sync import IdSyncExtractOperator
from airflow_am_provider.operators.preflight import PreflightOperator
from airflow_am_provider.operators.snapshot_diff import SnapshotDiffOperator
from airflow_am_provider.operators.upload import UploadOperator
from airflow_am_provider.operators.upload_parts import UploadPartsOperator
from airflow_am_provider.parameters import whole_number
from airflow_am_provider.sensors.receipt import DeliveryReceiptSensor
from airflow_am_provider.sensors.replay import ReplayNewerSensor

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from airflow.sdk import BaseOperator


__all__ = ["deliver"]

# What combining partitions shares with formatting them.
_COMBINING = ("audience_manager_conn_id", "on_empty", "retries", "retry_delay", "queue")
# What sending newer data again shares with waiting for a receipt.
_REPLAYING = ("audience_manager_conn_id", "acknowledged_by", "wait", "limits", "poke_interval")
# What a delivery's source and staging share with the ID sync that goes before it.
_SHARED = (
    "conn_id",
    "audience_manager_conn_id",
    "window_start",
    "window_end",
    "window_timezone",
    "watermark_start",
    "suppression_sql",
    "suppression_source",
    "suppression_conn_id",
    "suppression_column",
    "suppression_hashed",
    "suppression_allow_empty",
)


def deliver(
    group_id: str = "deliver",
    *,
    id_sync: Mapping[str, Any] | None = None,
    preflight: Mapping[str, Any] | None = None,
    guard: Mapping[str, Any] | None = None,
    upload: Mapping[str, Any] | None = None,
    upload_shares: int = 1,
    receipt: Mapping[str, Any] | None = None,
    id_sync_receipt: Mapping[str, Any] | None = None,
    **data: Any,
) -> TaskGroup:
    """Wire format → upload → receipt into a task group, with an ID sync before it if wanted.

    Data waits until the ID sync was processed, since Audience Manager skips users that it cannot
    map and promises no order between files (faq/faq-inbound-data-ingestion.md). No page of Adobe's
    shows a receipt for an ID sync, so a marker on S3 is enough. Where neither comes, the data is
    not sent, and the message of the sensor says what to ask: data that goes before its ID sync is
    lost, and data that waits is not. ``id_sync_receipt={"acknowledged_by": "wait"}`` is the way out
    where an account gets no sign at all. When the ID sync
    has nothing to send it is skipped, and the data goes all the same. When the whole group is
    skipped, by a branch before it for instance, the data is skipped too: that is what the task
    ``start`` is for.

    :param group_id: Name of the task group. It stands before the names of its tasks.
    :param id_sync: Parameters of
        :class:`~airflow_am_provider.operators.id_sync.IdSyncExtractOperator`, or None for no ID
        sync. ``conn_id``, ``audience_manager_conn_id``, the window and the suppression list are
        those of the data unless given; limits such as ``max_set_aside`` are not. Example: ``{"sql":
        "SELECT aam_uuid, customer_id FROM ids", "master_dpid": 0, "dpids": [478], "columns":
        ["aam_uuid", "customer_id"]}``.
    :param preflight: Parameters of
        :class:`~airflow_am_provider.operators.preflight.PreflightOperator`, which asks Adobe's REST
        API before the data's guard and upload. ``{}`` takes its defaults, None means no preflight.
        Example: ``{"on_finding": "warn"}``.
    :param guard: Parameters of :class:`~airflow_am_provider.operators.guard.GuardOperator`, which
        stands before the data's upload. ``{}`` takes its defaults, None means no guard. Example:
        ``{"min_rows_share": 0.8}``.
    :param upload: More parameters of :class:`~airflow_am_provider.operators.upload.UploadOperator`.
        With ``on_older="replay"`` the group ends with a task ``replay_newer``, a
        :class:`~airflow_am_provider.sensors.replay.ReplayNewerSensor`. Example: ``{"deferrable":
        True}``.
    :param upload_shares: Over how many mapped tasks the sending is spread. Each sends some of the
        parts, and then ``upload`` completes the delivery.
    :param receipt: More parameters of
        :class:`~airflow_am_provider.sensors.receipt.DeliveryReceiptSensor`. With
        ``on_breach="skip"`` a breach skips what comes after the data. A breach of the ID sync's
        receipt then fails that sensor, as the data would otherwise go all the same. Example:
        ``{"limits": {"format_errors": 0}}``.
    :param id_sync_receipt: Parameters of that sensor for the ID sync alone; they win over
        ``receipt``. By default ``{"acknowledged_by": "processed"}``. Example:
        ``{"acknowledged_by": "wait"}``.
    :param data: Parameters of
        :class:`~airflow_am_provider.operators.data_file.FormatDataFileOperator`, or with
        ``snapshot`` those of
        :class:`~airflow_am_provider.operators.snapshot_diff.SnapshotDiffOperator`. With
        ``partitions``, each partition is formatted by a mapped task, and ``format`` makes one
        delivery of them. The same goes for ``id_sync``. ``pool`` and ``max_active_tis_per_dagrun``
        are passed on to the mapped tasks and say how many of them read from the source at once.
    :return: the task group, to be wired with what comes before and after.

    .. code-block:: python

        deliver(
            conn_id="crm",
            sql="SELECT customer_id, traits FROM customers",
            dpid=478,
            id_column="customer_id",
            traits_column="traits",
        )
    """
    conn_id = data.get("audience_manager_conn_id")
    connection = {} if conn_id is None else {"audience_manager_conn_id": conn_id}
    upload_args = {**connection, **(upload or {})}
    shares = whole_number("upload_shares", upload_shares)
    receipt_args = {**connection, **(receipt or {})}
    checks = [
        (operator, {**connection, **parameters})
        for operator, parameters in ((PreflightOperator, preflight), (GuardOperator, guard))
        if parameters is not None
    ]
    formats = SnapshotDiffOperator if "snapshot" in data else FormatDataFileOperator
    with TaskGroup(group_id=group_id) as group:
        if id_sync is None:
            _, staged = _staged(formats, "format", data)
            _upload_and_wait(_checked(staged, checks), "", upload_args, shares, receipt_args)
            return group
        shared = {name: data[name] for name in _SHARED if name in data}
        extract_ids, ids = _staged(IdSyncExtractOperator, "extract_ids", {**shared, **id_sync})
        # No page of Adobe's shows a receipt for an ID sync, so a marker is enough there. Where
        # nothing comes back the data waits and fails, as it would be lost if it went before.
        ids_receipt_args = {"acknowledged_by": "processed", **receipt_args}
        if receipt_args.get("on_breach") == "skip":
            ids_receipt_args["on_breach"] = "fail"
        ids_receipt_args |= id_sync_receipt or {}
        synced = _upload_and_wait(ids, "_ids", upload_args, shares, ids_receipt_args)
        # An ID sync without new people is skipped; that must not skip the data after it. Only
        # what skips the group as a whole does, and its first task shows that.
        rule = {"trigger_rule": "none_failed_min_one_success"}
        format_data, staged = _staged(formats, "format", {**rule, **data})
        start = EmptyOperator(task_id="start")
        start >> [extract_ids, format_data]
        synced >> format_data
        _upload_and_wait(_checked(staged, checks), "", upload_args, shares, receipt_args)
    return group


def _staged(
    operator: type[FormatDataFileOperator | IdSyncExtractOperator | SnapshotDiffOperator],
    task_id: str,
    arguments: Mapping[str, Any],
) -> tuple[Any, BaseOperator]:
    """The task that formats, mapped over its partitions if it has any, and the one that stages."""
    count = _count_of(arguments)
    # A difference needs the whole extract, so its partitions are no tasks of their own.
    if count is None or "partition" in arguments or operator is SnapshotDiffOperator:
        task = operator(task_id=task_id, **arguments)
        return task, task
    count = whole_number("partitions", count)
    if count < 1:
        raise ConfigurationError(f"partitions: {count}, but at least 1 is needed")
    partitions = operator.partial(task_id=f"{task_id}_partition", **arguments).expand(
        partition=list(range(count))
    )
    shared = {name: arguments[name] for name in _COMBINING if name in arguments}
    combine = CombinePartitionsOperator(task_id=task_id, formatted=partitions.output, **shared)
    return partitions, combine


def _count_of(arguments: Mapping[str, Any]) -> object:
    """How many partitions there are, where that follows from their bounds as well."""
    count, bounds = arguments.get("partitions"), arguments.get("partition_bounds")
    if count is not None or bounds is None:
        return count
    if isinstance(bounds, list | tuple):
        return len(bounds) + 1
    raise ConfigurationError(
        "partitions: missing. How many tasks there are has to be known when the DAG is read, and "
        "partition_bounds are known only when it runs: name one more than there will be bounds"
    )


def _checked(
    stage: BaseOperator,
    checks: Iterable[tuple[type[PreflightOperator | GuardOperator], Mapping[str, Any]]],
) -> BaseOperator:
    """The last of the tasks that look at what was staged, one after the other."""
    for operator, parameters in checks:
        name = "preflight" if operator is PreflightOperator else "guard"
        stage = operator(task_id=name, manifest=stage.output, **parameters)
    return stage


def _upload_and_wait(
    stage: BaseOperator,
    suffix: str,
    upload: Mapping[str, Any],
    shares: int,
    receipt: Mapping[str, Any],
) -> DeliveryReceiptSensor:
    """Upload what was staged and wait for its receipt."""
    sent = UploadOperator(task_id=f"upload{suffix}", manifest=stage.output, **upload)
    if shares > 1:
        parts = UploadPartsOperator.partial(
            task_id=f"upload{suffix}_parts", manifest=stage.output, shares=shares, **upload
        ).expand(share=list(range(shares)))
        parts >> sent
    received = DeliveryReceiptSensor(task_id=f"receipt{suffix}", delivery=sent.output, **receipt)
    if upload.get("on_older") == "replay":
        shared = {name: receipt[name] for name in _REPLAYING if name in receipt}
        received >> ReplayNewerSensor(
            task_id=f"replay_newer{suffix}", delivery=sent.output, **shared
        )
    return received
