"""``make demo`` and ``make serve``, as far as no Airflow is started."""

from __future__ import annotations

import fcntl
import json
import os
import re
import socket
import subprocess
import sys
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from runpy import run_path
from typing import Any

import psycopg2
import pytest
from airflow.sdk import DAG

from airflow_am_provider.audience_manager.outbound.names import SegmentFileName
from airflow_am_provider.cli.arguments import parse
from airflow_am_provider.sandbox.profiles import Profiles
from demo import crm, play, playing, world
from demo.celery import __main__ as celery
from demo.celery.stack import Stack
from demo.deliveries import keep
from demo.local.ftp import FtpServer
from demo.local.imap import ImapServer
from demo.local.postgres import Postgres
from demo.local.processes import Process, dead, running
from demo.local.s3 import S3
from demo.sandbox import Sandbox
from demo.world import ADOBE_BUCKET, BUCKETS, SEGMENTS_BUCKET, STAGING_BUCKET

ROOT = Path(__file__).parent.parent


def refusal(*arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "demo", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert done.stdout == ""
    return done.stderr


def test_a_port_that_is_taken_is_said_in_one_sentence_before_anything_starts() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert refusal("--serve", "--port", str(port)) == (
            f"Port {port} of this machine is in use: end what listens there, or name another one, "
            f"as in make serve PORT={port + 1}.\n"
        )


def test_a_second_demo_in_the_same_folder_does_not_delete_the_first_ones_data() -> None:
    folder = os.open(ROOT / "demo", os.O_RDONLY)
    try:
        # Whoever runs these tests beside a make serve of theirs holds it already.
        with suppress(BlockingIOError):
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        assert refusal() == (
            "Another make demo, make serve, make serve-celery or make rehearse runs in this "
            "folder: end that one first.\n"
        )
    finally:
        os.close(folder)


class TestDays:
    def test_end_before_the_day_that_airflow_would_run_by_itself(self) -> None:
        days = crm.days_to_play(date(2026, 3, 3))
        assert len(days) == 14
        assert (days[0], days[-1]) == (date(2026, 2, 16), date(2026, 3, 1))

    def test_each_has_rows_of_its_own_of_customers_that_there_are(self, postgres: Postgres) -> None:
        days = crm.days_to_play(date(2026, 3, 3))
        server = NamedDatabase(postgres, "fourteen_days")
        crm.seed(server, days)
        with closing(psycopg2.connect(server.uri())) as connection, connection.cursor() as cursor:
            cursor.execute(
                "SELECT changed_at::date, min(change_id), md5(string_agg(customer_id, ',')) "
                "FROM trait_changes GROUP BY 1 ORDER BY 1"
            )
            found = cursor.fetchall()
            assert tuple(row[0] for row in found) == days
            assert len({row[2] for row in found}) == len(days)
            cursor.execute(
                "SELECT count(*) FROM web_logins LEFT JOIN customers USING (customer_id) "
                "WHERE customers.customer_id IS NULL"
            )
            assert cursor.fetchone() == (0,)


class TestPlay:
    @pytest.fixture
    def folder(self, tmp_path: Path, postgres: Postgres, s3: S3) -> Path:
        server = NamedDatabase(postgres, f"play_{tmp_path.name}")
        crm.seed(server, [])
        play.prepare(tmp_path, server.uri(), s3.environment, {"AIRFLOW_HOME": "/an airflow"})
        return tmp_path

    def test_damage_loses_most_customers_and_repair_brings_them_back(
        self, folder: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        before = customers(folder)
        assert len(before) == crm.CUSTOMERS
        assert play.main(["damage"], directory=folder) == 0
        left = customers(folder)
        assert left < before
        assert 0.25 < len(left) / len(before) < 0.4
        assert play.main(["damage"], directory=folder) == 0
        assert customers(folder) == left
        assert play.main(["repair"], directory=folder) == 0
        assert customers(folder) == before
        assert play.main(["repair"], directory=folder) == 0
        assert capsys.readouterr().out.splitlines() == [
            "Two customers in three are gone from the CRM.",
            "They are gone already. To bring them back: repair",
            "All customers are back in the CRM.",
            "Nobody is missing in the CRM.",
        ]

    def test_the_sandbox_is_stopped_and_started_as_asked_for(self, folder: Path) -> None:
        said: list[str] = []
        command = [sys.executable, "-c", "import time; time.sleep(60)"]
        with Sandbox(
            command=command, environment={}, log=folder / "log", profiles=folder / "none"
        ) as sandbox:
            playing.follow(sandbox, folder, said.append)
            assert (sandbox.is_running, said) == (True, [])
            play.main(["stop-sandbox"], directory=folder)
            for _ in range(2):
                playing.follow(sandbox, folder, said.append)
            assert not sandbox.is_running
            play.main(["start-sandbox"], directory=folder)
            for _ in range(2):
                playing.follow(sandbox, folder, said.append)
            assert sandbox.is_running
        assert [sentence.partition(":")[0] for sentence in said] == [
            "the sandbox is stopped",
            "the sandbox is started",
        ]

    def test_segments_are_sent_to_where_the_example_looks(
        self, folder: Path, s3: S3, capsys: pytest.CaptureFixture[str]
    ) -> None:
        with Profiles(folder / "sandbox.sqlite"):
            pass
        s3.create_bucket(SEGMENTS_BUCKET)
        for _ in range(2):
            assert play.main(["segments"], directory=folder) == 0
        said = capsys.readouterr().out.split("Audience Manager has sent the batch ")
        assert len({name.strip() for name in said if name}) == 2
        example = run_path(str(ROOT / "dags" / "audience_manager_outbound.py"))
        _, _, prefix = example["LOCATION"].partition(f"s3://{SEGMENTS_BUCKET}/")
        client = s3.client()
        listed = client.list_objects_v2(Bucket=SEGMENTS_BUCKET, Prefix=f"{prefix}/")
        for entry in listed["Contents"]:
            client.delete_object(Bucket=SEGMENTS_BUCKET, Key=entry["Key"])
        found = {
            SegmentFileName.parse(entry["Key"].rpartition("/")[2], timestamp_digits=13).destination
            for entry in listed["Contents"]
            if not entry["Key"].endswith(".info")
        }
        assert found == {example["DESTINATION"]}

    def test_segments_that_cannot_be_sent_are_no_success(
        self, folder: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert play.main(["segments"], directory=folder) == 1
        said = capsys.readouterr()
        assert said.out == ""
        assert "No segments were sent: " in said.err
        assert "sandbox.sqlite" in said.err

    def test_a_shell_finds_what_the_commands_of_the_page_need(self, folder: Path, s3: S3) -> None:
        shell = folder / "shell.sh"
        assert shell.stat().st_mode & 0o777 == 0o600  # it has passwords
        script = f'. {shell}; echo "$AIRFLOW_HOME" "$AWS_ENDPOINT_URL"; command -v airflow-am'
        said = subprocess.check_output(["bash", "-euc", script], text=True).splitlines()
        assert said == [
            f"/an airflow {s3.endpoint_url}",
            str(Path(sys.executable).parent / "airflow-am"),
        ]

    def test_the_first_batch_is_of_the_day_that_the_example_runs_for(self) -> None:
        morning, evening = (datetime(2026, 3, 3, hour, 30, tzinfo=UTC) for hour in (9, 21))
        assert play.batch_time(True, morning) == datetime(2026, 3, 2, 14, tzinfo=UTC)
        assert play.batch_time(True, evening) == datetime(2026, 3, 3, 14, tzinfo=UTC)
        assert play.batch_time(False, morning) == morning

    def test_without_make_serve_one_sentence_says_so(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert play.main(["damage"], directory=tmp_path) == 1
        assert capsys.readouterr().err == "No make serve runs in this folder: start it first.\n"


class TestWhatIsSaid:
    days = playing.Days(all=crm.days_to_play(date(2026, 3, 3)))

    def test_names_commands_and_dags_that_there_are(self) -> None:
        text = playing.try_this(self.days)
        commands = re.findall(r"-m demo\.play (\S+)", text)
        assert set(commands) == set(play.COMMANDS)
        named = set(re.findall(r"audience_manager_\w+", text))
        assert named <= {path.stem for path in (ROOT / "dags").glob("*.py")}
        assert "12 days are unsent: 2026-02-18 to 2026-03-01" in text

    def test_the_days_stand_in_the_docs_of_dags_and_nothing_daily_is_scheduled(self) -> None:
        settings: dict[str, Any] = {}
        exec(playing.policies(self.days, ["audience_manager_daily"]), settings)
        start = datetime(2026, 1, 1, tzinfo=UTC)
        daily = DAG("audience_manager_daily", start_date=start, schedule="@daily", doc_md="Of old.")
        other = DAG("audience_manager_feed", start_date=start, schedule="@daily")
        approval = DAG("audience_manager_approval", start_date=start, schedule="@daily")
        for dag in (daily, other, approval):
            settings["dag_policy"](dag)
        assert daily.doc_md is not None
        assert "data on the days from 2026-02-16 to 2026-03-01" in daily.doc_md
        assert "2026-02-16 and 2026-02-17 are sent" in " ".join(daily.doc_md.split())
        assert daily.doc_md.endswith("Of old.")
        assert daily.end_date == datetime(2026, 3, 1, tzinfo=UTC)
        assert (other.doc_md or "", other.end_date) == ("", None)
        assert "demo.play damage" in str(approval.doc_md)
        assert approval.end_date is None

    def test_a_part_that_died_is_told_of_once(self, tmp_path: Path) -> None:
        said: list[str] = []
        told: set[Process] = set()
        command = [sys.executable, "-c", "print('out of memory'); raise SystemExit(3)"]
        with running("Airflow's triggerer", command, log=tmp_path / "log") as process:
            assert process.watchdog.wait(timeout=20) == 3
            for _ in range(2):
                playing.tell_of_the_dead(told, said.append, "make serve")
        (sentence,) = said
        assert "Airflow's triggerer ended with exit status 3" in sentence
        assert "out of memory" in sentence
        assert process not in dead()


def test_each_connection_has_a_port_or_the_uis_test_of_it_is_refused(tmp_path: Path) -> None:
    connections = world._connections(
        Postgres(port=20_001),
        S3(endpoint_url="http://127.0.0.1:20002"),
        FtpServer(port=20_003, root=tmp_path, faults=tmp_path),
        ImapServer(port=20_004),
    )
    assert {name for name, one in connections.items() if not isinstance(one["port"], int)} == set()


class TestServeCelery:
    def test_without_redis_one_sentence_says_what_to_install(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setattr(celery, "redis_programs", dict)
        monkeypatch.setattr(sys, "argv", ["demo.celery"])
        assert celery.main() == 1
        (sentence,) = capsys.readouterr().err.splitlines()
        assert sentence.startswith("Celery needs Redis, and this machine has no redis-server")

    def test_the_ui_is_at_the_port_that_is_asked_for(self, tmp_path: Path) -> None:
        stack = Stack(tmp_path, Postgres(port=20_001), port=8081)
        api_server = stack.services["api-server"]
        assert stack.command_of(api_server)[-3:] == ["127.0.0.1", "--port", "8081"]
        found = stack.environment(api_server)
        assert found["AIRFLOW__API__BASE_URL"] == "http://localhost:8081"
        assert found["AIRFLOW__CORE__EXECUTION_API_SERVER_URL"] == f"{stack.url}/execution/"
        assert "@127.0.0.1:20001/airflow" in str(found["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"])

    def test_what_is_said_names_dags_and_options_that_there_are(self, tmp_path: Path) -> None:
        text = celery.try_this(Stack(tmp_path, Postgres(port=20_001)))
        named = set(re.findall(r"audience_manager_\w+", text))
        assert named <= {path.stem for path in (ROOT / "dags").glob("*.py")}
        (command,) = re.findall(r"airflow-am (sandbox .*\n.*)", text)
        assert parse(command.replace("\\\n", " ").split()) is not None


def test_folders_are_as_the_buckets_are(s3: S3, tmp_path: Path) -> None:
    client = s3.client()
    for bucket in BUCKETS:
        s3.create_bucket(bucket)
    try:
        client.put_object(Bucket=ADOBE_BUCKET, Key="acme/a", Body=b"old")
        client.put_object(Bucket=ADOBE_BUCKET, Key="acme/gone", Body=b"")
        keep(s3, tmp_path)
        assert (tmp_path / ADOBE_BUCKET / "acme" / "gone").exists()
        client.put_object(Bucket=ADOBE_BUCKET, Key="acme/a", Body=b"new")
        client.put_object(Bucket=STAGING_BUCKET, Key="b", Body=b"b")
        client.delete_object(Bucket=ADOBE_BUCKET, Key="acme/gone")
        keep(s3, tmp_path)
        found = {path for path in tmp_path.rglob("*") if path.is_file()}
        assert {path.relative_to(tmp_path).as_posix(): path.read_bytes() for path in found} == {
            f"{ADOBE_BUCKET}/acme/a": b"new",
            f"{STAGING_BUCKET}/b": b"b",
        }
    finally:
        for bucket, key in ((ADOBE_BUCKET, "acme/a"), (STAGING_BUCKET, "b")):
            client.delete_object(Bucket=bucket, Key=key)


@dataclass(frozen=True)
class NamedDatabase:
    """A server whose databases get a name of the test's own in place of the CRM's."""

    server: Postgres
    name: str

    def create_database(self, _: str) -> str:
        return self.server.create_database(self.name)

    def uri(self, _: str = "") -> str:
        return self.server.uri(self.name)


def customers(folder: Path) -> set[str]:
    uri = json.loads((folder / "play.json").read_text())["crm"]
    with closing(psycopg2.connect(uri)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT customer_id FROM customers")
        return {row[0] for row in cursor}
