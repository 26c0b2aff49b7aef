"""Receipts as text: Adobe's sample, what mail does to it, and what is no receipt."""

import contextlib
import re
import time
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_am_provider.audience_manager.errors import DataError
from airflow_am_provider.audience_manager.receipts.receipt import COUNT_LABELS, NotAReceipt, Receipt
from airflow_am_provider.audience_manager.receipts.text import read_path
from tests.audience_manager.receipts.receipt_samples import (
    PUBLISHED_JSON,
    PUBLISHED_TEXT,
    receipts,
)
from tests.examples import examples

SMALL = Receipt(
    paths=("s3n://b/2026-11-23/ftp_dpm_7_901_1368806402.sync",), partner_id=7, records_received=1200
)


def test_the_published_receipt_is_read_word_for_word():
    receipt = Receipt.parse_text(PUBLISHED_TEXT)
    assert receipt.to_json() == PUBLISHED_JSON
    assert receipt.paths[0] == "s3n://<bucket_name>/2018-05-17/ftp_dpm_7_901_1368806402.sync"
    assert receipt.job_start == datetime(2018, 5, 17, 18, 7, 49, tzinfo=UTC)


def test_the_published_receipt_prints_as_published():
    published = "".join(f"{line.strip()}\n" for line in PUBLISHED_TEXT.splitlines())
    assert str(Receipt.parse_text(PUBLISHED_TEXT)) == published


@given(receipts())
def test_text_round_trip(receipt):
    again = Receipt.parse_text(str(receipt))
    assert again == receipt
    assert str(again) == str(receipt)
    assert again.digest == receipt.digest


MANGLINGS = {
    "windows line ends": lambda text: text.replace("\n", "\r\n"),
    "quoted by a reply": lambda text: re.sub("^", "> ", text, flags=re.M),
    "quoted three times over": lambda text: re.sub("^", "> >> ", text, flags=re.M),
    "collapsed onto one line": lambda text: text.replace("\n", " "),
    "every space folded": lambda text: text.replace(" ", "\n   "),
    "colons apart": lambda text: re.sub("(?<=[a-zD]): ?(?!//)", "  :\t ", text),
    "no-break spaces": lambda text: text.replace(" ", "\u00a0"),
    "bold as asterisks": lambda text: re.sub("^(.+)$", r"*\1 *", text, flags=re.M),
    "upper-case labels": lambda text: re.sub(
        "^.*?:(?!//)", lambda m: m[0].upper(), text, flags=re.M
    ),
    "paths as links": lambda text: re.sub(r"^(s3n.*)$", r"<\1>", text, flags=re.M),
    "table cells": lambda text: re.sub(r"^([A-Z][^:]*): ", r"\1\n", text, flags=re.M),
    "lines reversed": lambda text: "\n".join(reversed(text.split("\n"))),
    "greeting and footer": lambda text: f"Hi,\nsee below.\n{text}\n-- \nAdobe\n345 Park Avenue\n",
}


@pytest.mark.parametrize("mangling", MANGLINGS)
def test_what_mail_does_to_the_text_does_not_change_what_it_says(mangling):
    text = "".join(f"{line.strip()}\n" for line in PUBLISHED_TEXT.splitlines())
    text = text.replace("<bucket_name>", "bucket")
    mangled = MANGLINGS[mangling](text)
    if mangling == "lines reversed":  # the files must stay under their label
        files = "\n".join(line for line in text.split("\n") if line.startswith("s3n"))
        mangled = mangled.replace("File name:", "").replace("s3n", "") + f"\nFile name:\n{files}"
        mangled = re.sub(r"^://.*\n", "", mangled, flags=re.M)
    receipt = Receipt.parse_text(mangled)
    assert receipt == Receipt.parse_text(text)


@pytest.mark.parametrize("printed", ["12.", "12,", "12)", "12 records", "12 |", " 12 "])
def test_what_may_stand_beside_a_count(printed):
    assert Receipt.parse_text(f"{SMALL}Format Errors: {printed}\n") == replace(
        SMALL, format_errors=12
    )


@pytest.mark.parametrize("between", [" ", " / ", " - ", " | ", "; ", ", "])
def test_counts_on_one_line_stay_counts(between):
    receipt = Receipt.parse_text(f"{SMALL}Format Errors: 2{between}Stored Records: 3\n")
    assert receipt == replace(SMALL, format_errors=2, stored_records=3)


@pytest.mark.parametrize(
    "printed", ["1200", "1,200", "1.200", "1 200", "1'200", "1\u00a0200", "1\u202f200", "0001200"]
)
def test_thousands_may_be_grouped(printed):
    text = str(SMALL).replace("1200", printed)
    assert Receipt.parse_text(text) == SMALL


