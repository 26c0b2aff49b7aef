"""Deliveries in staging: the same content is the same delivery, and nothing is half there."""

import hashlib
import json
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from airflow_am_provider.audience_manager.errors import ConfigurationError, DataError
from airflow_am_provider.audience_manager.names import Encoding, Mode
from airflow_am_provider.deliveries import staging as delivery
from airflow_am_provider.deliveries.manifest import Manifest
from airflow_am_provider.deliveries.staging import DeliveryContext, stage_delivery
from airflow_am_provider.deliveries.target.commands import End, Enqueue
from airflow_am_provider.deliveries.target.state import DeliveryState
from airflow_am_provider.deliveries.targets import Targets
from airflow_am_provider.deliveries.uploads.journal import begin_sending
from airflow_am_provider.deliveries.window import Window
from airflow_am_provider.formatting.lines.data_lines import DataFileSpec, DataLineWriter
from airflow_am_provider.formatting.lines.id_sync_lines import IdSyncLineWriter, IdSyncSpec
from airflow_am_provider.formatting.parts import PartSizes
from airflow_am_provider.formatting.pipeline import FormatOptions
from airflow_am_provider.storage import LocalFolder
from tests.formatting.running import TRAITS, in_pieces, table, users

# An odd second, as names of `.sync` files have.
NOW = datetime(2026, 7, 30, 12, 0, 1, tzinfo=UTC)
STAMP = int(NOW.timestamp())
DAY = DeliveryContext(
    destination="production/acme", window=Window.parse("2026-07-29", "2026-07-30")
)
SMALL = PartSizes(part_bytes=102_401)


@pytest.fixture
def folder(tmp_path):
    return LocalFolder(tmp_path)


def stage(folder, source, *, context=DAY, now=NOW, spec=TRAITS, **options):
    return stage_delivery(
        source,
        DataLineWriter(spec),
        Targets(folder),
        FormatOptions(**options),
        context=context,
        now=now,
    )


def paths(folder):
    """What lies in staging, but for what the target keeps."""
    kept = ("targets/", "target-details/", ".decisions.lock")
    return sorted(entry.path for entry in folder.list() if not entry.path.startswith(kept))


def test_a_delivery_is_its_parts_rejects_manifest_and_name(folder):
    manifest = stage(folder, [users(99), table([("a:b", "1")])])
    (part,) = manifest.parts
    attempt = part.path.removesuffix("/parts/00001.gz")
    assert paths(folder) == sorted(
        [
            part.path,
            f"{attempt}/rejects.csv",
            f"deliveries/data/{manifest.delivery_id}/manifest.json",
        ]
    )
    assert Manifest.from_json(folder.read_bytes(f"{manifest.location}/manifest.json")) == manifest
    assert Manifest.from_json(json.loads(json.dumps(manifest.to_json()))) == manifest
    assert (manifest.rows_read, manifest.rows_written, manifest.rows_set_aside) == (100, 99, 1)
    assert manifest.set_aside_by_reason == {"id_colon": 1}
    assert manifest.rejects == f"{attempt}/rejects.csv"
    assert manifest.window == Window.parse("2026-07-29", "2026-07-30")
    entry = Targets(folder).of(manifest).find(manifest.delivery_id)
    assert entry.figures["max_set_aside"] == 0.01
    document = manifest.to_json()
    assert document["window_start"] == "2026-07-29T00:00:00+00:00"
    with pytest.raises(ConfigurationError, match="manifest: Invalid isoformat string: 'today'"):
        Manifest.from_json({**document, "window_end": "today"})
    assert part.file_name == f"ftp_dpm_478_{STAMP}.sync.gz"


def test_parts_are_numbered_when_there_are_several(folder):
    manifest = stage(folder, [users(10_000)], sizes=SMALL)
    assert [part.file_name for part in manifest.parts] == [
        f"ftp_dpm_478_{STAMP}.sync.{number}.gz" for number in (1, 2, 3)
    ]
    assert manifest.lines_by_file[f"ftp_dpm_478_{STAMP}.sync.3.gz"] == manifest.parts[2].lines


