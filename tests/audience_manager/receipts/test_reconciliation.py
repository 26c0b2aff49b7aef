"""Deliveries held against receipts: what is known, what is not, and what is whose."""

import json
import random
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_am_provider.audience_manager.errors import ConfigurationError, DataError
from airflow_am_provider.audience_manager.receipts.listed_names import Match, SentNames
from airflow_am_provider.audience_manager.receipts.receipt import COUNT_LABELS, Receipt
from airflow_am_provider.audience_manager.receipts.reconciliation import Verdict, reconcile
from airflow_am_provider.audience_manager.receipts.thresholds import (
    breaches,
    check_limits,
    unjudged,
)
from tests.audience_manager.receipts.receipt_samples import PUBLISHED_FILES, PUBLISHED_TEXT
from tests.examples import examples

STEM = "ftp_dpm_7_901_1368806402.sync"
ONE, TWO, THREE = (f"{STEM}.{part}.gz" for part in (1, 2, 3))
FOREIGN = "ftp_dpm_7_901_1368806499.sync"


def receipt(*files, received=None, **values):
    return Receipt(
        paths=tuple(f"s3n://bucket/2026-11-23/{file}" for file in files),
        records_received=received,
        **values if received is not None or values else {"format_errors": 0},
    )


def test_one_receipt_for_all_files():
    found = reconcile(
        {ONE: 600, TWO: 400},
        [receipt(ONE, TWO, received=1000, records_processed=1000)],
        rows_read=1010,
        rows_written=1000,
        rows_set_aside=10,
    )
    assert found.verdict is Verdict.RECONCILED
    assert found.exact
    assert found.is_complete
    assert found.findings == ()
    assert found.to_json() == {
        "verdict": "reconciled",
        "exact": True,
        "files": [ONE, TWO],
        "covered": [ONE, TWO],
        "missing": [],
        "in_part": [],
        "uncounted": [],
        "receipts": 1,
        "receipt_digests": list(found.receipt_digests),
        "receipts_said": [receipt(ONE, TWO, received=1000, records_processed=1000).to_json()],
        "shared_with": [],
        "shared_with_count": 0,
        "lines_sent": 1000,
        "counts": dict.fromkeys(COUNT_LABELS)
        | {"records_received": 1000, "records_processed": 1000},
        "shared_counts": None,
        "no_match": None,
        "no_match_lost": None,
        "discrepancy": 0,
        "differences": [],
        "rows_read": 1010,
        "rows_written": 1000,
        "rows_set_aside": 10,
        "findings": [],
        "warnings": [],
    }
    json.dumps(found.to_json())


def test_the_published_receipt_reconciles_its_own_files():
    lines = dict.fromkeys(PUBLISHED_FILES, 5_809_985) | {PUBLISHED_FILES[0]: 5_809_990}
    found = reconcile(lines, [Receipt.parse_text(PUBLISHED_TEXT)])
    assert found.verdict is Verdict.RECONCILED
    assert found.findings == (
        "Invalid AAM ID: 112 of 40,669,900 records received",
        "No Trait Realized: 26,730,823 of 40,669,900 records received",
        (
            "receipt: 'Stored Records' is 13,938,958, but 'Records processed' less errors and "
            "misses is 13,938,965: 7 apart (inbound-receipt-message.md)"
        ),
    )


def test_parts_spread_over_receipts_add_up():
    found = reconcile(
        {ONE: 600, TWO: 400},
        [receipt(TWO, received=400, format_errors=1), receipt(ONE, received=600, format_errors=2)],
    )
    assert found.verdict is Verdict.RECONCILED
    assert found.counts == {"records_received": 1000, "format_errors": 3}
    assert found.findings == ("Format Errors: 3 of 1,000 records received",)


def test_a_count_that_one_receipt_lacks_is_unknown():
    found = reconcile(
        {ONE: 600, TWO: 400},
        [receipt(ONE, received=600, format_errors=2), receipt(TWO, received=400)],
    )
    assert found.counts == {"records_received": 1000}


