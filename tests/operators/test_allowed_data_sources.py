"""A connection that lists its data sources lets no delivery of any other through."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_am_provider.airflow_compat import AirflowFailException
from airflow_am_provider.audience_manager.errors import ConfigurationError
from airflow_am_provider.hooks.audience_manager import AudienceManagerHook
from airflow_am_provider.operators.data_file import FormatDataFileOperator
from airflow_am_provider.operators.id_sync import IdSyncExtractOperator
from airflow_am_provider.operators.snapshot_diff import SnapshotDiffOperator
from airflow_am_provider.storage import LocalFolder
from tests.connections import Connect
from tests.staged_deliveries import stage

# Operators warn when they are executed outside of a task; here they are, on purpose.
pytestmark = pytest.mark.filterwarnings("ignore")

GAID = 20914
DATA = {"id_column": "id", "traits_column": "traits"}
DEVICES = {"columns": ["device", "id"]}


@pytest.fixture
def fields(tmp_path: Path, connect: Connect) -> dict[str, str]:
    return {
        "partner_name": "acme",
        "aws_conn_id": connect({"conn_type": "aws", "login": "x", "password": "y"}),
        "staging_location": str(tmp_path / "staging"),
    }


def run(operator: type[Any], conn_id: str, rows: Path, **arguments: Any) -> Any:
    task = operator(
        task_id="format", audience_manager_conn_id=conn_id, source=str(rows), **arguments
    )
    return task.execute({"dag_run": SimpleNamespace(dag_id="crm"), "run_id": "manual__1"})


@pytest.mark.parametrize(
    ("operator", "arguments", "said"),
    [
        (FormatDataFileOperator, {"dpid": 479, **DATA}, "dpid: 479"),
        (FormatDataFileOperator, {"dpid": 478, "target_dpid": 9, **DATA}, "target_dpid: 9"),
        (
            FormatDataFileOperator,
            {"dpid": GAID, "target_dpid": GAID, **DATA},
            f"target_dpid: {GAID}",
        ),
        (SnapshotDiffOperator, {"dpid": 479, "snapshot": "all", **DATA}, "dpid: 479"),
        (IdSyncExtractOperator, {"master_dpid": GAID, "dpids": [479], **DEVICES}, "dpids[0]: 479"),
        (
            IdSyncExtractOperator,
            {"master_dpid": 479, "dpids": [478], "allow_crm_master": True, **DEVICES},
            "master_dpid: 479",
        ),
    ],
)
def test_what_is_not_listed_is_refused_before_anything_is_staged(
    tmp_path: Path,
    fields: dict[str, str],
    audience_manager: Connect,
    operator: type[Any],
    arguments: dict[str, Any],
    said: str,
) -> None:
    conn_id = audience_manager(**fields, allowed_data_sources="567, 478")
    # The rows are not even read.
    with pytest.raises(AirflowFailException) as caught:
        run(operator, conn_id, tmp_path / "absent.csv", **arguments)
    field = said.partition(":")[0]
    assert str(caught.value) == (
        f"{said} is none of the data sources that the connection {conn_id!r} allows: 478, 567; "
        f"correct {field}, or add it to allowed_data_sources"
    )
    assert not (tmp_path / "staging").exists()


def test_device_platforms_and_uuids_need_not_be_listed(
    tmp_path: Path, fields: dict[str, str], audience_manager: Connect
) -> None:
    conn_id = audience_manager(**fields, allowed_data_sources="478")
    rows = tmp_path / "rows.csv"
    rows.write_text("device,id\n" + "1" * 38 + ",a1\n")
    sync = run(IdSyncExtractOperator, conn_id, rows, master_dpid=0, dpids=[478], **DEVICES)
    assert sync["rows_written"] == 1
    rows.write_text("id,traits\n11111111-2222-3333-4444-555555555555,1\n")
    data = run(FormatDataFileOperator, conn_id, rows, dpid=GAID, target_dpid=478, **DATA)
    assert data["rows_written"] == 1


def test_a_list_that_was_made_shorter_holds_for_what_is_staged(
    fields: dict[str, str], audience_manager: Connect
) -> None:
    staging = LocalFolder(fields["staging_location"])
    manifest = stage(staging, conn_id=audience_manager(**fields))
    hook = AudienceManagerHook(audience_manager(**fields, allowed_data_sources="567"))
    with pytest.raises(ConfigurationError, match=r"^dpid: 478 is none of the data sources"):
        hook.upload(manifest.to_json())


@pytest.mark.parametrize("value", ["478;567", "478,", "CRM", "-1"])
def test_a_list_that_is_none(fields: dict[str, str], audience_manager: Connect, value: str) -> None:
    conn_id = audience_manager(**fields, allowed_data_sources=value)
    with pytest.raises(ConfigurationError) as caught:
        _ = AudienceManagerHook(conn_id).settings
    assert str(caught.value) == (
        f"connection {conn_id!r}: allowed_data_sources: {value!r} is no list of numbers with "
        f"commas between them, such as '478, 567'"
    )
