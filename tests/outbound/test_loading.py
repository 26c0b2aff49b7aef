"""Batches into Parquet and tables: all of a batch or nothing, each once, in any order the same."""

import gzip
import io
import json
import random
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock
from uuid import uuid4

import pyarrow.parquet as pq
import pytest
from airflow.providers.amazon.aws.hooks.redshift_sql import RedshiftSQLHook
from airflow.providers.common.sql.hooks.sql import DbApiHook
from airflow.providers.postgres.hooks.postgres import PostgresHook
from airflow.providers.sqlite.hooks.sqlite import SqliteHook

from airflow_am_provider.audience_manager.errors import (
    ConfigurationError,
    DataError,
    TransientError,
)
from airflow_am_provider.audience_manager.outbound.line_templates import LineTemplate
from airflow_am_provider.outbound.batches import Batch
from airflow_am_provider.outbound.dialects import dialect_of
from airflow_am_provider.outbound.layout import Layout
from airflow_am_provider.outbound.parquet import load_into_parquet, loaded_report
from airflow_am_provider.outbound.statements import Statements, Tables
from airflow_am_provider.outbound.table import catch_up, load_into_table
from airflow_am_provider.storage import LocalFolder
from tests.outbound.databases import run
from tests.outbound.mysql_hook import DRIVERS, MysqlHook
from tests.outbound.senders import FIRST_DAY, Sender

Lines = dict[str, tuple[set[int], set[int]]]


def text_of(lines: Lines) -> str:
    rows = []
    for user, (added, removed) in lines.items():
        row = f"{user} {','.join(map(str, sorted(added)))}"
        rows.append(f"{row}  {','.join(map(str, sorted(removed)))}" if removed else row)
    return "".join(f"{row}\n" for row in rows)


@pytest.fixture
def target(tmp_path: Path) -> LocalFolder:
    return LocalFolder(str(tmp_path / "loaded"))


def test_lines_read_are_rows_loaded_and_lines_set_aside(
    sender: Sender, target: LocalFolder, tmp_path: Path
) -> None:
    root = sender.send(0, "full", "A 1,2\nB x\n", "C 3  4\n\n")
    counts = load_into_parquet(sender.inbox, sender.batch(root), target).counts
    assert (counts.lines_read, counts.lines_loaded, counts.set_aside.total()) == (4, 2, 2)
    path = f"loaded/1234/2026-01-21/{root}"
    rows = pq.read_table(tmp_path / f"{path}.parquet").to_pylist()
    assert rows[1] == {
        "user_id": "C",
        "id_dpid": 20914,
        "segments": [3],
        "removed_segments": [4],
        "destination": 1234,
        "mode": "full",
        "batch_time": datetime(2026, 1, 21, tzinfo=UTC),
        "batch": root,
    }
    rejects = (tmp_path / f"{path}.rejects.csv").read_text().splitlines()
    assert [line.split(",")[:2] for line in rejects[1:]] == [
        [f"{root}.sync.gz", "2"],
        [f"{root}001.sync.gz", "2"],
    ]


def test_header_lines_are_no_rows(sender: Sender, target: LocalFolder) -> None:
    root = sender.send(0, "full", "UUID segments\n\nA 1\n")
    counts = load_into_parquet(
        sender.inbox, sender.batch(root), target, Layout(header_lines=2)
    ).counts
    assert (counts.lines_read, counts.lines_loaded, counts.header_lines) == (1, 1, 2)


@pytest.mark.parametrize("header_lines", [0, 1])
def test_a_byte_order_mark_is_of_no_id(
    sender: Sender, target: LocalFolder, header_lines: int
) -> None:
    lines = "UUID segments\n" * header_lines + "A 1\n"
    root = sender.send(0, "full", f"\ufeff{lines}", f"\ufeff{lines}")
    layout = Layout(header_lines=header_lines)
    report = load_into_parquet(sender.inbox, sender.batch(root), target, layout)
    assert pq.read_table(report.url).column("user_id").to_pylist() == ["A", "A"]


@pytest.mark.parametrize(
    "files",
    [
        ("B  3  4\nA 1 2\nC  5\n",),
        ("A 1 2\nC  5\n", "B  3  4\n"),
        ("C  5\nB 3  4\n",),
        ("A 1 2\n" + "C  5\n" * 300_000 + "B  3  4\n",),
    ],
    ids=["in a file", "in two files", "in a line", "far apart"],
)
def test_lines_whose_spaces_contradict_each_other_are_not_guessed_at(
    sender: Sender, target: LocalFolder, files: tuple[str, ...]
) -> None:
    batch = sender.batch(sender.send(0, "full", *files))
    with pytest.raises(DataError, match=r"1 and 2 spaces between fields.*separator_spaces"):
        load_into_parquet(sender.inbox, batch, target)
    report = load_into_parquet(sender.inbox, batch, target, Layout(separator_spaces=1))
    assert report.counts.lines_set_aside == 0