def test_files_in_no_receipt_are_awaited():
    nothing = reconcile({ONE: 600, TWO: 400}, [receipt(FOREIGN, received=7)])
    assert nothing.verdict is Verdict.PENDING
    assert not nothing.exact
    assert (nothing.counts, nothing.shared_counts, nothing.receipt_digests) == ({}, {}, ())
    assert nothing.findings == (f"in no receipt yet: 2 of 2 files: {ONE}, {TWO}",)
    half = reconcile({ONE: 600, TWO: 400}, [receipt(ONE, received=500)])
    assert (half.verdict, half.exact, half.covered, half.missing) == (
        Verdict.PENDING, True, (ONE,), (TWO,),
    )  # fmt: skip
    assert (half.counts, half.discrepancy) == ({"records_received": 500}, None)


@pytest.mark.parametrize(("received", "sentence"), [(990, "10 fewer"), (1003, "3 more")])
def test_other_figures_than_sent_are_discrepant(received, sentence):
    found = reconcile({ONE: 600, TWO: 400}, [receipt(ONE, TWO, received=received)])
    assert found.verdict is Verdict.DISCREPANT
    assert found.discrepancy == received - 1000
    assert found.findings == (
        f"{received:,} records received, 1,000 lines sent: {sentence} (inbound-receipt-message.md)",
    )


def test_no_count_of_records_is_no_proof():
    found = reconcile({ONE: 600}, [receipt(ONE, format_errors=0)])
    assert found.verdict is Verdict.UNCOUNTED
    assert found.discrepancy is None
    assert (found.covered, found.uncounted) == ((ONE,), (ONE,))
    (finding,) = found.findings
    assert finding == (
        f"no count of records received for {ONE}: that it was processed is shown, that its lines "
        f"arrived is not"
    )


def test_counts_of_a_merged_receipt_are_shared_totals():
    found = reconcile({ONE: 600}, [receipt(ONE, FOREIGN, received=5000, format_errors=7)])
    assert found.verdict is Verdict.SHARED
    assert not found.exact
    assert found.counts == {}
    assert found.shared_counts == {"records_received": 5000, "format_errors": 7}
    assert found.shared_with == (FOREIGN,)
    assert found.discrepancy is None
    assert found.findings == (
        (
            f"counts are totals shared with 1 file of other deliveries: {FOREIGN} "
            "(inbound-receipt-message.md)"
        ),
        (
            "Format Errors: 7 of 5,000 records received (a total shared with 1 file of other "
            "deliveries)"
        ),
    )
    assert found.to_json()["counts"] is None
    assert found.to_json()["shared_counts"]["format_errors"] == 7


def test_a_shared_total_below_what_was_sent_is_short_for_sure():
    found = reconcile({ONE: 600}, [receipt(ONE, FOREIGN, received=590)])
    assert found.verdict is Verdict.DISCREPANT
    assert found.findings[1] == (
        "590 records received in all, other deliveries' among them, but 600 lines sent: at least "
        "10 are lost"
    )


def test_many_names_are_counted_in_sentences_and_json():
    others = [f"ftp_dpm_7_901_{1368806500 + number}.sync" for number in range(30)]
    found = reconcile({ONE: 600}, [receipt(ONE, *others, received=5000)])
    assert len(found.shared_with) == 30
    assert found.findings[0].endswith(f"{others[19]} and 10 more (inbound-receipt-message.md)")
    assert len(found.to_json()["shared_with"]) == 20
    assert found.to_json()["shared_with_count"] == 30


def test_copies_count_once_whatever_they_lost_on_the_way():
    start = datetime(2026, 11, 23, 6, tzinfo=UTC)
    first = receipt(ONE, received=600, format_errors=0, job_start=start, partner_id=7)
    forwarded = replace(first, paths=(ONE,), partner_id=None, job_start=None, format_errors=None)
    found = reconcile({ONE: 600}, [forwarded, first, first])
    assert found.verdict is Verdict.RECONCILED
    assert found.receipt_digests == (first.digest,)
    assert found.counts == {"records_received": 600, "format_errors": 0}


