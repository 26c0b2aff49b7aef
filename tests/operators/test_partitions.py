"""Partitions: many tasks format shares of a source, and one delivery comes of it."""

from __future__ import annotations

import csv
import gzip
import json
from collections import Counter
from datetime import UTC, date, datetime
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import psycopg2
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from airflow_am_provider.airflow_compat import AirflowFailException, AirflowSkipException
from airflow_am_provider.audience_manager.errors import TransientError
from airflow_am_provider.deliveries.partition import Partition
from airflow_am_provider.hooks.audience_manager import AudienceManagerHook
from airflow_am_provider.operators.combine_partitions import CombinePartitionsOperator
from airflow_am_provider.operators.data_file import FormatDataFileOperator
from airflow_am_provider.operators.upload import UploadOperator
from airflow_am_provider.sources.file_partition import file_partition
from airflow_am_provider.sources.partition_bounds import Bounds

if TYPE_CHECKING:
    from pathlib import Path

    from demo.local.postgres import Postgres

# Operators warn when they are executed outside of a task; here they are, on purpose.
pytestmark = pytest.mark.filterwarnings("ignore")

DAY, NEXT_DAY = datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 3, 2, tzinfo=UTC)
MOMENTS = [datetime(2026, 1, 11, tzinfo=UTC), datetime(2026, 1, 31, tzinfo=UTC)]
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
    return CombinePartitionsOperator(task_id="combine", formatted=partitions, **arguments).execute(
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


def but_for_rejects(manifest: dict[str, Any]) -> dict[str, Any]:
    """Each run has a list of its own of the rows that it set aside."""
    return {**manifest, "rejects": None}


def test_the_same_again_is_the_same_delivery_and_nothing_of_it_is_deleted(staging: Path) -> None:
    partitions = formatted()
    first = combined(partitions)
    assert but_for_rejects(combined(partitions)) == but_for_rejects(first)
    assert but_for_rejects(combined(formatted())) == but_for_rejects(first)
    assert len(lines_of(staging, first["parts"])) == first["rows_written"]


def test_what_another_delivery_counts_on_is_never_deleted(staging: Path) -> None:
    one, two, three = formatted()
    first = combined([one, two, three])
    again = formatted()
    assert but_for_rejects(combined(again)) == but_for_rejects(first)
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
    with pytest.raises(
        AirflowFailException, match=rf"partition 2 of 3 \(partition=1\): .*{part} is gone"
    ):
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
    combined_again = combined([partitions[0], again, partitions[2]])
    assert but_for_rejects(combined_again) == but_for_rejects(first)


class TestFiles:
    @staticmethod
    def written(path: Path, ids: list[str] | list[int], *, rows_a_group: int = 90) -> str:
        """One row a user's line, as many as the user has lines already."""
        seen: Counter[object] = Counter()
        traits = []
        for one in ids:
            seen[one] += 1
            traits.append([seen[one]])
        table = pa.table({"id": pa.array(ids), "traits": traits})
        pq.write_table(table, path, row_group_size=rows_a_group)
        return str(path)

    @staticmethod
    def assert_whole(staging: Path, source: str, partitions: list[dict[str, Any]]) -> None:
        """All rows are there once, and all of a user in one partition."""
        whole = format_task(source=source).execute(CONTEXT)
        manifest = combined(partitions)
        lines = lines_of(staging, manifest["parts"])
        assert sorted(lines) == sorted(lines_of(staging, whole["parts"]))
        where = [
            {line.split(b"\t")[0] for line in lines_of(staging, one["parts"])} for one in partitions
        ]
        assert sum(map(len, where)) == len(set().union(*where))

    def test_are_divided_by_a_hash_of_the_id(self, staging: Path, tmp_path: Path) -> None:
        source = self.written(tmp_path / "users.parquet", [f"user-{n % 50}" for n in range(500)])
        partitions = formatted(source=source)
        assert {one["partitioning"].partition(",")[0] for one in partitions} == {"a hash of 'id'"}
        self.assert_whole(staging, source, partitions)

    @pytest.mark.parametrize("as_number", [False, True])
    def test_sorted_by_the_id_are_divided_by_row_groups(
        self, staging: Path, tmp_path: Path, as_number: bool
    ) -> None:
        # Users have three lines each; of 90 rows a group, and of 100 every second group ends
        # within a user's.
        folder = tmp_path / "sorted"
        folder.mkdir()
        ids: list[Any] = [n // 3 if as_number else f"u{n // 3:05}" for n in range(1800)]
        self.written(folder / "1.parquet", ids[:901], rows_a_group=50)
        self.written(folder / "2.parquet", ids[901:], rows_a_group=40)
        partitions = formatted(source=f"{folder}/")
        assert {one["partitioning"].partition(",")[0] for one in partitions} == {"row groups"}
        assert [one["rows_read"] for one in partitions] == pytest.approx([600] * COUNT, rel=0.25)
        self.assert_whole(staging, f"{folder}/", partitions)

    def test_where_groups_of_users_are_too_few_or_unknown_a_hash_divides(
        self, staging: Path, tmp_path: Path
    ) -> None:
        path = tmp_path / "users.parquet"
        table = pa.table({"id": [f"u{n:04}" for n in range(900)], "traits": [["1"]] * 900})
        for options in ({"row_group_size": 500}, {"row_group_size": 90, "write_statistics": False}):
            pq.write_table(table, path, **options)
            partitions = formatted(source=str(path))
            assert {one["partitioning"].partition(",")[0] for one in partitions} == {
                "a hash of 'id'"
            }
            self.assert_whole(staging, str(path), partitions)

    def test_damaged_are_said_to_be(self, staging: Path, tmp_path: Path) -> None:
        path = tmp_path / "users.parquet"
        path.write_bytes(b"PAR1" * 9)
        with pytest.raises(AirflowFailException, match="damaged or not what its name says"):
            formatted(source=str(path))

    def test_go_to_a_partition_each_where_the_user_says_that_users_are_in_one(
        self, staging: Path, tmp_path: Path
    ) -> None:
        folder = tmp_path / "files"
        folder.mkdir()
        for number in range(5):
            text = "".join(f"u{n},1\n" for n in range(number * 100, number * 100 + 80))
            (folder / f"{number}.csv").write_text("id,traits\n" + text)
        partitions = formatted(source=f"{folder}/", partition_by="files")
        assert sorted(one["rows_read"] for one in partitions) == [80, 160, 160]
        self.assert_whole(staging, f"{folder}/", partitions)
        with pytest.raises(AirflowFailException, match="partition_by: 'id', but rows of files"):
            formatted(source=f"{folder}/", partition_by="id")

    def test_written_anew_between_two_tasks_make_no_delivery(
        self, staging: Path, tmp_path: Path
    ) -> None:
        path = tmp_path / "users.csv"
        path.write_text("id,traits\nu1,1\nu2,1\n")
        one, two, _ = formatted(source=str(path))
        path.write_text("id,traits\nu1,1\nu3,1\n")
        _, _, three = formatted(source=str(path))
        said = "partitioning differs between them: .*source version .* and .*source version"
        with pytest.raises(AirflowFailException, match=said):
            combined([one, two, three])
        assert not list(staging.rglob("manifest.json"))

    def test_written_anew_while_they_are_read_are_an_error(
        self, staging: Path, tmp_path: Path
    ) -> None:
        path = tmp_path / "users.csv"
        path.write_text("id,traits\nu1,1\n")
        hook = AudienceManagerHook()
        share = Partition(number=0, count=1)
        rows = iter(file_partition(hook, [str(path)], ["id", "traits"], share, None).batches)
        next(rows)
        path.write_text("id,traits\nu1,1\nu2,1\n")
        with pytest.raises(TransientError, match="changed, added or deleted while"):
            list(rows)


class TestOtherDatabases:
    """SQLite stands for them; it has no hash of its own."""

    SQL = (
        "WITH n(n) AS (VALUES (1), (-2), (3), (4), (NULL), (6.5), ('seven')) "
        "SELECT 'u' || coalesce(n, 'x') AS id, '1' AS traits FROM n"
    )

    def test_rows_are_divided_by_their_id_after_reading(self, staging: Path) -> None:
        partitions = formatted(sql=self.SQL, conn_id="lite")
        assert all(one["rows_read"] < 7 for one in partitions)
        assert combined(partitions)["rows_written"] == 7

    def test_all_partitions_in_one_task_are_read_at_once(self, staging: Path) -> None:
        manifest = format_task(sql=self.SQL, conn_id="lite", partitions=COUNT).execute(CONTEXT)
        assert manifest["rows_written"] == 7

    def test_a_number_divides_them_whatever_its_sign_and_where_there_is_none(
        self, staging: Path
    ) -> None:
        sql = f"{self.SQL} WHERE :in_partition ORDER BY 1"
        partitions = formatted(sql=sql, conn_id="lite", partition_by="n")
        assert [one["rows_read"] for one in partitions] == [4, 2, 1]
        assert combined(partitions)["rows_written"] == 7

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            ({"sql": f"{SQL} WHERE :in_partition"}, "partition_by: missing, and sql asks for"),
            ({"sql": SQL, "partition_by": "n"}, "only used when sql asks for in_partition"),
        ],
    )
    def test_half_of_it_is_refused(
        self, staging: Path, arguments: dict[str, Any], said: str
    ) -> None:
        with pytest.raises(AirflowFailException, match=said):
            formatted(conn_id="lite", **arguments)


