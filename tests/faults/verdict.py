"""What must hold when a schedule has ended, whatever went wrong on the way."""

import hashlib
import json
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import closing
from typing import Any

from airflow_am_provider.deliveries.record import DeliveryRecord
from airflow_am_provider.deliveries.records import (
    DeliveryRecords,
    DeliveryState,
)
from airflow_am_provider.sandbox import FileEntry, Ledger, MailEntry, Profiles, Verdict
from tests.faults import crm
from tests.faults.history import is_of_history
from tests.faults.stage import PLACES, Stage
from tests.faults.told import Told

_DONE = {DeliveryState.ACKNOWLEDGED, DeliveryState.RECONCILED}
_ARRIVED = _DONE | {DeliveryState.SENT, DeliveryState.PICKED_UP, DeliveryState.FAILED}
# A marker may acknowledge what no receipt has named yet.
_GOOD = {"reconciled", "shared", "uncounted", "pending"}
# Requests about decisions in one attempt, looks at whether it is its turn left out: thrice what it
# takes, for others that decide at the same time, and less than the pages of a long history.
_STEPS = ("format", "combine", "upload", "receipt", "resend", "abandon")
_MOST_ASKED = 20


class Judge:
    """Holds what is there against what must be."""

    def __init__(self, stage: Stage, told: Told) -> None:
        self._stage, self._told = stage, told
        self._stagings = [stage.staging(place) for place in range(PLACES)]
        with closing(sqlite3.connect(stage.profiles)) as connection:
            ledger = Ledger(connection)
            self._files: list[FileEntry] = ledger.files()
            self._mails: list[MailEntry] = ledger.mails()
        self._taken = [file for file in self._files if file.verdict is Verdict.TAKEN]
        self._manifests = {
            manifest["delivery_id"]: manifest for _, manifest in self._documents("manifest.json")
        }
        self._arrived = self._what_arrived()

    @property
    def sent_again(self) -> int:
        """Files that Audience Manager took a second time, under the same name."""
        return len(self._taken) - len({file.name for file in self._taken})

    def problems(self) -> list[str]:
        """Everything that does not hold; nothing, if all is well."""
        checks = (
            self._on_the_way,
            self._profiles,
            self._refusals,
            self._rows,
            self._nothing_half_sent,
            self._one_name_each,
            self._records,
            self._acknowledgements,
            self._order,
            self._store,
            self._costs,
        )
        return [f"{check.__name__.strip('_')}: {said}" for check in checks for said in check()]

    def _on_the_way(self) -> Iterator[str]:
        """What did not hold while tasks ran."""
        yield from self._told.problems

    def _profiles(self) -> Iterator[str]:
        schedule = self._stage.schedule
        with Profiles(self._stage.profiles) as profiles:
            known = set(profiles.dump())
        wanted = set(crm.expected(schedule.variant, schedule.all_runs, self._told.contents))
        if known != wanted:
            yield (
                f"{len(wanted - known)} facts are lost and {len(known - wanted)} are too many, "
                f"such as {sorted(wanted - known)[:2]} and {sorted(known - wanted)[:2]}"
            )

    def _refusals(self) -> Iterator[str]:
        for file in self._files:
            if file.verdict is not Verdict.TAKEN and not file.name.endswith(".part"):
                yield f"{file.name} was {file.verdict}: {file.reason}"

    def _rows(self) -> Iterator[str]:
        for manifest in self._manifests.values():
            read, written = manifest["rows_read"], manifest["rows_written"]
            if read != written + manifest["rows_set_aside"]:
                yield f"{manifest['delivery_id']}: {read} read, {written} written"
            lines = sum(part["lines"] for part in manifest["parts"])
            if lines != written:
                yield f"{manifest['delivery_id']}: {lines} lines, {written} written"

    def _nothing_half_sent(self) -> Iterator[str]:
        parts = {
            part["file_name"]: (part["sha256"], delivery)
            for delivery, manifest in self._manifests.items()
            for part in manifest["parts"]
        }
        arrived: defaultdict[str, set[str]] = defaultdict(set)
        for path, (name, sha256) in self._arrived.items():
            known = parts.get(name)
            if known is None or known[0] != sha256:
                yield f"{path} is of no delivery, or not as it was staged"
            else:
                arrived[known[1]].add(name)
        for delivery, names in arrived.items():
            missing = {part["file_name"] for part in self._manifests[delivery]["parts"]} - names
            # Of what the user gave up half-way, a half stays.
            if missing and delivery not in self._told.given_up:
                yield f"delivery {delivery} is half there: {sorted(missing)} are missing"
        for delivery in self._told.sent:
            if delivery not in arrived:
                yield f"delivery {delivery} was told to be sent, and nothing of it is there"
        if self._stage.schedule.transport == "s3":
            client = self._stage.world.s3.client()
            begun = client.list_multipart_uploads(Bucket=self._stage.bucket)
            yield from (f"{upload['Key']} was begun" for upload in begun.get("Uploads", ()))

    def _one_name_each(self) -> Iterator[str]:
        taken: defaultdict[str, set[str]] = defaultdict(set)
        for file in self._taken:
            manifest = self._manifest_of(file.name)
            if manifest is not None:
                taken[manifest["delivery_id"]].add(file.delivery)
        owners: dict[str, str] = {}
        for delivery, names in taken.items():
            if len(names) > 1:
                yield f"{delivery} was sent under {len(names)} names: {sorted(names)}"
            if delivery not in self._told.sent and delivery not in self._told.given_up:
                yield f"{delivery} was sent as {sorted(names)}, and no run knows of it"
            # In whichever mode, as a marker does not say which one it is of; of another staging
            # place, which knows nothing of this one, in the same mode.
            place = str(self._manifests[delivery]["staging"])
            shared = {name for one in names for name in (one, f"{place} {one.partition('.')[0]}")}
            for name in shared:
                other = owners.setdefault(name, delivery)
                if other != delivery:
                    yield f"{delivery} and {other} were both sent as {name}"
        for number, contents in self._told.uploads.items():
            found = {one for one, run in self._told.sent_by.items() if run == number}
            if len(found) > len(contents):
                yield f"run {number} sent {sorted(found)} for {contents}"
        yield from self._too_often()

    def _too_often(self) -> Iterator[str]:
        # What is sent again on another day lies in that day's folder as well.
        sendings = {
            part.file_name: record.sending
            for record in self._all_records()
            for part in record.manifest.parts
        }
        paths = Counter(name for name, _ in self._arrived.values())
        for name, count in paths.items():
            if count > sendings.get(name, 1):
                yield f"{name} is there {count} times"
        schedule = self._stage.schedule
        if schedule.transport != "s3" or schedule.conditions:
            return
        for name, count in Counter(file.name for file in self._taken).items():
            if count > sendings.get(name, 1):
                yield f"{name} was taken {count} times, and sent {sendings.get(name, 1)} times"

    def _records(self) -> Iterator[str]:
        """Each record says what is so: at the destination, and in the sandbox's ledger."""
        there = {name for name, _ in self._arrived.values()}
        found = {record.manifest.delivery_id: record for record in self._all_records()}
        for delivery, record in found.items():
            names = {part.file_name for part in record.manifest.parts}
            noted = {} if record.sent is None else record.sent.parts
            wrong = {name for name, part in noted.items() if part.sent_at} - there
            if wrong:
                yield f"{delivery}: {sorted(wrong)} are recorded as sent and are not there"
            if record.state in _ARRIVED and names - there:
                yield f"{delivery}: {record.state}, but {sorted(names - there)} are not there"
            if delivery in self._told.given_up:
                if record.state is not DeliveryState.ABANDONED:
                    yield f"{delivery}: {record.state}, but it was given up"
                continue
            if record.state not in _ARRIVED and names & there:
                yield f"{delivery}: {record.state}, but {sorted(names & there)} are there"
            if delivery in self._told.sent and record.state not in _DONE:
                yield f"{delivery}: its run succeeded, but it is {record.state}: {record.reason}"
        for delivery in self._told.sent:
            if delivery not in found:
                yield f"{delivery}: sent, and there is no record of it"
            if delivery not in self._told.receipts:
                yield f"{delivery}: sent, and not acknowledged"

    def _acknowledgements(self) -> Iterator[str]:
        told_of = {
            name
            for mail in self._mails
            if mail.genuine and mail.sent_at is not None
            for name in mail.files
        }
        marked = {file.name for file in self._taken if file.marked}
        for path, found in self._documents("reconciliation"):
            # What was known when time was up is written down too.
            if not found["acknowledged"] and found["verdict"] != "pending":
                yield f"{path}: concluded without being acknowledged"
            if set(found["covered"]) - told_of:
                yield f"{path}: {found['covered']} are covered, but no receipt named them all"
            if set(found["marked"]) - marked:
                yield f"{path}: {found['marked']} were not all marked"
            if found["verdict"] not in _GOOD or found["problems"]:
                yield f"{path}: {found['verdict']}, {found['problems']}"
            received = (found["counts"] or {}).get("records_received")
            if found["verdict"] == "reconciled" and received != found["lines_sent"]:
                yield f"{path}: {received} received of {found['lines_sent']}"

    def _order(self) -> Iterator[str]:
        """What was lost while a successor waited; both modes are never on their way together."""
        schedule = self._stage.schedule
        if schedule.lost is not None and not self._told.waited:
            yield "a receipt was lost, and nothing waited for it"
        spans = [
            (record, begin, end)
            for place in range(PLACES)
            for record, begin, end in self._on_their_way(place)
        ]
        for one, begin, end in spans:
            for other, other_begin, other_end in spans:
                is_pair = one.entry.mode == "overwrite" and one.staging.url == other.staging.url
                is_pair = is_pair and one.entry.delivery_id != other.entry.delivery_id
                if is_pair and begin < other_end and other_begin < end:
                    yield (
                        f"{one.entry.title} and {other.entry.title} were on their way together: "
                        f"{begin:.2f} to {end:.2f} and {other_begin:.2f} to {other_end:.2f}"
                    )

    def _on_their_way(self, place: int) -> Iterator[tuple[DeliveryRecord, float, float]]:
        """Data files by when Audience Manager first took a delivery's, and last."""
        for record in self._all_records():
            if record.staging.url != self._stagings[place].url or record.entry.mode is None:
                continue
            names = {part.file_name for part in record.manifest.parts}
            taken = [file for file in self._taken if file.name in names]
            if taken and record.entry.delivery_id not in self._told.given_up:
                begin = min(file.taken_at for file in taken)
                yield record, begin, max(file.ended_at for file in taken)

    def _store(self) -> Iterator[str]:
        """A store that keeps no conditions is refused, by a sentence that says what to do."""
        schedule, said = self._stage.schedule, self._told.refused_for
        is_refused = schedule.staging == "s3" and schedule.conditions and not schedule.in_sql
        if is_refused and not said:
            yield f"a store that {schedule.conditions} was not refused"
        if said and not is_refused:
            yield f"refused without need: {said[0]}"
        yield from (f"no way out: {one}" for one in said if "state_conn_id" not in one)

    def _costs(self) -> Iterator[str]:
        """A delivery's life takes as many requests, however many were before it."""
        for step in _STEPS:
            asked = self._told.most_asked.get(step, 0)
            if asked > _MOST_ASKED:
                yield f"{step} made {asked} requests about decisions, {_MOST_ASKED} at most"

    def _manifest_of(self, file_name: str) -> dict[str, Any] | None:
        for manifest in self._manifests.values():
            if any(part["file_name"] == file_name for part in manifest["parts"]):
                return manifest
        return None

    def _documents(self, name: str) -> Iterator[tuple[str, dict[str, Any]]]:
        """The deliveries' documents whose names begin so, with their paths."""
        for staging in self._stagings:
            for entry in staging.list("deliveries/"):
                folders = entry.path.split("/")
                if folders[-1].startswith(name) and "attempts" not in folders:
                    yield entry.path, json.loads(staging.read_bytes(entry.path) or b"")

    def _all_records(self) -> Iterator[DeliveryRecord]:
        """Those of both staging places that were not there before."""
        for place in range(PLACES):
            for record in DeliveryRecords(self._stage.targets(place)).all():
                if not is_of_history(record.entry.delivery_id):
                    yield record

    def _what_arrived(self) -> dict[str, tuple[str, str]]:
        """Name and checksum of everything at the destination, by path."""
        found = {}
        if self._stage.schedule.transport == "s3":
            client = self._stage.world.s3.client()
            for item in client.list_objects_v2(Bucket=self._stage.bucket).get("Contents", ()):
                key = item["Key"]
                if not key.endswith(".processed"):
                    body = client.get_object(Bucket=self._stage.bucket, Key=key)["Body"].read()
                    found[key] = (key.rpartition("/")[2], hashlib.sha256(body).hexdigest())
            return found
        sent = {file.path.rpartition("/")[2]: file.name for file in self._taken}
        for path in self._stage.ftp_folder.iterdir():
            original = next(
                (name for name in sent if _processed(name) == path.name or name == path.name),
                path.name,
            )
            found[path.name] = (original, hashlib.sha256(path.read_bytes()).hexdigest())
        return found


def _processed(name: str) -> str:
    return name.replace(".sync", ".processed").replace(".overwrite", ".processed")
