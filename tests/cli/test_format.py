"""``airflow-am format``: files from CSV and Parquet, and what they hold."""

import gzip
import hashlib
import json
import os
import re
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from airflow_am_provider.cli import format as format_command
from airflow_am_provider.cli import main
from airflow_am_provider.formatting.progress import shown_by
from airflow_am_provider.sources.file_kinds import READABLE
from tests.pgp_keys import needs_gpg, pair, written

CSV = """\
id,traits,gone,city,vip,mail,uuid
ann,"24,26",28,Bonn,true,ann@example.com,68079982765673198504052656074456196039
bob,24,,New York,false,bob@example.com,67412682083411995725538770443620307584
c:d,24,,Rome,true,cid@example.com,89159024796760343733111707646026765593
"""
DATA = ["format", "data", "--dpid", "478", "--id-column", "id"]
ID_SYNC = ["format", "id-sync"]
OUT = ["--out", "out", "in.csv"]
NOON = int(datetime(2026, 11, 23, 12, tzinfo=UTC).timestamp())
ALL = ["--max-set-aside", "1", "--out", "out", "--json", "in.csv"]


class Noon(datetime):
    """A clock that stands still."""

    @classmethod
    def now(cls, tz=None):
        return datetime.fromtimestamp(NOON, tz)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in.csv").write_text(CSV)
    return tmp_path


def formatted(capsys, *argv: str) -> dict:
    assert main(argv) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    return json.loads(printed.out)


def lines(manifest: dict) -> list[str]:
    text = b"".join(gzip.decompress(Path(part["path"]).read_bytes()) for part in manifest["parts"])
    return text.decode().splitlines()


