"""What tasks tell OpenLineage: from CRM table or files to delivery, from delivery to data source.

Only Airflow's provider ``openlineage`` asks, so only then is this module imported. The deliveries
of one kind of file are one dataset, and each delivery is a version of it.
"""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import attr
from airflow.providers.openlineage.extractors import OperatorLineage
from airflow.providers.openlineage.sqlparser import SQLParser
from openlineage.client.generated.base import InputDataset, OutputDataset, RunFacet
from openlineage.client.generated.dataset_version_dataset import DatasetVersionDatasetFacet
from openlineage.client.generated.output_statistics_output_dataset import (
    OutputStatisticsOutputDatasetFacet,
)

from airflow_am_provider.audience_manager.file_kinds import (
    DataFileKind,
    Encoding,
    parse_file_kind,
)
from airflow_am_provider.audience_manager.names import OracleDataCloudFileName, parse_file_name
from airflow_am_provider.deliveries.uploads.result import read_deliveries
from airflow_am_provider.hooks.asset_uris import convert_asset_to_openlineage, create_asset
from airflow_am_provider.hooks.connections import get_connection
from airflow_am_provider.sources.database_hook import database_hook

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from airflow_am_provider.audience_manager.file_kinds import FileKind

Lineage: TypeAlias = OperatorLineage[Any, Any]

_logger = logging.getLogger(__name__)
#: The key of :class:`CountsRunFacet` among the facets of a run.
FACET: Final = "audience_manager"
# Values that a query is given when it runs; the parser knows no drivers.
_PLACEHOLDERS: Final = re.compile(r"%\(\w+\)s|%s|\?")
_COUNTS: Final = (
    "delivery_id",
    "rows_read",
    "rows_written",
    "rows_set_aside",
    "set_aside_by_reason",
    "window",
    "window_start",
    "window_end",
    "sending",
    "sent_at",
    "lines_sent",
    "verdict",
    "counts",
)


@attr.define
class CountsRunFacet(RunFacet):
    """The counts of what a task did.

    :param deliveries: for each delivery: its ID, rows read, written and set aside by reason, and
        as far as they are known lines sent and the counts of receipts.
    :param batches: for each batch that was loaded: its name, lines read, rows loaded, lines set
        aside by reason.
    :param hours: for each hour of a feed that was extracted: events read, written, set aside by
        reason, and ID pairs.
    """

    deliveries: list[dict[str, Any]] = attr.field(factory=list)
    batches: list[dict[str, Any]] = attr.field(factory=list)
    hours: list[dict[str, Any]] = attr.field(factory=list)


def of_format(task: Any) -> Lineage | None:
    """From the table or the files of a task to the delivery that it staged.

    :param task: a format operator that was executed, or one that combines partitions.
    """
    result = getattr(task, "returned", None)
    if not result:
        return None
    kind = (
        parse_file_kind(result["file_kind"])
        if "file_kind" in result
        else _kind_of(part["file_name"] for part in result["parts"])
    )
    version: dict[str, Any] = (
        {} if "partition" in result else {"version": _version(result["delivery_id"])}
    )
    staged = OutputDataset(
        **_delivery(result["staging"], kind),
        facets=version,
        outputFacets=_statistics(
            lines=sum(part["lines"] for part in result["parts"]),
            size=sum(part["compressed_bytes"] for part in result["parts"]),
            files=len(result["parts"]),
        ),
    )
    return Lineage(inputs=_sources(task), outputs=[staged], run_facets=_counts(deliveries=[result]))


def of_upload(task: Any) -> Lineage | None:
    """From a delivery to the data source that it was sent to.

    :param task: an upload that was executed.
    """
    result = getattr(task, "returned", None)
    if not result or "destination_name" not in result:
        return None  # a share of the parts, which is no delivery
    return _to_data_source([result], lambda one: sum(one["files"].values()))


def of_receipt(task: Any) -> Lineage | None:
    """From deliveries to their data sources, with what was stored.

    :param task: a receipt sensor that has seen all there is to see.
    """
    result = getattr(task, "returned", None)
    if not result:
        return None
    found = [result] if isinstance(result, dict) else result
    sent = {one.delivery_id: one.document for one in read_deliveries(task.delivery)}
    return _to_data_source(
        [{**sent[one["delivery_id"]], **one} for one in found],
        lambda one: (one.get("counts") or {}).get("stored_records"),
    )


def of_load(task: Any) -> Lineage | None:
    """From segment files to Parquet or a table.

    :param task: an ``OutboundLoadOperator`` that was executed.
    """
    result = getattr(task, "returned", None)
    if not result:
        return None
    outputs = [OutputDataset(**_place(str(task.into)))] if task.into else []
    if task.table:
        # With copy_sql both: the table takes its rows from the files.
        outputs += _tables(task.conn_id, f"INSERT INTO {task.table} SELECT 1")[1]
    rows = sum(report["rows_loaded"] for report in result)
    for dataset in outputs:
        dataset.outputFacets = _statistics(lines=rows)
    return Lineage(
        inputs=[InputDataset(**_place(task.location))],
        outputs=outputs,
        run_facets={FACET: CountsRunFacet(batches=[dict(report) for report in result])},
    )