class TestRanges:
    """Of a key, in PostgreSQL and in SQLite, which stands for the others."""

    @pytest.mark.parametrize("bounds", [["user-13", "user-5"], ["user-5", "user-13"], ["a", "zz"]])
    def test_every_row_is_in_one_of_them_whatever_the_database_puts_first(
        self, staging: Path, bounds: list[str]
    ) -> None:
        partitions = formatted(partition_bounds=bounds)
        whole = format_task().execute(CONTEXT)
        manifest = combined(partitions)
        together = lines_of(staging, manifest["parts"])
        assert sorted(together) == sorted(lines_of(staging, whole["parts"]))
        assert manifest["set_aside_by_reason"] == whole["set_aside_by_reason"]

    def test_begin_with_their_bound_and_end_before_the_next_one(self, staging: Path) -> None:
        sql = (
            "SELECT 'u' || n AS id, '1' AS traits, n FROM generate_series(1, 100) AS n "
            "UNION ALL SELECT 'nobody', '1', NULL"
        )
        arguments = {"sql": sql, "partition_by": "n", "partition_bounds": [11, 31]}
        partitions = formatted(**arguments)
        assert [one["rows_read"] for one in partitions] == [11, 20, 70]
        # How many there are follows from their bounds, and one task reads one after the other.
        assert format_task(**arguments).execute(CONTEXT)["rows_written"] == 101

    @pytest.mark.parametrize(
        ("kind", "bounds"),
        [
            ("date", [date(2026, 1, 11), date(2026, 1, 31)]),
            ("timestamp", [moment.replace(tzinfo=None) for moment in MOMENTS]),
            ("timestamptz", MOMENTS),
            ("text", ["2026-01-11", "2026-01-31"]),
        ],
    )
    def test_of_times_and_texts(self, staging: Path, kind: str, bounds: list[Any]) -> None:
        sql = (
            f"SELECT 'u' || n AS id, '1' AS traits, (date '2025-12-31' + n)::{kind} AS born "
            "FROM generate_series(1, 100) AS n"
        )
        partitions = formatted(sql=sql, partition_by="born", partition_bounds=bounds)
        assert [one["rows_read"] for one in partitions] == [10, 20, 70]

    def test_are_found_by_an_index(self, staging: Path, postgres: Postgres) -> None:
        sql = "SELECT * FROM indexed"
        bounds = Bounds([10_000, 190_000])
        conditions = [
            bounds.condition("n", Partition(number=number, count=COUNT)) for number in range(COUNT)
        ]
        with psycopg2.connect(postgres.uri()) as connection, connection.cursor() as cursor:
            cursor.execute(
                "CREATE TEMP TABLE indexed AS SELECT n, n::text AS id FROM "
                "generate_series(1, 200000) AS n;"
                "CREATE INDEX ON indexed (n); ANALYZE indexed"
            )
            plans = []
            for condition in conditions:
                cursor.execute(f"EXPLAIN SELECT * FROM ({sql}) AS divided WHERE {condition}")
                plans.append("\n".join(line for (line,) in cursor))
        # Nearly all rows are in the second one.
        assert ["Seq Scan" in plan for plan in plans] == [False, True, False]

    def test_elsewhere_stand_where_the_query_asks_for_them(self, staging: Path) -> None:
        sql = f"{TestOtherDatabases.SQL} WHERE :in_partition AND :other = 1 ORDER BY 1"
        partitions = formatted(
            sql=sql,
            conn_id="lite",
            parameters={"other": 1},
            partition_by="n",
            partition_bounds=[3, 6.5],
        )
        # Texts are above all numbers in SQLite; where there is no key, a row is in the first.
        assert [one["rows_read"] for one in partitions] == [3, 2, 2]

    def test_with_other_bounds_make_no_delivery_and_say_nothing_of_people(
        self, staging: Path
    ) -> None:
        one, two, _ = formatted(partition_bounds=["user-1", "user-2"])
        assert "user" not in one["partitioning"]
        _, _, three = formatted(partition_bounds=["user-1", "user-3"])
        with pytest.raises(AirflowFailException, match="partitioning differs between them"):
            combined([one, two, three])

    @pytest.mark.parametrize(
        ("bounds", "said"),
        [
            ([1], "partitions: 3, but partition_bounds has 1 bounds, which make 2"),
            ([2, 1], r"partition_bounds\[1\]: not above the one before"),
            (["a", "a"], r"partition_bounds\[1\]: not above the one before"),
            ([1, "2"], "partition_bounds: number and text, but only one kind"),
            ([1, None], r"partition_bounds\[1\]: None is neither a number nor a text"),
            ([1, float("nan")], r"partition_bounds\[1\]: nan is neither"),
            (["a", "b\\"], r"partition_bounds\[1\]: holds a backslash, a percent sign or"),
            ("1, 2", "partition_bounds: str, but a list is expected"),
            ([DAY, NEXT_DAY.replace(tzinfo=None)], "times with a zone and without"),
        ],
    )
    def test_that_are_none_are_refused(self, staging: Path, bounds: object, said: str) -> None:
        with pytest.raises(AirflowFailException, match=said):
            formatted(partition_bounds=bounds)

    def test_of_files_and_of_nothing_are_refused(self, staging: Path, tmp_path: Path) -> None:
        source = TestFiles.written(tmp_path / "users.parquet", ["a", "b"])
        with pytest.raises(AirflowFailException, match="rows of files are not divided by ranges"):
            formatted(source=source, partition_bounds=["a", "b"])
        with pytest.raises(
            AirflowFailException, match="partition_bounds: say what they are bounds of"
        ):
            formatted(sql=TestOtherDatabases.SQL, conn_id="lite", partition_bounds=[1, 2])

    def test_a_quotation_mark_ends_no_text(self, staging: Path) -> None:
        partitions = formatted(partition_bounds=["many' OR 'a' = 'a", "user-"])
        assert combined(partitions)["rows_read"] == 1204


