"""A delivery is held against what the REST API knows: format, combine, ask, over real HTTP."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_am_provider.airflow_compat import AirflowFailException
from airflow_am_provider.deliveries.manifest import Manifest
from airflow_am_provider.operators.combine_partitions import CombinePartitionsOperator
from airflow_am_provider.operators.data_file import FormatDataFileOperator
from airflow_am_provider.operators.preflight import PreflightOperator
from airflow_am_provider.operators.snapshot_diff import SnapshotDiffOperator
from airflow_am_provider.operators.suppression_removal import SuppressionRemovalOperator
from airflow_am_provider.sandbox.rest import ApiSource, ApiTrait, RestApi, RestConfig
from airflow_am_provider.storage import LocalFolder
from tests.connections import Connect
from tests.staged_deliveries import send

pytestmark = pytest.mark.filterwarnings("ignore")


def run_context() -> Any:
    run = SimpleNamespace(dag_id="crm_to_aam", run_after=datetime(2026, 3, 1, tzinfo=UTC))
    return {"dag_run": run, "run_id": "manual__1"}


ROWS = "id,traits,city,member\n" + "".join(
    f"u{number},{100 + number % 3},Rome,true\n" for number in range(30)
)


@pytest.fixture
def api() -> Any:
    sources = (ApiSource(dpid=478), ApiSource(dpid=901))
    traits = tuple(ApiTrait(sid=sid, dpid=478) for sid in (100, 101, 102))
    rule = ApiTrait(sid=7, dpid=478, kind="RULE_BASED_TRAIT", rule='"city" == "Rome"')
    with RestApi(RestConfig(sources=sources, traits=(*traits, rule))) as api:
        yield api


@pytest.fixture
def conn_id(
    api: RestApi, api_connection: Connect, audience_manager: Connect, staging: LocalFolder
) -> str:
    return audience_manager(
        environment="custom",
        bucket="inbound",
        partner_name="acme",
        staging_location=staging.url,
        api_conn_id=api_connection(api),
    )


@pytest.fixture
def formatted(conn_id: str, tmp_path: Path) -> Callable[..., dict[str, Any]]:
    def make(rows: str = ROWS, **parameters: Any) -> dict[str, Any]:
        source = tmp_path / "rows.csv"
        if not source.exists() or source.read_text() != rows:
            source.write_text(rows)
        operator = FormatDataFileOperator(
            task_id="format",
            source=str(source),
            audience_manager_conn_id=conn_id,
            id_column="id",
            traits_column="traits",
            **{"dpid": 478, **parameters},
        )
        return operator.execute(run_context())

    return make


def asked(manifest: object, conn_id: str, **parameters: Any) -> Any:
    operator = PreflightOperator(
        task_id="preflight", manifest=manifest, audience_manager_conn_id=conn_id, **parameters
    )
    return operator.execute({})


def test_what_fits_passes(
    formatted: Callable[..., dict[str, Any]], conn_id: str, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = formatted(signal_columns=["city"])
    assert asked(manifest, conn_id) == manifest
    assert "3 traits, 1 signal key; 0 errors, 0 warnings" in capsys.readouterr().out


def test_a_trait_that_nobody_has_made_stops_it(
    formatted: Callable[..., dict[str, Any]], conn_id: str, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = formatted(ROWS + "v1,999,Rome,true\n")
    with pytest.raises(AirflowFailException, match=r"trait 999: there is none .* Nothing was sent"):
        asked(manifest, conn_id)
    assert asked(manifest, conn_id, on_finding="warn") == manifest
    assert "v1" not in capsys.readouterr().out


def test_traits_of_rows_that_are_set_aside_are_not_asked_for(
    formatted: Callable[..., dict[str, Any]], conn_id: str
) -> None:
    manifest = formatted(ROWS + "jane@example.com,999,Rome,true\n", max_set_aside=5)
    assert manifest["rows_set_aside"] == 1
    assert asked(manifest, conn_id) == manifest


def test_a_target_that_is_not_ours_stops_it(
    formatted: Callable[..., dict[str, Any]], conn_id: str
) -> None:
    manifest = formatted(target_dpid=555)
    with pytest.raises(AirflowFailException, match="data source 555: the API does not show it"):
        asked(manifest, conn_id)


def test_all_partitions_are_asked_for_at_once(
    formatted: Callable[..., dict[str, Any]], conn_id: str, api: RestApi
) -> None:
    rows = ROWS + "v1,998,Rome,true\nv2,997,Rome,true\n"
    partitions = [formatted(rows, partitions=3, partition=number) for number in range(3)]
    combine = CombinePartitionsOperator(
        task_id="combine", audience_manager_conn_id=conn_id, formatted=partitions
    )
    manifest = combine.execute(run_context())
    with pytest.raises(AirflowFailException, match=r"trait 997: .* And 1 more, in the log"):
        asked(manifest, conn_id)
    # A token, the target's traits, the data source, and the two strangers.
    assert len(api.requests) == 5


def test_signals_that_no_rule_names_are_a_warning(
    formatted: Callable[..., dict[str, Any]], conn_id: str, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = formatted(signal_columns=["city", "member"])
    assert asked(manifest, conn_id) == manifest
    said = capsys.readouterr().out
    assert "signal member: no trait rule" in said
    assert "signal city" not in said


def compared(conn_id: str, tmp_path: Path, rows: str) -> dict[str, Any]:
    source = tmp_path / "extract.csv"
    source.write_text(rows)
    operator = SnapshotDiffOperator(
        task_id="compare",
        source=str(source),
        snapshot="customers",
        audience_manager_conn_id=conn_id,
        dpid=478,
        id_column="id",
        traits_column="traits",
        max_removed=1.0,
    )
    return operator.execute(run_context())


def test_a_difference_is_asked_for_by_what_its_lines_say(
    conn_id: str, tmp_path: Path, staging: LocalFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = compared(conn_id, tmp_path, 'id,traits\nann,"100,102"\nbob,100\n')
    document = json.loads(staging.read_bytes(manifest["contents"]) or b"")
    assert document == {
        "dpid": 478,
        "target_dpid": 478,
        "traits": [100, 102],
        "removed_traits": [],
        "signal_keys": [],
    }
    assert asked(manifest, conn_id) == manifest
    # Not acknowledged: 102 may be there or not, and is taken away. 999 is wrong.
    manifest = compared(conn_id, tmp_path, "id,traits\nann,100\nbob,999\n")
    document = json.loads(staging.read_bytes(manifest["contents"]) or b"")
    assert (document["traits"], document["removed_traits"]) == ([100, 999], [100, 102])
    with pytest.raises(AirflowFailException, match=r"trait 999: there is none"):
        asked(manifest, conn_id)


def test_removals_of_traits_that_are_gone_are_not_held_back(
    formatted: Callable[..., dict[str, Any]],
    conn_id: str,
    tmp_path: Path,
    staging: LocalFolder,
    capsys: pytest.CaptureFixture[str],
) -> None:
    sent = Manifest.from_json(formatted(ROWS + "v1,999,Rome,true\n"))
    send(staging, sent, at=datetime(2026, 3, 1, tzinfo=UTC), is_whole=True)
    opted_out = tmp_path / "opted-out.csv"
    opted_out.write_text("id\nv1\nu1\n")
    manifest = SuppressionRemovalOperator(
        task_id="remove",
        dpid=478,
        audience_manager_conn_id=conn_id,
        suppression_source=str(opted_out),
    ).execute(run_context())
    document = json.loads(staging.read_bytes(manifest["contents"]) or b"")
    assert (document["traits"], document["removed_traits"]) == ([], [101, 999])
    assert asked(manifest, conn_id) == manifest
    assert "trait 999: it is only taken away: there is none" in capsys.readouterr().out


def test_without_an_api_nothing_is_written_down_and_the_way_is_said(
    audience_manager: Connect, staging: LocalFolder, tmp_path: Path
) -> None:
    fields = {"environment": "custom", "bucket": "inbound", "partner_name": "acme"}
    conn_id = audience_manager(**fields, staging_location=staging.url)
    source = tmp_path / "rows.csv"
    source.write_text(ROWS)
    manifest = FormatDataFileOperator(
        task_id="format",
        source=str(source),
        audience_manager_conn_id=conn_id,
        dpid=478,
        id_column="id",
        traits_column="traits",
    ).execute(run_context())
    assert manifest["contents"] is None
    with pytest.raises(AirflowFailException, match="api_conn_id: missing"):
        asked(manifest, conn_id)
    with_api = audience_manager(**fields, staging_location=staging.url, api_conn_id="api")
    with pytest.raises(AirflowFailException, match="nobody wrote down which traits it names"):
        asked(manifest, with_api)
