"""Sending, against real servers: names, days, records, and what a crash leaves."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from airflow_am_provider.audience_manager.errors import (
    ConfigurationError,
    DataError,
    TransientError,
)
from airflow_am_provider.deliveries.manifest import Manifest, Part
from airflow_am_provider.deliveries.records import DeliveryRecords
from airflow_am_provider.deliveries.targets import Targets
from airflow_am_provider.deliveries.uploads.destination import Destination
from airflow_am_provider.deliveries.uploads.drop_destination import DropDestination
from airflow_am_provider.deliveries.uploads.journal import UploadJournal
from airflow_am_provider.deliveries.uploads.s3_destination import OBJECT_ARGS, S3Destination
from airflow_am_provider.deliveries.uploads.sending import (
    confirm_file,
    queue_again,
    send_parts,
    utc_now,
)
from airflow_am_provider.storage import LocalFolder, S3Folder
from demo.local.s3 import S3
from tests.faults.line import Line
from tests.faults.s3_line import s3_line
from tests.faults.trouble import Fault
from tests.staged_deliveries import NAMES, content_of, stage
from tests.staged_deliveries import send_for_real as send

LATE = datetime(2026, 11, 5, 23, 59, 58, tzinfo=UTC)
NEXT_DAY = datetime(2026, 11, 6, 0, 3, tzinfo=UTC)
KEYS = [f"acme/date=2026-11-05/{name}" for name in NAMES]


class Crash(BaseException):
    """The worker is killed: nothing tidies up."""


@pytest.fixture
def staging(tmp_path: Path) -> LocalFolder:
    return LocalFolder(tmp_path / "staging")


def objects(destination: S3Destination) -> dict[str, bytes | None]:
    folder = destination.folder
    return {entry.path: folder.read_bytes(entry.path) for entry in folder.list()}


def written(destination: S3Destination) -> dict[str, str]:
    """When every object was written: its version, in a bucket that keeps versions."""
    folder = destination.folder
    folder.client.put_bucket_versioning(
        Bucket=folder.bucket, VersioningConfiguration={"Status": "Enabled"}
    )
    listed = folder.client.list_object_versions(Bucket=folder.bucket).get("Versions", ())
    return {entry["Key"]: entry["VersionId"] for entry in listed if entry["IsLatest"]}


def versions(destination: S3Destination) -> dict[str, int]:
    """How often each object was written, from the first call on."""
    folder = destination.folder
    folder.client.put_bucket_versioning(
        Bucket=folder.bucket, VersioningConfiguration={"Status": "Enabled"}
    )
    listed = folder.client.list_object_versions(Bucket=folder.bucket).get("Versions", ())
    return dict(Counter(entry["Key"] for entry in listed))


def refuse_to_look(path: str) -> None:
    """What an account meets that may only write."""
    raise ConfigurationError(f"cannot look for {path}: S3 answered 403")


def crash(*_: object, **__: object) -> None:
    raise Crash


def record(staging: LocalFolder) -> dict[str, Any]:
    """What is known of the delivery's last sending."""
    sent = DeliveryRecords(Targets(staging)).find("0123456789abcdef0123").sent
    return {} if sent is None else sent.to_json()


def confirm(manifest: Manifest, staging: LocalFolder, name: str) -> None:
    """What a person does who has seen that a file is the delivery's own."""
    confirm_file(DeliveryRecords(Targets(staging)).find(manifest.delivery_id), name)


def withdraw(destination: Destination, manifest: Manifest, staging: LocalFolder) -> None:
    """What is done with a delivery that is given up."""
    record = DeliveryRecords(Targets(staging)).find(manifest.delivery_id)
    journal = UploadJournal(record.target, manifest, staging, record.entry, utc_now)
    destination.withdraw(staging, journal)


def fail_write(
    monkeypatch: pytest.MonkeyPatch, folder: LocalFolder, at: int, error: BaseException
) -> None:
    """Let the ``at``-th note of what was sent fail; the last one says that all of it was."""
    count, write = 0, folder.write_bytes

    def write_bytes(path: str, content: bytes) -> None:
        nonlocal count
        is_note = "/sending/" in path and ".begun-" not in path
        if is_note or (count and path.startswith("targets/")):
            count += 1
            if count == at:
                raise error
        write(path, content)

    monkeypatch.setattr(folder, "write_bytes", write_bytes)


