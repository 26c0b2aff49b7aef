"""Personal data: found where it is beyond doubt, in linear time, and masked in reports."""

import re
import time

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings

from airflow_am_provider.audience_manager.hashing import hash_email, is_hashed_email
from airflow_am_provider.audience_manager.personal_data import (
    EMAIL_PATTERN,
    is_email,
    is_personal_data,
    mask,
)
from tests.audience_manager.hostile import hostile_text
from tests.examples import examples

EMAILS = [
    "jane@example.com",
    "Jane.Doe+news@Example.CO.UK",
    " jane@example.com ",
    "jane%40example.com",
    "o'hara@example.ie",
    "jane_doe@sub.example.museum",
    "иван@пример.рф",
    "jane@xn--e1afmkfd.xn--p1ai",
    "100%jane@example.com",
    "jane@1and1.com",
]
PHONES = [
    "+442079460958",
    "+44 20 7946 0958",
    "+44 (0) 20 7946 0958",
    "+1 (212) 555-0100",
    "+1-212-555-0100",
    "+49/30/123456",
    "+41.44.668.18.00",
    "+81 3 1234 5678",
    " +15551234567",
]
ORDINARY_IDS = [
    # Adobe's own samples
    "1060413022",
    "4598060374",
    "59767559181262060060278870901087098252",
    "DBwFoc3dhfMNCFBh2M4F9ZkJEXMNnRDh2PXvnI1",
    "XYZ3017D_2kzkTOXkFYIAgwbajoqWRcqkXl-TTrj6E4njaMR38",
    "2132-3423vn-343fds-3432r",
    "5DC5123F5245B1D20A490D46@AdobeOrg",
    "7XCBNROQJQPYW",
    # As CRMs have them
    "0",
    "000123",
    "00442079460958",
    "0207 946 0958",
    "2125550100",
    "(212) 555-0100",
    "e4fe9bde-caa0-47b6-908d-ffba3fa184f2",
    "55e79200c1635b37ad31a378c39feb12f120f116625093a19bc32fff15041149",
    "VGhpcyBpcyBhIHRlc3Q=",
    "aGVsbG8+d29ybGQ/IQ==",
    "+8/Tq1n5b4uF",
    "user+tag",
    "a@b",
    "@jane",
    "jane@",
    "@example.com",
    "a@b@example.com",
    "jane@example",
    "jane@.com",
    "jane@example.c",
    "build@1.20",
    "order@2026.11.23",
    "+1",
    "+1234567",
    "+0123456789",
    "+123456789012345678901",
    "C-+44",
    "1.5",
    "2026-11-23 18:07:49",
    "Zoë",
    "客戶-42",
]  # fmt: skip


@pytest.mark.parametrize("value", EMAILS)
def test_email_addresses_are_found(value):
    assert is_email(value)
    assert is_personal_data(value)


@pytest.mark.parametrize("value", PHONES)
def test_phone_numbers_with_country_code_are_found(value):
    assert not is_email(value)
    assert is_personal_data(value)


@pytest.mark.parametrize("value", ORDINARY_IDS)
def test_ordinary_ids_are_no_personal_data(value):
    assert not is_personal_data(value)


@pytest.mark.parametrize(
    "value",
    [
        "%40" * 35_000,
        "a%40." * 20_000,
        "a%40b.c" * 15_000,
        "a@" + "b." * 50_000,
        "a@" + "b" * 100_000,
        "a%40" + "b.cc" * 25_000 + ";",
        "a" * 100_000 + "@",
        "@" * 100_000,
        "%4" * 50_000,
        "+1" + "-1" * 50_000,
        "+1" + " " * 100_000,
        "." * 100_000,
        "a." * 50_000 + "@" + "b." * 50_000,
        '"' * 50_000 + "@" + '"' * 50_000,
        '"a' * 50_000 + '"@',
        "+ (" * 30_000,
        ("+1" + "." * 3) * 20_000,
        "+12345678901" * 10_000,
        "x@" + ("1" * 63 + ".") * 2_000,
        "x@" * 50_000 + "a.com-",
        "%25" * 35_000 + "40",
    ],
    ids=lambda value: value[:8],
)
def test_long_hostile_values_take_no_time(value):
    start = time.process_time()
    is_personal_data(value)
    # The quadratic time that this guards against is half a minute.
    assert time.process_time() - start < 0.5


@settings(max_examples=examples(500), deadline=None)
@given(value=hostile_text)
def test_any_text_has_a_verdict_and_a_mask_that_prints(value):
    assert is_personal_data(value) in {True, False}
    assert mask(value).isprintable()
    assert mask(value).endswith(f"… ({len(value)} characters)")


def test_arrows_engine_takes_the_pattern_and_agrees():
    pattern = EMAIL_PATTERN
    values = [value.strip() for value in (*EMAILS, *PHONES, *ORDINARY_IDS)]
    by_arrow = pc.match_substring_regex(pa.array(values), rf"\A(?:{pattern})\z").to_pylist()
    assert by_arrow == [re.fullmatch(pattern, value) is not None for value in values]


def test_a_mask_shows_nothing_to_guess_from():
    assert mask("jane@example.com") == "ja… (16 characters)"
    assert mask("1234567") == "… (7 characters)"
    assert mask("\x1b[31mred alert") == "… (14 characters)"
    assert mask("") == "… (0 characters)"


@pytest.mark.parametrize(
    ("address", "digest"),
    [
        # people-based-destinations-workflow-combined.md
        (
            "johndoe@example.com",
            "55e79200c1635b37ad31a378c39feb12f120f116625093a19bc32fff15041149",
        ),
        ("janedoe@email.com", "16d72e3edbeb089b299e0d12fc09522fdc5ece2d11dcb1304ecdd6fab4f7193a"),
        ("name@mydomain.com", "feec5debcea411f54462a345a0d90c9975415d2d4862745ff8af00c49b6b4ae6"),
    ],
)
def test_addresses_are_hashed_as_adobe_does(address, digest):
    assert hash_email(address) == digest
    assert hash_email(f" {address.upper()}\t") == digest
    assert is_hashed_email(digest)


@pytest.mark.parametrize("value", ["", "a" * 63, "A" * 64, "g" * 64, "a" * 64 + "\n", "a" * 65])
def test_other_text_is_no_hashed_email(value):
    assert not is_hashed_email(value)