def test_id_syncs_are_kept_apart(folder):
    spec = IdSyncSpec(master_dpid=0, dpids=(478,), columns=("uuid", "id"))
    manifest = stage_delivery(
        [table([("1" * 38, "ann")], spec.columns)],
        IdSyncLineWriter(spec),
        Targets(folder),
        FormatOptions(encoding=Encoding.PLAIN),
        context=DAY,
        now=NOW,
    )
    assert manifest.kind == "id_sync"
    assert manifest.location.startswith("deliveries/id_sync/")
    assert manifest.parts[0].file_name == f"adobe_id_0_478_{STAMP}.sync"


@pytest.mark.parametrize("rows_per_batch", [9, 77, 5000])
@pytest.mark.parametrize("sizes", [PartSizes(), SMALL])
def test_the_same_content_again_is_the_same_delivery(folder, rows_per_batch, sizes):
    first = stage(folder, [users(5000)])
    before = paths(folder)
    later = NOW + timedelta(hours=3)
    again = stage(folder, in_pieces(users(5000), rows_per_batch), now=later, sizes=sizes)
    assert again == first
    assert paths(folder) == before


@pytest.mark.parametrize(
    "other",
    [
        {
            "context": DeliveryContext(
                destination="beta/acme", window=Window.parse("2026-07-29", "2026-07-30")
            )
        },
        {
            "context": DeliveryContext(
                destination="production/acme", window=Window.parse(None, "2026-07-30")
            )
        },
        {"context": DeliveryContext(destination="production/acme", run="manual")},
        {"encoding": Encoding.PLAIN},
        {"spec": DataFileSpec(dpid=479, id_column="id", traits_columns=("traits",))},
        {
            "spec": DataFileSpec(
                dpid=478, id_column="id", traits_columns=("traits",), mode=Mode.OVERWRITE
            )
        },
        {"source": [users(11)]},
    ],
)
def test_another_target_window_or_content_is_another_delivery(folder, other):
    first = stage(folder, [users(10)])
    second = stage(folder, **{"source": [users(10)], **other})
    assert second.delivery_id != first.delivery_id
    # Each place that files go to has its own names.
    if second.destination == first.destination:
        assert second.parts[0].file_name != first.parts[0].file_name


def test_runs_without_a_window_are_told_apart(folder):
    one, two = (DeliveryContext(destination="production/acme", run=run) for run in ("one", "two"))
    first = stage(folder, [users(10)], context=one)
    assert stage(folder, [users(10)], context=two).delivery_id != first.delivery_id
    assert stage(folder, [users(10)], context=one) == first


def test_two_deliveries_of_one_second_get_different_names(folder):
    names = [stage(folder, [users(10 + number)]).parts[0].file_name for number in range(3)]
    assert names == [f"ftp_dpm_478_{STAMP + later}.sync.gz" for later in (0, 2, 4)]


def test_modes_share_a_name_space(folder):
    # A .processed marker does not say which mode the file had.
    overwrite = DataFileSpec(
        dpid=478, id_column="id", traits_columns=("traits",), mode=Mode.OVERWRITE
    )
    names = [
        stage(folder, [users(10)], spec=spec).parts[0].file_name for spec in (TRAITS, overwrite)
    ]
    assert names == [f"ftp_dpm_478_{STAMP}.sync.gz", f"ftp_dpm_478_{STAMP + 1}.overwrite.gz"]


def test_two_tasks_at_the_same_time_make_one_delivery(folder):
    manifests = []
    tasks = [
        threading.Thread(target=lambda: manifests.append(stage(folder, [users(100)])))
        for _ in range(2)
    ]
    for task in tasks:
        task.start()
    for task in tasks:
        task.join()
    first, second = manifests
    assert (first.delivery_id, first.lines_by_file) == (second.delivery_id, second.lines_by_file)
    again = stage(folder, [users(100)])
    (part,) = again.parts
    assert folder.size(part.path) == part.compressed_bytes