def test_a_file_that_was_read_twice_with_all_its_lines_is_told_and_is_no_loss():
    first = receipt(ONE, received=600, job_start=datetime(2026, 11, 23, 6, tzinfo=UTC))
    again = replace(first, job_start=datetime(2026, 11, 23, 18, tzinfo=UTC))
    found = reconcile({ONE: 600}, [first, again])
    assert found.verdict is Verdict.RECONCILED
    assert found.differences == ()
    assert found.findings == (
        "1,200 records received, 600 lines sent: 600 more (inbound-receipt-message.md)",
        f"{ONE} is in 2 different receipts: processed more than once",
    )


# Two attempts send the same bytes at once, and Adobe looks at the folder between the two: some of
# the files stand on both receipts, each time with all their lines.
def test_receipts_that_overlap_are_right_when_each_counts_the_lines_of_its_files():
    sent = {ONE: 926, TWO: 79, THREE: 925}
    early, late = receipt(ONE, TWO, received=1005), receipt(ONE, THREE, received=1851)
    found = reconcile(sent, [early, late])
    assert (found.verdict, found.discrepancy) == (Verdict.RECONCILED, 926)
    short = reconcile(sent, [early, receipt(ONE, THREE, received=1850)])
    assert short.verdict is Verdict.DISCREPANT
    assert reconcile(sent, [early, receipt(ONE, received=926)]).verdict is Verdict.PENDING


# Which file a name in a receipt means. "The tail number (1,2,3...) is the split number added either
# by the customer or by the inbound distributor" (inbound-receipt-message.md).
@pytest.mark.parametrize(
    ("sent", "listed", "match"),
    [
        ([STEM], STEM, Match(name=STEM)),
        ([f"{STEM}.gz"], STEM, Match(name=f"{STEM}.gz")),
        ([f"{STEM}.pgp"], f"{STEM}.gpg", Match(name=f"{STEM}.pgp")),
        ([STEM], f"{STEM}.1", Match(name=STEM, piece=1)),
        ([f"{STEM}.gz"], f"{STEM}.2.gz", Match(name=f"{STEM}.gz", piece=2)),
        ([f"{STEM}.gz"], f"{STEM}.gz.2", Match(name=f"{STEM}.gz", piece=2)),
        ([ONE, TWO], f"{STEM}.2", Match(name=TWO)),
        ([ONE, TWO], f"{STEM}.2.1", Match(name=TWO, piece=1)),
        ([STEM, ONE], f"{STEM}.1", Match(name=ONE)),
        ([STEM, ONE], f"{STEM}.2", Match(name=STEM, piece=2)),
        ([f"{STEM}.gz"], f"{STEM}.gz.gz", None),
        ([STEM], f"{STEM}.gz.pgp", None),
        ([f"{STEM}.gz"], f"{STEM}.gz.2.gz", None),
        ([ONE, TWO], STEM, None),
        ([ONE, TWO], f"{STEM}.3", None),
        ([ONE], f"{STEM}.11", None),
        ([ONE], f"{STEM}.1.1.1", None),
        ([STEM], f"{STEM}.x", None),
        ([STEM], f"x{STEM}", None),
        ([STEM], STEM.replace("sync", "overwrite"), None),
        ([STEM], STEM.upper(), None),
        ([STEM], f"{STEM}.{'9' * 30}", None),
        ([STEM], f"{STEM}.٣", None),
    ],
)
def test_whose_a_listed_name_is(sent, listed, match):
    assert SentNames.of(sent).match(listed) == match


def test_names_of_other_deliveries_are_no_pieces():
    sent = SentNames.of([STEM], others=[ONE, TWO])
    assert sent.match(f"{STEM}.1") is None
    assert sent.match(f"{STEM}.3") == Match(name=STEM, piece=3)
    found = reconcile({STEM: 5}, [receipt(f"{STEM}.1", received=5)], other_files=[ONE])
    assert found.verdict is Verdict.PENDING
    assert found.receipt_digests == ()


