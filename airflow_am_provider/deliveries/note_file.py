"""Notes for people, beside a delivery's manifest: small JSON documents.

Nothing is decided by one, so that one which cannot be read counts for none. The layout of each is
public: docs/manifest.md.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_am_provider.storage.folder import Folder


def read_note(staging: Folder, path: str) -> dict[str, Any] | None:
    """A note; None where there is none, or it is damaged.

    :param staging: the staging location.
    :param path: the note's, in it.
    :raises AudienceManagerError: when staging does not answer.
    """
    try:
        document = json.loads(staging.read_bytes(path) or b"")
    except ValueError:
        return None
    return document if isinstance(document, dict) else None


def write_note(staging: Folder, path: str, document: Mapping[str, Any]) -> None:
    """Write one, in place of the one before.

    :raises AudienceManagerError: when staging does not answer.
    """
    staging.write_bytes(path, json.dumps(document, indent=2).encode())
