"""What is worth a look in a delivery and keeps no row out of it: counts, and what to say of them.

The counts hold no personal data. They travel with the manifest, and those of partitions are put
together.
"""

from __future__ import annotations

from collections import Counter
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from airflow_am_provider.audience_manager import limits
from airflow_am_provider.audience_manager.words import counted

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


class Remark(StrEnum):
    """What is counted."""

    PADDED_IDS = "padded_ids"  # rows whose user ID begins or ends with a blank
    DECIMAL_IDS = "decimal_ids"  # rows whose user ID is written like 1001.00
    HYPHEN_IDS = "hyphen_ids"  # rows whose device ID has hyphens that Adobe has not confirmed
    ALIKE_IDS = "alike_ids"  # user IDs that differ from others only in case or blanks
    FULL_PROFILES = "full_profiles"  # users who get more traits than a profile holds
    LISTED = "suppression_entries"  # entries of all suppression lists
    LISTED_NO_IDS = "suppression_no_ids"  # entries that can be no ID of the delivery's kinds
    LISTED_FOUND = "suppression_found"  # how often an ID of a row was on a list


# All partitions read the same lists.
_OF_THE_WHOLE: Final = frozenset({Remark.LISTED, Remark.LISTED_NO_IDS})
_BYTE_FOR_BYTE: Final = "IDs are compared byte for byte"


def together(remarks: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """The counts of all partitions.

    >>> together([{"padded_ids": 1, "suppression_entries": 5}, {"suppression_entries": 5}])
    {'padded_ids': 1, 'suppression_entries': 5}
    """
    sums: Counter[str] = Counter()
    for some in remarks:
        for name, count in some.items():
            sums[name] = max(sums[name], count) if name in _OF_THE_WHOLE else sums[name] + count
    return dict(sorted(sums.items()))


def warnings_of(remarks: Mapping[str, int]) -> list[str]:
    """What to say of the counts, in sentences; nothing where all is well.

    >>> warnings_of({"padded_ids": 0, "suppression_entries": 5, "suppression_found": 2})
    []
    """
    said = []
    if count := remarks.get(Remark.PADDED_IDS):
        said.append(
            f"{_rows(count)} a user ID that begins or ends with a blank, as CHAR columns do, and "
            f"is sent with it: {_BYTE_FOR_BYTE}. If the blanks are not part of it, trim it in the "
            f"source"
        )
    if count := remarks.get(Remark.DECIMAL_IDS):
        said.append(
            f"{_rows(count)} a user ID such as 1001.00, and it is sent so: {_BYTE_FOR_BYTE}. If "
            f"that is a number, cast it to an integer in the source"
        )
    if count := remarks.get(Remark.HYPHEN_IDS):
        said.append(
            f"{_rows(count)} a MAID, TIFA or Vizio IFA with hyphens, and is sent so: Adobe's page "
            f"calls these IDs alphanumeric, and whether it takes hyphens is not confirmed "
            f"(reference/ids-in-aam.md). See what the receipt says of invalid device IDs; "
            f"refuse_hyphens sets such rows aside"
        )
    if count := remarks.get(Remark.ALIKE_IDS):
        said.append(
            f"about {count:,} user IDs differ from another one only in upper and lower case, or in "
            f"blanks around them: {_BYTE_FOR_BYTE}, so each is a user of its own"
        )
    if count := remarks.get(Remark.FULL_PROFILES):
        said.append(
            f"{counted(count, 'user has', 'users have')} more than "
            f"{limits.MAX_TRAITS_PER_USER:,} traits by this delivery alone. A profile holds no "
            f"more, and the oldest go first (features/administration/usage-limits.md): look for an "
            f"ID that stands for many people, or send fewer traits"
        )
    said += _of_lists(remarks)
    return said


def _of_lists(remarks: Mapping[str, int]) -> Iterable[str]:
    entries = remarks.get(Remark.LISTED, 0)
    if count := remarks.get(Remark.LISTED_NO_IDS):
        yield (
            f"{count:,} of {entries:,} entries of the suppression lists cannot be IDs of this "
            f"delivery, so they match nobody: check that they are written like its IDs"
        )
    if entries and remarks.get(Remark.LISTED_FOUND) == 0:
        yield (
            f"none of {entries:,} entries of the suppression lists is among the user IDs: "
            f"{_BYTE_FOR_BYTE}, so check that case, leading zeros and blanks are the same in both"
        )


def _rows(count: int) -> str:
    return counted(count, "row has", "rows have")
