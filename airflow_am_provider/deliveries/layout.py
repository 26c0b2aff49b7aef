"""Files that lie beside those that are sent, and are never sent themselves.

Adobe's `.processed` markers, and what this package keeps of a delivery (docs/manifest.md): in
staging under the names below, in a folder of files after the name they are sent under.

>>> [is_never_sent(name) for name in ("ftp_dpm_478_1366545717.sync.rejects.csv", "customers.csv")]
[True, False]
"""

from __future__ import annotations

from typing import Final

from airflow_am_provider.audience_manager.processed_markers import Marker
from airflow_am_provider.formatting.file_names import REJECTS_FILE

MANIFEST_FILE: Final = "manifest.json"
RECONCILIATION_FILE: Final = "reconciliation.json"
GUARD_FILE: Final = "guard.json"
ANNOUNCED_FILE: Final = "announced.json"
UPLOAD_FAILURE_FILE: Final = "upload-failure.json"
LOOKING_FILE: Final = "looking.json"

_KEPT: Final = (
    MANIFEST_FILE,
    REJECTS_FILE,
    RECONCILIATION_FILE,
    GUARD_FILE,
    ANNOUNCED_FILE,
    UPLOAD_FAILURE_FILE,
    LOOKING_FILE,
)
_KEPT_BEHIND_A_NAME: Final = (f".{MANIFEST_FILE}", f".{REJECTS_FILE}")


def is_never_sent(name: str) -> bool:
    """Whether a file of a folder is none of those that are sent, by its own name."""
    return name in _KEPT or name.endswith(_KEPT_BEHIND_A_NAME) or Marker.parse(name) is not None


def numbered(name: str, sending: int) -> str:
    """A file about one sending of a delivery; the first has the plain name.

    >>> numbered("reconciliation.json", 1), numbered("reconciliation.json", 2)
    ('reconciliation.json', 'reconciliation-2.json')
    """
    base, dot, extension = name.rpartition(".")
    return name if sending == 1 else f"{base}-{sending}{dot}{extension}"
