"""The line to a destination breaks at a random byte, 50 times on each road.

What Audience Manager can see is whole at every moment, and the next attempt goes on from what has
arrived, or begins anew.
"""

import logging
import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from airflow_am_provider.audience_manager.errors import TransientError
from airflow_am_provider.deliveries.uploads import s3_destination
from airflow_am_provider.deliveries.uploads.destination import Destination
from airflow_am_provider.deliveries.uploads.drop_destination import DropDestination
from airflow_am_provider.deliveries.uploads.s3_destination import OBJECT_ARGS, S3Destination
from airflow_am_provider.storage import LocalFolder, S3Folder
from demo.local.s3 import S3
from demo.local.s3 import s3 as run_s3
from tests.faults.line import Line
from tests.faults.s3_line import s3_line
from tests.faults.trouble import Fault
from tests.staged_deliveries import NAMES, content_of, stage
from tests.staged_deliveries import send_for_real as send

CUTS = 30
# One that goes in pieces on S3, and one that does not.
SIZES = dict(zip(NAMES, (35_000, 5_000), strict=True))
PIECE_BYTES = 10_000
# On S3: a look whether the name is taken; begin, four pieces, end; the small one. Then others'.
REQUESTS = 8

Contents = dict[str, bytes]


def cut_and_go_on(
    destination: Destination,
    directory: Path,
    cut: Callable[[random.Random], None],
    seen: Callable[[], Contents],
) -> int:
    """Send deliveries whose line breaks; gives how many attempts ended by that."""
    given_up, before = 0, seen()
    for number in range(CUTS):
        chance = random.Random(number)
        contents = {
            name.replace("1366545717", str(1_366_545_717 + 2 * number)): content_of(
                f"{number}{name}", n
            )
            for name, n in SIZES.items()
        }
        staging = LocalFolder(directory / str(number))
        manifest = stage(staging, contents, delivery_id=f"{number:020}")
        cut(chance)
        try:
            send(destination, manifest, staging)
        except TransientError:
            given_up += 1
            # A part is there whole, or it is not there.
            assert seen().items() <= {**before, **contents}.items(), f"cut {number}"
            send(destination, manifest, staging)
        before |= contents
        assert seen() == before, f"cut {number}"
    return given_up


@pytest.mark.parametrize("drop_server", ["sftp", "ftps", "ftp"], indirect=True)
def test_over_sftp_ftps_and_ftp(
    to_drop: DropDestination,
    drop_server: Any,
    drop_directory: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    is_ftp = to_drop.url.startswith("ftp")

    def cut(chance: random.Random) -> None:
        # Three breaks end an attempt; after one it goes on by itself.
        how = {"control_too": chance.choice((True, False))} if is_ftp else {}
        most, times = chance.choice(list(SIZES.values())), chance.choice((1, 1, 3))
        drop_server.cut_uploads(after_bytes=chance.randrange(most), times=times, **how)

    def seen() -> Contents:
        drop_server.faults.unlink(missing_ok=True)
        paths = [path for path in drop_directory.iterdir() if not path.name.endswith(".part")]
        return {path.name: path.read_bytes() for path in paths}

    given_up = cut_and_go_on(to_drop, tmp_path, cut, seen)
    assert 0 < given_up < CUTS
    assert sum("Going on with ftp_dpm" in line for line in caplog.messages) > CUTS
    assert not list(drop_directory.glob("*.part"))


@pytest.fixture(scope="module")
def small_pieces(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3]:
    """A server that takes pieces of any size."""
    with run_s3(tmp_path_factory.mktemp("s3"), least_piece_bytes=1) as server:
        yield server


def test_over_s3(
    small_pieces: S3,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    resumable = partial(s3_destination.ResumableObject, piece_bytes=PIECE_BYTES)
    monkeypatch.setattr(s3_destination, "ResumableObject", resumable)
    small_pieces.create_bucket("cuts")
    # Each break ends an attempt: what boto3 tries again by itself is tried elsewhere.
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with s3_line(Line("s3"), int(small_pieces.endpoint_url.rpartition(":")[2])) as line:
        client = replace(small_pieces, endpoint_url=f"http://127.0.0.1:{line.port}").client()
        direct = S3Folder(small_pieces.client(), "cuts")

        def cut(chance: random.Random) -> None:
            request, keep = chance.randint(1, REQUESTS), chance.randrange(PIECE_BYTES)
            after = chance.random() < 0.3
            line.arm((Fault(line="s3", what="cut", at=request, keep=keep, after=after),))

        read: Contents = {}

        def seen() -> Contents:
            line.arm(())
            for entry in direct.list():
                # No object is ever written twice.
                if entry.path not in read:
                    read[entry.path] = direct.read_bytes(entry.path) or b""
            return {path.rpartition("/")[2]: content for path, content in read.items()}

        destination = S3Destination(
            folder=S3Folder(client, "cuts", extra_args=OBJECT_ARGS), partner_name="acme"
        )
        given_up = cut_and_go_on(destination, tmp_path, cut, seen)
        assert line.happened["s3 cut"] >= CUTS
    assert given_up >= CUTS / 2
    assert sum("going on after" in line for line in caplog.messages) > CUTS / 4
    assert "Uploads" not in small_pieces.client().list_multipart_uploads(Bucket="cuts")
