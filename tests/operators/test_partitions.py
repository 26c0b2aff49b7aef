"""Partitions: many tasks format shares of a source, and one delivery comes of it."""

from __future__ import annotations

import csv
import gzip
import json
from collections import Counter
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import psycopg2
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, AirflowSkipException

from airflow_am_provider.operators.data_file import FormatDataFileOperator
from airflow_am_provider.operators.partitions import CombinePartitionsOperator
from airflow_am_provider.operators.upload import UploadOperator

if TYPE_CHECKING:
    from pathlib import Path

    from demo.local.postgres import Postgres

# Operators warn when they are executed outside of a task; here they are, on purpose.
pytestmark = pytest.mark.filterwarnings("ignore")

DAY, NEXT_DAY = datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 3, 2, tzinfo=UTC)
COUNT = 3
CONTEXT: Any = {
    "dag_run": SimpleNamespace(dag_id="crm_to_aam"),
    "run_id": "scheduled__1",
    "data_interval_start": DAY,
    "data_interval_end": NEXT_DAY,
}
# 200 users with up to 5 lines each, one of them with 201 lines; a row without an ID, one with a
# bad one, and a line that is there twice.
_ROWS = """
CREATE TABLE IF NOT EXISTS partitioned AS
SELECT 'user-' || n % 200 AS id, (1 + n / 200)::text AS traits FROM generate_series(0, 999) AS n
UNION ALL SELECT 'many', n::text FROM generate_series(1, 201) AS n
UNION ALL VALUES (NULL, '1'), ('a:b', '1'), ('user-7', '1')
"""


@pytest.fixture
def staging(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, postgres: Postgres) -> Path:
    with psycopg2.connect(postgres.uri()) as connection:
        connection.cursor().execute(_ROWS)
    extra = {
        "environment": "beta",
        "partner_name": "acme",
        "staging_location": str(tmp_path / "staging"),
    }
    connections: dict[str, dict[str, object]] = {
        "audience_manager_default": {"conn_type": "audience_manager", "extra": extra},
        "aws_default": {"conn_type": "aws"},
        "crm": postgres.airflow_connection(),
        "lite": {"conn_type": "sqlite", "host": str(tmp_path / "crm.sqlite")},
    }
    for conn_id, connection_ in connections.items():
        monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps(connection_))
    return tmp_path / "staging"


def format_task(**arguments: Any) -> FormatDataFileOperator:
    defaults: dict[str, Any] = {
        "task_id": "format",
        "dpid": 478,
        "id_column": "id",
        "traits_column": "traits",
        "max_set_aside": 10,
        **({} if "source" in arguments else {"conn_id": "crm", "sql": "SELECT * FROM partitioned"}),
    }
    return FormatDataFileOperator(**{**defaults, **arguments})


def formatted(**arguments: Any) -> list[dict[str, Any]]:
    """What the mapped tasks return, as it travels through the database."""
    done = [
        format_task(partitions=str(COUNT), partition=number, **arguments).execute(CONTEXT)
        for number in range(COUNT)
    ]
    read: list[dict[str, Any]] = json.loads(json.dumps(done))
    return read


def combined(partitions: object, **arguments: Any) -> dict[str, Any]:
    return CombinePartitionsOperator(task_id="combine", partitions=partitions, **arguments).execute(
        CONTEXT
    )


def lines_of(staging: Path, parts: list[dict[str, Any]]) -> list[bytes]:
    return [
        line
        for part in parts
        for line in gzip.decompress((staging / part["path"]).read_bytes()).splitlines()
    ]


def test_all_partitions_together_are_what_one_task_writes(staging: Path) -> None:
    whole = format_task().execute(CONTEXT)
    partitions = formatted()
    manifest = combined(reversed(partitions))
    assert all(0 < one["rows_written"] < 900 for one in partitions)
    together = lines_of(staging, manifest["parts"])
    assert sorted(together) == sorted(lines_of(staging, whole["parts"]))
    facts = ("rows_read", "rows_written", "rows_set_aside", "set_aside_by_reason", "kind")
    assert {fact: manifest[fact] for fact in facts} == {fact: whole[fact] for fact in facts}
    assert manifest["set_aside_by_reason"] == {
        "duplicate_line": 1,
        "empty_id": 1,
        "id_colon": 1,
        "too_many_lines_per_user": 1,
    }
    # All lines of a user are in one partition, or the limit of 200 would not hold.
    where = [Counter(line.split(b"\t")[0] for line in lines_of(staging, one["parts"]))
             for one in partitions]  # fmt: skip
    for user in set().union(*where):
        assert sum(user in users for users in where) == 1
    assert sum(users[b"many"] for users in where) == 200


