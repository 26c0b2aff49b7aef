"""The REST API's inbound history as a sign, over real HTTP."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow_am_provider.airflow_compat import AirflowFailException
from airflow_am_provider.deliveries.uploads.sending import resend_delivery
from airflow_am_provider.hooks.audience_manager import AudienceManagerHook
from airflow_am_provider.sandbox.database import connect as open_database
from airflow_am_provider.sandbox.ledger import FileEntry, Ledger, Verdict
from airflow_am_provider.sandbox.rest import RestApi, RestConfig
from airflow_am_provider.sandbox.totals import Totals
from tests.connections import Connect
from tests.sensors.conftest import CONTEXT, World
from tests.staged_deliveries import NAMES

pytestmark = pytest.mark.filterwarnings("ignore")

Told = Callable[..., None]


@pytest.fixture
def history(tmp_path: Path) -> Told:
    """Have the history tell of a file."""
    database = tmp_path / "sandbox.db"

    def tell(name: str, received: int, *, stored_less: int = 0) -> None:
        connection = open_database(database)
        totals = Totals(records_received=received, no_trait_realized=stored_less)
        Ledger(connection).add_file(
            FileEntry(
                inbox="s3://inbound",
                path=name,
                version=name,
                name=name,
                printed=f"s3n://inbound/2018-05-17/{name}",
                verdict=Verdict.TAKEN,
                totals=totals,
                taken_at=0.0,
                ended_at=0.0,
            )
        )
        connection.close()

    return tell


@pytest.fixture
def world(
    make_world: Callable[..., World],
    mail_to_folder: Any,
    api_connection: Connect,
    tmp_path: Path,
) -> Any:
    location, append = mail_to_folder
    with RestApi(RestConfig(database=tmp_path / "sandbox.db")) as api:
        yield make_world(append, **location, api_conn_id=api_connection(api))


def test_a_file_in_the_history_was_processed(world: World, history: Told) -> None:
    sensor = world.sensor(acknowledged_by="processed")
    history(NAMES[0], 1000)
    assert not sensor.poke(CONTEXT)
    history(NAMES[1], 1000, stored_less=3)
    found = sensor.poke(CONTEXT).xcom_value
    assert found["acknowledged"]
    assert {
        "sign": "history entries", "picked_up": 2, "processed": 2, "counted": 0,
        "figures": {"records_received": 2000, "stored_records": 1997},
    } in found["signs"]  # fmt: skip


def test_pieces_are_the_file_when_their_records_are_all_there(world: World, history: Told) -> None:
    sensor = world.sensor(acknowledged_by="processed")
    history(NAMES[0], 1000)
    stem = NAMES[1].removesuffix(".gz")
    history(f"{stem}.1213788", 600)
    assert not sensor.poke(CONTEXT)
    history(f"{stem}.77", 400)
    assert sensor.poke(CONTEXT).is_done


def test_a_file_of_which_records_are_missing_was_not_processed(world: World, history: Told) -> None:
    history(NAMES[0], 1000)
    history(NAMES[1], 999)
    assert not world.sensor(acknowledged_by="processed").poke(CONTEXT)
    assert world.sensor(acknowledged_by="picked_up").poke(CONTEXT).is_done


def test_its_counts_are_shown_beside_those_of_receipts_and_never_judged(
    world: World, history: Told
) -> None:
    for name in NAMES:
        history(name, 1000, stored_less=10)
    assert not world.sensor(acknowledged_by="counted").poke(CONTEXT)
    world.receipt(NAMES, records_received=2000, stored_records=1990)
    found = world.sensor(acknowledged_by="counted").poke(CONTEXT).xcom_value
    assert found["counts"]["stored_records"] == 1990
    assert "stored_records: 1,990 by receipts, 1,980 by history entries" in found["disagreements"]


def test_of_what_was_sent_again_it_says_nothing(world: World, history: Told) -> None:
    for name in NAMES:
        history(name, 1000)
    resend_delivery(AudienceManagerHook(world.conn_id), world.delivery["delivery_id"])
    assert not world.sensor(acknowledged_by="processed").poke(CONTEXT)


def test_an_api_that_refuses_is_no_trouble_where_receipts_come(
    world: World, history: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow_am_provider.audience_manager.errors import ConfigurationError

    def refuse(self: AudienceManagerHook, dpid: int) -> Any:
        raise ConfigurationError("HTTP 403")

    monkeypatch.setattr(AudienceManagerHook, "inbound_history", refuse)
    world.receipt(NAMES, records_received=2000)
    assert world.sensor(acknowledged_by="counted").poke(CONTEXT).is_done


def test_the_history_alone_cannot_count(
    make_world: Callable[..., World],
    api_connection: Connect,
) -> None:
    with RestApi(RestConfig()) as api:
        world = make_world(lambda raw: None, api_conn_id=api_connection(api))
        assert not world.sensor(acknowledged_by="processed").poke(CONTEXT)
        with pytest.raises(AirflowFailException, match="receipts_imap_conn_id"):
            world.sensor(acknowledged_by="counted").execute(CONTEXT)
