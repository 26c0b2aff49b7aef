"""When which receipts come, and what they say."""

from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from airflow_am_provider.audience_manager.errors import ConfigurationError
from airflow_am_provider.audience_manager.receipts.listed_names import SentNames
from airflow_am_provider.audience_manager.receipts.mail import (
    ForeignMessage,
    ForgedMessage,
    read_receipt_mail,
)
from airflow_am_provider.audience_manager.receipts.reconciliation import reconcile
from airflow_am_provider.sandbox import Account, Behaviours, Kind
from airflow_am_provider.sandbox.mails import AUTHSERV_ID
from tests.sandbox.conftest import Bench, T

Synced = Callable[..., None]
NAME = f"ftp_dpm_478_{T}.sync"


def put_parts(bench: Bench, *, stem: str = NAME, count: int = 3, user: str = "ann") -> None:
    for split in range(1, count + 1):
        bench.put(f"{stem}.{split}", [f"{user}\td_sid={split}"])


def kinds(events: list) -> list[Kind]:
    return [event.kind for event in events]


def test_the_receipt_of_a_delivery_totals_all_its_parts(bench: Bench, synced: Synced) -> None:
    synced("ann")
    bench.run(at_once=True)
    put_parts(bench)
    bench.put(f"{NAME}.4", ["nobody\td_sid=1", "no tab"])

    bench.run(at_once=True)

    receipt = max(bench.receipts(), key=lambda receipt: len(receipt.files))
    assert receipt.files == tuple(f"{NAME}.{split}" for split in (1, 2, 3, 4))
    assert receipt.paths[0] == f"s3n://demdex-s2s-clients/{datetime.now(UTC):%Y-%m-%d}/{NAME}.1"
    assert receipt.partner_id == 7
    assert (receipt.records_received, receipt.records_processed) == (5, 5)
    assert (receipt.format_errors, receipt.no_matching_aam_id, receipt.stored_records) == (1, 1, 3)
    assert receipt.job_start == bench.now
    assert receipt.warnings == ()


def test_a_receipt_waits_until_the_delivery_is_quiet(bench: Bench) -> None:
    bench.configure(behaviours=["quiet_s=10"])
    bench.put(f"{NAME}.1", ["ann\td_sid=1"])
    bench.run()
    bench.put(f"{NAME}.2", ["ann\td_sid=2"])
    assert Kind.RECEIPT_SENT not in kinds(bench.run(after_s=9))
    assert Kind.RECEIPT_SENT not in kinds(bench.run(after_s=9))

    assert Kind.RECEIPT_SENT in kinds(bench.run(after_s=1))

    (receipt,) = bench.receipts()
    assert len(receipt.files) == 2


def test_a_late_part_gets_a_receipt_of_its_own(bench: Bench) -> None:
    bench.put(f"{NAME}.1", ["ann\td_sid=1"])
    bench.run()
    bench.run(after_s=3)
    bench.put(f"{NAME}.2", ["ann\td_sid=2"])
    bench.run()
    bench.run(after_s=3)

    assert sorted(receipt.files for receipt in bench.receipts()) == [(f"{NAME}.1",), (f"{NAME}.2",)]


def test_a_receipt_can_be_late(bench: Bench) -> None:
    bench.configure(behaviours=["delay_s=100"])
    bench.put(NAME, ["ann\td_sid=1"])
    bench.run()

    bench.run(after_s=99)
    assert bench.receipts() == []
    bench.run(after_s=1)
    assert len(bench.receipts()) == 1


def test_deliveries_within_a_window_share_a_receipt(bench: Bench) -> None:
    bench.configure(behaviours=["merge_within_s=60"])
    for number in range(3):
        put_parts(bench, stem=f"ftp_dpm_478_{T + number}.sync", count=2)
        bench.run(after_s=10)

    bench.run(after_s=39)
    assert bench.receipts() == []
    bench.run(after_s=1)

    (receipt,) = bench.receipts()
    assert len(receipt.files) == receipt.records_received == 6


def test_the_parts_of_a_delivery_can_be_spread_over_receipts(bench: Bench) -> None:
    bench.configure(behaviours=["split_over=2"])
    put_parts(bench)
    bench.run(at_once=True)

    receipts = sorted(bench.receipts(), key=lambda receipt: receipt.files)
    assert [receipt.files for receipt in receipts] == [(f"{NAME}.1", f"{NAME}.3"), (f"{NAME}.2",)]
    assert [receipt.records_received for receipt in receipts] == [2, 1]