def test_the_delivery_has_one_numbering_one_manifest_and_one_list_of_rejects(
    staging: Path,
) -> None:
    manifest = combined(formatted())
    names = [part["file_name"] for part in manifest["parts"]]
    stem = names[0].removesuffix(".1.gz")
    assert names == [f"{stem}.{number}.gz" for number in range(1, COUNT + 1)]
    assert json.loads((staging / manifest["location"] / "manifest.json").read_bytes()) == manifest
    with (staging / manifest["rejects"]).open() as file:
        rejects = list(csv.DictReader(file))
    assert Counter(row["reason"] for row in rejects) == manifest["set_aside_by_reason"]
    assert {int(row["partition"]) for row in rejects} <= set(range(COUNT))
    assert manifest["window_end"] == NEXT_DAY.isoformat()


def test_partitions_without_tasks_of_their_own_are_read_one_after_the_other(
    staging: Path,
) -> None:
    manifest = format_task(partitions=COUNT).execute(CONTEXT)
    partitions = formatted()
    assert lines_of(staging, manifest["parts"]) == [
        line for one in partitions for line in lines_of(staging, one["parts"])
    ]


def test_the_same_again_is_the_same_delivery_and_nothing_of_it_is_deleted(staging: Path) -> None:
    partitions = formatted()
    first = combined(partitions)
    assert combined(partitions) == first
    assert combined(formatted()) == first
    assert len(lines_of(staging, first["parts"])) == first["rows_written"]


def test_what_another_delivery_counts_on_is_never_deleted(staging: Path) -> None:
    one, two, three = formatted()
    first = combined([one, two, three])
    again = formatted()
    assert combined(again) == first
    # The tasks that formatted again go on with what they wrote, whatever is cleared next.
    other = format_task(
        partitions=COUNT, partition=1, sql="SELECT id, '9' AS traits FROM partitioned"
    ).execute(CONTEXT)
    mixed = combined([again[0], other, again[2]])
    assert mixed["delivery_id"] != first["delivery_id"]
    assert len(lines_of(staging, mixed["parts"])) == mixed["rows_written"]
    assert len(lines_of(staging, first["parts"])) == first["rows_written"]


def test_a_part_that_is_gone_is_named_and_nothing_is_staged(staging: Path) -> None:
    partitions = formatted()
    part = partitions[1]["parts"][0]["path"]
    (staging / part).unlink()
    with pytest.raises(AirflowFailException, match=f"partition 1 of 0 to 2: .*{part} is gone"):
        combined(partitions)
    assert not list(staging.rglob("manifest.json"))


def test_one_address_in_a_small_share_is_set_aside_as_in_the_whole(staging: Path) -> None:
    sql = (
        "SELECT 'u' || n AS id, '1' AS traits FROM generate_series(1, 50) n "
        "UNION ALL SELECT 'jane@example.com', '1'; -- all of them"
    )
    partitions = [
        format_task(sql=sql, partitions=64, partition=number).execute(CONTEXT)
        for number in range(64)
    ]
    manifest = combined(partitions)
    assert (manifest["rows_written"], manifest["rows_set_aside"]) == (50, 1)


def test_a_partition_formatted_again_alone_changes_nothing(staging: Path) -> None:
    partitions = formatted()
    first = combined(partitions)
    again = format_task(partitions=COUNT, partition=1).execute(CONTEXT)
    assert combined([partitions[0], again, partitions[2]]) == first


