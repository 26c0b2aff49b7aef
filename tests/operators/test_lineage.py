"""What OpenLineage is told by tasks, as Airflow's own provider asks for it."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import psycopg2
import pytest
from airflow.providers.openlineage.extractors.base import DefaultExtractor
from airflow.providers_manager import ProvidersManager
from airflow.sdk import Asset
from openlineage.client.serde import Serde

from airflow_am_provider.airflow_compat import AirflowSkipException
from airflow_am_provider.audience_manager.receipts.receipt import Receipt
from airflow_am_provider.hooks.asset_uris import create_asset, sanitize_uri
from airflow_am_provider.operators.combine_partitions import CombinePartitionsOperator
from airflow_am_provider.operators.data_file import FormatDataFileOperator
from airflow_am_provider.operators.event_feed import EventFeedExtractOperator
from airflow_am_provider.operators.id_sync import IdSyncExtractOperator
from airflow_am_provider.operators.outbound_load import OutboundLoadOperator
from airflow_am_provider.operators.snapshot_diff import SnapshotDiffOperator
from airflow_am_provider.operators.suppression_removal import SuppressionRemovalOperator
from airflow_am_provider.operators.upload import UploadOperator
from airflow_am_provider.operators.upload_parts import UploadPartsOperator
from airflow_am_provider.sandbox.event_feeds import Feed, export_feed
from airflow_am_provider.sandbox.outboxes import open_outbox
from airflow_am_provider.sensors.receipt import DeliveryReceiptSensor
from airflow_am_provider.storage import LocalFolder

if TYPE_CHECKING:
    from pathlib import Path

    from demo.local.postgres import Postgres
    from tests.connections import Connect

pytestmark = pytest.mark.filterwarnings("ignore")

CONTEXT: Any = {"dag_run": SimpleNamespace(dag_id="crm"), "run_id": "manual__1"}
SQL = """
SELECT c.id, c.traits FROM lineage_crm.customers c JOIN loyalty ON loyalty.id = c.id
WHERE c.id <> %(nobody)s
"""


def told(task: Any) -> dict[str, Any]:
    """What the provider gets of a task that has ended, as it goes over the line."""
    found = DefaultExtractor(task).extract_on_complete(SimpleNamespace())
    assert found is not None
    document: dict[str, Any] = json.loads(
        json.dumps(
            {
                name: [Serde.to_dict(one) for one in getattr(found, name)]
                for name in ("inputs", "outputs")
            }
            | {"run": {name: Serde.to_dict(one) for name, one in found.run_facets.items()}}
        )
    )
    return document


def names(datasets: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(one["namespace"], one["name"]) for one in datasets]


def statistics(dataset: dict[str, Any]) -> dict[str, int]:
    facet = dataset["outputFacets"]["outputStatistics"]
    return {name: value for name, value in facet.items() if not name.startswith("_")}


@pytest.fixture
def world(
    bucket_connection: Connect,
    bucket: str,
    postgres: Postgres,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> SimpleNamespace:
    monkeypatch.setenv("AIRFLOW_CONN_CRM", json.dumps(postgres.airflow_connection()))
    with psycopg2.connect(postgres.uri()) as connection:
        connection.cursor().execute(
            """
            CREATE SCHEMA IF NOT EXISTS lineage_crm;
            DROP TABLE IF EXISTS lineage_crm.customers, loyalty;
            CREATE TABLE lineage_crm.customers AS
                SELECT 'c' || n AS id, '1,2' AS traits FROM generate_series(1, 99) AS n
                UNION ALL VALUES ('a:b', '1');
            CREATE TABLE loyalty AS SELECT id FROM lineage_crm.customers;
            """
        )
    mail = LocalFolder(tmp_path / "mail")
    conn_id = bucket_connection(
        staging_location=f"s3://{bucket}/staging",
        receipts_location=mail.url,
    )
    extra = postgres.airflow_connection()
    authority = f"postgres://{extra['host']}:{extra['port']}"
    return SimpleNamespace(bucket=bucket, mail=mail, conn_id=conn_id, authority=authority)


def format_task(world: SimpleNamespace, **arguments: Any) -> FormatDataFileOperator:
    return FormatDataFileOperator(
        **{
            "task_id": "format",
            "sql": SQL,
            "parameters": {"nobody": "x"},
            "conn_id": "crm",
            "dpid": 478,
            "target_dpid": 567,
            "id_column": "id",
            "traits_column": "traits",
            "max_set_aside": 1.0,
            "audience_manager_conn_id": world.conn_id,
            **arguments,
        }
    )


def test_from_the_crm_to_the_data_source(world: SimpleNamespace) -> None:
    staged = (f"s3://{world.bucket}", "staging/deliveries/data/ftp_dpm_478_567.sync")
    source = (f"audience-manager://custom/s3/{world.bucket}/acme", "567")

    format_data = format_task(world)
    manifest = format_data.execute(CONTEXT)
    found = told(format_data)
    assert sorted(names(found["inputs"])) == [
        (world.authority, "postgres.lineage_crm.customers"),
        (world.authority, "postgres.public.loyalty"),
    ]
    (output,) = found["outputs"]
    assert names([output]) == [staged]
    assert output["facets"]["version"]["datasetVersion"] == manifest["delivery_id"]
    assert (statistics(output)["rowCount"], statistics(output)["fileCount"]) == (99, 1)
    (counts,) = found["run"]["audience_manager"]["deliveries"]
    assert counts["delivery_id"] == manifest["delivery_id"]
    assert (counts["rows_read"], counts["rows_written"], counts["rows_set_aside"]) == (100, 99, 1)
    assert counts["set_aside_by_reason"] == {"id_colon": 1}
    assert "a:b" not in json.dumps(found)

    upload = UploadOperator(
        task_id="upload", manifest=manifest, audience_manager_conn_id=world.conn_id
    )
    sent = upload.execute(CONTEXT)
    found = told(upload)
    assert (names(found["inputs"]), names(found["outputs"])) == ([staged], [source])
    assert found["inputs"][0]["facets"]["version"]["datasetVersion"] == manifest["delivery_id"]
    assert statistics(found["outputs"][0]) == {"rowCount": 99, "fileCount": 1}

    receipt = Receipt(
        paths=tuple(sent["files"]), records_received=99, stored_records=90, no_matching_aam_id=9
    )
    raw = (
        f"From: <aam-noreply@adobe.com>\r\n"
        f"Subject: Adobe Audience Manager Server-To-Server Processing Result:\r\n"
        f"Message-ID: <{uuid4().hex}@adobe.example>\r\n\r\n"
    ) + str(receipt).replace("\n", "\r\n")
    world.mail.write_bytes("mail", raw.encode())
    for delivery in (sent, [json.dumps(sent)]):
        sensor = DeliveryReceiptSensor(
            task_id="receipt",
            delivery=delivery,
            audience_manager_conn_id=world.conn_id,
            poke_interval=0.05,
            timeout=5,
        )
        sensor.execute(CONTEXT)
        found = told(sensor)
        assert (names(found["inputs"]), names(found["outputs"])) == ([staged], [source])
        assert statistics(found["outputs"][0]) == {"rowCount": 90, "fileCount": 1}
        (counts,) = found["run"]["audience_manager"]["deliveries"]
        assert (counts["lines_sent"], counts["verdict"]) == (99, "reconciled")
        assert counts["counts"]["no_matching_aam_id"] == 9


def test_partitions_and_what_combines_them(world: SimpleNamespace) -> None:
    staged = [(f"s3://{world.bucket}", "staging/deliveries/data/ftp_dpm_478_567.sync")]
    formatted = []
    for number in (0, 1):
        partition = format_task(world, partitions=2, partition=number)
        formatted.append(partition.execute(CONTEXT))
        found = told(partition)
        assert len(found["inputs"]) == 2
        assert names(found["outputs"]) == staged
        assert "version" not in found["outputs"][0]["facets"]
    combine = CombinePartitionsOperator(
        task_id="combine", formatted=formatted, audience_manager_conn_id=world.conn_id
    )
    manifest = combine.execute(CONTEXT)
    found = told(combine)
    assert (found["inputs"], names(found["outputs"])) == ([], staged)
    assert found["outputs"][0]["facets"]["version"]["datasetVersion"] == manifest["delivery_id"]
    parts = UploadPartsOperator(
        task_id="parts",
        share=0,
        shares=1,
        manifest=manifest,
        audience_manager_conn_id=world.conn_id,
    )
    parts.execute(CONTEXT)
    assert DefaultExtractor(parts).extract_on_complete(SimpleNamespace()) is None


def test_files_and_a_database_that_does_not_say_how_its_tables_are_named(
    world: SimpleNamespace, tmp_path: Path, connect: Connect
) -> None:
    path = tmp_path / "customers.csv"
    path.write_text("id,traits\nc1,7\n")
    of_file = format_task(
        world, sql=None, conn_id=None, parameters=None, source=str(path), delimiter=","
    )
    of_file.execute(CONTEXT)
    assert names(told(of_file)["inputs"]) == [("file", str(path))]
    lite = connect({"conn_type": "sqlite", "host": str(tmp_path / "lite.sqlite")})
    of_lite = format_task(
        world, sql="SELECT 'c1' AS id, '7' AS traits", conn_id=lite, parameters=None
    )
    of_lite.execute(CONTEXT)
    found = told(of_lite)
    assert found["inputs"] == []
    assert len(found["outputs"]) == 1


@pytest.mark.parametrize("into_table", [True, False])
def test_what_comes_back(world: SimpleNamespace, tmp_path: Path, into_table: bool) -> None:
    root = "S3_1234_20914_full_1768953600000"
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    (inbox / f"{root}.sync").write_bytes(b"A 1\nB x\n")
    files = {"Files": [{"FileName": f"{root}.sync", "FileByteSize": 8}]}
    (inbox / f"{root}.info").write_text(json.dumps(files))
    where: dict[str, Any] = (
        {"table": "lineage_segments", "conn_id": "crm", "reload": True}
        if into_table
        else {"into": str(tmp_path / "parquet")}
    )
    load = OutboundLoadOperator(task_id="load", location=str(inbox), max_set_aside=1, **where)
    load.execute(CONTEXT)
    found = told(load)
    assert names(found["inputs"]) == [("file", str(inbox))]
    assert names(found["outputs"]) == [
        (world.authority, "postgres.public.lineage_segments")
        if into_table
        else ("file", str(tmp_path / "parquet"))
    ]
    assert statistics(found["outputs"][0]) == {"rowCount": 1}
    (batch,) = found["run"]["audience_manager"]["batches"]
    assert (batch["batch"], batch["rows_loaded"], batch["lines_set_aside"]) == (root, 1, 1)


def test_from_a_feed_to_its_pairs(world: SimpleNamespace, tmp_path: Path) -> None:
    with open_outbox(str(tmp_path / "feed")) as outbox:
        since = datetime(2026, 1, 31, 5, tzinfo=UTC)
        export_feed(":memory:", Feed(dpid=478, since=since, logins=["ann"]), outbox)
    task = EventFeedExtractOperator(
        task_id="feed",
        location=str(tmp_path / "feed"),
        into=str(tmp_path / "into"),
        window_end="2026-01-31T06:00",
        dpid=478,
    )
    result = task.execute(CONTEXT)
    found = told(task)
    assert names(found["inputs"]) == [("file", str(tmp_path / "feed"))]
    pairs = IdSyncExtractOperator(
        task_id="ids",
        source=result["id_pairs_url"],
        columns=["aam_uuid", "declared_id"],
        master_dpid=0,
        dpids=[478],
        audience_manager_conn_id=world.conn_id,
    )
    pairs.execute(CONTEXT)
    assert names(found["outputs"]) == [
        ("file", str(tmp_path / "into" / "events")),
        *names(told(pairs)["inputs"]),
    ]
    assert [statistics(one)["rowCount"] for one in found["outputs"]] == [1, 1]
    (hour,) = found["run"]["audience_manager"]["hours"]
    assert (hour["hour"], hour["events_written"]) == ("2026-01-31T05", 1)
    assert "ann" not in json.dumps(found)


def test_a_task_that_did_nothing_tells_nothing(world: SimpleNamespace) -> None:
    task = format_task(world, sql="SELECT id, traits FROM loyalty JOIN lineage_crm.customers "
                       "USING (id) WHERE false", parameters=None)  # fmt: skip
    with pytest.raises(AirflowSkipException):
        task.execute(CONTEXT)
    assert DefaultExtractor(task).extract_on_complete(SimpleNamespace()) is None


@pytest.mark.parametrize(
    "operator",
    [
        FormatDataFileOperator,
        IdSyncExtractOperator,
        SnapshotDiffOperator,
        SuppressionRemovalOperator,
        CombinePartitionsOperator,
        UploadOperator,
        DeliveryReceiptSensor,
        OutboundLoadOperator,
        EventFeedExtractOperator,
    ],
)
def test_each_task_on_the_way_can_be_asked(operator: type) -> None:
    assert callable(operator.get_openlineage_facets_on_complete)


def test_the_scheme_of_the_assets_is_airflows() -> None:
    manager = ProvidersManager()
    assert manager.asset_uri_handlers["audience-manager"] is sanitize_uri
    asset = create_asset(destination="production/acme", target="478")
    assert asset.uri == "audience-manager://production/acme/478"
    for name, uri in (("478", asset.uri), ("1234", "audience-manager://outbound/1234/")):
        convert = manager.asset_to_openlineage_converters["audience-manager"]
        dataset = convert(Asset(uri=uri), None)
        assert (f"{dataset.namespace}/{dataset.name}", dataset.name) == (uri.rstrip("/"), name)
    with pytest.raises(ValueError, match="a URI such as audience-manager://production/acme/478"):
        Asset(uri="audience-manager://production")


def test_all_of_it_works_where_openlineage_is_not_installed() -> None:
    code = """
import sys
class Absent:
    def find_spec(self, name, *_):
        if name.startswith("openlineage"):
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Absent())
import pkgutil, importlib
import airflow_am_provider.operators, airflow_am_provider.sensors
for room in (airflow_am_provider.operators, airflow_am_provider.sensors):
    for module in pkgutil.iter_modules(room.__path__, room.__name__ + "."):
        importlib.import_module(module.name)
from airflow.sdk import Asset
from airflow_am_provider.hooks.asset_uris import sanitize_uri
assert Asset(uri="audience-manager://production/acme/478").uri.endswith("478")
assert not any(name.startswith("openlineage") for name in sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=300)
