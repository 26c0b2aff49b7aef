"""How deliveries were once lost, each as it was seen, against real servers.

What is not here has its place beside what it is about: versions and reports in ``test_staging``,
the queue and lost receipts in ``test_upload_queue``, snapshots in ``test_staging_difference``.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from airflow_am_provider.audience_manager.errors import ConfigurationError
from airflow_am_provider.deliveries.manifest import Manifest
from airflow_am_provider.deliveries.target.commands import Enqueue
from airflow_am_provider.deliveries.target.homes.sql_table import SqlTableHome
from airflow_am_provider.deliveries.target.state import DeliveryState
from airflow_am_provider.deliveries.targets import Targets
from airflow_am_provider.deliveries.uploads.destination import Destination
from airflow_am_provider.deliveries.uploads.drop_destination import DropDestination
from airflow_am_provider.deliveries.uploads.s3_destination import OBJECT_ARGS, S3Destination
from airflow_am_provider.deliveries.uploads.sending import send_parts, utc_now
from airflow_am_provider.hooks.audience_manager import AudienceManagerHook
from airflow_am_provider.storage import LocalFolder, S3Folder
from airflow_am_provider.storage.drops import Drop, Published
from demo.local.postgres import Postgres
from demo.local.s3 import S3
from tests.connections import Connect
from tests.deliveries.lossy_stores import s3_without_conditions
from tests.faults.job import fork_server
from tests.staged_deliveries import content_of, stage

STAMP = 1366545717
PROCESSES = 4
WINDOWS = 6


def staged(where: LocalFolder | Targets, what: str, *, mode: str = "sync") -> Manifest:
    """A delivery of one file; whatever it is of, its name is of the same second."""
    return stage(
        where,
        {f"ftp_dpm_478_{STAMP}.{mode}.gz": content_of(what, 5_000)},
        delivery_id=f"d{what}{mode}",
        series=f"{what}/format",
    )


def sent(
    where: LocalFolder | Targets,
    destination: Destination,
    manifest: Manifest,
    now: datetime | None = None,
) -> Manifest:
    """Send a delivery that waits for nothing; gives it with the names that it has then."""
    targets = where if isinstance(where, Targets) else Targets(where)
    targets.of(manifest).decide(Enqueue(delivery_id=manifest.delivery_id, at=""))
    journal = send_parts(
        targets, destination, manifest, in_order=False, clock=lambda: now or utc_now()
    )
    if not journal.is_whole:
        journal.complete()
    return journal.manifest


def state_of(folder: LocalFolder, manifest: Manifest) -> DeliveryState:
    entry = Targets(folder).of(manifest).find(manifest.delivery_id)
    assert entry is not None
    return entry.state


def in_bucket(s3: S3, bucket: str) -> list[bytes]:
    folder = S3Folder(s3.client(), bucket)
    return [folder.read_bytes(entry.path) or b"" for entry in folder.list()]


def in_folder(directory: Path) -> list[bytes]:
    return [path.read_bytes() for path in directory.iterdir()]


class TestModesOfOneSecond:
    """A marker says ``….processed`` and not which mode the file had."""

    @pytest.mark.parametrize("modes", [("sync", "overwrite"), ("overwrite", "sync")])
    def test_the_second_never_takes_the_marker_of_the_first_for_its_own(
        self,
        tmp_path: Path,
        to_drop: DropDestination,
        drop_directory: Path,
        modes: tuple[str, str],
    ) -> None:
        staging = LocalFolder(tmp_path / "staging")
        manifests = [staged(staging, mode, mode=mode) for mode in modes]
        picked_up = []
        for manifest in manifests:
            sent(staging, to_drop, manifest)
            picked_up += _picked_up(drop_directory)
        assert picked_up == [content_of(mode, 5_000) for mode in modes]
        assert [path.suffix for path in drop_directory.iterdir()] == [".processed"] * 2

    def test_nor_where_the_first_was_staged_elsewhere(
        self, tmp_path: Path, to_drop: DropDestination, drop_directory: Path
    ) -> None:
        picked_up = []
        for mode in ("sync", "overwrite"):
            staging = LocalFolder(tmp_path / mode)
            manifest = staged(staging, mode, mode=mode)
            sent(staging, to_drop, manifest)
            assert state_of(staging, manifest) is DeliveryState.SENT
            picked_up += _picked_up(drop_directory)
        assert picked_up == [content_of(mode, 5_000) for mode in ("sync", "overwrite")]

    def test_nor_where_both_look_before_either_has_sent(self, tmp_path: Path) -> None:
        stems = {
            staged(LocalFolder(tmp_path / f"{mode} {number}"), "rows", mode=mode).file_name
            for mode in ("sync", "overwrite")
            for number in range(2)
        }
        by_mode = {str(name.mode): name.timestamp for name in stems}
        assert by_mode == {"sync": STAMP, "overwrite": STAMP + 1}


def _picked_up(directory: Path) -> list[bytes]:
    """What Audience Manager does: take the file, leave a marker without its mode."""
    files = [path for path in directory.iterdir() if path.suffix != ".processed"]
    contents = [path.read_bytes() for path in files]
    for path in files:
        path.rename(path.with_name(path.name.partition(".")[0] + ".processed"))
    return contents


class TestStoresWithoutConditions:
    @pytest.fixture(params=["ignores", "refuses"])
    def store(self, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[S3]:
        with s3_without_conditions(tmp_path, request.param) as server:
            server.create_bucket("staging")
            yield server

    def test_they_are_refused_with_a_sentence_that_names_the_way_out(
        self,
        store: S3,
        s3: S3,
        bucket: str,
        connect: Connect,
        audience_manager: Connect,
    ) -> None:
        targets = Targets(S3Folder(store.client(), "staging"))
        with pytest.raises(ConfigurationError, match=r"keeps no conditional writes.*state_conn_id"):
            staged(targets, "first")
        assert list(targets.all()) == []
        conn_id = audience_manager(
            environment="custom",
            bucket=bucket,
            partner_name="acme",
            aws_conn_id=connect(s3.airflow_connection()),
            staging_location="s3://staging/deliveries",
            staging_aws_conn_id=connect(store.airflow_connection()),
        )
        is_well, sentences = AudienceManagerHook(conn_id).test_connection()
        assert not is_well
        assert "state_conn_id" in sentences

    def test_with_an_sql_database_processes_at_once_lose_nothing(
        self, store: S3, s3: S3, bucket: str, postgres: Postgres
    ) -> None:
        database = postgres.create_database(f"decisions_{uuid4().hex[:8]}")
        run = partial(_stage_and_send, store, s3, bucket, database)
        with fork_server().Pool(PROCESSES) as pool:
            named = [name for names in pool.map(run, range(PROCESSES), 1) for name in names]
        assert len(set(named)) == PROCESSES * WINDOWS
        wanted = [
            content_of(f"p{process}w{window}", 5_000)
            for process in range(PROCESSES)
            for window in range(WINDOWS)
        ]
        assert sorted(in_bucket(s3, bucket)) == sorted(wanted)


def _stage_and_send(store: S3, s3: S3, bucket: str, database: str, process: int) -> list[str]:
    """One process: deliveries of some windows, one after another."""
    from sqlalchemy import create_engine

    home = SqlTableHome(create_engine(database), "s3://staging")
    targets = Targets(S3Folder(store.client(), "staging"), home)
    folder = S3Folder(s3.client(), bucket, extra_args=OBJECT_ARGS)
    to_s3 = S3Destination(folder=folder, partner_name="acme")
    manifests = [staged(targets, f"p{process}w{window}") for window in range(WINDOWS)]
    return [str(sent(targets, to_s3, manifest).file_name) for manifest in manifests]


class TestTwoStagingPlaces:
    """Two teams with a connection each, for the same partner and data source."""

    @pytest.fixture(params=["S3", "S3, write-only", "FTP"])
    def place(
        self,
        request: pytest.FixtureRequest,
        monkeypatch: pytest.MonkeyPatch,
        s3: S3,
        bucket: str,
        to_s3: S3Destination,
        drop_directory: Path,
    ) -> tuple[Destination, Callable[[], list[bytes]]]:
        if request.param == "FTP":
            to_drop: Destination = request.getfixturevalue("to_drop")
            return to_drop, partial(in_folder, drop_directory)
        if request.param == "S3, write-only":

            def refuse(*_: object, **__: object) -> Any:
                raise ConfigurationError("S3 answered 403")

            for look in ("stored", "list", "read_bytes", "size", "exists"):
                monkeypatch.setattr(to_s3.folder, look, refuse)
        return to_s3, partial(in_bucket, s3, bucket)

    @pytest.mark.parametrize("mode", ["sync", "overwrite"])
    def test_neither_overwrites_the_other_and_both_arrive(
        self,
        tmp_path: Path,
        place: tuple[Destination, Callable[[], list[bytes]]],
        mode: str,
    ) -> None:
        destination, arrived = place
        names = []
        for team in ("one", "two"):
            staging = LocalFolder(tmp_path / team)
            names.append(sent(staging, destination, staged(staging, team, mode=mode)).file_name)
        assert sorted(arrived()) == sorted(content_of(team, 5_000) for team in ("one", "two"))
        assert STAMP <= names[0].timestamp < names[1].timestamp

    @pytest.mark.parametrize("hours", [-1, 1], ids=["before midnight", "after midnight"])
    def test_nor_do_they_share_a_name_on_two_sides_of_midnight(
        self, tmp_path: Path, to_s3: S3Destination, s3: S3, bucket: str, hours: int
    ) -> None:
        midnight = datetime(2016, 5, 9, tzinfo=UTC)
        times = {"one": midnight - timedelta(hours=hours), "two": midnight + timedelta(hours=hours)}
        names = []
        for team, time in times.items():
            staging = LocalFolder(tmp_path / team)
            names.append(sent(staging, to_s3, staged(staging, team), time).file_name)
        assert names[0] != names[1]
        assert sorted(in_bucket(s3, bucket)) == sorted(content_of(team, 5_000) for team in times)

    def test_nor_when_they_send_at_once_where_names_are_given_by_a_condition(
        self, tmp_path: Path, to_s3: S3Destination, s3: S3, bucket: str
    ) -> None:
        teams = [f"team{number}" for number in range(4)]

        def send_one(team: str) -> None:
            staging = LocalFolder(tmp_path / team)
            sent(staging, to_s3, staged(staging, team))

        with ThreadPoolExecutor(len(teams)) as pool:
            list(pool.map(send_one, teams))
        wanted = [content_of(team, 5_000) for team in teams]
        assert sorted(in_bucket(s3, bucket)) == sorted(wanted)


def test_a_name_that_is_taken_at_the_last_moment_leaves_nothing_of_ours(
    tmp_path: Path,
    to_drop: DropDestination,
    drop_directory: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    staging = LocalFolder(tmp_path / "staging")
    manifest = staged(staging, "rows")
    publish = Drop.publish

    def overtaken(drop: Drop, temporary: str, name: str, **options: Any) -> Published:
        monkeypatch.setattr(Drop, "publish", publish)
        (drop_directory / name).write_bytes(b"a stranger's")
        return publish(drop, temporary, name, **options)

    monkeypatch.setattr(Drop, "publish", overtaken)
    sent(staging, to_drop, manifest)
    assert sorted(in_folder(drop_directory)) == sorted([b"a stranger's", content_of("rows", 5_000)])
    assert state_of(staging, manifest) is DeliveryState.SENT


def test_ten_attempts_over_ftp_at_once_are_one_delivery(
    tmp_path: Path, to_drop: DropDestination, drop_directory: Path
) -> None:
    staging = LocalFolder(tmp_path / "staging")
    for number in range(5):
        manifest = staged(staging, f"round{number}")
        with ThreadPoolExecutor(10) as pool:
            tries = [pool.submit(sent, staging, to_drop, manifest) for _ in range(10)]
        assert [one.exception() for one in tries] == [None] * 10
        assert state_of(staging, manifest) is DeliveryState.SENT
    wanted = [content_of(f"round{number}", 5_000) for number in range(5)]
    assert sorted(in_folder(drop_directory)) == sorted(wanted)