def test_files_are_divided_by_the_id(staging: Path, tmp_path: Path) -> None:
    ids = pa.array([f"user-{n % 50}" for n in range(500)]).dictionary_encode()
    traits = pa.array([[1 + n // 50] for n in range(500)])
    path = tmp_path / "users.parquet"
    pq.write_table(pa.table({"id": ids, "traits": traits}), path, row_group_size=90)
    whole = format_task(source=str(path)).execute(CONTEXT)
    manifest = combined(formatted(source=str(path)))
    assert manifest["rows_read"] == 500
    assert sorted(lines_of(staging, manifest["parts"])) == sorted(lines_of(staging, whole["parts"]))
    assert len(manifest["parts"]) == COUNT


def test_a_query_may_divide_its_rows_itself(staging: Path) -> None:
    sql = (
        "WITH n(n) AS (VALUES (1), (2), (3), (4), (5)) SELECT 'u' || n AS id, '1' AS traits "
        "FROM n WHERE n % :partitions = :partition"
    )
    partitions = formatted(sql=sql, conn_id="lite")
    assert [one["rows_read"] for one in partitions] == [1, 2, 2]
    assert combined(partitions)["rows_written"] == 5


def test_another_expression_divides_the_rows(staging: Path) -> None:
    partitions = formatted(partition_by="right(id, 1)", sql="SELECT * FROM partitioned;\n")
    assert combined(partitions)["rows_read"] == 1204


def test_a_share_that_is_all_bad_counts_among_all_rows(staging: Path) -> None:
    manifest = combined(formatted(max_set_aside=0.01))
    assert manifest["rows_set_aside"] == 4
    message = r"3 of 1,204 rows break a rule, max_set_aside allows 1: "
    with pytest.raises(AirflowFailException, match=message):
        combined(formatted(max_set_aside=1))


def test_partitions_without_rows_are_no_obstacle(staging: Path) -> None:
    sql = "SELECT * FROM partitioned WHERE id = 'user-1'"
    manifest = combined(formatted(sql=sql))
    assert (len(manifest["parts"]), manifest["rows_written"]) == (1, 5)
    none = formatted(sql="SELECT * FROM partitioned WHERE false")
    with pytest.raises(AirflowSkipException, match="Nothing to send: 0 rows read"):
        combined(none)
    with pytest.raises(AirflowFailException, match="on_empty='fail'"):
        combined(none, on_empty="fail")


class TestWhatIsRefused:
    def test_a_partition_missing_or_there_twice(self, staging: Path) -> None:
        one, two, three = formatted()
        for given, said in (
            ([one, three], r"partitions: 1 of 0 to 2 missing; nothing was staged"),
            ([one, two, two, three], r"partitions: 1 of 0 to 2 there more than once"),
            ([], "partitions: none; pass what the mapped format task returned"),
        ):
            with pytest.raises(AirflowFailException, match=said):
                combined(given)

    def test_partitions_of_two_deliveries(self, staging: Path) -> None:
        one, two, three = formatted()
        other = format_task(partitions=COUNT, partition=1, dpid=479).execute(CONTEXT)
        said = r"name differs between them: .*_478_.*_479_"
        with pytest.raises(AirflowFailException, match=said):
            combined([one, other, three])
        assert two["partition"] == 1

    def test_a_partition_where_a_delivery_is_needed(self, staging: Path) -> None:
        upload = UploadOperator(task_id="upload", manifest=formatted()[0])
        with pytest.raises(AirflowFailException, match="put CombinePartitionsOperator between"):
            upload.execute(CONTEXT)

    def test_a_whole_delivery(self, staging: Path) -> None:
        with pytest.raises(AirflowFailException, match="which needs no combining"):
            combined(format_task().execute(CONTEXT))

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            ({"partitions": 3, "partition": 3}, "3 is none of 3; they are counted from 0 to 2"),
            ({"partitions": 0}, "partitions: 0, but at least 1 is needed"),
            ({"partition": 1}, "partitions: missing"),
            (
                {"partitions": 3, "partition": 0, "conn_id": "lite"},
                "partitions: how to divide rows of .* by a hash is not known here",
            ),
            (
                {"sql": "SELECT 1 AS id WHERE 1 = %(partition)s"},
                "partitions: missing, and sql asks for partition",
            ),
            ({"conn_id": "nobody"}, "conn_id: Airflow has no connection 'nobody'"),
            (
                {"partitions": 3, "partition": 0, "sql": "SELECT 1 AS id WHERE 1 = %(partition)s"},
                "both are needed, by name, or rows would be left out",
            ),
        ],
    )
    def test_what_cannot_be_divided(
        self, staging: Path, arguments: dict[str, Any], said: str
    ) -> None:
        with pytest.raises(AirflowFailException, match=said):
            format_task(**arguments).execute(CONTEXT)


def test_the_log_says_as_of_when_partitions_are_read(
    staging: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    def logged(**arguments: Any) -> str:
        format_task(partitions=COUNT, partition=0, **arguments).execute(CONTEXT)
        return caplog.text + capsys.readouterr().out

    assert "Each reads the rows as they are at its own moment" in logged()
    sql = "SELECT * FROM partitioned WHERE %(window_end)s::timestamptz IS NOT NULL"
    assert "All of them end with the window, at 2026-03-02T00:00:00+00:00" in logged(sql=sql)
