"""This project's operators, executed as a worker would, every rule on."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast
from uuid import uuid4

from airflow.sdk import BaseHook

from airflow_am_provider.operators.data_file import FormatDataFileOperator
from airflow_am_provider.operators.upload import UploadOperator
from benchmarks.readings import Outcome
from benchmarks.rows import ATTRIBUTES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow.sdk import Context

    from benchmarks.readings import Stopwatch


def format_files(stopwatch: Stopwatch, *, kind: str, url: str) -> Outcome:
    """Files to parts."""
    return _format(stopwatch, kind, source=url)


def set_rows_aside(stopwatch: Stopwatch, *, url: str, mode: str = "sync") -> Outcome:
    """Files to parts, however many rows are set aside; all of them count."""
    load_what_execute_imports("aws_default")
    operator = formatting("traits", source=url, max_set_aside=1.0, mode=mode)
    with stopwatch:
        manifest = operator.execute(run_context(new_run_id()))
    return replace(outcome_of(manifest), rows=manifest["rows_read"])


def format_query(stopwatch: Stopwatch, *, kind: str, query: str, conn_id: str = "crm") -> Outcome:
    """Rows of a database to parts."""
    return _format(stopwatch, kind, sql=query, conn_id=conn_id)


def upload(stopwatch: Stopwatch, *, url: str, conn_id: str) -> Outcome:
    """Parts from staging to the bucket, with their checksums looked at on the way.

    :param conn_id: the connection that says where staging is.
    """
    load_what_execute_imports(conn_id)
    # Staged anew each time: what was sent once is not sent again.
    operator = formatting("traits", source=url, audience_manager_conn_id=conn_id)
    manifest = operator.execute(run_context(new_run_id()))
    sending = UploadOperator(task_id="upload", manifest=manifest, audience_manager_conn_id=conn_id)
    with stopwatch:
        sending.execute(run_context(new_run_id()))
    # Unlike elsewhere the compressed bytes: they are what is sent.
    return Outcome(
        rows=manifest["rows_written"],
        bytes=sum(part["compressed_bytes"] for part in manifest["parts"]),
    )


def stage_files(stopwatch: Stopwatch, *, kind: str, url: str) -> Outcome:
    """Files to parts on disk."""
    return _format(stopwatch, kind, source=url, audience_manager_conn_id="staged_on_disk")


def formatting(
    kind: str, operator: type[FormatDataFileOperator] = FormatDataFileOperator, **source: Any
) -> FormatDataFileOperator:
    """The operator for a kind of rows."""
    items: dict[str, Any] = (
        {"traits_column": "traits"} if kind == "traits" else {"signal_columns": list(ATTRIBUTES)}
    )
    return operator(task_id="format", dpid=478, id_column="id", **items, **source)


def _format(stopwatch: Stopwatch, kind: str, **source: Any) -> Outcome:
    load_what_execute_imports(source.get("conn_id", "aws_default"))
    operator = formatting(kind, **source)
    with stopwatch:
        manifest = operator.execute(run_context(new_run_id()))
    return outcome_of(manifest)


def outcome_of(manifest: Mapping[str, Any]) -> Outcome:
    """What a manifest says was written."""
    return Outcome(
        rows=manifest["rows_written"], bytes=sum(part["bytes"] for part in manifest["parts"])
    )


def new_run_id() -> str:
    """Of a run of its own, or the delivery would be found staged already."""
    return f"bench__{uuid4().hex}"


def run_context(run_id: str) -> Context:
    """What an operator is told of its run."""
    run = {"dag_run": SimpleNamespace(dag_id="bench"), "run_id": run_id}
    return cast("Context", run)


def load_what_execute_imports(*conn_ids: str) -> None:
    """What Airflow loads when a worker's first hook is made is no work of any side."""
    import boto3.s3.transfer  # noqa: F401  # loaded before the clock runs
    import psycopg2  # noqa: F401  # loaded before the clock runs
    from airflow.providers.amazon.aws.hooks.s3 import S3Hook  # noqa: F401  # loaded before the clock runs

    import airflow_am_provider.deliveries.staging
    import airflow_am_provider.deliveries.uploads.sending
    import airflow_am_provider.sources.files
    import airflow_am_provider.sources.sql  # noqa: F401  # loaded before the clock runs

    for conn_id in conn_ids:
        BaseHook.get_hook(conn_id)