def test_a_receipt_can_come_twice(bench: Bench) -> None:
    bench.configure(behaviours=["copies=2"])
    bench.put(NAME, ["ann\td_sid=1"])
    bench.run(at_once=True)

    first, second = (read_receipt_mail(raw) for raw in bench.messages())
    assert first.message_id != second.message_id
    assert first.digest == second.digest


def test_a_receipt_can_be_lost(bench: Bench) -> None:
    bench.configure(behaviours=["ftp_dpm_478_*:lose=true"])
    bench.put(NAME, ["ann\td_sid=1"])
    bench.put(f"ftp_dpm_479_{T}.sync", ["ann\td_sid=1"])

    events = bench.run(at_once=True)

    (receipt,) = bench.receipts()
    assert receipt.files == (f"ftp_dpm_479_{T}.sync",)
    assert Kind.RECEIPT_LOST in kinds(events)
    bench.run(after_s=1000)
    assert len(bench.receipts()) == 1


def test_a_file_can_be_rejected_in_silence(bench: Bench, synced: Synced) -> None:
    synced("ann")
    bench.run(at_once=True)
    bench.configure(behaviours=["reject=file"])

    entry = bench.take(NAME, ["ann\td_sid=1"])
    bench.run(at_once=True)

    assert (entry.verdict, entry.reason) == ("rejected", "rejected as told (behaviour reject=file)")
    assert not bench.profiles().has_trait(478, "ann", 1)
    assert len(bench.receipts()) == 1


def test_all_lines_can_be_rejected(bench: Bench, synced: Synced) -> None:
    synced("ann")
    bench.run(at_once=True)
    bench.configure(behaviours=["reject=lines"])
    bench.put(NAME, ["ann\td_sid=1", "ann\td_sid=2"])
    bench.run(at_once=True)

    (receipt,) = (found for found in bench.receipts() if found.files == (NAME,))
    assert (receipt.format_errors, receipt.stored_records) == (2, 0)
    assert not bench.profiles().has_trait(478, "ann", 1)


@pytest.mark.parametrize("body", ["both", "plain", "html"])
def test_mails_say_the_same_in_every_form(bench: Bench, body: str) -> None:
    bench.configure(behaviours=[f"body={body}"])
    bench.put(NAME, ["ann\td_sid=1"])
    bench.run(at_once=True)

    (raw,) = bench.messages()
    assert (b"text/plain" in raw, b"text/html" in raw) == (body != "html", body != "plain")
    assert read_receipt_mail(raw).receipt.records_received == 1


def test_mails_pass_a_reader_that_requires_authentication(bench: Bench) -> None:
    bench.put(NAME, ["ann\td_sid=1"])
    bench.run(at_once=True)

    (raw,) = bench.messages()
    mail = read_receipt_mail(raw, authentication="require", authserv_id=AUTHSERV_ID)
    assert mail.authentication == "pass"


def test_forged_receipts_come_first_and_are_told_by_sender_or_server(bench: Bench) -> None:
    bench.configure(behaviours=["forged=2"])
    bench.put(NAME, ["ann\td_sid=1"])
    bench.run(at_once=True)

    forged, impostor, genuine = (mail.raw for mail in bench.sandbox.ledger.mails())
    with pytest.raises(ForgedMessage, match="dmarc=fail"):
        read_receipt_mail(forged)
    with pytest.raises(ForeignMessage):
        read_receipt_mail(impostor)
    assert read_receipt_mail(genuine).receipt.records_received == 1
    # What the forger says would please: only authentication tells the first one.
    unguarded = read_receipt_mail(forged, authentication="ignore").receipt
    assert unguarded.files == (NAME,)
    assert unguarded.stored_records == unguarded.records_received == 1001


