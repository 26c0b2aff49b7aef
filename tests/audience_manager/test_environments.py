"""Where files go: Adobe's environments and the keys in its buckets."""

from datetime import date

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from airflow_am_provider.audience_manager.environments import (
    BETA,
    ENVIRONMENTS,
    PRODUCTION,
    object_key,
)
from airflow_am_provider.audience_manager.errors import ConfigurationError
from tests.audience_manager.hostile import hostile_text

NAME = "ftp_dpm_478_1366545717.sync.1.gz"
DAY = date(2016, 5, 9)


def test_the_places_are_adobes():
    # batch-data-transfer-overview.md, faq/faq-data-collection.md
    assert (PRODUCTION.bucket, PRODUCTION.ftp_host, PRODUCTION.sftp_host) == (
        "demdex-s2s-clients",
        "ftp-in.demdex.com",
        "ftp-in-gtw.demdex.com",
    )
    assert (BETA.bucket, BETA.ftp_host, BETA.sftp_host) == (
        "demdex-s2s-clients-sandbox-us-east-1",
        "sandbox-ftp-in.demdex.com",
        None,
    )
    assert (PRODUCTION.maps_ids, BETA.maps_ids) == (True, False)
    assert ENVIRONMENTS == {"production": PRODUCTION, "beta": BETA}


def test_the_key_is_that_of_adobes_sample():
    # inbound-s3-filenames.md, "File name examples"
    assert object_key("acme", DAY, NAME) == f"acme/date=2016-05-09/{NAME}"


@given(partner=hostile_text, day=st.dates())
@example(partner="..", day=DAY)
@example(partner="acme/other", day=DAY)
@example(partner="acme\n", day=DAY)
def test_a_partner_name_is_one_folder_or_refused(partner, day):
    try:
        key = object_key(partner, day, NAME)
    except ConfigurationError as error:
        message = str(error)
    else:
        assert key.split("/") == [partner, f"date={day.isoformat()}", NAME]
        return
    assert message == (
        f"partner name {partner!r}: letters, digits, '.', '_' and '-' only, since it becomes a "
        f"folder in Adobe's bucket (inbound-s3-filenames.md)"
    )


@pytest.mark.parametrize("partner", ["", ".", "..", "-acme", "a/b", "a b", "é"])
def test_names_that_would_change_the_path_are_refused(partner):
    with pytest.raises(ConfigurationError):
        object_key(partner, DAY, NAME)