def test_the_manifest_tells_rows_and_parts(folder, capsys):
    manifest = formatted(capsys, *DATA, "--traits-column", "traits", *ALL)
    assert manifest["kind"] == "data"
    assert (manifest["rows_read"], manifest["rows_written"], manifest["rows_set_aside"]) == (
        3,
        2,
        1,
    )
    assert manifest["set_aside_by_reason"] == {"id_colon": 1}
    (part,) = manifest["parts"]
    path = folder / "out" / part["file_name"]
    assert part["path"] == str(path)
    assert part["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert part["compressed_bytes"] == path.stat().st_size
    assert (part["lines"], part["bytes"]) == (2, len("ann\td_sid=24,d_sid=26\nbob\td_sid=24\n"))
    assert lines(manifest) == ["ann\td_sid=24,d_sid=26", "bob\td_sid=24"]
    stem = part["file_name"].removesuffix(".gz")
    assert sorted(file.name for file in path.parent.iterdir()) == [
        f"{stem}.gz",
        f"{stem}.manifest.json",
        f"{stem}.rejects.csv",
    ]
    assert Path(manifest["rejects"]).read_text().splitlines()[1].startswith("3,id_colon,")


def test_the_folder_passes_the_check_and_reconciles(folder, capsys):
    manifest = formatted(capsys, *DATA, "--traits-column", "traits", *ALL)
    name = manifest["parts"][0]["file_name"]
    assert main(["check", "--json", "out"]) == 0
    (verdict,) = json.loads(capsys.readouterr().out)["files"]
    assert (verdict["path"], verdict["lines"], verdict["findings"]) == (f"out/{name}", 2, [])
    (folder / "receipt.txt").write_text(f"File name: {name}\nRecords received: 2\n")
    # The folder may be moved, as the stored manifest's paths are relative to it.
    (folder / "out").rename(folder / "moved")
    stored = f"moved/{name.removesuffix('.gz')}.manifest.json"
    assert main(["check", stored]) == 0
    assert main(["receipt", "receipt.txt", "--manifest", stored]) == 0
    assert capsys.readouterr().out.endswith("Delivery of 1 file, 2 lines: reconciled\n")


def test_the_folder_is_an_inbox_for_the_sandbox(folder, capsys):
    manifest = formatted(capsys, *DATA, "--traits-column", "traits", *ALL)
    assert manifest["rejects"] is not None
    sandbox = ["sandbox", "--inbox", "out", "--database", "db", "--once", "--json"]
    assert main(sandbox) == 0
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [event["event"] for event in events if event["event"].startswith("file")] == [
        "file_taken"
    ]


def test_the_manifest_that_is_printed_leads_to_its_files_from_anywhere(folder, capsys):
    assert main([*DATA, "--traits-column", "traits", *ALL]) == 0
    printed = capsys.readouterr().out
    (part,) = json.loads(printed)["parts"]
    (folder / "manifest.json").write_text(printed)
    (folder / "out" / "manifest.json").write_text(printed)

    for path in ("manifest.json", "out"):
        assert main(["check", "--json", path]) == 0
        files = json.loads(capsys.readouterr().out)["files"]
        assert [Path(file["path"]).absolute() for file in files] == [Path(part["path"])]


@pytest.mark.parametrize("stray", ["customers.csv", "my-rejects.csv", "list.processed"])
def test_what_is_left_in_the_folder_by_others_is_told(folder, capsys, stray):
    formatted(capsys, *DATA, "--traits-column", "traits", *ALL)
    (folder / "out" / stray).write_text("ann,24\n")
    assert main(["check", "out"]) == 1
    assert main(["sandbox", "--inbox", "out", "--database", "db", "--once"]) == 1
    capsys.readouterr()


def test_traits_signals_and_codes(folder, capsys):
    manifest = formatted(
        capsys, *DATA, "--target-dpid", "21", "--traits-column", "traits",
        "--removed-traits-column", "gone", "--ic-column", "vip",
        "--signal-columns", "city=d_city,vip", *ALL,
    )  # fmt: skip
    assert lines(manifest) == [
        'ann\td_sid=24,d_sid=26,d_unsid=28,ic=true,"d_city"="Bonn","vip"="true"',
        'bob\td_sid=24,ic=false,"d_city"="New York","vip"="false"',
    ]
    assert manifest["parts"][0]["file_name"].startswith("ftp_dpm_478_21_")


def test_flags_and_lists_from_parquet_and_overwrite(folder, capsys):
    table = pa.table(
        {"id": ["ann", "bob", "cid"], "vip": [True, False, None], "traits": [[1, 2], [], None]}
    )
    pq.write_table(table, folder / "in.parquet")
    manifest = formatted(
        capsys, *DATA, "--mode", "overwrite", "--trait-flags", "vip=77", "--traits-column",
        "traits", "--remove-all-of-users-without-items", "--compression", "none",
        "--out", "out", "--json", "in.parquet",
    )  # fmt: skip
    (part,) = manifest["parts"]
    assert part["file_name"].endswith(".overwrite")
    assert Path(part["path"]).read_text() == "ann\td_sid=1,d_sid=2,d_sid=77\nbob\t\ncid\t\n"
    assert main(["check", "out"]) == 0
    capsys.readouterr()


def test_device_ids_go_by_their_data_source(folder, capsys):
    idfa = "AEBE52E7-03EE-455A-B3C4-E57283966239"
    (folder / "in.csv").write_text(f"id,traits\n{idfa},24\n{idfa.lower()},24\n")
    manifest = formatted(
        capsys, "format", "data", "--dpid", "20915", "--target-dpid", "478", "--id-kind", "idfa",
        "--id-column", "id", "--traits-column", "traits", *ALL,
    )  # fmt: skip
    assert lines(manifest) == [f"{idfa}\td_sid=24"]
    assert manifest["set_aside_by_reason"] == {"id_form": 1}


def test_id_sync(folder, capsys):
    manifest = formatted(
        capsys, *ID_SYNC, "--master-dpid", "0", "--dpids", "478", "--columns", "uuid,id", *ALL
    )
    assert manifest["kind"] == "id_sync"
    assert lines(manifest) == [
        "68079982765673198504052656074456196039\tann",
        "67412682083411995725538770443620307584\tbob",
    ]


def test_id_sync_of_hashed_emails(folder, capsys):
    manifest = formatted(
        capsys, *ID_SYNC, "--prefix", "c2c_id", "--master-dpid", "478", "--dpids", "479",
        "--columns", "id,mail", "--hash-columns", "mail", *ALL,
    )  # fmt: skip
    digest = hashlib.sha256(b"ann@example.com").hexdigest()
    assert lines(manifest)[0] == f"ann\t{digest}"
    assert manifest["parts"][0]["file_name"].startswith("c2c_id_478_479_")


def test_two_runs_of_one_second_have_names_of_their_own(folder, capsys):
    names = set()
    for _ in range(3):
        manifest = formatted(capsys, *DATA, "--traits-column", "traits", *ALL)
        names.add(manifest["parts"][0]["file_name"])
    assert len(names) == 3
    assert len(list((folder / "out").glob("*.manifest.json"))) == 3


def test_a_large_file_is_split(folder, capsys):
    rows = "".join(f"{number:0>40},24\n" for number in range(10_000))
    (folder / "in.csv").write_text(f"id,traits\n{rows}")
    manifest = formatted(
        capsys, *DATA, "--traits-column", "traits", "--part-bytes", "200000", "--out", "out",
        "--json", "in.csv",
    )  # fmt: skip
    names = [part["file_name"] for part in manifest["parts"]]
    assert len(names) > 1
    assert [name.split(".")[2] for name in names] == [str(n) for n in range(1, len(names) + 1)]
    assert sum(part["lines"] for part in manifest["parts"]) == 10_000


def test_nothing_to_send_writes_no_file(folder, capsys):
    (folder / "in.csv").write_text("id,traits\n")
    manifest = formatted(
        capsys, *DATA, "--traits-column", "traits", "--out", "out", "--json", "in.csv"
    )
    assert (manifest["rows_read"], manifest["parts"]) == (0, [])
    assert [path for path in (folder / "out").rglob("*") if path.is_file()] == []


def test_nothing_to_send_may_be_a_failure(folder, capsys):
    (folder / "in.csv").write_text("id,traits\nann,\n")
    empty = [*DATA, "--traits-column", "traits", "--out", "out", "in.csv", "--on-empty"]
    assert main([*empty, "skip"]) == 0
    assert "1 row read, 0 written, 1 set aside\n" in capsys.readouterr().out
    before = set((folder / "out").iterdir())
    assert main([*empty, "fail"]) == 1
    (rejects,) = set((folder / "out").iterdir()) - before
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err == (
        "airflow-am: Nothing to send: 1 row read, 1 of them set aside. An empty file is invalid "
        "(inbound-s3-filenames.md), so none is made; --on-empty fail. Rows set aside are listed "
        f"in {rejects}\n"
    )


def test_help_names_all_that_is_read(capsys):
    for kind in ("data", "id-sync"):
        assert main(["format", kind, "--help"]) == 0
        assert ", ".join(READABLE[:-1]) in " ".join(capsys.readouterr().out.split())


def test_too_many_bad_rows_write_nothing_but_the_rejects(folder, capsys):
    assert main([*DATA, "--traits-column", "traits", "--out", "out", "in.csv"]) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    (rejects,) = (folder / "out").iterdir()
    assert re.fullmatch(r"ftp_dpm_478_\d{10}\.sync\.rejects\.csv", rejects.name)
    assert rejects.read_text().splitlines()[1].startswith("3,id_colon,")
    assert printed.err == (
        "airflow-am: 1 of 3 rows break a rule, max_set_aside allows 1.00%: 1 id_colon (a DPUUID "
        "holds neither ':' nor '%3A'). Nothing was sent; mend the source, or raise max_set_aside "
        f"if these rows may be left out. Rows set aside are listed in {rejects}\n"
    )


def test_only_who_runs_it_reads_the_files(folder, capsys):
    before = os.umask(0o022)
    try:
        formatted(capsys, *DATA, "--traits-column", "traits", *ALL)
    finally:
        os.umask(before)
    made = {path.suffix: path.stat().st_mode & 0o777 for path in (folder / "out").iterdir()}
    assert made == {".gz": 0o600, ".csv": 0o600, ".json": 0o600}
    assert (folder / "out").stat().st_mode & 0o777 == 0o700


def test_a_folder_that_is_there_keeps_its_mode(folder, capsys):
    (folder / "out").mkdir()
    (folder / "out").chmod(0o755)
    formatted(capsys, *DATA, "--traits-column", "traits", *ALL)
    assert (folder / "out").stat().st_mode & 0o777 == 0o755
    assert {path.stat().st_mode & 0o777 for path in (folder / "out").iterdir()} == {0o600}


def test_all_rows_may_be_set_aside(folder, capsys):
    bad = [*DATA, "--traits-column", "city", "--out", "out", "in.csv", "--max-set-aside"]
    assert main([*bad, "1"]) == 1
    assert main([*bad, "1.0"]) == 0
    assert "3 rows read, 0 written, 3 set aside" in capsys.readouterr().out


def test_every_failure_that_leaves_rejects_says_where(folder, capsys):
    mails = [*ID_SYNC, "--master-dpid", "0", "--dpids", "478", "--columns", "uuid,mail"]
    assert main([*mails, "--out", "out", "in.csv"]) == 1
    (rejects,) = (folder / "out").iterdir()
    assert rejects.name.startswith("adobe_id_0_478_")
    assert capsys.readouterr().err.endswith(f". Rows set aside are listed in {rejects}\n")


def test_a_name_is_taken_while_its_files_are_written(folder, capsys, monkeypatch):
    # As by another process of the same second, and by one that was killed.
    monkeypatch.setattr(format_command, "datetime", Noon)
    for number in (0, 2):
        (folder / f"out/unfinished-ftp_dpm_478_{NOON + number}.sync").mkdir(parents=True)
    (folder / f"out/ftp_dpm_478_{NOON + 1}.sync.rejects.csv").write_text("before")
    manifest = formatted(capsys, *DATA, "--traits-column", "traits", *ALL)
    assert manifest["parts"][0]["file_name"] == f"ftp_dpm_478_{NOON + 3}.sync.gz"


def test_a_report_for_people(folder, capsys):
    assert main([*DATA, "--traits-column", "traits", *ALL[:-2], "in.csv"]) == 0
    out = capsys.readouterr().out.splitlines()
    (name,) = (file.name for file in (folder / "out").glob("*.gz"))
    assert out == [
        "3 rows read, 2 written, 1 set aside",
        "  1 id_colon",
        f"Set aside: {folder}/out/{name.removesuffix('.gz')}.rejects.csv",
        f"Written to {folder}/out:",
        f"  {'file':{len(name)}}  lines  bytes  as-sent",
        f"  {name}      2     35  {(folder / 'out' / name).stat().st_size:>7}",
    ]


@pytest.mark.parametrize(
    ("argv", "sentence"),
    [
        (
            [*DATA, "--out", "out", "in.csv"],
            ("airflow-am: no items: name at least one column of traits, ic codes or signals "
            "(inbound-file-contents.md)"),
        ),
        (
            [*DATA, "--traits-column", "nope", "--out", "out", "in.csv"],
            ("airflow-am: source 'in.csv': no column 'nope'; it has 'id', 'traits', 'gone', "
            "'city', 'vip', 'mail', 'uuid'"),
        ),
        (
            [*DATA, "--traits-column", "traits", *OUT, "--max-set-aside", "1.5"],
            ("airflow-am: --max-set-aside: '1.5' is neither a number of rows nor a share from 0.0 "
            "to 1.0"),
        ),
        (
            [*DATA, "--traits-column", "traits", *OUT, "--max-set-aside", "nan"],
            ("airflow-am: --max-set-aside: 'nan' is neither a number of rows nor a share from 0.0 "
            "to 1.0"),
        ),
        (
            [*DATA, "--signal-columns", "city=d_sid", "--out", "out", "in.csv"],
            ("airflow-am: signal key 'd_sid': d_sid, d_unsid and ic are no signals; pass the "
            "column as one of trait IDs or ic codes, or rename it (inbound-file-contents.md)"),
        ),
        (
            [*ID_SYNC, "--master-dpid", "478", "--dpids", "0,x", "--columns", "id,uuid", "--out",
             "out", "in.csv"],
            ("airflow-am format id-sync: argument --dpids: 'x' is not a whole number; see "
            "airflow-am format id-sync --help"),
        ),
        (
            [*DATA, "--traits-column", "traits", "--out", "in.csv", "in.csv"],
            None,
        ),
    ],
)  # fmt: skip
def test_wrong_use_is_one_sentence_and_exit_2(folder, capsys, argv, sentence):
    assert main(argv) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.count("\n") == 1
    if sentence is not None:
        assert printed.err == f"{sentence}\n"


ROWS = ["ann\td_sid=24", "bob\td_sid=25"]


@pytest.fixture
def days(folder):
    """Two days of files, and what other programs leave beside them."""
    for name, text in {
        "days/2026-11-25.csv": "id,t\nann,24\n",
        "days/2026-11-26.csv": "id,t\nbob,25\n",
        "days/_SUCCESS": "",
        "days/_temporary/0/part-0.csv": "id,t\neve,26\n",
        "days/.hidden.csv": "id,t\neve,26\n",
        "days/read.me": "eve",
        "daysafter.csv": "id,t\neve,26\n",
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


@pytest.mark.parametrize(
    "inputs",
    [
        ["days"],
        ["days/"],
        ["./days/"],
        ["{folder}/days"],
        ["days/*.csv"],
        ["days/2026-11-2?.csv"],
        ["days/2026-11-25.csv", "days/2026-11-26.csv"],
    ],
)
def test_folders_patterns_and_several_files(days, capsys, inputs):
    inputs = [path.format(folder=days) for path in inputs]
    manifest = formatted(
        capsys, *DATA, "--traits-column", "t", "--json", "--out", "out", "--", *inputs
    )
    assert lines(manifest) == ROWS
    assert manifest["rows_read"] == 2


def test_a_folder_is_this_one(days, capsys, monkeypatch):
    monkeypatch.chdir(days / "days")
    for given in (".", "*.csv"):
        manifest = formatted(capsys, *DATA, "--traits-column", "t", "--json", "--out", "out", given)
        assert lines(manifest) == ROWS


def test_prefixes_and_patterns_on_s3(s3, days, capsys, monkeypatch):
    bucket = "test-format-tables"
    s3.create_bucket(bucket)
    for name, value in s3.environment.items():
        monkeypatch.setenv(name, value)
    client = s3.client()
    for path in [path for path in days.rglob("*") if path.is_file()]:
        client.put_object(
            Bucket=bucket, Key=path.relative_to(days).as_posix(), Body=path.read_bytes()
        )
    client.put_object(Bucket=bucket, Key="days/", Body=b"")  # as consoles mark a folder
    for given in ("days", "days/", "days/2026-*", "days/2026-11-2?.csv"):
        url = f"s3://{bucket}/{given}"
        manifest = formatted(capsys, *DATA, "--traits-column", "t", "--json", "--out", "out", url)
        assert lines(manifest) == ROWS
    assert main([*DATA, "--traits-column", "t", "--out", "out", f"s3://{bucket}/nights"]) == 2
    assert capsys.readouterr().err == (
        f"airflow-am: 's3://{bucket}/nights': there is no such object\n"
    )


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ("nights", "'nights': there is no such file or directory"),
        ("days/*.parquet", "source 'days/*.parquet': no file there that ends in"),
        ("days/_temporary/1", "'days/_temporary/1': there is no such file or directory"),
        ("empty", "source 'empty': no file there that ends in .parquet, .pq, .csv"),
        ("nights/*.csv", "'nights/': there is no such file or directory"),
        ("d*/x.csv", "'d*/x.csv': '*' and '?' may stand in the last name alone; name the folder"),
        ("days/read.me", "source 'read.me': the format follows from the name"),
    ],
)
def test_inputs_that_are_not_there(days, capsys, given, sentence):
    (days / "empty").mkdir()
    assert main([*DATA, "--traits-column", "t", "--out", "out", given]) == 2
    printed = capsys.readouterr()
    assert printed.err.startswith(f"airflow-am: {sentence}")
    assert (printed.out, printed.err.count("\n")) == ("", 1)


