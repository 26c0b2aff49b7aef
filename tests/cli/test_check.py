"""``airflow-am check``: verdicts, output for people and machines, exit codes."""

import gzip
import io
import json
import os
import random
import tracemalloc
from concurrent.futures import ProcessPoolExecutor

import pytest

from airflow_am_provider.audience_manager import limits
from airflow_am_provider.cli import main, verdict
from airflow_am_provider.cli.sources import Disk
from airflow_am_provider.cli.unpack import Unpacker
from airflow_am_provider.cli.verdict import judge
from airflow_am_provider.formatting.openpgp import PgpPacker, Recipient, recipients_of
from tests.pgp_keys import needs_gpg, pair

NAME = "ftp_dpm_478_1366545717.sync"
NOT_GZIP = "something that is not gzip follows its end"
GOOD = b"ann\td_sid=24\nbob\td_sid=24\n"
# The time in a gzip header would give each test process other names for the same test.
PACKED = gzip.compress(GOOD, mtime=0)
ENCRYPTED = bytes.fromhex("85020c03e3f2a363e3f2a363010ffe") + bytes(range(200))


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def check(folder, capsys):
    """Write a file and give its verdict as JSON, with the exit code."""

    def run(name: str, content: bytes) -> tuple[int, dict]:
        (folder / name).write_bytes(content)
        code = main(["check", "--json", name])
        printed = capsys.readouterr()
        assert printed.err == ""
        (verdict,) = json.loads(printed.out)["files"]
        assert verdict["ok"] is (code == 0)
        return code, verdict

    return run


def rules(verdict: dict) -> list[tuple]:
    return [(found["line"], found["rule"], found["severity"]) for found in verdict["findings"]]


def message(verdict: dict) -> str:
    (found,) = verdict["findings"]
    return found["message"]


def test_the_json_is_just_what_is_promised(check):
    assert check(NAME, b"ann\td_sid=24\nbob\n") == (
        1,
        {
            "path": NAME,
            "kind": "data",
            "name": {
                "dpid": 478,
                "target_dpid": None,
                "mode": "sync",
                "timestamp": 1366545717,
                "split": None,
                "encoding": None,
            },
            "lines": 2,
            "bytes": 17,
            "ok": False,
            "findings": [
                {
                    "line": 2,
                    "rule": "no_tab",
                    "severity": "error",
                    "message": "a tab separates user ID and items (inbound-file-contents.md)",
                }
            ],
        },
    )


def test_the_elements_of_an_id_sync_name(check):
    code, verdict = check(
        "c2c_id_123_898_1454442149.sync.2.gz", gzip.compress(b"ann\t" + b"0" * 64 + b"\n")
    )
    assert (code, verdict["kind"], verdict["findings"]) == (0, "id_sync", [])
    assert verdict["name"] == {
        "prefix": "c2c_id",
        "master_dpid": 123,
        "dpids": [898],
        "timestamp": 1454442149,
        "split": 2,
        "encoding": "gz",
    }


def test_gzip_is_looked_into_and_sizes_are_unpacked(check):
    code, verdict = check(f"{NAME}.gz", gzip.compress(GOOD * 50))
    assert (code, verdict["lines"], verdict["bytes"]) == (0, 100, 1300)


def test_gzip_of_several_members_and_padding_is_whole(check):
    packed = gzip.compress(GOOD) + gzip.compress(b"") + gzip.compress(GOOD) + bytes(1000)
    code, verdict = check(f"{NAME}.gz", packed)
    assert (code, verdict["lines"], verdict["findings"]) == (0, 4, [])


@pytest.mark.parametrize("size", [1, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, 5 << 20])
@pytest.mark.parametrize("make", [bytes, os.urandom])
def test_gzip_of_any_size_comes_out_whole_in_bounded_blocks(size, make):
    content = make(size)
    unpacker = Unpacker()
    blocks = list(unpacker.gzip(io.BytesIO(gzip.compress(content, 1))))
    assert b"".join(blocks) == content
    assert max(map(len, blocks)) <= 1 << 20
    assert unpacker.problem is None