def killed(
    monkeypatch: pytest.MonkeyPatch,
    destination: Destination,
    manifest: Manifest,
    staging: LocalFolder,
    *,
    at_write: int,
) -> None:
    """Send by a worker that is killed when it writes to staging for the so many-th time."""
    with monkeypatch.context() as patch:
        fail_write(patch, staging, at_write, Crash())
        with pytest.raises(Crash):
            send(destination, manifest, staging)


class TestS3:
    def test_parts_go_under_partner_and_day_with_the_acl(
        self, staging: LocalFolder, to_s3: S3Destination, bucket: str, s3: S3
    ) -> None:
        sent = send(to_s3, stage(staging), staging, clock=lambda: LATE)
        assert objects(to_s3) == dict(zip(KEYS, map(content_of, NAMES), strict=True))
        for key in KEYS:
            acl = s3.client().get_object_acl(Bucket=bucket, Key=key)
            assert [grant["Permission"] for grant in acl["Grants"]] == ["FULL_CONTROL"]
        assert sent.sent_at == "2026-11-05T23:59:58+00:00"
        assert sent.to_json() == record(staging)
        assert [part["destination"] for part in record(staging)["parts"]] == [
            f"s3://{bucket}/{key}" for key in KEYS
        ]

    def test_the_day_is_that_of_the_first_attempt(
        self, staging: LocalFolder, to_s3: S3Destination, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        manifest = stage(staging)
        fail_write(monkeypatch, staging, 2, TransientError("cut"))
        with pytest.raises(TransientError):
            send(to_s3, manifest, staging, clock=lambda: LATE)
        sent = send(to_s3, manifest, staging, clock=lambda: NEXT_DAY)
        assert list(objects(to_s3)) == KEYS
        assert (sent.day, sent.sent_at) == ("2026-11-05", "2026-11-06T00:03:00+00:00")

    @pytest.mark.parametrize("killed_at", [1, 2, 3])
    def test_a_worker_killed_between_sending_and_recording(
        self,
        staging: LocalFolder,
        to_s3: S3Destination,
        monkeypatch: pytest.MonkeyPatch,
        killed_at: int,
    ) -> None:
        manifest = stage(staging)
        with monkeypatch.context() as patch:
            fail_write(patch, staging, killed_at, Crash())
            with pytest.raises(Crash):
                send(to_s3, manifest, staging, clock=lambda: LATE)
        before = written(to_s3)
        send(to_s3, manifest, staging, clock=lambda: NEXT_DAY)
        assert objects(to_s3) == dict(zip(KEYS, map(content_of, NAMES), strict=True))
        assert len(record(staging)["parts"]) == 2
        # Adobe may have read what had arrived.
        assert written(to_s3).items() >= before.items()
        assert len(before) == min(killed_at, 2)

    @pytest.mark.parametrize("knows_conditions", [True, False])
    def test_an_account_that_may_not_look_sends_again_what_may_have_arrived(
        self,
        staging: LocalFolder,
        to_s3: S3Destination,
        monkeypatch: pytest.MonkeyPatch,
        knows_conditions: bool,
    ) -> None:
        def ignore(params: Any, **_: object) -> None:
            params["headers"].pop("If-None-Match", None)

        if not knows_conditions:
            to_s3.folder.client.meta.events.register("before-call.s3.PutObject", ignore)
        manifest = stage(staging)
        with monkeypatch.context() as patch:
            fail_write(patch, staging, 1, Crash())
            with pytest.raises(Crash):
                send(to_s3, manifest, staging, clock=lambda: LATE)
        before = written(to_s3)

        def refuse(path: str) -> None:
            raise ConfigurationError(f"cannot look for {path}: S3 answered 403")

        monkeypatch.setattr(to_s3.folder, "stored", refuse)
        if knows_conditions:
            # That it is there says nothing of who put it there: a person has to look.
            with pytest.raises(ConfigurationError) as caught:
                send(to_s3, manifest, staging, clock=lambda: NEXT_DAY)
            assert f"deliveries confirm {manifest.delivery_id} {NAMES[0]}" in str(caught.value)
            assert f"deliveries rename {manifest.delivery_id}" in str(caught.value)
            record = DeliveryRecords(Targets(staging)).find(manifest.delivery_id)
            assert record.standing.name == "file_in_doubt"
            confirm(manifest, staging, NAMES[0])
        send(to_s3, manifest, staging, clock=lambda: NEXT_DAY)
        assert objects(to_s3) == dict(zip(KEYS, map(content_of, NAMES), strict=True))
        # A bucket that knows conditions says that it is there, to whoever may write.
        assert (written(to_s3)[KEYS[0]] == before[KEYS[0]]) is knows_conditions

    def test_what_was_sent_is_not_sent_again(
        self, staging: LocalFolder, to_s3: S3Destination, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level("INFO")
        manifest = stage(staging)
        first = send(to_s3, manifest, staging, clock=lambda: LATE)
        for key in KEYS:
            to_s3.folder.delete(key)
        assert send(to_s3, manifest, staging, clock=lambda: NEXT_DAY) == first
        assert objects(to_s3) == {}

    def test_only_what_is_missing_is_sent(
        self, staging: LocalFolder, to_s3: S3Destination, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        manifest = stage(staging)
        with monkeypatch.context() as patch:
            fail_write(patch, staging, 2, TransientError("cut"))
            with pytest.raises(TransientError):
                send(to_s3, manifest, staging, clock=lambda: LATE)
        to_s3.folder.delete(KEYS[0])
        send(to_s3, manifest, staging, clock=lambda: LATE)
        assert list(objects(to_s3)) == KEYS[1:]

    def test_a_damaged_part_never_appears(self, staging: LocalFolder, to_s3: S3Destination) -> None:
        manifest = stage(staging)
        damaged = content_of(NAMES[1])[:-1] + b"\x00"
        staging.write_bytes(manifest.parts[1].path, damaged)
        with pytest.raises(DataError) as caught:
            send(to_s3, manifest, staging, clock=lambda: LATE)
        assert str(caught.value).startswith(f"{NAMES[1]}: staged are 200,000 bytes with SHA-256 ")
        assert str(caught.value).endswith("nothing of it was sent under its name")
        assert list(objects(to_s3)) == KEYS[:1]

    @pytest.mark.parametrize(
        ("break_it", "message"),
        [
            (
                lambda staging, path: staging.delete(path),
                (
                    "is not there, and nothing was sent now; if staging was cleaned, format the "
                    "rows again"
                ),
            ),
            (
                lambda staging, path: staging.write_bytes(path, b"short"),
                "has 5 bytes, but the manifest says 200,000; nothing was sent now",
            ),
        ],
    )
    def test_all_parts_are_looked_at_before_the_first_goes(
        self,
        staging: LocalFolder,
        to_s3: S3Destination,
        break_it: Callable[[LocalFolder, str], None],
        message: str,
    ) -> None:
        manifest = stage(staging)
        break_it(staging, manifest.parts[1].path)
        with pytest.raises(DataError) as caught:
            send(to_s3, manifest, staging, clock=lambda: LATE)
        where = f"{NAMES[1]}: {staging.url}/{manifest.parts[1].path} "
        assert str(caught.value) == where + message
        assert objects(to_s3) == {}

    def test_an_account_that_may_only_write(
        self, staging: LocalFolder, to_s3: S3Destination
    ) -> None:
        asked: list[str] = []
        client = to_s3.folder.client
        client.meta.events.register("before-call.s3", lambda model, **_: asked.append(model.name))
        large = {NAMES[0]: content_of("large", 20 << 20), NAMES[1]: b"small"}
        send(to_s3, stage(staging, large), staging, clock=lambda: LATE)
        # Whether it may list the day and those beside it is tried; nothing depends on the answer.
        assert asked.count("ListObjectsV2") == 3
        assert set(asked) - {"ListObjectsV2"} == {
            "CreateMultipartUpload",
            "UploadPart",
            "CompleteMultipartUpload",
            "PutObject",
        }

    def test_another_content_under_a_name_that_was_sent(
        self, staging: LocalFolder, to_s3: S3Destination, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        manifest = stage(staging)
        with monkeypatch.context() as patch:
            fail_write(patch, staging, 2, TransientError("cut"))
            with pytest.raises(TransientError):
                send(to_s3, manifest, staging, clock=lambda: LATE)
        other = stage(staging, {name: content_of(name + "x") for name in NAMES})
        with pytest.raises(DataError, match="nothing is sent under a name twice"):
            send(to_s3, other, staging, clock=lambda: LATE)

    def test_the_next_task_sends_the_pieces_that_are_missing(
        self, staging: LocalFolder, to_s3: S3Destination
    ) -> None:
        large = {NAMES[0]: content_of("large", 24 << 20)}
        manifest = stage(staging, large)
        client: Any = to_s3.folder.client
        pieces: list[int] = []

        def cut(params: dict[str, Any], **_: object) -> None:
            pieces.append(int(params["query_string"]["partNumber"]))
            if len(pieces) == 3:
                raise OSError("the line broke")

        client.meta.events.register("before-call.s3.UploadPart", cut)
        with pytest.raises(TransientError):
            send(to_s3, manifest, staging, clock=lambda: LATE)
        assert (sorted(pieces), objects(to_s3)) == ([1, 2, 3], {})
        lost = pieces[2]
        send(to_s3, manifest, staging, clock=lambda: NEXT_DAY)
        assert objects(to_s3) == {KEYS[0]: large[NAMES[0]]}
        # What was on its way beside it may be sent twice.
        assert lost in pieces[3:]
        assert len(pieces) < 6
        assert [entry.path for entry in staging.list() if "pieces" in entry.path] == []

    def test_of_what_is_given_up_no_pieces_stay(
        self, staging: LocalFolder, to_s3: S3Destination
    ) -> None:
        large = {NAMES[0]: content_of("small", 10_000), NAMES[1]: content_of("large", 24 << 20)}
        manifest = stage(staging, large)
        client: Any = to_s3.folder.client

        def cut(params: dict[str, Any], **_: object) -> None:
            if params["query_string"]["partNumber"] == 2:
                raise OSError("the line broke")

        client.meta.events.register("before-call.s3.UploadPart", cut, "cut")
        with pytest.raises(TransientError):
            send(to_s3, manifest, staging, clock=lambda: LATE)
        client.meta.events.unregister("before-call.s3.UploadPart", unique_id="cut")
        bucket = to_s3.folder.bucket
        assert client.list_multipart_uploads(Bucket=bucket)["Uploads"]
        withdraw(to_s3, manifest, staging)
        assert "Uploads" not in client.list_multipart_uploads(Bucket=bucket)
        assert [entry.path for entry in staging.list() if "pieces" in entry.path] == []
        # Audience Manager may have read it.
        assert objects(to_s3) == {KEYS[0]: large[NAMES[0]]}
        send(to_s3, manifest, staging, clock=lambda: NEXT_DAY)
        assert objects(to_s3) == {
            key: large[name] for key, name in zip(KEYS, NAMES, strict=True) if name in large
        }

    def test_of_an_attempt_that_was_overtaken_no_pieces_stay(
        self, staging: LocalFolder, to_s3: S3Destination
    ) -> None:
        manifest = stage(staging, {NAMES[0]: content_of("large", 24 << 20)})
        client: Any = to_s3.folder.client
        is_first = iter([True])

        def overtaken(**_: object) -> None:
            if next(is_first, False):
                send(to_s3, manifest, staging, clock=lambda: LATE)
                begun = {"Bucket": to_s3.folder.bucket, "Key": KEYS[0]}
                client.create_multipart_upload(**begun)
                raise Crash

        client.meta.events.register("before-call.s3.CreateMultipartUpload", overtaken)
        with pytest.raises(Crash):
            send(to_s3, manifest, staging, clock=lambda: LATE)
        assert client.list_multipart_uploads(Bucket=to_s3.folder.bucket)["Uploads"]
        send(to_s3, manifest, staging, clock=lambda: NEXT_DAY)
        assert "Uploads" not in client.list_multipart_uploads(Bucket=to_s3.folder.bucket)

    def test_an_attempt_thought_dead_takes_nothing_back(
        self, staging: LocalFolder, to_s3: S3Destination, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        manifest = stage(staging)
        upload = S3Destination._upload

        def overtaken(self: S3Destination, part: Part, *args: Any, **kwargs: Any) -> None:
            upload(self, part, *args, **kwargs)
            monkeypatch.setattr(S3Destination, "_upload", upload)
            send(to_s3, manifest, staging, clock=lambda: LATE)
            raise TransientError("cut, after the next attempt sent all of it")

        monkeypatch.setattr(S3Destination, "_upload", overtaken)
        with pytest.raises(TransientError):
            send(to_s3, manifest, staging, clock=lambda: LATE)
        sent = written(to_s3)
        assert send(to_s3, manifest, staging).sent_at == "2026-11-05T23:59:58+00:00"
        assert written(to_s3) == sent

    def test_a_repetition_writes_the_same_bytes_under_the_same_names(
        self, staging: LocalFolder, to_s3: S3Destination
    ) -> None:
        manifest = stage(staging)
        send(to_s3, manifest, staging, clock=lambda: LATE)
        first = written(to_s3)
        again = send(to_s3, manifest, staging, again=True, clock=lambda: LATE)
        assert again.sent_at == "2026-11-05T23:59:58+00:00"
        assert objects(to_s3) == dict(zip(KEYS, map(content_of, NAMES), strict=True))
        assert not written(to_s3).items() & first.items()

    @pytest.mark.parametrize(
        "at", ["CreateMultipartUpload", "UploadPart", "CompleteMultipartUpload"]
    )
    @pytest.mark.parametrize("may_look", [True, False])
    def test_two_attempts_to_send_again_write_each_part_once(
        self,
        staging: LocalFolder,
        to_s3: S3Destination,
        monkeypatch: pytest.MonkeyPatch,
        at: str,
        may_look: bool,
    ) -> None:
        manifest = stage(staging)
        versions(to_s3)
        send(to_s3, manifest, staging, clock=lambda: LATE)
        if not may_look:
            monkeypatch.setattr(to_s3.folder, "stored", refuse_to_look)
        is_first = iter([True])

        def overtaken(**_: object) -> None:
            if next(is_first, False):
                send(to_s3, manifest, staging, again=True, clock=lambda: LATE)

        for name in (at, "PutObject"):
            to_s3.folder.client.meta.events.register(f"before-call.s3.{name}", overtaken)
        sent = send(to_s3, manifest, staging, again=True, clock=lambda: LATE)
        assert (sent.sending.number, len(sent.parts)) == (2, 2)
        assert versions(to_s3) == dict.fromkeys(KEYS, 2)
        bucket = to_s3.folder.bucket
        assert "Uploads" not in to_s3.folder.client.list_multipart_uploads(Bucket=bucket)

    @pytest.mark.parametrize("may_look", [True, False])
    def test_a_worker_killed_while_it_sends_again(
        self,
        staging: LocalFolder,
        to_s3: S3Destination,
        monkeypatch: pytest.MonkeyPatch,
        may_look: bool,
    ) -> None:
        manifest = stage(staging)
        versions(to_s3)
        send(to_s3, manifest, staging, clock=lambda: LATE)
        with monkeypatch.context() as patch:
            patch.setattr(UploadJournal, "uploaded", crash)
            with pytest.raises(Crash):
                send(to_s3, manifest, staging, again=True, clock=lambda: LATE)
        assert versions(to_s3) == {KEYS[0]: 2, KEYS[1]: 1}
        if not may_look:
            monkeypatch.setattr(to_s3.folder, "stored", refuse_to_look)
        send(to_s3, manifest, staging, clock=lambda: NEXT_DAY)
        # Nothing but a look tells what the first one did.
        assert versions(to_s3) == {KEYS[0]: 2 if may_look else 3, KEYS[1]: 2}
        assert objects(to_s3) == dict(zip(KEYS, map(content_of, NAMES), strict=True))

    def test_an_upload_that_somebody_aborted_is_begun_anew(
        self, staging: LocalFolder, to_s3: S3Destination
    ) -> None:
        manifest = stage(staging)
        versions(to_s3)
        send(to_s3, manifest, staging, clock=lambda: LATE)
        client, bucket = to_s3.folder.client, to_s3.folder.bucket
        is_first = iter([True])

        def aborted(**_: object) -> None:
            if next(is_first, False):
                for upload in client.list_multipart_uploads(Bucket=bucket)["Uploads"]:
                    client.abort_multipart_upload(
                        Bucket=bucket, Key=upload["Key"], UploadId=upload["UploadId"]
                    )

        client.meta.events.register("before-call.s3.CompleteMultipartUpload", aborted)
        send(to_s3, manifest, staging, again=True, clock=lambda: LATE)
        assert versions(to_s3) == dict.fromkeys(KEYS, 2)

    def test_two_who_ask_at_once_have_it_sent_again_once(
        self, staging: LocalFolder, to_s3: S3Destination
    ) -> None:
        manifest = stage(staging)
        versions(to_s3)
        send(to_s3, manifest, staging, clock=lambda: LATE)
        records = DeliveryRecords(Targets(staging))
        asked = [records.find(manifest.delivery_id) for _ in range(2)]
        for one in asked:
            queue_again(one)
            journal = send_parts(Targets(staging), to_s3, manifest, clock=lambda: LATE)
            if not journal.is_whole:
                journal.complete()
        assert versions(to_s3) == dict.fromkeys(KEYS, 2)
        # Who has seen that it was sent, and asks again, has it sent again.
        send(to_s3, manifest, staging, again=True, clock=lambda: LATE)
        assert versions(to_s3) == dict.fromkeys(KEYS, 3)

    def test_another_destination_has_a_record_of_its_own(
        self, staging: LocalFolder, to_s3: S3Destination
    ) -> None:
        manifest = stage(staging)
        elsewhere = replace(to_s3, partner_name="other")
        send(to_s3, manifest, staging, clock=lambda: LATE)
        for _ in range(2):
            sent = send(elsewhere, manifest, staging, clock=lambda: NEXT_DAY)
            assert (sent.destination, sent.day) == (elsewhere.url, "2026-11-06")
        assert (sent.sending.number, record(staging)["url"]) == (2, elsewhere.url)
        assert len(objects(to_s3)) == 4

    def test_a_record_that_cannot_be_read_stops_everything(
        self, staging: LocalFolder, to_s3: S3Destination
    ) -> None:
        manifest = stage(staging)
        note = f"{manifest.location}/sending/{NAMES[0]}.json"
        staging.write_bytes(note, b"{")
        with pytest.raises(DataError) as caught:
            send(to_s3, manifest, staging)
        assert str(caught.value).startswith(f"{staging.url}/{note}: not a note of a part: ")
        assert str(caught.value).endswith(
            "what was sent is not known, so nothing is sent. Look at the destination, then delete "
            "this file to send again, under the same name, what it stands for"
        )
        assert objects(to_s3) == {}


def temporary(directory: Path, place: int) -> str:
    """The temporary name of a part: its own, with something that no other delivery has."""
    (found,) = directory.glob(f"{NAMES[place]}.*.part")
    return found.name


class TestDrop:
    def test_a_cut_transfer_ends_with_the_same_bytes(
        self,
        staging: LocalFolder,
        to_drop: DropDestination,
        drop_directory: Path,
        drop_server: Any,
    ) -> None:
        drop_server.cut_uploads(after_bytes=100_000)
        sent = send(to_drop, stage(staging), staging, clock=lambda: LATE)
        found = {path.name: path.read_bytes() for path in drop_directory.iterdir()}
        assert found == {name: content_of(name) for name in NAMES}
        assert [part.destination for part in sent.parts.values()] == [
            f"{to_drop.url}/{name}" for name in NAMES
        ]

    def test_no_part_has_its_name_before_all_are_there(
        self,
        staging: LocalFolder,
        to_drop: DropDestination,
        drop_directory: Path,
    ) -> None:
        manifest = stage(staging)
        damaged = content_of(NAMES[1])[:-1] + b"\x00"
        staging.write_bytes(manifest.parts[1].path, damaged)
        with pytest.raises(DataError):
            send(to_drop, manifest, staging)
        assert [path.name for path in drop_directory.iterdir()] == [temporary(drop_directory, 0)]

    def test_the_next_task_goes_on_where_the_last_one_gave_up(
        self,
        staging: LocalFolder,
        to_drop: DropDestination,
        drop_directory: Path,
        drop_server: Any,
    ) -> None:
        manifest = stage(staging)
        drop_server.cut_uploads(after_bytes=10_000, times=3)
        with pytest.raises(TransientError):
            send(to_drop, manifest, staging)
        begun = (drop_directory / temporary(drop_directory, 0)).stat().st_size
        assert 0 < begun < 200_000
        send(to_drop, manifest, staging)
        found = {path.name: path.read_bytes() for path in drop_directory.iterdir()}
        assert found == {name: content_of(name) for name in NAMES}

    def test_of_what_is_given_up_no_half_stays(
        self,
        staging: LocalFolder,
        to_drop: DropDestination,
        drop_directory: Path,
        drop_server: Any,
    ) -> None:
        manifest = stage(staging)
        send(to_drop, manifest, staging, places=[0])
        drop_server.cut_uploads(after_bytes=10_000, times=3)
        with pytest.raises(TransientError):
            send(to_drop, manifest, staging)
        assert {path.name for path in drop_directory.iterdir()} == {
            temporary(drop_directory, place) for place in (0, 1)
        }
        withdraw(to_drop, manifest, staging)
        assert list(drop_directory.iterdir()) == []
        send(to_drop, manifest, staging)
        found = {path.name: path.read_bytes() for path in drop_directory.iterdir()}
        assert found == {name: content_of(name) for name in NAMES}

    @pytest.mark.parametrize("killed_at", [1, 2, 3, 4, 5])
    def test_a_worker_killed_at_any_record(
        self,
        staging: LocalFolder,
        to_drop: DropDestination,
        drop_directory: Path,
        monkeypatch: pytest.MonkeyPatch,
        killed_at: int,
    ) -> None:
        manifest = stage(staging)
        killed(monkeypatch, to_drop, manifest, staging, at_write=killed_at)
        send(to_drop, manifest, staging)
        found = {path.name: path.read_bytes() for path in drop_directory.iterdir()}
        assert found == {name: content_of(name) for name in NAMES}

    def test_a_file_picked_up_before_it_was_recorded_is_not_sent_again(
        self,
        staging: LocalFolder,
        to_drop: DropDestination,
        drop_directory: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        manifest = stage(staging)
        killed(monkeypatch, to_drop, manifest, staging, at_write=3)
        picked_up = drop_directory / NAMES[0].replace(".sync", ".processed")
        (drop_directory / NAMES[0]).rename(picked_up)
        send(to_drop, manifest, staging)
        assert {path.name for path in drop_directory.iterdir()} == {picked_up.name, NAMES[1]}

    def test_a_file_that_is_gone_without_a_trace_is_sent_by_the_next_attempt(
        self,
        staging: LocalFolder,
        to_drop: DropDestination,
        drop_directory: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        manifest = stage(staging)
        killed(monkeypatch, to_drop, manifest, staging, at_write=3)
        (drop_directory / NAMES[0]).unlink()
        with pytest.raises(TransientError, match="uploads it again under the same name"):
            send(to_drop, manifest, staging)
        send(to_drop, manifest, staging)
        assert {path.name for path in drop_directory.iterdir()} == set(NAMES)

    def test_a_directory_that_is_not_there(
        self, staging: LocalFolder, to_drop: DropDestination, drop_directory: Path
    ) -> None:
        drop_directory.rmdir()
        refusal = r"the host refuses with (reply 550|no such file)"
        with pytest.raises(ConfigurationError, match=refusal):
            send(to_drop, stage(staging), staging)


def test_of_two_attempts_at_once_one_writes_each_part(
    s3: S3, bucket: str, to_s3: S3Destination, staging: LocalFolder
) -> None:
    # Audience Manager reads what was written anew a second time, and its receipt says so.
    versioned = {"Status": "Enabled"}
    s3.client().put_bucket_versioning(Bucket=bucket, VersioningConfiguration=versioned)
    manifest = stage(staging)
    is_late = iter([True])

    class Overtaken(LocalFolder):
        """Staging that is slow to be read, so that another run is at it meanwhile."""

        def open_read(self, path: str) -> Any:
            if next(is_late, False):
                send(to_s3, manifest, staging)
            return super().open_read(path)

    send(to_s3, manifest, Overtaken(staging.root))
    listed = s3.client().list_object_versions(Bucket=bucket)["Versions"]
    assert sorted(version["Key"] for version in listed) == sorted(
        f"acme/date={datetime.now(UTC).date()}/{name}" for name in NAMES
    )


def test_a_part_whose_answer_got_lost_is_not_written_anew(
    s3: S3, bucket: str, staging: LocalFolder
) -> None:
    versioned = {"Status": "Enabled"}
    s3.client().put_bucket_versioning(Bucket=bucket, VersioningConfiguration=versioned)
    lost = Fault(line="s3", what="answer", at=1, after=True, status=503, code="SlowDown")
    with s3_line(Line("s3"), int(s3.endpoint_url.rpartition(":")[2])) as line:
        client = replace(s3, endpoint_url=f"http://127.0.0.1:{line.port}").client()
        folder = S3Folder(client, bucket, extra_args=OBJECT_ARGS)
        line.arm((lost,))
        send(S3Destination(folder=folder, partner_name="acme"), stage(staging), staging)
    assert line.happened == {"s3 SlowDown": 1}
    versions = s3.client().list_object_versions(Bucket=bucket)["Versions"]
    assert len(versions) == len(NAMES)
