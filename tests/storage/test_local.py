"""What is particular to a directory."""

import os
from functools import partial
from pathlib import Path

import pytest

from airflow_am_provider.audience_manager.errors import ConfigurationError, TransientError
from airflow_am_provider.storage import LocalFolder
from airflow_am_provider.storage.local import _File


def test_the_root_is_absolute() -> None:
    with pytest.raises(ConfigurationError) as caught:
        LocalFolder("staging")
    assert str(caught.value) == (
        "folder 'staging': an absolute path is expected, since every worker has a working "
        "directory of its own"
    )


def test_a_link_does_not_lead_out(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    folder = LocalFolder(tmp_path / "root")
    folder.write_bytes("inside", b"1")
    (folder.root / "out").symlink_to(tmp_path)
    (folder.root / "link").symlink_to(tmp_path / "secret")
    for path in ("out/secret", "link"):
        with pytest.raises(ConfigurationError, match="a link on its way leads out of"):
            folder.read_bytes(path)
    assert [entry.path for entry in folder.list()] == ["inside"]


def test_names_that_are_not_safe_are_not_listed(tmp_path: Path) -> None:
    folder = LocalFolder(tmp_path)
    folder.write_bytes("good", b"1")
    for name in (b"bad\nname", b"bad\xff"):
        (tmp_path / os.fsdecode(name)).touch()
    assert [entry.path for entry in folder.list()] == ["good"]


def test_a_full_disk_may_be_better_later() -> None:
    folder = LocalFolder("/data/" + "long" * 50, setting="staging_location of connection 'adobe'")
    target = folder.root / "parts/1"
    with _File("/dev/full", "wb") as file:
        file.errors_of = partial(folder._errors, "write", target)
        with pytest.raises(TransientError) as caught:
            file.write(b"1")
    assert str(caught.value) == (
        f"cannot write '{target}' (staging_location of connection 'adobe'): No space left on "
        f"device; make room there, by the task that cleans staging (CleanStagingOperator) or a "
        f"larger disk"
    )


def test_a_file_in_the_way_of_a_folder(tmp_path: Path) -> None:
    folder = LocalFolder(tmp_path)
    folder.write_bytes("file", b"")
    with pytest.raises(ConfigurationError) as caught:
        folder.write_bytes("file/below", b"")
    assert "check the path and the rights of the user that Airflow runs as" in str(caught.value)


def modes(root: Path) -> dict[str, str]:
    return {
        path.relative_to(root).as_posix(): oct(path.stat().st_mode & 0o777)
        for path in sorted(root.rglob("*"))
    }


@pytest.mark.parametrize("umask", [0o022, 0o000, 0o077])
def test_only_the_owner_reads_what_is_written(tmp_path: Path, umask: int) -> None:
    there = tmp_path / "shared"
    there.mkdir()
    there.chmod(0o775)
    before = os.umask(umask)
    try:
        folder = LocalFolder(there / "am" / "staging")
        folder.write_bytes("deliveries/a/part.gz", b"x")
        folder.write_bytes("order/turn", b"")
        with folder.open_write("deliveries/a/half.gz") as file:
            file.write(b"y")
            (half,) = (there / "am/staging/deliveries/a").glob(".*")
            assert half.stat().st_mode & 0o777 == 0o600
    finally:
        os.umask(before)
    assert there.stat().st_mode & 0o777 == 0o775
    assert modes(there) == {
        "am": "0o700",
        "am/staging": "0o700",
        "am/staging/deliveries": "0o700",
        "am/staging/deliveries/a": "0o700",
        "am/staging/deliveries/a/half.gz": "0o600",
        "am/staging/deliveries/a/part.gz": "0o600",
        "am/staging/order": "0o700",
        "am/staging/order/turn": "0o600",
    }


def test_a_lock_that_cannot_be_had_says_where_and_may_go_better_later(tmp_path: Path) -> None:
    folder = LocalFolder(tmp_path / "staging")
    with folder.locked("a.lock"):
        pass
    assert (folder.root.stat().st_mode & 0o777, folder.exists("a.lock")) == (0o700, True)
    (folder.root / "b.lock").mkdir()
    with (
        pytest.raises((TransientError, ConfigurationError), match=r"b\.lock"),
        folder.locked("b.lock"),
    ):
        pass