def test_pieces_of_the_distributor_add_up():
    pieces = [receipt(f"{STEM}.1", received=600), receipt(f"{STEM}.2", received=400)]
    whole = reconcile({f"{STEM}.gz": 1000}, pieces)
    assert (whole.verdict, whole.counts) == (Verdict.RECONCILED, {"records_received": 1000})
    first = reconcile({f"{STEM}.gz": 1000}, pieces[:1])
    assert first.verdict is Verdict.PENDING
    assert first.missing == (f"{STEM}.gz",)
    assert (first.missing, first.in_part) == ((f"{STEM}.gz",), (f"{STEM}.gz",))
    (finding,) = first.findings
    assert finding == (
        f"{STEM}.gz is acknowledged in pieces (1), and 600 records of 1,000 lines sent are "
        f"accounted for so far: more pieces are awaited"
    )
    again = reconcile({f"{STEM}.gz": 1000}, [*pieces, receipt(f"{STEM}.gz", received=1000)])
    assert again.verdict is Verdict.DISCREPANT
    assert again.findings[1] == (
        f"{STEM}.gz is in several receipts by pieces: processed more than once"
    )


# reporting/onboarding-status-report.md shows `ftp_dpm_813_1459198814.overwrite.1213788`, and
# nothing that tells how many pieces there are.
@pytest.mark.parametrize(
    "numbers", [(1213788,), (1213981, 1213788, 1214002), (9, 2), (0,), (10**15,), (7, 1213788)]
)
def test_pieces_are_all_there_when_the_records_are_whatever_their_numbers(numbers):
    sent = {"ftp_dpm_813_1459198814.overwrite": 100 * len(numbers)}
    pieces = [receipt(f"{next(iter(sent))}.{number}", received=100) for number in numbers]
    assert reconcile(sent, pieces).verdict is Verdict.RECONCILED
    assert reconcile(sent, pieces[::-1]).verdict is Verdict.RECONCILED
    assert reconcile(sent, pieces[:-1]).verdict is Verdict.PENDING
    together = receipt(*(name for one in pieces for name in one.files), received=sum(sent.values()))
    assert reconcile(sent, [together]).verdict is Verdict.RECONCILED
    assert reconcile(sent, [*pieces, receipt(f"{next(iter(sent))}.5", received=1)]).discrepancy == 1


def test_a_piece_that_was_processed_twice_does_not_stand_for_one_that_is_not_there():
    morning = receipt(f"{STEM}.7", received=600, job_start=datetime(2026, 11, 23, 6, tzinfo=UTC))
    evening = replace(morning, job_start=datetime(2026, 11, 23, 18, tzinfo=UTC))
    found = reconcile({STEM: 1000}, [morning, evening])
    assert found.verdict is Verdict.PENDING
    assert found.findings[1] == (
        f"{STEM} is in several receipts by pieces: processed more than once"
    )
    found = reconcile({STEM: 1000}, [morning, evening, receipt(f"{STEM}.9", received=400)])
    assert (found.verdict, found.discrepancy) == (Verdict.RECONCILED, 600)


