"""Adobe's published receipt, and generators of receipts for property tests."""

from datetime import UTC, datetime

from hypothesis import strategies as st

from airflow_am_provider.audience_manager.receipts.receipt import COUNT_LABELS, Receipt

# inbound-receipt-message.md, word for word, without the From and Subject lines above it.
PUBLISHED_TEXT = """\
Dear Adobe Partner: (ID:7)
We have received your Adobe Audience Manager Server-To-Server file delivery
File name:
 s3n://<bucket_name>/2018-05-17/ftp_dpm_7_901_1368806402.sync
 s3n://<bucket_name>/2018-05-16/ftp_dpm_7_901_1368655202.sync\x20
s3n://<bucket_name>/2018-05-17/ftp_dpm_7_901_1368784804.sync\x20
s3n://<bucket_name>/2018-05-17/ftp_dpm_7_901_1368806403.sync\x20
s3n://<bucket_name>/2018-05-17/ftp_dpm_7_901_1368784802.sync\x20
s3n://<bucket_name>/2018-05-17/ftp_dpm_7_901_1368784803.sync\x20
s3n://<bucket_name>/2018-05-17/ftp_dpm_7_901_1368806404.sync
Records received: 40669900
Format Errors: 0
Invalid AAM ID: 112\x20
No Matching AAM ID: 0\x20
No Trait Realized: 26730823\x20
Records processed: 40669900\x20
Stored Records: 13938958\x20
Total devices: 21\x20
Total signals: 918878926\x20
Total unused signals: 660348376\x20
Total realized traits: 258086908\x20
Total removed traits: 0\x20
Total traits failed validation: 0\x20
Total users that have traits which failed validation: 0\x20
Job start time: 2018-05-17 18:07:49\x20
Job end time: 2018-05-17 18:45:02
"""

# The same as the page's own markup has it, shortened to two of the seven files.
PUBLISHED_HTML = """\
<table id="table_F579C2278A044213BFCEF97F3BEC2C0C"><tbody><tr><td colname="col1">
 <p> <b>Dear Adobe Partner: (ID:7)</b> <b></b> </p>
 <p> <b>We have received your Adobe Audience Manager Server-To-Server file delivery</b> </p>
 <p> <b>File name:</b> <i></i> </p>
 <p> <b> s3n://&lt;<i>bucket_name&gt;</i>/2018-05-17/ftp_dpm_7_901_1368806402.sync</b> </p>
 <p> <b> s3n://&lt;<i>bucket_name&gt;</i>/2018-05-16/ftp_dpm_7_901_1368655202.sync </b> </p>
 <p> <b>Records received: 40669900</b> </p> <p><b>Format Errors: 0</b> </p>
 <p> <b>Invalid AAM ID: 112 </b> </p> <p> <b>No Matching AAM ID: 0 </b> </p>
 <p> <b>Total users that have traits which failed validation: 0 </b> </p>
 <p> <b>Job start time: 2018-05-17 18:07:49 </b> </p>
 <p> <b>Job end time: 2018-05-17 18:45:02</b> </p> </td></tr></tbody></table>
"""

PUBLISHED_FILES = tuple(
    f"ftp_dpm_7_901_{timestamp}.sync"
    for timestamp in (
        1368806402,
        1368655202,
        1368784804,
        1368806403,
        1368784802,
        1368784803,
        1368806404,
    )
)
PUBLISHED_WARNING = (
    "'Stored Records' is 13,938,958, but 'Records processed' less errors and misses is "
    "13,938,965: 7 apart (inbound-receipt-message.md)"
)
PUBLISHED_JSON = {
    "partner_id": 7,
    "files": list(PUBLISHED_FILES),
    "records_received": 40669900,
    "format_errors": 0,
    "invalid_aam_id": 112,
    "invalid_device_id": None,
    "no_matching_aam_id": 0,
    "no_trait_realized": 26730823,
    "records_processed": 40669900,
    "stored_records": 13938958,
    "total_devices": 21,
    "total_signals": 918878926,
    "total_unused_signals": 660348376,
    "total_realized_traits": 258086908,
    "total_removed_traits": 0,
    "total_traits_failed_validation": 0,
    "total_users_failed_validation": 0,
    "job_start": "2018-05-17T18:07:49+00:00",
    "job_end": "2018-05-17T18:45:02+00:00",
    "warnings": [PUBLISHED_WARNING],
}

file_names = st.builds(
    "ftp_dpm_{}_{}_{}.{}{}{}".format,
    st.integers(1, 99_999),
    st.integers(1, 99_999),
    st.integers(1_000_000_000, 1_999_999_999),
    st.sampled_from(["sync", "overwrite"]),
    st.sampled_from(["", ".1", ".2", ".17"]),
    st.sampled_from(["", ".gz", ".pgp"]),
)
paths = st.builds(
    "{}{}".format,
    st.sampled_from(["", "s3n://bucket/2018-05-17/", "s3n://<bucket_name>/2018-05-16/", "in/"]),
    file_names,
)
counts = st.none() | st.integers(0, 10**15)
times = st.none() | st.datetimes(
    min_value=datetime(1000, 1, 1),  # noqa: DTZ001  # hypothesis wants them naive
    timezones=st.just(UTC),
).map(lambda time: time.replace(microsecond=0))


@st.composite
def receipts(draw: st.DrawFn) -> Receipt:
    """Any receipt: one to five files, any labels absent, at least one count."""
    values = {name: draw(counts) for name in COUNT_LABELS}
    values[draw(st.sampled_from(list(COUNT_LABELS)))] = draw(st.integers(0, 10**15))
    return Receipt(
        paths=tuple(draw(st.lists(paths, min_size=1, max_size=5, unique=True))),
        partner_id=draw(st.none() | st.integers(0, 10**9)),
        job_start=draw(times),
        job_end=draw(times),
        **values,
    )