@pytest.mark.parametrize("seed", range(5))
def test_a_file_can_come_back_in_pieces_with_gaps_over_several_mails(
    bench: Bench, synced: Synced, seed: int
) -> None:
    synced("ann")
    bench.configure(behaviours=[f"pieces=4,split_over=3,seed={seed}", "adobe_*:lose=true"])
    one, two = f"{NAME}.1.gz", f"{NAME}.2.gz"
    bench.put(one, [*["ann\td_sid=1"] * 5, "bob\td_sid=1", "no tab"])
    bench.put(two, ["ann\td_sid=1"] * 2)
    bench.run(at_once=True)

    receipts = bench.receipts()
    assert len(receipts) == 3
    listed = [SentNames.of([one, two]).match(name) for one_ in receipts for name in one_.files]
    numbers = sorted(match.piece for match in listed if match.name == one)
    assert len(numbers) == 4
    assert numbers[0] > 2
    assert numbers[-1] - numbers[0] > 3
    assert all(receipt.warnings == () for receipt in receipts)
    found = reconcile({one: 7, two: 2}, receipts)
    assert found.verdict == "reconciled"
    assert [found.counts[name] for name in ("format_errors", "no_matching_aam_id")] == [1, 1]
    assert found.counts["stored_records"] == 7
    assert reconcile({one: 7, two: 2}, receipts[:2]).verdict == "pending"


def test_id_syncs_need_not_get_a_receipt(bench: Bench, synced: Synced) -> None:
    bench.configure(behaviours=["id_sync_receipts=false"])
    synced("ann")
    bench.put(NAME, ["ann\td_sid=1"])
    events = bench.run(at_once=True)

    assert [receipt.files for receipt in bench.receipts()] == [(NAME,)]
    assert kinds(events).count(Kind.RECEIPT_LOST) == 1


def test_a_data_source_that_is_not_there_is_refused_in_silence(bench: Bench) -> None:
    bench.configure(Account(data_sources=frozenset({478}), cross_device=frozenset({480})))
    names = {
        f"ftp_dpm_479_{T}.sync": ["ann\td_sid=1"],
        f"ftp_dpm_478_479_{T}.sync": ["ann\td_sid=1"],
        f"adobe_id_0_479_{T}.sync": [f"{'1' * 38}\tann"],
    }
    for name, lines in names.items():
        entry = bench.take(name, lines)
        assert (entry.verdict, entry.reason) == (
            "rejected", "data source 479: the account has no such data source",
        )  # fmt: skip
    known = {f"ftp_dpm_480_478_{T}.sync", NAME}
    for name in known:
        assert bench.take(name, ["ann\td_sid=1"]).verdict == "taken"
    bench.run(at_once=True)
    assert {name for receipt in bench.receipts() for name in receipt.files} == known


def test_what_is_drawn_loses_nothing(bench: Bench, synced: Synced) -> None:
    synced("ann")
    for seed in range(30):
        bench.configure(behaviours=[f"drawn={seed},id_sync_receipts=true"])
        names = {f"ftp_dpm_478_{T + seed}.sync.{part}.gz": part for part in (1, 2)}
        for name, lines in names.items():
            bench.put(name, ["ann\td_sid=1"] * lines)
        bench.run(at_once=True)
        told = [
            read_receipt_mail(mail.raw).receipt
            for mail in bench.sandbox.ledger.mails()
            if mail.genuine
        ]
        found = reconcile(names, told)
        assert found.verdict == "reconciled", (seed, found.findings)
        assert found.counts["stored_records"] == 3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("late=5", "behaviour 'late' is not known: one of quiet_s, delay_s, merge_within_s,"),
        ("delay_s=soon", "behaviour delay_s='soon': a number of seconds is needed"),
        ("copies=none", "behaviour copies='none': a whole number is needed"),
        ("copies=0", "behaviour copies=0: at least 1"),
        ("delay_s=nan", "behaviour delay_s=nan: at least 0"),
        ("lose=yes", "behaviour lose='yes': true or false is needed"),
        ("*.gz:body=rtf", "behaviour body='rtf': one of both, plain, html is needed"),
    ],
)
def test_behaviours_that_make_no_sense_are_refused(text: str, message: str) -> None:
    with pytest.raises(ConfigurationError) as error:
        Behaviours.parse([text])

    assert str(error.value).startswith(message)


def test_the_first_pattern_that_matches_counts_and_builds_on_the_usual() -> None:
    behaviours = Behaviours.parse(["a*:copies=2", "*:copies=3,quiet_s=1", "delay_s=5"])

    assert (behaviours.of("ab").copies, behaviours.of("ab").delay_s) == (2, 5)
    assert (behaviours.of("b").copies, behaviours.of("b").quiet_s) == (3, 1)
    assert behaviours.usual.copies == 1