def of_feed(task: Any) -> Lineage | None:
    """From a Customer Data Feed to Parquet, and to the pairs that an ID sync reads.

    :param task: an ``EventFeedExtractOperator`` that was executed.
    """
    result = getattr(task, "returned", None)
    if not result:
        return None
    events = f"{str(task.into).rstrip('/')}/events"
    outputs = [
        OutputDataset(**_place(events), outputFacets=_statistics(lines=result["events_written"]))
    ]
    if result["id_pairs_url"]:
        pairs = _statistics(lines=result["id_pairs"], files=1)
        outputs.append(OutputDataset(**_place(result["id_pairs_url"]), outputFacets=pairs))
    hours = [{name: hour[name] for name in hour if name != "files"} for hour in result["hours"]]
    return Lineage(
        inputs=[InputDataset(**_place(str(task.location)))],
        outputs=outputs,
        run_facets={FACET: CountsRunFacet(hours=hours)},
    )


def _to_data_source(
    deliveries: list[dict[str, Any]], lines_of: Callable[[dict[str, Any]], int | None]
) -> Lineage:
    """Each delivery, to its data source.

    :param deliveries: as uploads return them.
    :param lines_of: how many records of one came there; None where that is not known.
    """
    inputs, outputs = [], []
    for one in deliveries:
        kind = _kind_of(one["files"])
        staged = _delivery(one["staging"], kind)
        inputs.append(InputDataset(**staged, facets={"version": _version(one["delivery_id"])}))
        outputs.append(
            OutputDataset(
                **_data_source(one["destination_name"], one["target"]),
                outputFacets=_statistics(lines=lines_of(one), files=len(one["files"])),
            )
        )
    return Lineage(inputs=inputs, outputs=outputs, run_facets=_counts(deliveries=deliveries))


def _counts(*, deliveries: Iterable[Mapping[str, Any]]) -> dict[str, RunFacet]:
    told = [{name: one[name] for name in _COUNTS if name in one} for one in deliveries]
    return {FACET: CountsRunFacet(deliveries=told)}


def _statistics(
    *, lines: int | None = None, size: int | None = None, files: int | None = None
) -> dict[str, Any]:
    facet = OutputStatisticsOutputDatasetFacet(rowCount=lines, size=size, fileCount=files)
    return {"outputStatistics": facet}


def _version(delivery_id: str) -> DatasetVersionDatasetFacet:
    return DatasetVersionDatasetFacet(datasetVersion=delivery_id)


def _kind_of(file_names: Iterable[str]) -> FileKind:
    """What files a delivery is made of, by the name of the first."""
    name = parse_file_name(next(iter(file_names)))
    assert not isinstance(name, OracleDataCloudFileName)  # never written
    return name.kind


def _delivery(staging: str, kind: FileKind) -> dict[str, Any]:
    """The dataset of all deliveries of a kind: a folder of staging, by their name."""
    folder = "data" if isinstance(kind, DataFileKind) else "id_sync"
    return _place(f"{staging.rstrip('/')}/deliveries/{folder}/{kind.packed(Encoding.PLAIN)}")


def _data_source(destination: str, target: str) -> dict[str, Any]:
    asset = create_asset(destination=destination, target=target)
    dataset = convert_asset_to_openlineage(asset, None)
    return {"namespace": dataset.namespace, "name": dataset.name}


def _place(url: str) -> dict[str, Any]:
    """The dataset of a file or folder, as Airflow's own operators name it."""
    if url.startswith("s3://"):
        bucket, _, key = url.removeprefix("s3://").partition("/")
        return {"namespace": f"s3://{bucket}", "name": key or "/"}
    return {"namespace": "file", "name": url.removeprefix("file://")}


def _sources(task: Any) -> list[InputDataset]:
    """The tables of a query, or the files; none of a task that reads neither."""
    source = getattr(task, "source", None)
    if source:
        urls = [source] if isinstance(source, str) else source
        return [InputDataset(**_place(str(url))) for url in urls]
    sql, conn_id = getattr(task, "sql", None), getattr(task, "conn_id", None)
    return _tables(conn_id, str(sql))[0] if sql and conn_id else []


def _tables(conn_id: str, sql: str) -> tuple[list[Any], list[Any]]:
    """The tables that a query reads and writes, named as Airflow's SQL operators name them.

    Where a database's hook does not say how, or the query cannot be parsed, there are none.
    """
    try:
        hook, connection = database_hook(conn_id, asked_by="conn_id"), get_connection(conn_id)
        info = hook.get_openlineage_database_info(connection)
        if info is None:
            return [], []
        parser = SQLParser(
            dialect=hook.get_openlineage_database_dialect(connection),
            default_schema=hook.get_openlineage_default_schema(),
        )
        found = parser.generate_openlineage_metadata_from_sql(
            sql=_PLACEHOLDERS.sub("NULL", sql),
            hook=hook,
            database_info=info,
            # The connection's; a hook has another only where it was given one.
            database=info.database or getattr(connection, "schema", None),
            use_connection=False,
        )
    except Exception as error:  # noqa: BLE001  # of hooks and drivers; lineage fails no task
        _logger.warning("Which tables it is about is not told: %s", type(error).__name__)
        return [], []
    return (
        [InputDataset(namespace=one.namespace, name=one.name) for one in found.inputs],
        [OutputDataset(namespace=one.namespace, name=one.name) for one in found.outputs],
    )