@pytest.mark.parametrize(
    ("broken", "text"),
    [
        (lambda packed: packed[:-1], "cut off before its end"),
        (lambda packed: packed[: len(packed) // 2], "cut off before its end"),
        (lambda packed: packed[:5], "cut off before its end"),
        (lambda packed: packed + b"x", NOT_GZIP),
        (lambda packed: packed + bytes(300_000) + b"x", NOT_GZIP),
    ],
)  # fmt: skip
def test_gzip_that_is_not_whole_is_an_error(check, broken, text):
    content = b"".join(b"%d\td_sid=24\n" % number for number in range(1000))
    code, verdict = check(f"{NAME}.gz", broken(gzip.compress(content)))
    found = [one for one in verdict["findings"] if one["rule"] == "broken_compression"]
    assert code == 1
    assert [one["message"] for one in found] == [
        f"a .gz file is whole gzip: {text} (inbound-file-compression.md)"
    ]


def test_damaged_gzip_is_an_error_and_what_came_before_is_counted(check):
    packed = bytearray(gzip.compress(os.urandom(100_000).hex().encode()))
    packed[40_000:40_100] = b"\xff" * 100
    code, verdict = check(f"{NAME}.gz", bytes(packed))
    assert code == 1
    assert "broken_compression" in {found["rule"] for found in verdict["findings"]}


@pytest.mark.parametrize(
    ("name", "content", "text"),
    [
        (f"{NAME}.gz", GOOD, "the name ends in .gz, the content is plain"),
        (NAME, PACKED, "the name says plain, the content is gzip"),
        (NAME, b"PK\x03\x04" + bytes(100), "the name says plain, the content is zip"),
        (f"{NAME}.gz", b"PK\x03\x04" + bytes(100), "the name ends in .gz, the content is zip"),
        (f"{NAME}.pgp", GOOD, "the name ends in .pgp, the content is plain"),
        (f"{NAME}.gpg", PACKED, "the name ends in .gpg, the content is gzip"),
    ],
)
def test_an_extension_that_does_not_fit_is_an_error(check, name, content, text):
    code, verdict = check(name, content)
    assert code == 1
    assert (
        message(verdict)
        == f"the extension says how a file is packed: {text} (inbound-file-compression.md)"
    )


def test_a_file_with_the_wrong_extension_is_looked_into_all_the_same(check):
    assert rules(check(f"{NAME}.gz", b"bob\n")[1]) == [
        (None, "extension", "error"),
        (1, "no_tab", "error"),
    ]
    assert check(NAME, gzip.compress(GOOD))[1]["lines"] == 2


@pytest.mark.parametrize("name", [f"{NAME}.pgp", "ftp_dpm_100_1234567890.overwrite.gpg"])
@pytest.mark.parametrize("content", [ENCRYPTED, b"-----BEGIN PGP MESSAGE-----\n\nhQ==\n"])
def test_an_encrypted_file_is_a_warning_as_it_cannot_be_looked_into(check, name, content):
    code, verdict = check(name, content)
    assert (code, verdict["kind"], verdict["lines"], verdict["bytes"]) == (0, "data", None, None)
    assert rules(verdict) == [(None, "encrypted", "warning")]
    assert message(verdict).startswith("an encrypted file cannot be looked into: ")


@pytest.mark.parametrize(
    "user_id",
    ["Ömer".encode(), "Émile".encode("latin-1"), "Ünal".encode("latin-1"), "Иван".encode()],
)
def test_names_in_any_encoding_are_not_taken_for_encryption(check, user_id):
    found = {found["rule"] for found in check(NAME, user_id + b"\td_sid=1\n")[1]["findings"]}
    assert found <= {"invalid_utf8"}


@pytest.mark.parametrize("name", [NAME, f"{NAME}.gz", f"{NAME}.pgp"])
def test_an_empty_file_is_an_error(check, name):
    assert rules(check(name, b"")[1]) == [(None, "empty_file", "error")]


def test_gzip_of_nothing_is_an_empty_file(check):
    assert rules(check(f"{NAME}.gz", gzip.compress(b""))[1]) == [(None, "empty_file", "error")]


def test_a_file_without_a_good_name_is_counted_but_not_judged(check):
    code, verdict = check("customers.csv", b"id,mail\nann,ann@example.com")
    assert (code, verdict["kind"], verdict["name"]) == (1, "unknown", None)
    assert (verdict["lines"], verdict["bytes"]) == (2, 27)
    assert message(verdict) == (
        "a file name follows Adobe's grammar: file name 'customers.csv' is not that of a data "
        "file: ftp_dpm_DPID[_TARGETDPID]_TIMESTAMP(.sync|.overwrite)[.SPLIT][.gz|.pgp|.gpg] "
        "(inbound-s3-filenames.md)"
    )
    assert check("customers.csv.gz", gzip.compress(b"a\nb\n"))[1]["lines"] == 2
    assert rules(check("customers", b"")[1]) == [
        (None, "file_name", "error"),
        (None, "empty_file", "error"),
    ]


def test_a_file_of_oracle_data_cloud_is_recognised_but_not_looked_into(check):
    code, verdict = check("ftp_dpm_odc_12345_1556223815.sync", b"idfa\tB5\t38838\n")
    assert (code, verdict["kind"], verdict["name"]) == (0, "unknown", {"partner": "odc"})
    assert message(verdict) == (
        "a file of Oracle Data Cloud has a form of its own and is not looked into "
        "(custom-partner-integrations.md)"
    )


def test_a_packed_file_over_1_gb_is_an_error(check, monkeypatch):
    monkeypatch.setattr(limits, "MAX_COMPRESSED_PART_BYTES", 20)
    packed = gzip.compress(GOOD)
    assert message(check(f"{NAME}.gz", packed)[1]) == (
        f"a file has at most 5 GB uncompressed and 1 GB compressed: {len(packed)} bytes as sent, "
        f"20 allowed (inbound-s3-filenames.md)"
    )
    assert check(NAME, GOOD)[0] == 0


def test_findings_beyond_a_hundred_of_a_rule_are_counted(check):
    verdict = check(NAME, b"bob\n" * 1234)[1]
    assert len(verdict["findings"]) == 101
    assert verdict["findings"][-1] == {
        "line": None,
        "rule": "no_tab",
        "severity": "error",
        "message": "a tab separates user ID and items: 1,234 lines in all, 100 of them listed "
        "(inbound-file-contents.md)",
    }


def test_the_rule_of_200_lines_is_one_of_each_file(folder, capsys):
    for split in (1, 2):
        (folder / f"{NAME}.{split}").write_bytes(b"ann\td_sid=24\n" * 150)
    assert main(["check", f"{NAME}.1", f"{NAME}.2"]) == 0
    capsys.readouterr()


OVERWRITE = "ftp_dpm_478_1366545717.overwrite"


def shared(capsys, *names: str) -> tuple[int, dict[str, list]]:
    code = main(["check", "--json", *names])
    files = json.loads(capsys.readouterr().out)["files"]
    return code, {file["name"]["split"]: file["findings"] for file in files}


def test_a_user_of_an_overwrite_in_two_parts_is_an_error(folder, capsys):
    names = [f"{OVERWRITE}.1", f"{OVERWRITE}.2.gz", f"{OVERWRITE}.3"]
    texts = [
        b"ann\td_sid=1\nbob\td_sid=1\n",
        b"cal\td_sid=1\ncal\td_sid=2\nno tab\ndan\td_sid=1\nbob\td_sid=1\nbob\td_sid=2",
        b"eve\td_sid=1\nAnn\td_sid=1\n",
    ]
    for name, text in zip(names, texts, strict=True):
        (folder / name).write_bytes(gzip.compress(text) if name.endswith("gz") else text)

    code, found = shared(capsys, *names)

    assert code == 1
    said = [(one["line"], one["message"]) for one in found[2] if "two_parts" in one["rule"]]
    assert [line for line, _ in said] == [5, 6]
    assert f"also in {OVERWRITE}.1 (faq/faq-inbound-data-ingestion.md)" in said[0][1]
    assert found[1] == found[3] == []
    # Another delivery's parts, a part alone and a .sync have nothing to do with it.
    assert shared(capsys, names[0], names[2]) == (0, {1: [], 3: []})
    (folder / names[1].replace("7.", "8.")).write_bytes((folder / names[1]).read_bytes())
    for text, split in zip(texts, (1, 2, 3), strict=True):
        (folder / f"{NAME}.{split}").write_bytes(text.replace(b"no tab\n", b"x\ty=z\n"))
    assert "user_in_two_parts" not in str(shared(capsys, names[0], names[1].replace("7.", "8.")))
    assert "user_in_two_parts" not in str(shared(capsys, f"{NAME}.1", f"{NAME}.2"))


def test_users_in_two_parts_beyond_a_hundred_are_counted(folder, capsys):
    for split in (1, 2):
        lines = b"".join(b"user-%d\td_sid=%d\n" % (n, split) for n in range(3_000))
        (folder / f"{OVERWRITE}.{split}").write_bytes(lines)

    code, found = shared(capsys, f"{OVERWRITE}.1", f"{OVERWRITE}.2")

    assert (code, found[1]) == (1, [])
    assert [one["line"] for one in found[2]] == [*range(1, 101), None]
    assert "3,000 lines in all, 100 of them listed" in found[2][-1]["message"]


def test_memory_stays_flat_however_many_users(tmp_path):
    generator = random.Random(1)
    path = tmp_path / f"{NAME}.gz"
    with gzip.open(path, "wb", compresslevel=1) as file:
        for _ in range(75):
            file.write(
                b"".join(b"%032x\td_sid=24\n" % generator.getrandbits(128) for _ in range(1000))
            )
    tracemalloc.start()
    verdict = judge(Disk().at(str(path)))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (verdict.ok, verdict.lines) == (True, 75_000)
    # 16 MB are the counters of users; a dictionary of the users alone would take 15 MB.
    assert peak < 24_000_000


# Folders and deliveries


def test_several_large_files_are_read_at_once_with_the_same_verdicts(folder, capsys, monkeypatch):
    for number in range(5):
        content = b"ann\td_sid=24\n" * (number + 1) + b"no item\n" * (number % 2)
        (folder / f"ftp_dpm_478_136654571{number}.sync").write_bytes(content)
    one_by_one = main(["check", "--json", "."]), capsys.readouterr().out
    monkeypatch.setattr(verdict, "_WORTH_A_PROCESS_BYTES", 1)
    monkeypatch.setattr(os, "cpu_count", lambda: 3)
    pools = []

    def pool(processes, **options):
        pools.append(processes)
        return ProcessPoolExecutor(processes, **options)

    monkeypatch.setattr(verdict, "ProcessPoolExecutor", pool)
    at_once = main(["check", "--json", "."]), capsys.readouterr().out
    assert at_once == one_by_one
    assert at_once[0] == 1
    assert [file["lines"] for file in json.loads(at_once[1])["files"]] == [1, 3, 3, 5, 5]
    assert pools == [3]


def test_directories_are_looked_through(folder, capsys):
    (folder / "out" / "date=2026-11-23").mkdir(parents=True)
    (folder / "out" / "date=2026-11-23" / NAME).write_bytes(GOOD)
    (folder / "out" / f"{NAME}.processed").write_bytes(b"")
    (folder / "out" / ".hidden").write_bytes(b"x")
    (folder / "out" / ".git").mkdir()
    (folder / "out" / ".git" / "config").write_bytes(b"x")
    assert main(["check", "--json", "out"]) == 0
    (verdict,) = json.loads(capsys.readouterr().out)["files"]
    assert verdict["path"] == f"out/date=2026-11-23/{NAME}"


def staged(folder) -> dict:
    parts = folder / "deliveries/data/attempts/2026-11-23-abc/parts"
    parts.mkdir(parents=True)
    (parts / "00001.gz").write_bytes(gzip.compress(GOOD))
    (parts.parent / "rejects.csv").write_bytes(b"row_number,reason,id_masked,id_sha256\n")
    manifest = {
        "version": 1,
        "delivery_id": "abc",
        "kind": "data",
        "staging": "s3://elsewhere",
        "location": "deliveries/data/abc",
        "rows_read": 3,
        "rows_written": 2,
        "rows_set_aside": 1,
        "set_aside_by_reason": {"id_colon": 1},
        "created_at": "2026-11-23T00:00:00+00:00",
        "parts": [
            {
                "path": "deliveries/data/attempts/2026-11-23-abc/parts/00001.gz",
                "file_name": f"{NAME}.gz",
                "lines": 2,
                "bytes": len(GOOD),
                "compressed_bytes": 40,
                "sha256": "0" * 64,
            }
        ],
    }
    delivery = folder / "deliveries/data/abc"
    delivery.mkdir()
    (delivery / "manifest.json").write_text(json.dumps(manifest))
    for beside in (
        f"deliveries/data/abc/sending/{NAME}.gz.json",
        "targets/production-acme-1b2c3d4e/478.json",
        "target-details/production-acme-1b2c3d4e/478/records/abc.json",
        "snapshots/1b2c3d4e/2026-11-23-abc.parquet",
        ".decisions.lock",
    ):
        (folder / beside).parent.mkdir(parents=True, exist_ok=True)
        (folder / beside).write_text("{}")
    return manifest


@pytest.mark.parametrize("path", [".", "deliveries/data/abc", "deliveries/data/abc/manifest.json"])
def test_parts_in_staging_have_the_names_that_they_are_sent_under(folder, capsys, path):
    staged(folder)
    assert main(["check", "--json", path]) == 0
    (verdict,) = json.loads(capsys.readouterr().out)["files"]
    assert verdict["path"].endswith("attempts/2026-11-23-abc/parts/00001.gz")
    assert (verdict["kind"], verdict["lines"]) == ("data", 2)
    assert main(["check", path]) == 0
    assert f"00001.gz as {NAME}.gz  data" in capsys.readouterr().out


def test_a_part_that_is_not_there_is_named(folder, capsys):
    staged(folder)
    part = "deliveries/data/attempts/2026-11-23-abc/parts/00001.gz"
    (folder / part).unlink()
    assert main(["check", "deliveries/data/abc"]) == 2
    assert capsys.readouterr().err == (
        f"airflow-am: '{part}': there is no such file or directory\n"
    )


def test_other_json_is_an_ordinary_file(check):
    assert check("manifest.json", b'{"parts": []}\n')[1]["kind"] == "unknown"


def test_objects_and_prefixes_on_s3_are_looked_through(s3, folder, capsys, monkeypatch):
    bucket = "test-cli-check"
    s3.create_bucket(bucket)
    for name, value in s3.environment.items():
        monkeypatch.setenv(name, value)
    client = s3.client()
    for key, body in {
        f"acme/date=2026-11-23/{NAME}.gz": gzip.compress(GOOD),
        f"acme/date=2026-11-23/{NAME}.gz.processed": b"",
        f"acme/date=2026-11-24/{NAME}": b"bob\n",
    }.items():
        client.put_object(Bucket=bucket, Key=key, Body=body)
    assert main(["check", "--json", f"s3://{bucket}/acme/date=2026-11-23/{NAME}.gz"]) == 0
    (verdict,) = json.loads(capsys.readouterr().out)["files"]
    assert verdict["path"] == f"s3://{bucket}/acme/date=2026-11-23/{NAME}.gz"
    assert (verdict["lines"], verdict["bytes"]) == (2, len(GOOD))
    assert main(["check", "--json", f"s3://{bucket}/acme/"]) == 1
    assert [file["ok"] for file in json.loads(capsys.readouterr().out)["files"]] == [True, False]
    assert main(["check", f"s3://{bucket}/nobody/"]) == 2
    assert capsys.readouterr().err == (
        f"airflow-am: 's3://{bucket}/nobody/': there is no file to look at\n"
    )


# For people


def test_the_table_is_aligned_and_says_each_rule_once(folder, capsys):
    (folder / NAME).write_bytes(b"ann\td_sid=24\r\n" + b"bob\n" * 1500 + b"ann\td_sid=1,,52\n")
    (folder / "adobe_id_0_478_1366545717.sync").write_bytes(b"1" * 38 + b"\tann\n")
    assert main(["check", "."]) == 1
    assert capsys.readouterr().out.splitlines() == [
        "file                            kind     lines  bytes  errors  warnings  verdict",
        "adobe_id_0_478_1366545717.sync  id_sync      1     43       0         0  ok",
        "ftp_dpm_478_1366545717.sync     data     1,502  6,030   1,500         3  not ok",
        "",
        "ftp_dpm_478_1366545717.sync",
        (
            "  error no_tab on 1,500 lines (2, 3, 4, 5, 6, …): a tab separates user ID and items "
            "(inbound-file-contents.md)"
        ),
        (
            "  warning bare_number on line 1,502: a bare number is an ic value in one table and a "
            "trait ID in another (inbound-file-contents.md)"
        ),
        "  warning empty_item on line 1,502: no item between two commas is empty (docs/choices.md)",
        "  warning windows_line_end on line 1: lines end with a newline alone (docs/choices.md)",
    ]


def test_a_hostile_path_does_not_reach_the_terminal(folder, capsys):
    (folder / "a\x1b[31m\n.sync").write_bytes(b"x\n")
    assert main(["check", "."]) == 1
    assert "\x1b" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("terminal", "no_color", "is_coloured"),
    [(True, "", True), (True, "1", False), (False, "", False)],
)
def test_colour_is_for_terminals_and_not_with_no_color(
    folder, capsys, monkeypatch, terminal, no_color, is_coloured
):
    monkeypatch.setenv("NO_COLOR", no_color)
    monkeypatch.setenv("TERM", "xterm")
    (folder / NAME).write_bytes(GOOD)
    monkeypatch.setattr("sys.stdout.isatty", lambda: terminal)
    assert main(["check", NAME]) == 0
    assert ("\x1b[32m" in capsys.readouterr().out) is is_coloured


def test_an_empty_path_is_wrong_use_and_not_the_folder_one_is_in(folder, capsys):
    (folder / NAME).write_bytes(GOOD)
    assert main(["check", ""]) == 2
    assert (
        "an empty path; a file, a folder or s3://bucket/key is expected" in capsys.readouterr().err
    )


@needs_gpg
def test_of_an_encrypted_file_it_is_said_for_which_key(check):
    keys = pair()
    with PgpPacker(Recipient.pinned(keys.public.encode(), keys.fingerprint)) as packer:
        content = packer.compress(memoryview(GOOD)) + packer.flush()
    (key_id,) = recipients_of(content)
    for name in (f"{NAME}.pgp", f"{NAME}.gpg"):
        code, verdict = check(name, content)
        assert (code, verdict["name"]["encoding"]) == (0, name[-3:])
        assert message(verdict) == (
            f"an encrypted file cannot be looked into: an OpenPGP message to the subkey "
            f"{key_id}; gpg --show-keys --with-subkey-fingerprint shows whose it is, as the end of "
            f"a subkey's fingerprint (inbound-file-encryption.md)"
        )


@pytest.mark.parametrize("name", [f"{NAME}.gz", f"{NAME}.gz.pgp"])
def test_gzip_and_pgp_together_are_an_error(check, name):
    code, verdict = check(name, gzip.compress(ENCRYPTED))
    assert code == 1
    assert (
        "a file is packed by gzip or by PGP, never by both: there is an OpenPGP message in the "
        "gzip file (inbound-file-encryption.md)"
    ) in [found["message"] for found in verdict["findings"]]