def test_a_task_that_was_killed_before_its_manifest_is_done_again(folder, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(delivery, "write_manifest", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            stage(folder, [users(200)])
    manifest = stage(folder, [users(200)])
    (part,) = manifest.parts
    assert folder.size(part.path) == part.compressed_bytes
    assert part.file_name == f"ftp_dpm_478_{STAMP}.sync.gz"


def test_what_is_told_is_of_the_rows_that_were_read_now(folder):
    first = stage(folder, [users(300)])
    again = stage(folder, [users(300), table([("a:b", "1")] * 3)], max_set_aside=3)
    assert again.delivery_id == first.delivery_id
    assert (again.rows_read, again.rows_written, again.rows_set_aside) == (303, 300, 3)
    assert again.set_aside_by_reason == {"id_colon": 3}
    assert len(folder.read_bytes(again.rejects).splitlines()) == 4
    assert again.parts == first.parts


WINDOW = {"window": Window.parse("2026-07-29", "2026-07-30")}


def version(folder, count, **context):
    context = {"destination": "production/acme", "series": "daily/format", **WINDOW, **context}
    return stage(folder, [users(count)], context=DeliveryContext(**context))


def test_content_that_comes_back_is_a_new_version_once_another_was_sent(folder):
    first, second = version(folder, 1), version(folder, 2)
    send(folder, first)
    send(folder, second)
    third = version(folder, 1)
    assert third.delivery_id not in (first.delivery_id, second.delivery_id)
    assert third.parts[0].file_name not in (first.parts[0].file_name, second.parts[0].file_name)
    assert version(folder, 1) == third


def test_content_that_comes_back_before_another_was_sent_is_the_same_delivery(folder):
    first = version(folder, 1)
    send(folder, first)
    second = version(folder, 2)
    assert version(folder, 1).delivery_id == first.delivery_id
    entry = Targets(folder).of(second).find(second.delivery_id)
    assert (entry.state, entry.reason) == (
        DeliveryState.SUPERSEDED,
        f"superseded: the rows are again those of delivery {first.delivery_id}",
    )


def test_content_that_was_taken_back_and_comes_again_is_sent(folder):
    first = version(folder, 1)
    send(folder, first)
    second = version(folder, 2)
    version(folder, 1)
    again = version(folder, 2)
    assert again.delivery_id != second.delivery_id
    assert Targets(folder).of(again).find(again.delivery_id).state is DeliveryState.STAGED


def test_a_version_that_was_given_up_has_its_number_for_good(folder):
    version(folder, 1)
    second = version(folder, 2)
    target = Targets(folder).of(second)
    given_up = End(
        delivery_id=second.delivery_id, at="", state=DeliveryState.ABANDONED, reason="wrong rows"
    )
    target.decide(given_up)
    # With each decision what was done with before it leaves the document, page by page.
    for number in range(60):
        other = version(folder, number + 4, series="other/format")
        target.decide(replace(given_up, delivery_id=other.delivery_id))
    third = version(folder, 3)
    assert target.find(third.delivery_id).version == 3


@pytest.mark.parametrize("other", [{"series": "hourly/format"}, {"map_index": 1}])
def test_versions_are_those_of_one_task(folder, other):
    first, second = version(folder, 1), version(folder, 2, **other)
    send(folder, second)
    assert Targets(folder).of(first).find(first.delivery_id).state is DeliveryState.STAGED


def test_without_rows_there_is_a_manifest_and_no_delivery(folder):
    manifest = stage(folder, [users(0)])
    assert manifest.parts == ()
    assert (manifest.rows_read, manifest.rejects) == (0, None)
    assert paths(folder) == [f"{manifest.location}/manifest.json"]


def test_where_all_rows_are_set_aside_their_reasons_are_kept(folder):
    manifest = stage(folder, [table([("ann", ""), ("bob", "")])])
    assert manifest.parts == ()
    assert manifest.set_aside_by_reason == {"no_items": 2}
    assert paths(folder) == [
        f"{manifest.location}/manifest.json",
        f"{manifest.location}/rejects.csv",
    ]
    with pytest.raises(DataError):
        _ = manifest.file_name


def test_what_fails_leaves_rejects_only(folder):
    with pytest.raises(DataError):
        stage(folder, [table([("a:b", "1")]), users(10)])
    (left,) = paths(folder)
    assert left.endswith("/rejects.csv")


def lose_a_part(folder, manifest):
    folder.delete(manifest.parts[0].path)


def cut_a_part(folder, manifest):
    part = manifest.parts[-1]
    folder.write_bytes(part.path, folder.read_bytes(part.path)[:-1])


def lose_the_attempt(folder, manifest):
    for path in paths(folder):
        if "/attempts/" in path:
            folder.delete(path)


def send(folder, manifest, *parts, is_whole=True):
    """Do what the upload does; without parts all of them are sent."""
    target = Targets(folder).of(manifest)
    target.decide(Enqueue(delivery_id=manifest.delivery_id, at=""))
    journal = begin_sending(target, manifest, folder, "s3://adobe/acme", lambda: NOW)
    for part in parts or (manifest.parts if is_whole else ()):
        journal.uploaded(part, f"s3://adobe/acme/{part.file_name}", is_sent=True)
    if is_whole:
        journal.complete()


ROWS = [users(10_000), table([("a:b", "1")])]
OTHER_SIZES = PartSizes(part_bytes=150_000)


@pytest.mark.parametrize("damage", [lose_a_part, cut_a_part, lose_the_attempt])
def test_parts_gone_from_staging_are_put_back_under_their_names(folder, damage):
    first = stage(folder, ROWS, sizes=SMALL)
    send(folder, first, first.parts[0], is_whole=False)
    damage(folder, first)
    again = stage(folder, ROWS, sizes=SMALL, now=NOW + timedelta(hours=3))
    assert again.delivery_id == first.delivery_id
    assert [part.file_name for part in again.parts] == [part.file_name for part in first.parts]
    for part, before in zip(again.parts, first.parts, strict=True):
        content = folder.read_bytes(part.path)
        assert hashlib.sha256(content).hexdigest() == part.sha256 == before.sha256
    assert Manifest.from_json(folder.read_bytes(f"{again.location}/manifest.json")) == again
    assert paths(folder) == sorted(
        [
            *(part.path for part in again.parts),
            again.rejects,
            *({first.rejects} & set(paths(folder))),
            f"{again.location}/manifest.json",
            f"{again.location}/sending/{first.parts[0].file_name}.json",
        ]
    )
    assert stage(folder, ROWS, sizes=SMALL).parts == again.parts


def test_parts_put_back_may_be_others_while_nothing_was_sent(folder):
    first = stage(folder, ROWS, sizes=SMALL)
    send(folder, first, is_whole=False)
    lose_a_part(folder, first)
    again = stage(folder, ROWS, sizes=OTHER_SIZES)
    assert [part.file_name for part in again.parts] == [
        f"ftp_dpm_478_{STAMP}.sync.{number}.gz" for number in (1, 2)
    ]


def test_what_was_sent_in_part_is_never_sent_as_other_files(folder):
    first = stage(folder, ROWS, sizes=SMALL)
    send(folder, first, first.parts[0], is_whole=False)
    lose_a_part(folder, first)
    before = paths(folder)
    with pytest.raises(DataError) as caught:
        stage(folder, ROWS, sizes=OTHER_SIZES)
    assert str(caught.value) == (
        f"delivery {first.delivery_id}: 1 of its 3 files was sent, parts of it are gone from "
        f"{folder.url}, and the same rows make other files now: part_bytes, compressed_part_bytes "
        f"or the package has changed. Put that back to go on, or delete "
        f"{folder.url}/{first.location} to send all of it under new names"
    )
    assert [path for path in paths(folder) if not path.endswith("/rejects.csv")] == [
        path for path in before if not path.endswith("/rejects.csv")
    ]
    assert stage(folder, ROWS, sizes=SMALL).lines_by_file == first.lines_by_file


def test_a_delivery_that_was_sent_needs_its_parts_no_more(folder):
    first = stage(folder, ROWS, sizes=SMALL)
    send(folder, first)
    lose_the_attempt(folder, first)
    before = paths(folder)
    again = stage(folder, ROWS, sizes=OTHER_SIZES)
    assert again == replace(first, rejects=again.rejects)
    assert paths(folder) == sorted([*before, again.rejects])
