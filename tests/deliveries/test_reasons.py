"""Why rows were set aside, in words and with a row to look at."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_am_provider.deliveries.reasons import reasons_in_words
from airflow_am_provider.storage import LocalFolder

if TYPE_CHECKING:
    from pathlib import Path

_HEADER = b"row_number,reason,id_masked,id_sha256\n"


def test_each_reason_names_its_rule_and_its_first_row(tmp_path: Path) -> None:
    staging = LocalFolder(tmp_path)
    staging.write_bytes(
        "rejects.csv", _HEADER + b"7,personal_data,,\n1017,id_colon,ev*,ab\n1018,id_colon,ev*,ab\n"
    )
    first, second = reasons_in_words({"personal_data": 1, "id_colon": 2}, staging, "rejects.csv")
    assert first == (
        "1 row set aside, such as row 7: no e-mail address or phone number is sent in the clear "
        "(personal_data, batch-data-transfer-overview.md)"
    )
    assert second == (
        "2 rows set aside, such as row 1,017: a DPUUID holds neither ':' nor '%3A' (id_colon, "
        "inbound-file-contents.md)"
    )


def test_of_partitions_the_row_is_named_in_its_own(tmp_path: Path) -> None:
    staging = LocalFolder(tmp_path)
    staging.write_bytes("rejects.csv", b"partition," + _HEADER + b"2,7,id_colon,ev*,ab\n")
    (told,) = reasons_in_words({"id_colon": 1}, staging, "rejects.csv")
    assert told.startswith("1 row set aside, such as row 7 of partition 2: ")


def test_what_is_gone_from_staging_is_told_without_an_example(tmp_path: Path) -> None:
    (told,) = reasons_in_words({"no_items": 3}, LocalFolder(tmp_path), "rejects.csv")
    assert told == (
        "3 rows set aside: a data line has at least one item after its user ID (no_items, "
        "inbound-file-contents.md), and nothing is lost with them"
    )