class TestOverwrite:
    """Nothing says that parts replace together, so that a user is in one partition."""

    def test_by_the_id_all_rows_of_a_user_are_on_one_line(self, staging: Path) -> None:
        partitions = formatted(mode="overwrite", max_set_aside=1.0)
        assert all(one["is_by_user"] for one in partitions)
        lines = lines_of(staging, combined(partitions)["parts"])
        assert len({line.split(b"\t")[0] for line in lines}) == len(lines)

    @pytest.mark.parametrize(("expression", "is_right"), [("right(id, 1)", True), ("ctid", False)])
    def test_by_what_a_person_says_is_looked_at(
        self, staging: Path, expression: str, is_right: bool
    ) -> None:
        sql = "SELECT ctid, * FROM partitioned"
        arguments = {"sql": sql, "max_set_aside": 1.0, "partition_by": expression}
        partitions = formatted(**arguments, mode="overwrite")
        if is_right:
            assert combined(partitions)["parts"]
            return
        with pytest.raises(AirflowFailException, match=r"rows in several of them.*part by part"):
            combined(partitions)
        assert combined(formatted(**arguments))["parts"]

    def test_a_user_in_two_files_is_found(self, staging: Path, tmp_path: Path) -> None:
        folder = tmp_path / "files"
        folder.mkdir()
        for number in range(3):
            (folder / f"{number}.csv").write_text(f"id,traits\nann{number},1\n")
        arguments = {"source": f"{folder}/", "partition_by": "files", "mode": "overwrite"}
        assert combined(formatted(**arguments))["rows_written"] == 3
        (folder / "2.csv").write_text("id,traits\nann0,2\n")
        with pytest.raises(AirflowFailException, match="1 user has rows in several of them, such"):
            combined(formatted(**arguments))


