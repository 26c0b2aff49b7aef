"""``airflow-am sandbox`` as a user runs it."""

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from airflow_am_provider.audience_manager.receipts.text import COUNT_LABELS
from airflow_am_provider.hooks.audience_manager_api import AudienceManagerApiHook
from airflow_am_provider.sandbox import Profiles
from airflow_am_provider.sandbox.command import add_arguments, run
from tests.sandbox.conftest import T, uuid

CODE = (
    "import argparse, sys; from airflow_am_provider.sandbox.command import add_arguments, run; "
    "parser = argparse.ArgumentParser(); add_arguments(parser); sys.exit(run(parser.parse_args()))"
)
NAME = f"ftp_dpm_478_{T}.sync"


def sandbox(*arguments: str | Path) -> int:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return run(parser.parse_args([str(argument) for argument in arguments]))


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    folder = tmp_path / "inbox"
    folder.mkdir()
    (folder / f"adobe_id_0_478_{T}.sync").write_text(f"{uuid(1)}\tann\n")
    (folder / NAME).write_text("ann\td_sid=24,d_sid=9,city=Rome\nbob\td_sid=1\n")
    return folder


def test_a_dry_run_takes_answers_and_ends(
    inbox: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status = sandbox(
        "--inbox", inbox, "--database", tmp_path / "db", "--mail", tmp_path / "mail", "--once",
        "--json",
    )  # fmt: skip

    output = capsys.readouterr().out
    events = [json.loads(line) for line in output.splitlines()]
    assert status == 0
    assert [event["event"] for event in events] == [
        "started", "file_taken", "file_taken", "receipt_made", "receipt_made", "receipt_sent",
        "receipt_sent", "ended",
    ]  # fmt: skip
    assert list(events[2]["totals"]) == list(COUNT_LABELS)
    assert events[2]["totals"]["stored_records"] == 1
    assert len(list((tmp_path / "mail").iterdir())) == 2
    assert not any(user_id in output for user_id in ("ann", "bob", uuid(1)))


def test_a_file_that_is_not_taken_fails_a_dry_run(
    inbox: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (inbox / "customers.csv").write_text("x")

    assert sandbox("--inbox", inbox, "--database", tmp_path / "db", "--once") == 1
    assert "file ignored" in capsys.readouterr().out


def test_only_who_runs_it_reads_the_database(inbox: Path, tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        sandbox("--inbox", inbox, "--database", tmp_path / "db", "--once")
    finally:
        os.umask(before)
    assert {path.stat().st_mode & 0o777 for path in tmp_path.glob("db*")} == {0o600}


def test_the_profile_of_a_user_is_printed(
    inbox: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    database = tmp_path / "db"
    sandbox("--inbox", inbox, "--database", database, "--once")
    capsys.readouterr()

    assert sandbox("profile", "--database", database, "--dpid", "478", "--id", "ann") == 0
    text = capsys.readouterr().out
    assert sandbox("--json", "--database", database, "profile", "--dpid", "478", "--id", "ann") == 0
    found = json.loads(capsys.readouterr().out)

    assert text.splitlines()[0].split() == ["traits", "9,", "24"]
    assert found == {
        "dpid": 478,
        "id": "ann",
        "traits": ["9", "24"],
        "traits_with_linked_ids": ["9", "24"],
        "signals": [["city", "Rome"]],
        "devices": [[0, uuid(1)]],
        "hashed_emails": [],
    }


def test_settings_of_the_account_reach_the_sandbox(inbox: Path, tmp_path: Path) -> None:
    database = tmp_path / "db"
    status = sandbox(
        "--inbox", inbox, "--database", database, "--once", "--cross-device", "478",
        "--traits", "478:1,9", "--rule", "478:city=Rome:77", "--behaviour", "markers=false",
        "--trait-ttl", "30", "--trait-ttl", "9:0",
    )  # fmt: skip

    assert status == 0
    with Profiles(database) as profiles:
        assert profiles.traits(478, "ann") == {"9", "77"}
        assert profiles.traits(478, "bob") == {"1"}


def test_the_api_beside_it_tells_the_times_that_its_clock_goes_by(
    inbox: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_AM_SANDBOX_API_SECRET", "planted")
    command = [
        sys.executable, "-c", CODE, "--inbox", str(inbox), "--database", str(tmp_path / "db"),
        "--traits", "478:1,9,24", "--trait-ttl", "30", "--trait-ttl", "9:0", "--api", "0", "--json",
    ]  # fmt: skip
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        started = json.loads(process.stdout.readline())
        connection = {
            "conn_type": "audience_manager_api",
            "host": started["api"],
            "login": "client",
            "password": "planted",
            "extra": {"scope": "openid", "token_url": started["tokens"]},
        }
        monkeypatch.setenv("AIRFLOW_CONN_SANDBOX_API", json.dumps(connection))
        found = AudienceManagerApiHook("sandbox_api").traits([478])
        process.terminate()
    assert {trait.sid: trait.ttl_days for trait in found} == {1: 30, 9: 0, 24: 30}


def test_no_api_without_a_secret_of_ones_own(
    inbox: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert sandbox("--inbox", inbox, "--database", tmp_path / "db", "--api", "0", "--once") == 2
    assert "--api: the client secret is missing; set AIRFLOW_AM_SANDBOX_API_SECRET" in (
        capsys.readouterr().err
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "--inbox and --database are needed"),
        (["--inbox", ".", "--database", "db", "--poll-interval", "0"], "--poll-interval 0.0:"),
        (["--inbox", ".", "--database", "db", "--traits", "478"], "--traits '478': DPID:TRAIT"),
        (
            ["--inbox", ".", "--database", "db", "--trait-ttl", "1:soon"],
            "--trait-ttl '1:soon': DAYS",
        ),
        (["--inbox", ".", "--database", "db", "--rule", "478:a:1"], "--rule '478:a:1': DPID:KEY"),
        (["--inbox", ".", "--database", "db", "--rule", "478:a=b:x"], "signal rule a=b: trait 'x'"),
        (["profile", "--dpid", "1", "--id", "a"], "--database None: there is no such file"),
        (["--inbox", "/nowhere", "--database", "db"], "inbox '/nowhere': there is no such folder"),
    ],
)
def test_wrong_use_is_told_in_one_sentence(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)

    assert sandbox(*arguments) == 2
    assert capsys.readouterr().err.startswith(f"airflow-am sandbox: {message}")
    assert list(tmp_path.iterdir()) == []


class Service:
    """The sandbox as a process, which keeps its database and can be killed."""

    def __init__(self, inbox: Path, directory: Path) -> None:
        self.database, self.mail = directory / "db", directory / "mail"
        self._command = [sys.executable, "-c", CODE, "--inbox", str(inbox), "--json"]
        self._command += ["--database", str(self.database), "--mail", str(self.mail)]
        self._command += ["--poll-interval", "0.05", "--behaviour", "quiet_s=0.3"]
        self.process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        self.process = subprocess.Popen(self._command, stdout=subprocess.PIPE, text=True)
        self.wait_for("started")

    def wait_for(self, kind: str) -> dict[str, object]:
        assert self.process is not None
        assert self.process.stdout is not None
        for line in self.process.stdout:
            event: dict[str, object] = json.loads(line)
            if event["event"] == kind:
                return event
        raise AssertionError(f"ended before {kind}")

    def end(self, number: signal.Signals) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        self.process.communicate(timeout=20)
        return self.process.returncode


@pytest.fixture
def service(inbox: Path, tmp_path: Path) -> Iterator[Service]:
    service = Service(inbox, tmp_path)
    yield service
    if service.process is not None:
        service.process.kill()
        service.process.communicate()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_service_ends_in_order_when_asked(service: Service, number: signal.Signals) -> None:
    service.start()

    assert service.end(number) == 0


@pytest.mark.parametrize("moment", ["file_taken", "receipt_made", "receipt_sent"])
def test_a_service_that_was_killed_goes_on(service: Service, inbox: Path, moment: str) -> None:
    service.start()
    service.wait_for(moment)
    assert service.end(signal.SIGKILL) == -signal.SIGKILL
    (inbox / f"{NAME}.2").write_text("ann\td_sid=25\n")

    service.start()
    deadline = time.monotonic() + 20
    # Files that are read together are told of in one mail.
    while len(_told(service.mail)) < 3 and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(0.5)
    assert service.end(signal.SIGTERM) == 0

    with Profiles(service.database) as profiles:
        assert profiles.traits(478, "ann") == {"9", "24", "25"}
    told = _told(service.mail)
    assert len(told) == len(set(told)) == 3


def _told(folder: Path) -> list[bytes]:
    """Lines that name a file, in the text of all mails."""
    lines = [line for mail in _mails(folder) for line in mail.split(b"\n") if b"s3n" in line]
    return [line for line in lines if not line.startswith(b"<p>")]


def _mails(folder: Path) -> list[bytes]:
    return [path.read_bytes() for path in folder.glob("*.eml")]


def test_the_standard_library_is_enough_for_folders(inbox: Path, tmp_path: Path) -> None:
    heavy = ("airflow", "boto3", "botocore", "isal", "numpy", "pyarrow")
    code = f"import sys; sys.modules.update(dict.fromkeys({heavy})); {CODE}"
    command = [sys.executable, "-c", code, "--inbox", str(inbox), "--once", "--database"]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}

    done = subprocess.run(
        [*command, str(tmp_path / "db")], env=environment, capture_output=True, check=False
    )
    s3 = subprocess.run(
        [*command, str(tmp_path / "db"), "--inbox", "s3://bucket"],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    assert (s3.returncode, s3.stderr) == (
        2,
        "airflow-am sandbox: s3:// needs the Python package boto3\n",
    )