def test_the_suppression_list_may_be_a_folder(days, capsys):
    manifest = formatted(
        capsys, *DATA, "--traits-column", "t", "--json", "--out", "out",
        "--suppression-source", "days", "--suppression-column", "id", "daysafter.csv", "days",
    )  # fmt: skip
    assert lines(manifest) == ["eve\td_sid=26"]
    assert manifest["set_aside_by_reason"] == {"suppressed": 2}


def test_other_encodings(folder, capsys):
    (folder / "latin.csv").write_text("größe,id\nüber 180,Jürgen\n", encoding="latin-1")
    argv = [*DATA, "--signal-columns", "größe", "--json", "--out", "out", "latin.csv"]
    assert main(argv) == 2
    assert "its first line is not UTF-8: name its encoding" in capsys.readouterr().err
    manifest = formatted(capsys, *argv, "--encoding", "latin-1")
    assert lines(manifest) == ['Jürgen\t"größe"="über 180"']


def test_users_on_the_suppression_list_are_left_out(folder, capsys):
    (folder / "optouts.csv").write_text("since,customer\n2026,ann\n")
    manifest = formatted(
        capsys,
        *DATA,
        "--traits-column",
        "traits",
        "--suppression-source",
        "optouts.csv",
        "--suppression-column",
        "customer",
        *ALL,
    )
    assert lines(manifest) == ["bob\td_sid=24"]
    assert manifest["set_aside_by_reason"] == {"id_colon": 1, "suppressed": 1}


