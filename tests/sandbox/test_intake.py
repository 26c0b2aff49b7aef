"""Which files are taken, which are not, and that no file ends the service."""

import gzip
import os
import sqlite3
import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_am_provider.audience_manager import limits
from airflow_am_provider.audience_manager.errors import ConfigurationError
from airflow_am_provider.sandbox import Kind, Sandbox, SandboxConfig, Verdict
from airflow_am_provider.sandbox.contents import split_lines
from tests.examples import examples
from tests.sandbox.conftest import Bench, T

Synced = Callable[..., None]
NAME = f"ftp_dpm_478_{T}.sync"


def test_a_file_is_read_once_until_it_is_written_anew(bench: Bench) -> None:
    bench.take(NAME, ["ann\td_sid=1"])
    bench.run()
    assert len(bench.sandbox.ledger.files()) == 1

    bench.take(NAME, ["ann\td_sid=1", "bob\td_sid=1"])

    first, second = bench.sandbox.ledger.files()
    assert (first.totals.records_received, second.totals.records_received) == (1, 2)
    assert first.path == second.path
    assert first.sha256 != second.sha256


def test_the_ledger_knows_the_same_content_under_two_names(bench: Bench) -> None:
    bench.take(NAME, ["ann\td_sid=1"])
    bench.take(f"ftp_dpm_478_{T + 1}.sync.gz", ["ann\td_sid=1"])

    first, second = bench.sandbox.ledger.files()
    assert first.sha256 == second.sha256


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        (NAME, b"", "an empty file is invalid: 0 bytes (inbound-s3-filenames.md)"),
        (
            f"{NAME}.gz",
            b"",
            "an empty file is invalid: 0 bytes inside (inbound-s3-filenames.md)",
        ),
        (
            f"ftp_dpm_478_{T}.sync.pgp",
            b"x",
            (
                "an encrypted file cannot be looked into: the sandbox has no secret "
                "key; give it one with --pgp-secret-key (inbound-file-encryption.md)"
            ),
        ),
    ],
)
def test_files_that_cannot_be_read_are_rejected(
    bench: Bench, name: str, content: bytes, reason: str
) -> None:
    entry = bench.take(name, content)
    events = bench.run(at_once=True)

    assert (entry.verdict, entry.reason) == (Verdict.REJECTED, reason)
    assert events == []
    assert bench.messages() == []