# Both files come in pieces, spread over mails. Then the second one is read once more, and its
# pieces are spread in another way.
def test_pieces_that_are_all_shown_and_come_again_are_told_and_are_no_loss():
    sent = {ONE: 600, TWO: 400}
    first = [receipt(f"{ONE}.7", f"{TWO}.3", received=450), receipt(f"{ONE}.9", received=350)]
    first.append(receipt(f"{TWO}.5", received=200))
    again = receipt(f"{TWO}.3", f"{TWO}.5", received=400)
    found = reconcile(sent, [*first, again])
    assert (found.verdict, found.discrepancy) == (Verdict.RECONCILED, 400)
    assert found.findings == (
        "1,400 records received, 1,000 lines sent: 400 more (inbound-receipt-message.md)",
        f"{TWO} is in several receipts by pieces: processed more than once",
    )
    # Only some of its mails have come; the rest would show nothing more.
    assert reconcile(sent, [*first, receipt(f"{TWO}.3", received=200)]).verdict is found.verdict
    # A line that is lost is not made up for by what comes again.
    short = [first[0], receipt(f"{ONE}.9", received=349), first[2], again]
    assert reconcile(sent, short).verdict is not Verdict.RECONCILED
    # Nor by what comes under other numbers, or by more records than there are lines.
    other = receipt(f"{TWO}.4", received=400)
    assert reconcile(sent, [*first, other]).verdict is Verdict.DISCREPANT
    more = receipt(f"{TWO}.3", f"{TWO}.5", received=401)
    assert reconcile(sent, [*first, more]).verdict is not Verdict.RECONCILED


@settings(max_examples=examples(300), deadline=None)
@given(st.data())
def test_a_loss_is_never_hidden_by_what_is_read_again(data):
    numbers = st.integers(min_value=1, max_value=5)
    pieces = {
        (name, number): data.draw(numbers)
        for name in (ONE, TWO, THREE)
        for number in range(1, 1 + data.draw(st.integers(min_value=1, max_value=3)))
    }
    sent = {
        name: sum(lines for (of, _), lines in pieces.items() if of == name)
        for name in (ONE, TWO, THREE)
    }
    mails = [{} for _ in range(6)]
    arrived = dict.fromkeys(pieces, 0)
    for piece, lines in pieces.items():
        # In which mails each reading of it stands, and how many of its lines arrived then.
        where = data.draw(st.lists(st.integers(min_value=0, max_value=5), max_size=3, unique=True))
        for place in where:
            came = data.draw(st.sampled_from([lines, lines, lines, lines - 1]))
            mails[place][piece] = came
            arrived[piece] = max(arrived[piece], came)
    receipts = [
        receipt(
            *(f"{name}.{number}" for name, number in mail),
            received=sum(mail.values()),
            job_start=datetime(2026, 11, 23, place, tzinfo=UTC),
        )
        for place, mail in enumerate(mails)
        if mail
    ]
    if reconcile(sent, receipts).verdict is Verdict.RECONCILED:
        assert arrived == pieces


def test_pieces_on_a_receipt_that_other_deliveries_share_are_not_shown_to_be_all():
    found = reconcile({STEM: 600}, [receipt(f"{STEM}.1", FOREIGN, received=5000)])
    assert (found.verdict, found.in_part) == (Verdict.PENDING, (STEM,))
    assert found.findings[0] == (
        f"{STEM} is acknowledged in pieces (1), and its records cannot be told from those of other "
        f"deliveries, so it is not shown that all pieces are there"
    )


def test_pieces_without_a_count_are_not_shown_to_be_all():
    found = reconcile({STEM: 600}, [receipt(f"{STEM}.1", format_errors=0)])
    assert found.verdict is Verdict.PENDING
    assert found.findings[0].startswith(
        f"{STEM} is acknowledged in pieces (1), and a receipt has no count of records received"
    )


def test_one_files_loss_does_not_hide_behind_what_another_has_too_many():
    found = reconcile(
        {ONE: 600, TWO: 400}, [receipt(ONE, received=400), receipt(TWO, received=600)]
    )
    assert (found.verdict, found.discrepancy) == (Verdict.DISCREPANT, 0)
    assert (
        found.findings
        == found.differences
        == (
            f"{ONE}: 400 records received, 600 lines sent: 200 fewer",
            f"{TWO}: 600 records received, 400 lines sent: 200 more",
        )
    )