def test_what_is_sent_and_may_be_wrong_is_a_warning(folder, capsys):
    (folder / "in.csv").write_text("id,traits\nann ,1\nAnn,1\n1001.0,1\n")
    (folder / "optouts.csv").write_text("customer\nBOB\n")
    assert (
        main([*DATA, "--traits-column", "traits", "--suppression-source", "optouts.csv", *OUT]) == 0
    )
    warned = [line for line in capsys.readouterr().out.splitlines() if line.startswith("warning")]
    assert [" ".join(warning.split()[1:6]) for warning in warned] == [
        "1 row has a user",
        "1 row has a user",
        "about 2 user IDs differ",
        "none of 1 entries of",
    ]


def test_a_suppression_list_that_is_empty_or_not_named_is_an_error(folder, capsys):
    (folder / "optouts.csv").write_text("customer\n")
    data = [*DATA, "--traits-column", "traits"]
    assert main([*data, "--suppression-source", "optouts.csv", *ALL]) == 1
    assert "--suppression-source: no ID in it" in capsys.readouterr().err
    assert main([*data, "--suppression-hashed", *ALL]) == 2
    assert "--suppression-source: missing, so nobody would be left out" in capsys.readouterr().err
    assert (
        main([*data, "--suppression-source", "optouts.csv", "--suppression-allow-empty", *ALL]) == 0
    )