@pytest.mark.parametrize(
    "printed",
    ["12.5", "-1200", "1,20", "many", "12x", "5%", "9" * 19, "", "2-3", "2 - 3", "2/2", "2 / 2",
     "2\u20133", "2:3", "2+3", "2*3", "2 of 3", "1 2000", "12 34", "5 %", "5\u00b2", "5 (7)",
     "2, 3", "2 million", "5 | 7", "2...3"],
)  # fmt: skip
def test_a_value_that_is_no_count_is_absent_and_named(printed):
    text = f"{SMALL}Format Errors: {printed}\nStored Records: 1\n"
    receipt = Receipt.parse_text(text)
    assert receipt == replace(SMALL, stored_records=1)
    assert receipt.warnings == (
        "'Format Errors' is not followed by a whole number; taken as absent",
    )


def test_a_label_of_a_table_without_a_number_is_no_statement():
    assert Receipt.parse_text(f"{SMALL}Format Errors\nnone\n") == SMALL


@pytest.mark.parametrize(
    ("printed", "expected"),
    [
        ("2018-05-17 18:07:49", datetime(2018, 5, 17, 18, 7, 49, tzinfo=UTC)),
        ("2018-05-17T18:07:49Z", datetime(2018, 5, 17, 18, 7, 49, tzinfo=UTC)),
        ("2018-05-17 18:07:49.123 UTC", datetime(2018, 5, 17, 18, 7, 49, tzinfo=UTC)),
        ("2018-05-17 18:07:49 GMT", datetime(2018, 5, 17, 18, 7, 49, tzinfo=UTC)),
        ("2018-05-17 18:07:49 +02:00", datetime(2018, 5, 17, 16, 7, 49, tzinfo=UTC)),
    ],
)
def test_times_are_utc_unless_they_say_otherwise(printed, expected):
    receipt = Receipt.parse_text(f"{SMALL}Job start time: {printed}\n")
    assert receipt.job_start == expected
    assert receipt.warnings == ()


@pytest.mark.parametrize(
    ("printed", "warning"),
    [
        ("2018-02-30 18:07:49", "'Job start time' is no time of the calendar; taken as absent"),
        (
            "0001-01-01 00:00:00 +14:00",
            "'Job start time' is no time of the calendar; taken as absent",
        ),
        (
            "17.05.2018",
            "'Job start time' is not followed by a time like 2018-05-17 18:07:49; taken as absent",
        ),
    ],
)
def test_a_value_that_is_no_time_is_absent_and_named(printed, warning):
    receipt = Receipt.parse_text(f"{SMALL}Job start time: {printed}\n")
    assert receipt.job_start is None
    assert receipt.warnings == (warning,)


def test_labels_that_adobe_may_add_are_named_and_a_signature_is_not():
    text = str(SMALL).replace("Records received", "Total households: 12\nRecords received")
    receipt = Receipt.parse_text(f"{text}Total cookies: 7\nKind regards\nPhone: 5550100\n")
    assert receipt == SMALL
    assert receipt.warnings == (
        "label 'Total households' is not known (inbound-receipt-message.md)",
        "label 'Total cookies' is not known (inbound-receipt-message.md)",
    )


def test_warnings_are_few_whatever_the_text():
    labels = "".join(f"Total of {number}: 1\n" for number in range(50))
    receipt = Receipt.parse_text(f"{SMALL}{labels}{labels}")
    assert len(receipt.warnings) == 21
    assert receipt.warnings[-1] == "and 30 more of this sort"


def test_words_among_the_files_are_counted_and_not_repeated():
    text = str(SMALL).replace("Records", "https://tracking.example/x jane@example.com\nRecords")
    receipt = Receipt.parse_text(text)
    assert receipt == SMALL
    assert receipt.warnings == ("under 'File name': 2 word(s) that are no file name",)


def test_one_label_for_each_file_and_files_on_one_line():
    receipt = Receipt.parse_text(
        "File name: a/ftp_dpm_7_1368806402.sync.1.gz, ftp_dpm_7_1368806402.sync.2.gz\n"
        "File name: adobe_id_0_12345_1476312152.sync\nFormat Errors: 0\n"
    )
    assert receipt.files == (
        "ftp_dpm_7_1368806402.sync.1.gz",
        "ftp_dpm_7_1368806402.sync.2.gz",
        "adobe_id_0_12345_1476312152.sync",
    )


def test_figures_that_disagree_are_warnings():
    receipt = Receipt.parse_text(
        f"{SMALL}Records processed: 1100\nJob start time: 2018-05-17 18:07:49\n"
        "Job end time: 2018-05-17 18:07:48\n"
    )
    assert receipt.warnings == (
        (
            "'Records received' is 1,200, but 'Records processed' is 1,100; they are the same in "
            "most cases (inbound-receipt-message.md)"
        ),
        "'Job end time' is before 'Job start time'",
    )


@pytest.mark.parametrize(("stored", "warnings"), [(85, 0), (90, 0), (86, 1)])
def test_invalid_device_ids_may_or_may_not_count_in_the_formula(stored, warnings):
    receipt = replace(
        SMALL,
        records_received=100,
        records_processed=100,
        format_errors=4,
        invalid_aam_id=3,
        invalid_device_id=5,
        no_matching_aam_id=2,
        no_trait_realized=1,
        stored_records=stored,
    )
    assert len(Receipt.parse_text(str(receipt)).warnings) == warnings