def test_a_file_read_twice_does_not_make_up_for_one_on_the_same_receipt():
    found = reconcile(
        {ONE: 600, TWO: 600}, [receipt(ONE, TWO, received=600), receipt(ONE, received=600)]
    )
    assert (found.verdict, found.discrepancy) == (Verdict.DISCREPANT, 0)
    assert found.findings[0] == (
        f"{ONE}, {TWO}: 600 records received, where at least 601 fit to the lines sent: 1 fewer"
    )


def test_a_loss_of_one_file_does_not_hide_behind_another_ones_shared_total():
    found = reconcile(
        {ONE: 600, TWO: 400}, [receipt(ONE, received=500), receipt(TWO, FOREIGN, received=5000)]
    )
    assert found.verdict is Verdict.DISCREPANT
    assert f"{ONE}: 500 records received, 600 lines sent: 100 fewer" in found.findings


def test_a_part_that_was_never_sent_is_told():
    found = reconcile({ONE: 600, TWO: 400}, [receipt(ONE, TWO, THREE, received=1500)])
    assert found.verdict is Verdict.SHARED
    assert found.findings[1] == (
        f"receipts list {THREE}, named like parts of this delivery that were never sent"
    )


@pytest.mark.parametrize(
    ("delivery", "rows", "message"),
    [
        ({}, {}, "delivery: no files, so there is nothing to reconcile"),
        ({ONE: -1}, {}, f"delivery['{ONE}']: -1 is not a number of lines from 0"),
        ({ONE: 1}, {"rows_read": 3, "rows_written": 1, "rows_set_aside": 1},
         "delivery: 3 rows read are not 1 written + 1 set aside"),
        ({STEM: 1, f"{STEM}.gz": 1}, {},
         (f"files '{STEM}' and '{STEM}.gz' differ in their extension alone; a receipt cannot tell "
          "them apart (inbound-receipt-message.md)")),
    ],
)  # fmt: skip
def test_a_delivery_that_cannot_be_reconciled(delivery, rows, message):
    with pytest.raises(DataError) as caught:
        reconcile(delivery, [], **rows)
    assert str(caught.value) == message


# --- properties ---

NAMES = [f"ftp_dpm_{dpid}_{stamp}.{mode}{split}"
         for dpid in (7, 8) for stamp in (1368806402, 1368806403) for mode in ("sync", "overwrite")
         for split in ("", ".1", ".2", ".1.1")]  # fmt: skip
PACKED = st.sampled_from(["", ".gz", ".pgp"])
deliveries = st.lists(st.sampled_from(NAMES), min_size=1, max_size=5, unique=True).flatmap(
    lambda names: st.fixed_dictionaries({name + ".gz": st.integers(0, 50) for name in names})
)
any_receipts = st.lists(
    st.builds(
        lambda names, packed, received, errors: receipt(
            *(name + packed for name in names), received=received, format_errors=errors
        ),
        st.lists(st.sampled_from(NAMES), min_size=1, max_size=4, unique=True),
        PACKED,
        st.none() | st.integers(0, 100),
        st.integers(0, 9),
    ),
    max_size=6,
)