def test_partitions_divided_in_different_ways_make_no_delivery(staging: Path) -> None:
    one, two, _ = formatted()
    _, _, three = formatted(partition_by="right(id, 1)")
    with pytest.raises(AirflowFailException, match="partitioning differs between them"):
        combined([one, two, three])


def test_a_query_says_where_the_condition_stands(staging: Path) -> None:
    sql = "SELECT * FROM partitioned WHERE %(in_partition)s AND id <> %(other)s ORDER BY traits"
    partitions = formatted(sql=sql, parameters={"other": "many"})
    assert combined(partitions)["rows_read"] == 1002


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
            ([one, three], r"formatted: 2 of 3 \(partition=1\) missing; nothing was staged"),
            ([one, two, two, three], r"formatted: 2 of 3 \(partition=1\) there more than once"),
            ([], "formatted: none; pass what the mapped format task returned"),
        ):
            with pytest.raises(AirflowFailException, match=said):
                combined(given)

    def test_partitions_of_two_deliveries(self, staging: Path) -> None:
        one, two, three = formatted()
        other = format_task(partitions=COUNT, partition=1, dpid=479).execute(CONTEXT)
        said = r"file_kind differs between them: .*_478\b.*_479\b"
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
                {"sql": "SELECT 1 AS id WHERE %(in_partition)s"},
                "partitions: missing, and sql asks for in_partition",
            ),
            ({"conn_id": "nobody"}, "conn_id: Airflow has no connection 'nobody'"),
            (
                {"partitions": 3, "partition": 0, "sql": "SELECT 1 AS id WHERE 1 = %(partition)s"},
                "would be lost without a trace: ask for in_partition instead",
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
