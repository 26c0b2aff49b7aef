"""``airflow-am outbound``: batches that came, what they lack, whether they are right."""

from __future__ import annotations

import gzip
import hashlib
import json
import time
from typing import TYPE_CHECKING

import pytest

from airflow_am_provider.audience_manager.names import printable
from airflow_am_provider.cli import main
from airflow_am_provider.operators.outbound_load import OutboundLoadOperator
from airflow_am_provider.sandbox.rest import ApiDestination, RestApi, RestConfig

if TYPE_CHECKING:
    from pathlib import Path

    from demo.local.s3 import S3

pytestmark = pytest.mark.filterwarnings("ignore")

FIRST = "S3_1234_20914_full_1768953600000"  # 21 January 2026
SECOND = "S3_1234_20914_full_1769126400000"  # 23 January


def send(folder: Path, root: str, content: bytes, *, md5: str = "") -> None:
    (folder / f"{root}.sync").write_bytes(content)
    said = {
        "FileName": f"{root}.sync",
        "FileByteSize": len(content),
        "md5": md5 or hashlib.md5(content, usedforsecurity=False).hexdigest(),
    }
    (folder / f"{root}.info").write_text(json.dumps({"Files": [said]}))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "from-adobe"
    place.mkdir()
    send(place, FIRST, b"A 1\n")
    send(place, SECOND, b"B 1\n")
    return place