NO_COUNT = (
    "no count: none of " + ", ".join(f"'{label}'" for label in COUNT_LABELS.values()) + " is "
    "followed by a number (inbound-receipt-message.md)"
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no file name under 'File name' (inbound-receipt-message.md)"),
        ("Lunch on Friday?", "no file name under 'File name' (inbound-receipt-message.md)"),
        ("Format Errors: 0", "no file name under 'File name' (inbound-receipt-message.md)"),
        ("File name: me.txt\nFormat Errors: 0",
         "no file name under 'File name' (inbound-receipt-message.md)"),
        ("File name: s3n://b/2018-05-17/\nFormat Errors: 0",
         "no file name under 'File name' (inbound-receipt-message.md)"),
        ("File name: ftp_dpm_7_1368806402.sync", NO_COUNT),
        (f"{SMALL}\n{SMALL}",
         ("two lists of files with counts between them: more than one receipt in one text "
         "(inbound-receipt-message.md)")),
        (f"{SMALL}\nRecords received: 1201",
         ("'Records received' stands twice with different values: more than one receipt in one "
         "text (inbound-receipt-message.md)")),
        (f"{SMALL}\nDear Adobe Partner: (ID:8)",
         "greets 2 partner IDs: more than one receipt in one text (inbound-receipt-message.md)"),
    ],
)  # fmt: skip
def test_what_is_no_receipt_says_why(text, message):
    with pytest.raises(NotAReceipt) as caught:
        Receipt.parse_text(text)
    assert str(caught.value) == message
    assert isinstance(caught.value, DataError)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"paths": ()}, "no file name under 'File name' (inbound-receipt-message.md)"),
        ({"paths": ("a b.sync",)},
         "paths[0]: 'a b.sync' is not the path of an inbound file (inbound-receipt-message.md)"),
        ({"paths": ("a.sync", "a.sync")},
         "paths: the same path stands twice (inbound-receipt-message.md)"),
        ({"records_received": None}, NO_COUNT),
        ({"format_errors": -1},
         "format_errors: -1 is not a whole number from 0 (inbound-receipt-message.md)"),
        ({"partner_id": True},
         "partner_id: True is not a whole number from 0 (inbound-receipt-message.md)"),
        ({"job_end": datetime(2018, 5, 17)},  # noqa: DTZ001  # the point
         ("job_end: datetime.datetime(2018, 5, 17, 0, 0) is not a time in UTC of whole seconds "
         "(inbound-receipt-message.md)")),
    ],
)  # fmt: skip
def test_a_receipt_that_exists_is_valid(values, message):
    with pytest.raises(NotAReceipt) as caught:
        replace(SMALL, **values)
    assert str(caught.value) == message


def test_the_digest_is_of_what_the_receipt_says():
    two = replace(SMALL, paths=("x/a.sync", "y/b.sync"))
    assert two.digest == replace(two, paths=("b.sync", "z/a.sync"), warnings=("odd",)).digest
    assert two.digest != replace(two, records_received=1201).digest
    assert two.digest != replace(two, format_errors=0).digest
    assert two.digest != replace(two, job_end=datetime(2018, 5, 17, tzinfo=UTC)).digest
    assert two.digest != replace(two, paths=("a.sync",)).digest


@given(st.text())
def test_any_word_is_a_path_of_its_own_or_none(word):
    path = read_path(word)
    assert path is None or read_path(path) == path


FRAGMENTS = st.sampled_from(
    ["File name:", "Records received", "Format Errors: 1", ": ", "\n", "a.sync", "s3n://", "<", ">",
     "9" * 30, "Job end time: 2018-05-17 18:45:02", "Dear Adobe Partner: (ID:7)", "\x00", "\u2028"]
)  # fmt: skip


@given(st.lists(FRAGMENTS | st.text(max_size=8), max_size=30).map("".join))
@settings(max_examples=examples(300))
def test_any_text_is_a_receipt_that_round_trips_or_is_none(text):
    try:
        receipt = Receipt.parse_text(text)
    except NotAReceipt:
        return
    assert Receipt.parse_text(str(receipt)) == receipt


@pytest.mark.parametrize(
    "unit",
    ["Total ", "Total\n", "Records received: ", "Records received:\n", "File name:\n", " ", "\n",
     "> ", "<", "<s3n://", "a.sync ", "Format Errors: 1\n", "9", "9,999", "Adobe Partner: (ID: ",
     "a.sync.gz", "File name: a.sync\n", "Aa: 1\n"],
)  # fmt: skip
def test_time_grows_with_length_and_no_faster(unit):
    def seconds(size):
        text = "File name: " + unit * (size // len(unit))
        begin = time.process_time()
        with contextlib.suppress(NotAReceipt):
            Receipt.parse_text(text)
        return time.process_time() - begin

    assert seconds(1_000_000) < 5  # quadratic would take minutes
