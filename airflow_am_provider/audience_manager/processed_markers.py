"""`.processed` markers: the sign that Audience Manager took a file, in a listing of names.

On FTP a file is picked up "when the extension changes from `.sync` to `.processed`"
(faq/faq-data-collection.md); it is then in the queue. On S3 an object ``FILENAME.processed``
appears beside the file once it was processed (Adobe's partner guide, aam-data-onboarding-validate).
Neither says anything of the rows.

The page names `.sync` only. Project's choice: `.overwrite` files are renamed alike, and what stands
after the extension, split number and `.gz`, stays.

>>> processed_names(["ftp_dpm_7_1368806402.processed.1.gz", "readme.txt"])
{'ftp_dpm_7_1368806402.processed.1.gz': ('ftp_dpm_7_1368806402.sync.1.gz', 'ftp_dpm_7_1368806402.overwrite.1.gz')}
>>> sorted(marked(["ftp_dpm_7_1368806402.sync.1.gz"], ["in/ftp_dpm_7_1368806402.processed.1.gz"]))
['ftp_dpm_7_1368806402.sync.1.gz']
"""  # noqa: E501  # a listing of names

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from airflow_am_provider.audience_manager.errors import DataError
from airflow_am_provider.audience_manager.names import Mode, parse_file_name
from airflow_am_provider.audience_manager.receipts.text import base_name

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

# What takes the place of the mode in a name, or stands after it.
MARK: Final = ".processed"
# The longest name that is sent has a few data sources in it; a listing may hold anything.
_MAX_NAME_CHARACTERS: Final = 1_024


class MarkerKind(StrEnum):
    """How a marker is made, which tells what it proves."""

    RENAMED = "renamed"  # on FTP: picked up, in the queue
    BESIDE = "beside"  # on S3: processed


@dataclass(frozen=True, kw_only=True, slots=True)
class Marker:
    """A name in a listing that marks a sent file.

    :param kind: whether the file was renamed or the marker stands beside it.
    :param sent: the names that the marked file may have had: two when the marker hides whether it
        was `.sync` or `.overwrite`.
    """

    kind: MarkerKind
    sent: tuple[str, ...]

    @classmethod
    def parse(cls, listed: str) -> Marker | None:
        """Read a name or key of a listing; None when it marks no inbound file.

        :param listed: a name, with or without folders before it; anything at all.

        >>> Marker.parse("acme/date=2026-11-23/ftp_dpm_7_1368806402.sync.gz.processed")
        Marker(kind=<MarkerKind.BESIDE: 'beside'>, sent=('ftp_dpm_7_1368806402.sync.gz',))
        >>> Marker.parse("ftp_dpm_7_1368806402.sync.gz") is None
        True
        """
        name = base_name(listed)
        if len(name) > _MAX_NAME_CHARACTERS:
            return None
        beside = name.removesuffix(MARK)
        if beside != name and _is_sent_name(beside):
            return cls(kind=MarkerKind.BESIDE, sent=(beside,))
        root, mark, tail = name.partition(MARK)
        candidates = (f"{root}.{mode}{tail}" for mode in Mode) if mark else ()
        sent = tuple(candidate for candidate in candidates if _is_sent_name(candidate))
        return cls(kind=MarkerKind.RENAMED, sent=sent) if sent else None


def processed_names(listing: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Map the markers of a listing to the names that the marked files may have had.

    :param listing: names or keys, with or without folders; whatever marks nothing is left out.
    """
    markers = ((listed, Marker.parse(listed)) for listed in listing)
    return {listed: marker.sent for listed, marker in markers if marker}


def marked(sent: Collection[str], listing: Iterable[str]) -> frozenset[str]:
    """Tell which of the sent files a listing marks.

    :param sent: names as they were sent, without folders.
    :param listing: names or keys of the folder they were sent to, with or without folders.
    :return: those that are marked beyond doubt: when both readings of a marker were sent, the
        marker proves neither.
    """
    names = frozenset(sent)
    found = (names.intersection(meant) for meant in processed_names(listing).values())
    return frozenset().union(*(meant for meant in found if len(meant) == 1))


def _is_sent_name(name: str) -> bool:
    try:
        parse_file_name(name)
    except DataError:
        return False
    return True