@given(deliveries, any_receipts, st.randoms(use_true_random=False))
@settings(max_examples=examples(200))
def test_order_and_copies_of_receipts_do_not_matter(delivery, receipts, chance):
    found = reconcile(delivery, receipts)
    shuffled = [*receipts, *chance.sample(receipts, len(receipts) // 2)]
    chance.shuffle(shuffled)
    assert reconcile(delivery, shuffled) == found


@given(deliveries, any_receipts)
@settings(max_examples=examples(200))
def test_receipts_that_name_none_of_the_files_change_nothing(delivery, receipts):
    stems = {name.removesuffix(".gz") for name in delivery}
    foreign = [
        one
        for one in receipts
        if not any(
            base == stem or base.startswith(f"{stem}.")
            for file in one.files
            for base in [file.removesuffix(".gz").removesuffix(".pgp")]
            for stem in stems
        )
    ]
    rest = [one for one in receipts if one not in foreign]
    assert reconcile(delivery, receipts) == reconcile(delivery, rest)
    assert reconcile(delivery, foreign).verdict is Verdict.PENDING


@given(deliveries, any_receipts)
@settings(max_examples=examples(200))
def test_what_always_holds(delivery, receipts):
    found = reconcile(delivery, receipts)
    assert sorted((*found.covered, *found.missing)) == sorted(delivery)
    assert (found.verdict is Verdict.PENDING) == bool(found.missing)
    assert not (found.counts and found.shared_counts)
    assert found.exact == (bool(found.receipt_digests) and not found.shared_with)
    if found.verdict is Verdict.RECONCILED:
        assert found.discrepancy == 0
        assert found.counts["records_received"] == found.lines_sent
    json.dumps(found.to_json())


@given(
    st.dictionaries(st.integers(1, 40), st.integers(0, 1000), min_size=1, max_size=8),
    st.integers(0, 2**32),
)
@settings(max_examples=examples(100))
def test_splitting_and_merging_receipts_keeps_the_sums(lines, seed):
    delivery = {f"{STEM}.{part}.gz": count for part, count in lines.items()}
    chance = random.Random(seed)
    names = list(delivery)
    chance.shuffle(names)
    groups = [names[i : i + chance.randint(1, 3)] for i in range(0, len(names), 3)]
    groups.append([name for name in names if not any(name in group for group in groups)])
    receipts = [
        receipt(
            *group,
            received=sum(delivery[name] for name in group),
            format_errors=len(group),
            job_start=datetime(2026, 11, 23, 6, number, tzinfo=UTC),
        )
        for number, group in enumerate(groups)
        if group
    ]
    found = reconcile(delivery, receipts)
    assert found.verdict is Verdict.RECONCILED
    assert found.counts == {
        "records_received": sum(lines.values()),
        "format_errors": len(delivery),
    }
    without_one = reconcile(delivery, receipts[1:])
    assert without_one.verdict is Verdict.PENDING
    assert set(without_one.missing) == set(groups[0])


# --- limits ---

LOSSY = reconcile(
    {ONE: 1000},
    [receipt(ONE, received=1000, format_errors=29, no_matching_aam_id=0, no_trait_realized=1)],
)


@pytest.mark.parametrize(
    ("limits", "messages"),
    [
        ({"format_errors": 29, "no_matching_aam_id": 0}, []),
        ({"format_errors": 28}, ["format_errors: 29, over the limit of 28"]),
        ({"format_errors": 0.029}, []),
        ({"format_errors": 0.0289},
         ["format_errors: 29 of 1,000 records received are 2.9 %, over the limit of 2.89 %"]),
        ({"no_trait_realized": 0.0, "format_errors": 1.0},
         ["no_trait_realized: 1 of 1,000 records received are 0.1 %, over the limit of 0 %"]),
        ({"invalid_device_id": 0}, []),
    ],
)  # fmt: skip
def test_limits_are_judged(limits, messages):
    assert [str(breach) for breach in breaches(LOSSY, limits)] == messages


def test_shares_are_exact_as_written():
    for errors in range(101):
        found = reconcile({ONE: 100}, [receipt(ONE, received=100, format_errors=errors)])
        assert breaches(found, {"format_errors": errors / 100}) == ()


def test_a_shared_total_is_judged_and_called_so():
    found = reconcile({ONE: 600}, [receipt(ONE, FOREIGN, received=1000, format_errors=20)])
    (breach,) = breaches(found, {"format_errors": 0.01})
    assert str(breach) == (
        "format_errors: 20 of 1,000 records received are 2 %, over the limit of 1 % (a total "
        "shared with 1 file of other deliveries)"
    )
    assert (breach.name, breach.value, breach.received, breach.limit) == (
        "format_errors", 20, 1000, 0.01,
    )  # fmt: skip


def test_a_loss_without_any_record_is_over_any_share():
    found = reconcile({ONE: 0}, [receipt(ONE, received=0, format_errors=1)])
    assert [str(breach) for breach in breaches(found, {"format_errors": 1.0})] == [
        "format_errors: 1 of 0 records received, over the limit of 100 %"
    ]


def test_limits_that_receipts_say_nothing_about_are_named():
    found = reconcile({ONE: 5}, [receipt(ONE, format_errors=1)])
    limits = {"format_errors": 0.1, "invalid_device_id": 3, "no_trait_realized": 0.2}
    assert breaches(found, limits) == ()
    assert unjudged(found, limits) == (
        "invalid_device_id: not in every receipt, so its limit is not checked",
        "no_trait_realized: not in every receipt, so its limit is not checked",
        "format_errors: no count of records received, so there is no share to check",
    )


KNOWN = (
    "format_errors, invalid_aam_id, invalid_device_id, no_matching_aam_id, no_trait_realized, "
    "total_traits_failed_validation, total_users_failed_validation"
)
NEITHER = "is neither a whole number from 0 nor a share of the records received from 0.0 to 1.0"


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({"format_error": 1}, f"limits: 'format_error' is no count with a limit; known: {KNOWN}"),
        ({"format_errors": -1}, f"limits['format_errors']: -1 {NEITHER}"),
        ({"format_errors": 1.5}, f"limits['format_errors']: 1.5 {NEITHER}"),
        ({"format_errors": True}, f"limits['format_errors']: True {NEITHER}"),
        ({"format_errors": float("nan")}, f"limits['format_errors']: nan {NEITHER}"),
        ({"format_errors": "5"}, f"limits['format_errors']: '5' {NEITHER}"),
    ],
)
def test_wrong_limits(limits, message):
    for judge in (check_limits, lambda wrong: breaches(LOSSY, wrong)):
        with pytest.raises(ConfigurationError) as caught:
            judge(limits)
        assert str(caught.value) == message