@needs_gpg
def test_files_are_encrypted_to_a_key_that_is_given_with_its_fingerprint(folder, capsys):
    keys = pair()
    written(folder / "key.asc", keys.public)
    given = ("--pgp-public-key", "key.asc", "--pgp-fingerprint", keys.fingerprint)
    traits = (*DATA, "--traits-column", "traits")
    plain = formatted(capsys, *traits, "--compression", "none", *ALL)
    for compression, ending in (((), "pgp"), (("--compression", "gpg"), "gpg")):
        manifest = formatted(capsys, *traits, *given, *compression, *ALL)
        (part,) = manifest["parts"]
        assert part["file_name"].endswith(f".sync.{ending}")
        text = Path(plain["parts"][0]["path"]).read_bytes()
        assert keys.decrypted(Path(part["path"]).read_bytes()) == text


def test_without_gpg_one_sentence_says_what_to_install(folder, capsys, monkeypatch):
    keys = pair()
    written(folder / "key.asc", keys.public)
    monkeypatch.setenv("PATH", str(folder))
    given = ("--pgp-public-key", "key.asc", "--pgp-fingerprint", keys.fingerprint)
    assert main([*DATA, "--traits-column", "traits", *given, *ALL]) == 2
    assert capsys.readouterr().err.endswith(
        "--pgp-public-key: gpg is not on this machine, and it does the encryption; install GnuPG "
        "2.2.8 or newer (package gnupg) on every worker\n"
    )
    assert not Path("out").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--compression", "pgp"], "--pgp-public-key: missing, so nobody could read the files"),
        (["--pgp-fingerprint", "A" * 40], "--pgp-public-key: missing, so nobody could read"),
        (
            ["--compression", "gzip", "--pgp-public-key", "key.asc"],
            (
                "--compression gzip: with --pgp-public-key files are encrypted, and a file is "
                "packed by gzip or by PGP, never by both (inbound-file-encryption.md)"
            ),
        ),
        (["--pgp-public-key", "key.asc"], "--pgp-public-key: No such file or directory: key.asc"),
        (["--pgp-public-key", "in.csv"], "--pgp-fingerprint: missing, and a public key counts"),
    ],
)
def test_gzip_and_pgp_are_one_or_the_other(folder, capsys, options, message):
    assert main([*DATA, "--traits-column", "traits", *options, *ALL]) == 2
    assert message in capsys.readouterr().err
    assert not Path("out").exists()


def test_how_far_it_is_is_drawn(tmp_path):
    drawn = []

    class Drawn:
        def update(self, what, done, total):
            drawn.append((what, done, total))

    rows = tmp_path / "customers.csv"
    rows.write_text("id,traits\n" + "".join(f"user{number},24\n" for number in range(1000)))
    options = ["--dpid", "478", "--id-column", "id", "--traits-column", "traits"]
    with shown_by(Drawn()):
        assert main(["format", "data", str(rows), "--out", str(tmp_path / "out"), *options]) == 0
    assert {(what, total) for what, _, total in drawn} == {("Formatting", rows.stat().st_size)}
    assert drawn[-1][1] == rows.stat().st_size