def test_spaces_that_contradict_each_other_are_nothing_where_no_line_depends_on_them(
    sender: Sender, target: LocalFolder
) -> None:
    batch = sender.batch(sender.send(0, "full", "B  3  4\nA 1 2\nC 5\n"))
    assert load_into_parquet(sender.inbox, batch, target).counts.lines_loaded == 3


def test_a_wrong_checksum_loads_nothing_and_may_go_better_later(
    sender: Sender, target: LocalFolder
) -> None:
    root = sender.send(0, "full", "A 1\n", md5="0" * 32)
    with pytest.raises(TransientError, match="not the checksum"):
        load_into_parquet(sender.inbox, sender.batch(root), target)
    assert list(target.list()) == []


def test_a_checksum_that_can_be_none_is_told(sender: Sender, target: LocalFolder) -> None:
    root = sender.send(0, "full", "A 1\n", md5="983g634be2ad5263c6a6c4958bf61d9f")
    assert load_into_parquet(sender.inbox, sender.batch(root), target).counts.unchecked == 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"SEQ\x06....", "SequenceFile"),
        (gzip.compress(b"A 1\n" * 9_000, mtime=0)[:-20], "no whole gzip"),
    ],
    ids=["sequence file", "half a gzip file"],
)
def test_what_is_no_text_is_said(
    sender: Sender, target: LocalFolder, content: bytes, message: str
) -> None:
    root = f"S3_1_2_full_{FIRST_DAY}"
    name = f"{root}.sync" if content.startswith(b"SEQ") else f"{root}.sync.gz"
    (sender.folder / name).write_bytes(content)
    said = {"Files": [{"FileName": name, "FileByteSize": len(content)}]}
    (sender.folder / f"{root}.info").write_text(json.dumps(said))
    with pytest.raises(DataError, match=message):
        load_into_parquet(sender.inbox, sender.batch(root), target)
    assert list(target.list()) == []


def zipped(**files: bytes) -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return held.getvalue()


def zip_batch(sender: Sender, content: bytes) -> Batch:
    root = f"S3_1_2_full_{FIRST_DAY}"
    (sender.folder / f"{root}.sync.zip").write_bytes(content)
    said = {"FileName": f"{root}.sync.zip", "FileByteSize": len(content)}
    (sender.folder / f"{root}.info").write_text(json.dumps({"Files": [said]}))
    return sender.batch(root)