def test_list_says_what_came_what_is_missing_and_what_is_loaded(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    OutboundLoadOperator(
        task_id="load", location=str(folder), into=str(tmp_path / "in"), batch_date="2026-01-21"
    ).execute({})
    capsys.readouterr()
    # A day is missing.
    assert main(["outbound", "list", str(folder), "--into", str(tmp_path / "in")]) == 1
    printed = capsys.readouterr().out
    assert [line.split()[-2:] for line in printed.splitlines()[1:3]] == [
        ["complete", "yes"],
        ["complete", "no"],
    ]
    assert "no batch of 2026-01-22" in printed


def test_what_is_loaded_into_a_table_is_told(
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    connection = {"conn_type": "sqlite", "host": str(tmp_path / "warehouse.sqlite")}
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", json.dumps(connection))
    where = ["--table", "segments", "--conn-id", "warehouse"]
    words = ["outbound", "show", str(folder), FIRST, *where]
    assert main(words) == 2
    assert "segments_batches cannot be read; Outbound" in capsys.readouterr().err
    OutboundLoadOperator(
        task_id="load",
        location=str(folder),
        table="segments",
        conn_id="warehouse",
        batch_date="2026-01-21",
    ).execute({})
    capsys.readouterr()
    assert main([*words, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["loaded"] == "yes"
    send(folder, FIRST, b"A 2\n")
    assert main(["outbound", "list", str(folder), *where, "--json"]) == 1
    told = json.loads(capsys.readouterr().out)["batches"]
    assert [batch["loaded"] for batch in told] == ["as it was before", "no"]


def test_list_names_what_is_waited_for(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / f"{SECOND}.sync").unlink()
    assert main(["outbound", "list", str(folder), "--json"]) == 1
    first, second = json.loads(capsys.readouterr().out)["batches"]
    assert (first["state"], second["state"]) == ("complete", "waiting")
    assert second["lacks"] == f"{SECOND}.sync has not come"


def test_a_mistyped_location_is_not_an_empty_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["outbound", "list", str(tmp_path)]) == 1
    assert capsys.readouterr().out == f"{tmp_path}: no batch is there\n"
    assert main(["outbound", "list", str(tmp_path / "form-adobe")]) == 2
    assert "form-adobe': there is no such folder" in capsys.readouterr().err


def test_a_prefix_without_objects_is_told(
    s3: S3, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in s3.environment.items():
        monkeypatch.setenv(name, value)
    bucket = "test-cli-outbound"
    s3.create_bucket(bucket)
    s3.client().put_object(Bucket=bucket, Key="from-adobe/x.txt", Body=b"")
    assert main(["outbound", "list", f"s3://{bucket}/from-adobe"]) == 1
    assert main(["outbound", "list", f"s3://{bucket}/form-adobe"]) == 2
    assert "no object lies below it" in capsys.readouterr().err


def test_list_asks_the_api_what_was_sent(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = time.time()
    sent = ((f"{FIRST}.sync", now, True), ("S3_1234_20914_full_1769212800000.sync", now, True))
    destination = ApiDestination(destination_id=1234, sent=sent)
    with RestApi(RestConfig(destinations=(destination,))) as api:
        connection = {
            "conn_type": "audience_manager_api",
            "host": api.url,
            "login": "client",
            "password": "secret",
            "extra": {"scope": "openid", "token_url": api.token_url},
        }
        monkeypatch.setenv("AIRFLOW_CONN_AAM_API", json.dumps(connection))
        words = ["outbound", "list", str(folder), "--destination", "1234"]
        (folder / f"{SECOND}.sync").unlink()
        (folder / f"{SECOND}.info").unlink()
        assert main(words) == 0
        capsys.readouterr()
        assert main([*words, "--api-conn-id", "aam_api"]) == 1
    (told,) = [line for line in capsys.readouterr().out.splitlines() if "history" in line]
    assert told.startswith("S3_1234_20914_full_1769212800000.sync: Audience Manager's outbound")


def test_show_lists_a_batchs_files(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["outbound", "show", str(folder), f"{FIRST}.info"]) == 0
    assert f"{FIRST}.sync" in capsys.readouterr().out
    assert main(["outbound", "show", str(folder), "nothing"]) == 2


@pytest.mark.parametrize("words", [["outbound", "check", "{}"], ["check", f"{{}}/{FIRST}.info"]])
def test_check_reads_every_line(
    folder: Path, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [word.format(folder) for word in words]
    assert main(arguments) == 0
    send(folder, FIRST, b"A 1\nsecret x\n")
    assert main(arguments) == 1
    printed = capsys.readouterr().out
    assert "2 lines read = 1 good + 1 to be set aside" in printed
    assert f"(first: {FIRST}.sync, line 2)" in printed
    assert "secret" not in printed
    send(folder, FIRST, b"A 1\n", md5="0" * 32)
    assert main(arguments) == 1
    assert "not the checksum" in capsys.readouterr().out


def test_without_control_files(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for file in folder.glob("*.info"):
        file.unlink()
    assert main(["outbound", "list", str(folder)]) == 1
    assert "its control file has not come" in capsys.readouterr().out
    arguments = ["outbound", "list", str(folder), "--without-control-files"]
    assert main([*arguments, "--timestamp-digits", "13", "--json"]) == 1  # a day is missing
    assert len(json.loads(capsys.readouterr().out)["batches"]) == 2


@pytest.mark.parametrize(
    ("mishap", "said"),
    [
        ("nothing", ": no batch is there"),
        ("a part is missing", f"{FIRST}.sync has not come"),
        ("another size", f"{FIRST}.sync has 5 bytes, its control file says 4"),
        ("unreadable", "cannot be read, neither as JSON"),
        ("no control file", "its control file has not come"),
        ("unlisted", f"{FIRST}001.sync: its control file does not list it"),
        ("unfinished", f"{FIRST}.sync.tmp: it is still being written"),
    ],
)
def test_what_is_missing_or_wrong_is_said_and_is_exit_1(
    tmp_path: Path, mishap: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if mishap != "nothing":
        send(tmp_path, FIRST, b"A 1\n")
        assert main(["outbound", "list", str(tmp_path)]) == 0
        assert main(["outbound", "check", str(tmp_path)]) == 0
    file, control = tmp_path / f"{FIRST}.sync", tmp_path / f"{FIRST}.info"
    if mishap == "a part is missing":
        file.unlink()
    if mishap == "another size":
        file.write_bytes(b"A 12\n")
    if mishap == "unreadable":
        control.write_text("{")
    if mishap in ("no control file", "unfinished"):
        control.unlink()
    if mishap == "unlisted":
        (tmp_path / f"{FIRST}001.sync").write_bytes(b"B 1\n")
    if mishap == "unfinished":
        file.rename(f"{file}.tmp")
    capsys.readouterr()
    for words in (["outbound", "list"], ["outbound", "check"], ["outbound", "check", "--json"]):
        assert main([*words, str(tmp_path)]) == 1
        printed = capsys.readouterr().out
        assert said in printed or (mishap == "nothing" and "--json" in words)
    if mishap in ("unreadable", "no control file"):
        assert main(["outbound", "check", str(tmp_path), f"{FIRST}.info"]) == 1
        assert main(["outbound", "show", str(tmp_path), FIRST]) == 1
        assert "it is no batch yet: " in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--header-lines=-1", "--separator-spaces=0"])
def test_a_layout_that_is_none_is_wrong_use(folder: Path, option: str) -> None:
    assert main(["outbound", "check", str(folder), option]) == 2


def test_check_knows_what_adobe_sent_by_its_names(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    alone = "S3_1234_20914_iter_1769212800001.sync"  # ten digits and a part, or thirteen
    (folder / alone).write_bytes(b"A 1\n")
    (folder / f"{SECOND}001.sync.tmp").write_bytes(b"A")
    (folder / "ftp_dpm_478_1366545717.sync").write_bytes(b"ann\td_sid=24\n")
    assert main(["check", str(folder / alone)]) == 0
    printed = capsys.readouterr().out
    assert "1 line read = 1 good" in printed
    assert "no control file says" in printed
    assert main(["check", "--json", str(folder)]) == 1
    found = json.loads(capsys.readouterr().out)
    assert [(file["kind"], file["ok"]) for file in found["files"]] == [("data", True)]
    assert [(one["batch"], one["problem"]) for one in found["batches"]] == [
        (FIRST, None),
        (SECOND, None),
        (f"{SECOND}001.sync.tmp", "it is still being written, by its ending"),
        (alone, None),
    ]
    (folder / f"{FIRST}.info").write_text("{")
    assert main(["check", str(folder / f"{FIRST}.info")]) == 1
    assert "still being written" in capsys.readouterr().out


@pytest.mark.parametrize("name", [f"{FIRST}002.sync", f"{FIRST}\n.info"])
def test_what_no_load_reads_is_wrong_and_holds_no_other_up(
    folder: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if name.endswith(".sync"):
        (folder / name).symlink_to(folder / f"{FIRST}.sync")
    else:
        (folder / name).write_text("{}")
    assert main(["check", str(folder)]) == 1
    printed = capsys.readouterr().out
    assert f"{printable(name)}: WRONG" in printed
    assert "it is a link, or its name is not safe" in printed
    assert f"{SECOND}: ok" in printed


def test_check_reads_the_hours_of_a_feed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hour = tmp_path / "day=2026-01-31" / "hour=14"
    hour.mkdir(parents=True)
    event = "\x01".join(["2026-01-31 14:00:00", "17", *["\\N"] * 9])
    content = gzip.compress(f"{event}\nno event\n".encode(), mtime=0)
    (hour / "AAM_CDF_7_0_0.gz").write_bytes(content)
    said = {"FileName": "AAM_CDF_7_0_0.gz", "FileByteSize": len(content)}
    (hour / "AAM_CDF_7.info").write_text(json.dumps({"Files": [said]}))
    for path in (hour / "AAM_CDF_7.info", hour / "AAM_CDF_7_0_0.gz", tmp_path):
        assert main(["check", "--json", str(path)]) == 1
        (batch,) = json.loads(capsys.readouterr().out)["batches"]
        assert (batch["kind"], batch["lines_read"], batch["lines_good"]) == ("feed", 2, 1)
    (hour / "AAM_CDF_7_0_0.gz").write_bytes(content[:-1])
    assert main(["check", str(hour / "AAM_CDF_7.info")]) == 1
    assert "AAM_CDF_7_0_0.gz has not come, or not whole" in capsys.readouterr().out
