"""Records that match no AAM ID: lost, or stored all the same, by figures and by data source."""

import pytest

from airflow_am_provider.audience_manager.receipts.no_match import kind_of, read_no_match
from airflow_am_provider.audience_manager.receipts.receipt import Receipt
from airflow_am_provider.audience_manager.receipts.reconciliation import reconcile
from airflow_am_provider.audience_manager.receipts.thresholds import breaches

MOBILE = "ftp_dpm_20914_478_1368806402.sync.gz"
UUID = "ftp_dpm_0_478_1368806402.sync.gz"
CRM = "ftp_dpm_901_478_1368806402.sync.gz"
LOST, STORED = 600, 900  # of 1,000 records, 300 without a match and 100 without a trait


def receipt(*files: str, stored: int | None = None, **counts: int) -> Receipt:
    figures = {
        "records_received": 1000,
        "format_errors": 0,
        "invalid_aam_id": 0,
        "no_matching_aam_id": 300,
        "no_trait_realized": 100,
        "records_processed": 1000,
    }
    text = Receipt(paths=files, stored_records=stored, **(figures | counts)).to_text()
    return Receipt.parse_text(text)


@pytest.mark.parametrize("stored", [LOST, STORED])
@pytest.mark.parametrize("name", [MOBILE, CRM])
def test_either_formula_is_no_contradiction(name: str, stored: int) -> None:
    assert receipt(name, stored=stored).warnings == ()


@pytest.mark.parametrize(
    ("name", "stored", "nearest"), [(MOBILE, 893, 900), (UUID, 893, 600), (CRM, 893, 900)]
)
def test_what_fits_no_formula_is_a_warning(name: str, stored: int, nearest: int) -> None:
    (warning,) = receipt(name, stored=stored).warnings
    assert warning == (
        f"'Stored Records' is 893, but 'Records processed' less errors and misses is {nearest}: "
        f"{abs(nearest - stored)} apart (inbound-receipt-message.md)"
    )


def test_several_data_sources_may_store_some_of_them() -> None:
    both = receipt(MOBILE, CRM, stored=700)
    assert both.warnings == ()
    assert str(read_no_match(both)) == "300, 200 lost"
    assert receipt(CRM, stored=700).warnings != ()


@pytest.mark.parametrize(
    ("name", "stored", "said"),
    [
        (MOBILE, STORED, "300 stored"),
        (MOBILE, None, "300 stored"),
        (MOBILE, LOST, "300 lost"),
        (UUID, LOST, "300 lost"),
        (UUID, None, "300 lost"),
        (UUID, STORED, "300 stored"),
        (CRM, LOST, "300 lost"),
        (CRM, STORED, "300 stored"),
        (CRM, None, "300 unknown"),
        (CRM, 893, "300 unknown"),
        ("adobe_id_0_478_1368806402.sync", None, "300 unknown"),
    ],
)
def test_figures_tell_before_the_data_source(name: str, stored: int | None, said: str) -> None:
    assert str(read_no_match(receipt(name, stored=stored))) == said


def test_a_cross_device_source_has_to_be_named() -> None:
    silent = receipt(CRM)
    assert str(read_no_match(silent)) == "300 unknown"
    assert str(read_no_match(silent, cross_device=[901])) == "300 stored"
    assert str(read_no_match(silent, cross_device=[478])) == "300 unknown"


def test_invalid_device_ids_that_are_as_many_decide_nothing() -> None:
    # 1,000 - 100 - 300 is both the one formula without invalid devices and the other with them.
    assert str(read_no_match(receipt(CRM, stored=600, invalid_device_id=300))) == "300 unknown"
    assert str(read_no_match(receipt(MOBILE, stored=600, invalid_device_id=300))) == "300 stored"
    assert receipt(MOBILE, stored=600, invalid_device_id=300).warnings == ()


@pytest.mark.parametrize("name", [f"{MOBILE.removesuffix('.gz')}.1213788", f"{MOBILE}.2.1"])
def test_pieces_are_of_the_same_data_source(name: str) -> None:
    assert str(kind_of(name)) == "stored"


@pytest.mark.parametrize(
    ("name", "stored", "lost"),
    [(MOBILE, STORED, None), (MOBILE, None, None), (CRM, STORED, None),
     (MOBILE, LOST, 300), (CRM, LOST, 300), (CRM, None, 300), (UUID, None, 300)],
)  # fmt: skip
def test_limits_are_for_what_was_lost(name: str, stored: int | None, lost: int | None) -> None:
    found = reconcile({name: 1000}, [receipt(name, stored=stored)])
    over = breaches(found, {"no_matching_aam_id": 0.25})
    assert [breach.value for breach in over] == ([] if lost is None else [lost])
    assert found.to_json()["no_match_lost"] == (lost or 0)


def test_a_named_cross_device_source_is_under_its_limit() -> None:
    found = reconcile({CRM: 1000}, [receipt(CRM)], cross_device=[901])
    assert breaches(found, {"no_matching_aam_id": 0}) == ()
    assert found.findings[0] == (
        "No Matching AAM ID: 300 of 1,000 records received, stored all the same"
    )


@pytest.mark.parametrize(
    ("name", "stored", "lost", "kind"), [(MOBILE, LOST, 300, "stored"), (UUID, STORED, 0, "lost")]
)
def test_figures_against_the_data_source_are_a_finding(
    name: str, stored: int, lost: int, kind: str
) -> None:
    assert (
        f"No Matching AAM ID: the figures fit only if {lost} of 300 records were lost, but by the "
        f"data source all would be {kind}: the figures count (reporting/"
        f"onboarding-status-report.md, faq/faq-inbound-data-ingestion.md)"
    ) in reconcile({name: 1000}, [receipt(name, stored=stored)]).findings


def test_other_deliveries_losses_do_not_fail_mobile_ids() -> None:
    shared = receipt(MOBILE, CRM, stored=LOST)
    mobile = reconcile({MOBILE: 500}, [shared])
    assert breaches(mobile, {"no_matching_aam_id": 0}) == ()
    assert not any("the figures count" in finding for finding in mobile.findings)
    crm = reconcile({CRM: 500}, [shared])
    assert [breach.value for breach in breaches(crm, {"no_matching_aam_id": 0})] == [300]


def test_receipts_of_one_delivery_add_up() -> None:
    one, two = (f"{CRM.removesuffix('.gz')}.{number}.gz" for number in (1, 2))
    found = reconcile(
        {one: 1000, two: 1000},
        [receipt(one, stored=STORED), receipt(two, stored=550, no_matching_aam_id=350)],
    )
    assert str(found.no_match) == "650, 350 lost"
    assert (
        "No Matching AAM ID: 650 of 2,000 records received, of which at most 350 are lost"
    ) in found.findings
    assert reconcile({one: 1000}, [receipt(one, stored=STORED)]).no_match is not None
    silent = Receipt(paths=(two,), records_received=1000)
    assert reconcile({one: 1000, two: 1000}, [receipt(one), silent]).no_match is None


def test_all_without_a_match_is_no_warning_where_they_are_stored() -> None:
    counts = {"no_matching_aam_id": 1000, "no_trait_realized": 0}
    silent = reconcile({MOBILE: 1000}, [receipt(MOBILE, **counts)])
    assert silent.warnings == ()
    (warning,) = reconcile({CRM: 1000}, [receipt(CRM, **counts)]).warnings
    assert warning.startswith("No Matching AAM ID: all 1,000 records received")