@pytest.mark.parametrize("cut", ["end", "middle", "head", "tail"])
def test_broken_gzip_is_rejected_whole(bench: Bench, synced: Synced, cut: str) -> None:
    users = [f"user-{n}" for n in range(30_000)]
    synced(*users)
    whole = gzip.compress("".join(f"{user}\td_sid=1\n" for user in users).encode())
    broken = {
        "end": whole[:-4],
        "middle": whole[: len(whole) // 2],
        "head": b"PK" + whole[2:],
        "tail": whole + b"tail",
    }[cut]
    (bench.inbox / f"{NAME}.gz").write_bytes(broken)
    bench.run()

    entry = bench.sandbox.ledger.files()[-1]
    assert entry.verdict is Verdict.REJECTED
    assert entry.reason.startswith("a .gz file is whole gzip: ")
    assert entry.reason.endswith("(inbound-file-compression.md)")
    assert not bench.profiles().has_trait(478, "user-0", 1)


def test_a_decompression_bomb_is_stopped(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_PART_BYTES", 1_000_000)

    entry = bench.take(f"{NAME}.gz", b"\0" * 2_000_000)

    assert entry.verdict is Verdict.REJECTED
    assert "more than 1,000,000 bytes" in entry.reason


@pytest.mark.parametrize(
    "name",
    [
        "readme.txt",
        f"{NAME}.tmp",
        f"{NAME}.zip",
        f"ftp_dpm_20914_{T}.sync",
        f"ftp_dpm_odc_1_{T}.sync",
        "ftp_dpm_478_136654571.sync",
        f"ftp_dpm_0478_{T}.sync",
        "a\nb\x1b[31m",
        "ـ" * 100,
    ],
)
def test_names_that_are_not_adobes_are_left_and_told_once(bench: Bench, name: str) -> None:
    (bench.inbox / name).write_bytes(b"ann\td_sid=1\n")

    assert [event.kind for event in bench.run()] == [Kind.FILE_IGNORED]
    (bench.inbox / name).write_bytes(b"ann\td_sid=1\nann\td_sid=2\n")
    assert bench.run() == []
    assert (bench.inbox / name).exists()
    assert all(str(event).isprintable() for event in bench.told)


def test_a_manifest_is_never_sent_on_purpose(bench: Bench, tmp_path: Path) -> None:
    (bench.inbox / f"{NAME}.manifest.json").write_text("{}")

    assert bench.run() == []
    bench.configure(inboxes=(f"ftp-folder:{bench.inbox}",))
    assert [event.kind for event in bench.run()] == [Kind.FILE_IGNORED]


def test_what_is_no_regular_file_of_utf8_name_is_left_alone(bench: Bench, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("ann\td_sid=1\n")
    (bench.inbox / f"ftp_dpm_1_{T}.sync").symlink_to(secret)
    (bench.inbox / f"ftp_dpm_2_{T}.sync").mkdir()
    os.mkfifo(bench.inbox / f"ftp_dpm_3_{T}.sync")
    (bench.inbox / f".ftp_dpm_4_{T}.sync").write_text("ann\td_sid=1\n")
    odd = bench.inbox / os.fsdecode(b"\xff\xfe")
    odd.mkdir()
    (odd / NAME).write_text("ann\td_sid=1\n")

    (event,) = bench.run()

    assert (event.kind, event.reason) == (Kind.FILE_IGNORED, "its path is not UTF-8")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every folder")
def test_a_folder_that_may_not_be_read_keeps_nothing_else_back(bench: Bench) -> None:
    closed = bench.inbox / "a"
    closed.mkdir(mode=0)
    bench.put(NAME, ["ann\td_sid=1"])

    events = bench.run()
    closed.chmod(0o700)

    assert [event.kind for event in events] == [Kind.FILE_TAKEN, Kind.FILE_IGNORED]
    assert events[1].reason == "folder: Permission denied"


def test_a_folder_that_is_gone_is_trouble_until_it_is_back(bench: Bench) -> None:
    bench.run()
    bench.inbox.rmdir()
    (event,) = bench.run()
    assert event.kind is Kind.TROUBLE
    bench.inbox.mkdir()

    assert bench.take(NAME, ["ann\td_sid=1"]).verdict is Verdict.TAKEN


def test_a_database_that_fails_for_a_while_does_not_end_the_service(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop = threading.Event()
    looks = iter([sqlite3.OperationalError("database or disk is full"), None])

    def look(sandbox: Sandbox) -> None:
        error = next(looks)
        if error is not None:
            raise error
        stop.set()

    monkeypatch.setattr(Sandbox, "run_once", look)
    bench.sandbox.serve(poll_interval_s=0.01, stop=stop)

    (event,) = bench.told
    assert (event.kind, event.reason) == (Kind.TROUBLE, "database: database or disk is full")


def test_files_found_together_can_be_taken_in_any_order(bench: Bench) -> None:
    names = [f"ftp_dpm_478_{T + number}.sync" for number in range(8)]
    for name in names:
        bench.put(name, ["ann\td_sid=1"])
    bench.configure(shuffle=4)

    bench.run()

    taken = [entry.name for entry in bench.sandbox.ledger.files()]
    assert taken != names
    assert sorted(taken) == names


def test_a_file_renamed_from_a_temporary_name_is_taken(bench: Bench) -> None:
    hidden = bench.put(f"{NAME}.part", ["ann\td_sid=1"])
    bench.run()
    hidden.rename(bench.inbox / NAME)
    bench.run()

    assert [entry.verdict for entry in bench.sandbox.ledger.files()] == ["ignored", "taken"]


def test_lines_too_long_for_memory_are_cut_and_counted(bench: Bench) -> None:
    long = b"x" * (3 * limits.MAX_LINE_BYTES)
    entry = bench.take(NAME, b"ann\td_sid=1\n" + long * 20 + b"\nbob\td_sid=1\n" + long)

    assert (entry.totals.records_received, entry.totals.format_errors) == (4, 2)
    assert entry.findings["line_too_long"] == 2


@given(content=st.binary(max_size=60), size=st.integers(1, 7))
def test_lines_are_those_of_a_binary_file(content: bytes, size: int) -> None:
    chunks = [content[start : start + size] for start in range(0, len(content), size)]

    assert list(split_lines(chunks)) == [*content.splitlines(keepends=True)] or b"\r" in content
    assert b"".join(split_lines(chunks)) == content
    assert all(line.endswith(b"\n") for line in list(split_lines(chunks))[:-1])


HOSTILE = st.sampled_from(
    [b"ann", b"\t", b"\n", b"\r\n", b",", b"=", b'"', b"d_sid=1", b"d_unsid=1", b"ic=5", b"\xff",
     b"\0", b"\xef\xbb\xbf", "é👩‍👧".encode(), b"0" * 38, b" ", b"%3A", b":", b"a=b", b"28:0"]
)  # fmt: skip


@settings(
    max_examples=examples(300),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    contents=st.lists(
        st.tuples(
            st.sampled_from(
                ["ftp_dpm_478_{}.sync", "ftp_dpm_478_{}.overwrite.gz", "adobe_id_0_478_{}.sync",
                 "c2c_id_478_9_{}.sync", "ftp_dpm_20914_478_{}.sync", "adobe_id_478_0_{}.sync"]
            ),
            st.lists(HOSTILE, max_size=40).map(b"".join),
        ),
        min_size=1,
        max_size=4,
    )
)  # fmt: skip
def test_no_content_ends_the_service_and_every_line_is_accounted_for(
    tmp_path_factory: pytest.TempPathFactory, contents: list
) -> None:
    bench = Bench(tmp_path_factory.mktemp("hostile"))
    for number, (name, content) in enumerate(contents):
        bench.put(name.format(T + number), content)

    bench.run(at_once=True)

    entries = bench.sandbox.ledger.files()
    assert len(entries) == len(contents)
    for entry in entries:
        assert entry.verdict is (
            Verdict.TAKEN if entry.totals.records_received else Verdict.REJECTED
        )
        counts = entry.totals.to_json().values()
        assert min(counts) >= 0
    assert len(bench.receipts()) == sum(entry.verdict == "taken" for entry in entries)
    bench.restart()


def test_serving_goes_on_until_told_to_stop(bench: Bench) -> None:
    stop = threading.Event()
    seen = threading.Event()

    def tell(event: object) -> None:
        if getattr(event, "kind", None) is Kind.FILE_TAKEN:
            seen.set()

    def serve() -> None:
        with Sandbox(bench.config, tell=tell) as sandbox:
            sandbox.serve(poll_interval_s=0.01, stop=stop)

    thread = threading.Thread(target=serve)
    thread.start()
    bench.put("broken.sync", b"\xff")
    bench.put(NAME, ["ann\td_sid=1"])
    assert seen.wait(20)
    stop.set()
    thread.join(20)
    assert not thread.is_alive()


def test_a_sandbox_that_was_killed_while_reading_reads_again(
    bench: Bench, synced: Synced, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced("ann")

    class Killed(BaseException):
        pass

    def killed(*_: object) -> None:
        raise Killed

    bench.put(NAME, ["ann\td_sid=1"])
    with monkeypatch.context() as patch:
        patch.setattr(type(bench.sandbox.ledger), "add_file", killed)
        with pytest.raises(Killed):
            bench.run()
    bench.restart()
    assert not bench.profiles().has_trait(478, "ann", 1)

    bench.run(at_once=True)

    assert bench.profiles().has_trait(478, "ann", 1)
    assert sorted(receipt.files[0] for receipt in bench.receipts()) == [
        f"adobe_id_0_478_{T}.sync",
        NAME,
    ]


def test_trouble_with_a_place_is_told_once_while_it_lasts(bench: Bench) -> None:
    bench.mail.mkdir()
    bench.put(NAME, ["ann\td_sid=1"])
    bench.run()
    bench.mail.rmdir()
    for _ in range(3):
        bench.run(after_s=5)
    assert [event.kind for event in bench.told].count(Kind.TROUBLE) == 1
    bench.mail.mkdir()

    bench.run(after_s=1)

    assert len(bench.receipts()) == 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"inboxes": ("/nowhere/at/all",)}, "inbox '/nowhere/at/all': there is no such folder"),
        ({"inboxes": ("ftp://host/",)}, "inbox 'ftp://host/': s3://BUCKET, ftp-folder:/PATH"),
        ({"inboxes": ("s3://UPPER",)}, "'s3://UPPER': s3://BUCKET[/PREFIX] is needed"),
        ({"mailboxes": ("smtp://host",)}, "mail smtp://…: imap://USER@HOST:PORT/MAILBOX"),
        ({"mailboxes": ("imap://user@host/INBOX",)}, "mail 'imap://user@host/INBOX': imap://USER"),
        ({"mailboxes": ("imap://u:secret@host/",)}, "mail imap://…: the password belongs in"),
    ],
)
def test_wrong_settings_are_refused_at_once(bench: Bench, changes: dict, message: str) -> None:
    bench.configure(**changes)

    with pytest.raises(ConfigurationError) as error:
        _ = bench.sandbox

    assert str(error.value).startswith(message)
    assert "secret" not in str(error.value)


def test_a_database_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "db").write_text("no database" * 1000)

    with pytest.raises(ConfigurationError, match=r"sandbox database .* not a database"):
        Sandbox(SandboxConfig(database=tmp_path / "db", inboxes=(str(tmp_path),)))


def test_two_sandboxes_on_one_database_take_each_file_once(bench: Bench) -> None:
    other = Sandbox(bench.config)
    bench.put(NAME, ["ann\td_sid=1"])
    now = bench.now + timedelta(seconds=1)

    bench.run()
    other.run_once(now)
    other.run_once(now + timedelta(seconds=10))
    bench.run(after_s=20)

    assert len(bench.sandbox.ledger.files()) == len(bench.receipts()) == 1
    other.close()
