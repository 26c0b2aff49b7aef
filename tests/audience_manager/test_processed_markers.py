"""`.processed` markers on FTP and S3, read back to the names that were sent."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_am_provider.audience_manager.processed_markers import (
    Marker,
    MarkerKind,
    marked,
    processed_names,
)
from tests.audience_manager.receipts.receipt_samples import file_names


@pytest.mark.parametrize(
    ("listed", "kind", "sent"),
    [
        ("ftp_dpm_7_1368806402.processed", MarkerKind.RENAMED,
         ("ftp_dpm_7_1368806402.sync", "ftp_dpm_7_1368806402.overwrite")),
        ("ftp_dpm_7_901_1368806402.processed.1.gz", MarkerKind.RENAMED,
         ("ftp_dpm_7_901_1368806402.sync.1.gz", "ftp_dpm_7_901_1368806402.overwrite.1.gz")),
        ("/in/adobe_id_0_12345_1476312152.processed.gz", MarkerKind.RENAMED,
         ("adobe_id_0_12345_1476312152.sync.gz",)),
        ("acme/date=2026-11-23/ftp_dpm_7_1368806402.overwrite.2.gz.processed", MarkerKind.BESIDE,
         ("ftp_dpm_7_1368806402.overwrite.2.gz",)),
        ("ftp_dpm_7_1368806402.processed.pgp", MarkerKind.RENAMED,
         ("ftp_dpm_7_1368806402.sync.pgp", "ftp_dpm_7_1368806402.overwrite.pgp")),
        ("ftp_dpm_7_1368806402.sync.1.pgp.processed", MarkerKind.BESIDE,
         ("ftp_dpm_7_1368806402.sync.1.pgp",)),
        ("c2c_id_123_898_1454442149.sync.processed", MarkerKind.BESIDE,
         ("c2c_id_123_898_1454442149.sync",)),
    ],
)  # fmt: skip
def test_markers_name_the_files_they_mark(listed, kind, sent):
    assert Marker.parse(listed) == Marker(kind=kind, sent=sent)


@pytest.mark.parametrize(
    "listed",
    ["", ".processed", "processed", "readme.processed", "ftp_dpm_7_1368806402.sync",
     "ftp_dpm_7_1368806402.processed.txt", "ftp_dpm_7_1368806402.processed.processed",
     "ftp_dpm_7_1368806402.processed/", "ftp_dpm_7_1368806402.PROCESSED",
     "ftp_dpm_20914_1368806402.processed", "ftp_dpm_7_136880640.processed",
     "ftp_dpm_7_1368806402.processed\n", "ftp_dpm_7_1368806402.processed\x00.gz",
     "ftp_dpm_٧_1368806402.processed", "a" * 5_000 + ".processed"],
)  # fmt: skip
def test_what_marks_nothing(listed):
    assert Marker.parse(listed) is None
    assert processed_names([listed]) == {}


@given(file_names, st.sampled_from(["", "in/", "acme/date=2026-11-23/"]))
def test_every_sent_name_is_found_by_both_markers(name, folder):
    renamed = name.replace(".sync", ".processed").replace(".overwrite", ".processed")
    for marker in (renamed, f"{name}.processed"):
        assert name in processed_names([folder + marker])[folder + marker]
        assert marked([name], [folder + marker]) == {name}
    assert marked([name], [folder + name]) == set()


@given(file_names, file_names)
def test_a_marker_never_marks_another_name(name, other):
    renamed = name.replace(".sync", ".processed").replace(".overwrite", ".processed")
    twin = other.replace(".sync", "").replace(".overwrite", "") == renamed.replace(".processed", "")
    if other != name and not twin:
        assert marked([other], [renamed, f"{name}.processed", name]) == set()


def test_a_marker_that_may_mean_either_of_two_sent_files_proves_neither():
    sent = ["ftp_dpm_7_1368806402.sync", "ftp_dpm_7_1368806402.overwrite"]
    assert marked(sent, ["ftp_dpm_7_1368806402.processed"]) == set()
    assert marked(sent, [f"{sent[0]}.processed"]) == {sent[0]}


@given(st.lists(st.text(alphabet="ftp_dm7.123syncoverwritegz/ed\x00\n", max_size=40)))
def test_any_listing_is_read(listing):
    assert set(processed_names(listing)) <= set(listing)
