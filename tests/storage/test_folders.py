"""What every folder promises, on a directory and on a real S3 server."""

import hashlib
from datetime import UTC, datetime, timedelta

import pytest

from airflow_am_provider.audience_manager.errors import ConfigurationError
from airflow_am_provider.storage import Folder
from airflow_am_provider.storage.paths import is_safe_path

HOSTILE_PATHS = [
    "",
    "/etc/passwd",
    "../outside",
    "a/../../outside",
    "a//b",
    "./a",
    "a/",
    "a\\b",
    "a\nb",
    "a\x00b",
    "a\u202eb",
    "\ud800",
    "x" * 256,
    "/".join(["x" * 200] * 6),
]


def give_up(folder: Folder, path: str, *, blocks: int) -> None:
    with folder.open_write(path) as file:
        for _ in range(blocks):
            file.write(bytes(1 << 20))
        raise RuntimeError("given up")


def test_what_is_written_is_read_back(folder: Folder) -> None:
    content = bytes(range(256)) * 100
    with folder.open_write("deep/down/file.bin") as file:
        for start in range(0, len(content), 1000):
            file.write(content[start : start + 1000])
        assert not folder.exists("deep/down/file.bin")
    assert folder.exists("deep/down/file.bin")
    assert folder.size("deep/down/file.bin") == len(content)
    assert folder.read_bytes("deep/down/file.bin") == content
    with folder.open_read("deep/down/file.bin") as reader:
        assert reader.read() == content
        reader.seek(-300, 2)
        assert reader.read(10) == content[-300:-290]
        reader.seek(7)
        assert (reader.read(5), reader.tell()) == (content[7:12], 12)


def test_a_file_that_is_given_up_never_appears(folder: Folder) -> None:
    folder.write_bytes("file", b"old")
    with pytest.raises(RuntimeError, match="given up"):
        give_up(folder, "file", blocks=2)
    assert folder.read_bytes("file") == b"old"
    assert [entry.path for entry in folder.list()] == ["file"]


def test_an_empty_file_is_a_file(folder: Folder) -> None:
    with folder.open_write("empty"):
        pass
    with folder.open_read("empty") as reader:
        assert reader.read() == b""


def test_absent_files(folder: Folder) -> None:
    assert folder.read_bytes("absent") is None
    assert not folder.exists("absent")
    assert folder.size("absent") is None
    folder.delete("absent")
    with pytest.raises(ConfigurationError, match=r"cannot read .*absent'"):
        folder.open_read("absent")
    assert list(folder.list("absent/")) == []


def test_a_small_file_is_replaced_and_deleted(folder: Folder) -> None:
    folder.write_bytes("a.json", b"1")
    folder.write_bytes("a.json", b"2")
    assert folder.read_bytes("a.json") == b"2"
    folder.delete("a.json")
    assert folder.read_bytes("a.json") is None


def test_listing_is_by_prefix_and_in_order(folder: Folder) -> None:
    for path in ("mail/b", "mail/a", "mail/deep/c", "mailbox", "other"):
        folder.write_bytes(path, path.encode())
    assert sorted(entry.path for entry in folder.list()) == [
        "mail/a",
        "mail/b",
        "mail/deep/c",
        "mailbox",
        "other",
    ]
    entries = list(folder.list("mail/"))
    assert [entry.path for entry in entries] == ["mail/a", "mail/b", "mail/deep/c"]
    assert entries[0].size == 6
    assert abs(entries[0].modified - datetime.now(UTC)) < timedelta(minutes=5)
    assert {entry.path for entry in folder.list("mail")} == {e.path for e in entries} | {"mailbox"}


@pytest.mark.parametrize("path", HOSTILE_PATHS)
def test_no_path_leaves_the_folder(folder: Folder, path: str) -> None:
    assert not is_safe_path(path)
    for use in (folder.exists, folder.read_bytes, folder.open_read, folder.delete):
        with pytest.raises(ConfigurationError, match=r"names joined by '/' are expected"):
            use(path)
    with pytest.raises(ConfigurationError, match="names joined"):
        folder.write_bytes(path, b"")
    with pytest.raises(ConfigurationError, match="names joined"), folder.open_write(path):
        pass


def test_forty_megabytes_arrive_byte_for_byte(folder: Folder) -> None:
    block = hashlib.sha256(b"seed").digest() * 32_768  # 1 MB
    sent, got = hashlib.sha256(), hashlib.sha256()
    with folder.open_write("large") as file:
        for number in range(40):
            piece = bytes([number]) + block[1:]
            file.write(piece)
            sent.update(piece)
    with folder.open_read("large") as reader:
        while piece := reader.read(3_000_000):
            got.update(piece)
    assert got.digest() == sent.digest()