@pytest.mark.parametrize(
    ("counts", "warnings"),
    [
        ({"stored_records": 900, "no_matching_aam_id": 100}, []),
        (
            {"stored_records": 0, "no_matching_aam_id": 1000},
            [
                "nothing was stored: 0 of 1,000 records received",
                (
                    "No Matching AAM ID: all 1,000 records received; was the ID sync of this data "
                    "source sent, and are these its IDs?"
                ),
            ],
        ),
        (
            {"stored_records": 0, "no_matching_aam_id": 600, "no_trait_realized": 400},
            ["nothing was stored: 0 of 1,000 records received"],
        ),
        # Mobile IDs that match nothing are kept (reporting/onboarding-status-report.md).
        ({"stored_records": 1000, "no_matching_aam_id": 1000}, []),
        (
            {"no_trait_realized": 1000},
            [
                (
                    "No Trait Realized: all 1,000 records received; are the traits of this data "
                    "source, and is there a rule for the signals?"
                )
            ],
        ),
        ({}, []),
        # Counted in traits, of which there may be any number.
        ({"total_traits_failed_validation": 5000}, []),
    ],
)
def test_a_delivery_that_came_to_nothing_is_a_warning(counts, warnings):
    name = "ftp_dpm_7_901_1368806402.sync"
    found = reconcile({name: 1000}, [receipt(name, received=1000, **counts)])
    assert list(found.warnings) == warnings == found.to_json()["warnings"]
    sync = "c2c_id_7_901_1368806402.sync"
    assert reconcile({sync: 1000}, [receipt(sync, received=1000, **counts)]).warnings == ()


def test_a_shared_total_of_nothing_is_one_too_and_what_is_awaited_is_none():
    names = {f"ftp_dpm_7_901_136880640{number}.sync": 500 for number in (1, 2)}
    some = receipt(*names, "ftp_dpm_7_1368806499.sync", received=1500, stored_records=0)
    assert reconcile(names, [some]).warnings == (
        (
            "nothing was stored: 0 of 1,500 records received (a total shared with 1 file of other "
            "deliveries)"
        ),
    )
    first = receipt(next(iter(names)), received=500, stored_records=0)
    assert reconcile(names, [first]).warnings == ()