def test_zip_files_are_read(sender: Sender, target: LocalFolder, tmp_path: Path) -> None:
    batch = zip_batch(sender, zipped(a=b"A 1\n" * 100_000 + b"B 2"))
    report = load_into_parquet(sender.inbox, batch, target)
    assert (report.counts.lines_read, report.counts.lines_loaded) == (100_001, 100_001)
    assert pq.read_table(tmp_path / "loaded").num_rows == 100_001


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (zipped(a=b"A 1\n", b=b"B 2\n"), "has 2 files inside"),
        (zipped(), "has 0 files inside"),
        (zipped(a=b"A 1\n" * 9_000)[:-30], "no whole zip file"),
        (zipped(a=b"A 1\n").replace(b"PK\x03\x04", b"PK\x03\x05"), "no whole zip file"),
    ],
    ids=["two", "none", "cut", "broken"],
)
def test_what_is_no_right_zip_file_is_said(
    sender: Sender, target: LocalFolder, content: bytes, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        load_into_parquet(sender.inbox, zip_batch(sender, content), target)
    assert list(target.list()) == []


def test_lines_by_a_template_have_its_columns(sender: Sender, target: LocalFolder) -> None:
    root = sender.send(0, "full", "123\tA\t7|8\t9\nbad\n", "124\tB\t\t\n")
    text = '<UUID><TAB><DP_UUID><TAB><SEGMENT_LIST;separator="|"><TAB><TRAIT_LIST;separator="|">'
    layout = Layout(template=LineTemplate.parse(text))
    report = load_into_parquet(sender.inbox, sender.batch(root), target, layout)
    assert (report.counts.lines_read, report.counts.lines_loaded) == (3, 2)
    rows = pq.read_table(report.url).select(
        ["user_id", "segments", "removed_segments", "aam_uuid", "traits"]
    )
    assert rows.to_pylist() == [
        {
            "user_id": "A",
            "segments": [7, 8],
            "removed_segments": [],
            "aam_uuid": "123",
            "traits": [9],
        },
        {"user_id": "B", "segments": [], "removed_segments": [], "aam_uuid": "124", "traits": []},
    ]


def test_a_batch_sent_again_replaces_its_own_rows(
    sender: Sender, target: LocalFolder, tmp_path: Path
) -> None:
    root = sender.send(0, "full", "A 1\nB x\n")
    first = sender.batch(root)
    load_into_parquet(sender.inbox, first, target)
    assert loaded_report(target, first)["version"] == first.version
    sender.send(0, "full", "A 2\n")
    second = sender.batch(root)
    assert loaded_report(target, second)["version"] != second.version
    load_into_parquet(sender.inbox, second, target)
    assert [file.path for file in target.list()] == [f"1234/2026-01-21/{root}.parquet"]
    rows = pq.read_table(tmp_path / "loaded").column("segments").to_pylist()
    assert rows == [[2]]


@pytest.fixture(params=["sqlite", "postgres", *(["mysql", "load data"] if DRIVERS else [])])
def hook(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> DbApiHook:
    conn_id = f"warehouse_{uuid4().hex[:8]}"
    if request.param in ("mysql", "load data"):
        port = request.getfixturevalue("mysql_port")
        return MysqlHook(port, conn_id, local_infile=request.param == "load data")
    if request.param == "sqlite":
        document: dict[str, Any] = {"conn_type": "sqlite", "host": str(tmp_path / "w.sqlite")}
    else:
        postgres = request.getfixturevalue("postgres")
        database = f"outbound_{uuid4().hex[:8]}"
        postgres.create_database(database)
        document = postgres.airflow_connection(database)
    monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps(document))
    kind: Callable[..., DbApiHook] = SqliteHook if request.param == "sqlite" else PostgresHook
    return kind(conn_id)


TABLES = Tables(rows="segments", current="current_segments")


def rows_of(hook: DbApiHook, statement: str) -> list[tuple[Any, ...]]:
    with closing(hook.get_conn()) as connection:
        cursor = connection.cursor()
        cursor.execute(statement)
        return [tuple(row) for row in cursor.fetchall()]


def current_of(hook: DbApiHook) -> set[tuple[str, int]]:
    found = rows_of(hook, "SELECT user_id, segment FROM current_segments WHERE until IS NULL")
    return {(user, segment) for user, segment in found}


def load(sender: Sender, hook: DbApiHook, root: str) -> None:
    load_into_table(sender.inbox, sender.batch(root), hook, TABLES)


def test_rows_of_a_table_are_the_batchs(sender: Sender, hook: DbApiHook) -> None:
    root = sender.send(0, "full", 'A 1,2\n"quoted" 5\n', "B 3  4\nbad\n")
    report = load_into_table(sender.inbox, sender.batch(root), hook, TABLES)
    assert (report.counts.lines_read, report.counts.lines_loaded) == (4, 3)
    said = "SELECT user_id, segments, removed_segments, batch FROM segments ORDER BY segments"
    assert rows_of(hook, said) == [
        ("A", "1,2", "", root),
        ("B", "3", "4", root),
        ('"quoted"', "5", "", root),
    ]
    assert current_of(hook) == {("A", 1), ("A", 2), ("B", 3), ('"quoted"', 5)}


def test_a_table_has_the_columns_of_a_template(sender: Sender, hook: DbApiHook) -> None:
    root = sender.send(0, "full", "A;7;x,y\nB;;z\n")
    text = '<UUID>;<SEGMENT_LIST;separator="|">;<DP_UUID_LIST;separator=",">'
    layout = Layout(template=LineTemplate.parse(text))
    load_into_table(sender.inbox, sender.batch(root), hook, TABLES, layout)
    said = "SELECT user_id, segments, other_ids FROM segments ORDER BY user_id"
    assert rows_of(hook, said) == [("A", "7", "x,y"), ("B", "", "z")]
    assert current_of(hook) == {("A", 7)}


def test_a_load_that_breaks_leaves_nothing(sender: Sender, hook: DbApiHook) -> None:
    first = sender.send(0, "full", "A 1\n")
    load(sender, hook, first)
    second = sender.send(1, "iter", "A 2\n" * 50_000, "B 3\n", md5="0" * 32)
    with pytest.raises(TransientError, match="not the checksum"):
        load(sender, hook, second)
    assert rows_of(hook, "SELECT batch FROM segments") == [(first,)]
    assert rows_of(hook, "SELECT batch FROM segments_batches") == [(first,)]
    assert current_of(hook) == {("A", 1)}


def days(seed: int) -> Iterator[tuple[int, str, Lines, set[tuple[str, int]]]]:
    """Batches of some days, and what is current after each, by a plain set."""
    chance = random.Random(seed)
    current: set[tuple[str, int]] = set()
    users = [f"user-{number}" for number in range(6)]
    for day in range(6):
        mode = "full" if day == 0 or chance.random() < 0.3 else "iter"
        lines: Lines = {}
        for user in users:
            added = {number for number in range(1, 5) if chance.random() < 0.4}
            removed = {number for number in range(1, 5) if chance.random() < 0.3} - added
            if added and chance.random() < 0.7:
                lines[user] = (added, removed)
        if mode == "full":
            current = set()
        for user, (added, removed) in lines.items():
            current -= {(user, segment) for segment in removed}
            current |= {(user, segment) for segment in added}
        yield day, mode, lines, set(current)


@pytest.mark.parametrize("seed", range(4))
def test_days_loaded_in_any_order_give_the_same_current_table(
    sender: Sender, hook: DbApiHook, seed: int
) -> None:
    made = list(days(seed))
    roots = [sender.send(day, mode, text_of(lines)) for day, mode, lines, _ in made]
    for root in roots:
        load(sender, hook, root)
    in_order = sorted(rows_of(hook, "SELECT * FROM current_segments"), key=str)
    assert current_of(hook) == made[-1][3]
    shuffled = [*roots, *roots[:2]]
    random.Random(seed).shuffle(shuffled)
    with closing(hook.get_conn()) as connection:
        for table in ("segments", "segments_batches", "current_segments"):
            connection.cursor().execute(f"DELETE FROM {table}")
        connection.commit()
    for root in shuffled:
        load(sender, hook, root)
    assert sorted(rows_of(hook, "SELECT * FROM current_segments"), key=str) == in_order


WITHOUT = Tables(rows="segments")


def test_a_current_table_takes_in_what_was_loaded_without_it(
    sender: Sender, hook: DbApiHook, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    first = sender.send(0, "full", "A 1\nB 2\n")
    second = sender.send(1, "iter", "A 3  1\n")
    load_into_table(sender.inbox, sender.batch(first), hook, WITHOUT)
    load(sender, hook, second)
    expected = {("A", 3), ("B", 2)}
    assert current_of(hook) == expected
    assert (
        "current_segments (destination 1234, IDs of 20914): made anew from the rows of 2 batches "
        "in segments, as it lacked some of them" in caplog.messages
    )
    # Nothing new has come, and the table is gone, empty, or lacks what another task has loaded.
    for undone in ("DROP TABLE current_segments", "DELETE FROM current_segments"):
        run(hook, undone)
        catch_up(hook, TABLES)
        assert current_of(hook) == expected
    third = sender.send(2, "iter", "B 4  2\n")
    load_into_table(sender.inbox, sender.batch(third), hook, WITHOUT)
    catch_up(hook, TABLES, destination=99)
    assert current_of(hook) == expected
    catch_up(hook, TABLES)
    assert current_of(hook) == {("A", 3), ("B", 4)}
    caplog.clear()
    catch_up(hook, TABLES)
    assert caplog.messages == []


def test_batches_in_which_nobody_is_in_a_segment_are_taken_in_once(
    sender: Sender, hook: DbApiHook, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    load(sender, hook, sender.send(0, "iter", ""))
    load(sender, hook, sender.send(1, "iter", "A 1 2\nB  2\n"))
    run(hook, "DELETE FROM current_segments WHERE user_id = 'A'")
    load(sender, hook, sender.send(2, "full", ""))
    (told,) = [one for one in caplog.messages if "made anew" in one]
    assert "from the rows of 3 batches in segments, as it lacked some of them" in told
    assert current_of(hook) == set()


def test_ids_of_another_kind_stay_as_they_are(sender: Sender, hook: DbApiHook) -> None:
    for dpid in (20914, 20915, ""):
        load(sender, hook, sender.send(0, "full", f"x 1,2\nuser-{dpid} 1\n", dpid=dpid))
    load(sender, hook, sender.send(1, "full", "x 1\n", dpid=20915))
    load(sender, hook, sender.send(1, "iter", "x 9  1\n", dpid=""))
    said = "SELECT id_dpid, user_id, segment FROM current_segments WHERE until IS NULL"
    assert set(rows_of(hook, said)) == {
        *[(20914, "x", 1), (20914, "x", 2), (20914, "user-20914", 1)],
        (20915, "x", 1),
        *[(0, "x", 2), (0, "x", 9), (0, "user-", 1)],
    }


def test_tables_of_an_earlier_version_are_taken_over(sender: Sender, hook: DbApiHook) -> None:
    for dpid in (20914, 20915):
        root = sender.send(0, "full", "x 1\n", dpid=dpid)
        load_into_table(sender.inbox, sender.batch(root), hook, WITHOUT)
    run(
        hook,
        "ALTER TABLE segments_batches DROP COLUMN id_dpid",
        "ALTER TABLE segments_batches DROP COLUMN current_table",
        "CREATE TABLE current_segments (destination BIGINT, user_id VARCHAR(9), segment BIGINT, "
        "since VARCHAR(40), until VARCHAR(40))",
    )
    with pytest.raises(ConfigurationError, match=r"has no column id_dpid\. If an earlier"):
        catch_up(hook, TABLES)
    run(hook, "DROP TABLE current_segments")
    load(sender, hook, sender.send(1, "full", "y 2\n", dpid=20915))
    catch_up(hook, TABLES)
    assert current_of(hook) == {("x", 1), ("y", 2)}


def test_a_batch_of_no_known_mode_does_not_come_into_a_current_table(
    sender: Sender, hook: DbApiHook
) -> None:
    root = sender.send(0, "other", "A 1\n")
    with pytest.raises(DataError, match="neither full nor iter"):
        load(sender, hook, root)
    load_into_table(sender.inbox, sender.batch(root), hook, WITHOUT)
    with pytest.raises(DataError, match="set sync_mode='full' or 'iter'"):
        catch_up(hook, TABLES)
    assert rows_of(hook, "SELECT COUNT(*) FROM segments") == [(1,)]


@pytest.mark.parametrize("hook", ["postgres"], indirect=True)
def test_a_name_that_postgresql_would_cut_off_is_refused(hook: DbApiHook) -> None:
    with pytest.raises(ConfigurationError, match="has 64 characters, and the database takes 63"):
        catch_up(hook, Tables(rows="s" * 56, current="c"))
    catch_up(hook, Tables(rows="s" * 55, current="c" * 63))


@pytest.mark.parametrize("hook", ["postgres"], indirect=True)
def test_loads_at_once_wait_for_each_other(sender: Sender, hook: DbApiHook) -> None:
    def both(roots: list[str]) -> None:
        batches = [sender.batch(root) for root in roots]
        with ThreadPoolExecutor(len(batches)) as threads:
            loads = [
                threads.submit(load_into_table, sender.inbox, batch, hook, TABLES)
                for batch in batches
            ]
            for one in loads:
                one.result()

    both([sender.send(day, "iter", "A 1\n") for day in range(4)])  # they make the tables
    again = sender.batch(sender.send(0, "iter", "A 1\n"))
    asked = (sender.inbox, again, hook, TABLES)
    assert load_into_table(*asked) is not None
    assert load_into_table(*asked, loads_again=False) is None
    both([sender.send(4 + day, "iter", f"B {day}\n" * 2_000) for day in range(4)])
    assert rows_of(hook, "SELECT COUNT(*) FROM segments") == [(8_004,)]
    assert current_of(hook) == {("A", 1), *[("B", day) for day in range(4)]}


def test_an_older_batch_sent_again_with_other_content_is_seen_through(
    sender: Sender, hook: DbApiHook
) -> None:
    load(sender, hook, sender.send(0, "full", "A 1\nB 1\n"))
    load(sender, hook, sender.send(1, "iter", "A 2\n"))
    load(sender, hook, sender.send(0, "full", "A 3\n"))
    assert current_of(hook) == {("A", 3), ("A", 2)}


@pytest.mark.parametrize(
    ("hook", "connection"),
    [
        (RedshiftSQLHook, {"conn_type": "redshift"}),
        (PostgresHook, {"conn_type": "postgres", "extra": {"iam": True, "redshift": True}}),
    ],
    ids=["its own hook", "that of PostgreSQL"],
)
def test_redshift_gets_no_statement_that_postgresql_alone_knows(
    hook: type[DbApiHook], connection: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_REDSHIFT", json.dumps({"host": "a.b", **connection}))
    cursor = MagicMock(spec=["execute", "fetchall", "description"], description=None)
    dialect = dialect_of(hook("redshift"))
    statements = Statements(cursor, dialect, Tables(rows="segments"))
    statements.make_tables()
    statements.lock()
    said = [call.args[0] for call in cursor.execute.call_args_list]
    assert said[-1] == "LOCK segments_batches"
    assert not any(word in one for one in said for word in (" TEXT", "INDEX", "TIMESTAMPTZ"))
    assert not dialect.is_known  # whether it can roll back is tried
