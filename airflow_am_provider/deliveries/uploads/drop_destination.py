"""A directory on another host that deliveries are sent to, by FTP, FTPS or SFTP.

Page: inbound-ftp-filenames.md.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_am_provider.audience_manager.errors import TransientError
from airflow_am_provider.deliveries.uploads.destination import (
    NameTaken,
    Progress,
    asked_for,
    check_staged,
    in_doubt,
    sending_progress,
    taken,
)
from airflow_am_provider.storage.drops import UNFINISHED, Published

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from airflow_am_provider.deliveries.manifest import Part
    from airflow_am_provider.deliveries.uploads.journal import UploadJournal
    from airflow_am_provider.storage import Drop, Folder


@dataclass(frozen=True, kw_only=True)
class DropDestination:
    """A directory on another host: parts get their names when all of them are there.

    :param open_drop: opens the directory.
    :param url: ``sftp://host/directory``, as it is called in records.
    """

    open_drop: Callable[[], Drop]
    url: str

    def send(
        self, staging: Folder, journal: UploadJournal, *, only: Collection[str] | None = None
    ) -> None:
        """Send; see ``Destination``."""
        if journal.is_whole:
            return
        with self.open_drop() as drop:
            if (
                journal.sending.number == 1
                and self._is_taken(drop, journal)
                and not journal.has_sent
            ):
                raise NameTaken
            check_staged(journal.manifest, staging)
            parts = asked_for(journal.manifest, only)
            progress = sending_progress(parts, journal)
            for part in parts:
                if journal.known(part) is not None:
                    continue
                url = f"{self.url.rstrip('/')}/{part.file_name}"
                with Progress(part, url), staging.open_read(part.path) as source:
                    begun = None if journal.is_new else _begun(drop, part, staging, journal)
                    drop.put(
                        # What an attempt before this one began is gone on with. What none began
                        # has a name of this attempt's own: two at once would cut each other's
                        # short, perhaps one that just gets its name.
                        begun or _temporary(part, staging, journal),
                        progress.counting(source),
                        size=part.compressed_bytes,
                        sha256=part.sha256,
                        resume=begun is not None,
                    )
                journal.uploaded(part, url, is_sent=False)
            if only is not None:
                return
            for part in journal.manifest.parts:
                self._publish(drop, part, staging, journal)

    def withdraw(self, staging: Folder, journal: UploadJournal) -> None:
        """Delete files that have their temporary name; see ``Destination``."""
        with self.open_drop() as drop:
            for part in journal.manifest.parts:
                if not journal.has_its_name(part):
                    _discard(drop, part, staging, journal)
                    # Should it be taken up again, it is uploaded anew.
                    journal.forget(part)

    def _is_taken(self, drop: Drop, journal: UploadJournal) -> bool:
        """Whether anything has, or had, one of the delivery's names, in whichever mode."""
        name = journal.manifest.file_name
        prefix = f"{name.kind.stem}_{name.timestamp}."
        return any(
            other.startswith(prefix) and not other.endswith(UNFINISHED) for other in drop.names()
        )

    def _whole(self, drop: Drop, part: Part, staging: Folder, journal: UploadJournal) -> str:
        """The temporary name of a whole part: this attempt's, or that of one before it."""
        own = _temporary(part, staging, journal)
        names = _temporaries(drop, part, staging, journal)
        if own in names:
            return own
        # Where a host tells no sizes, what was noted as uploaded is taken for whole.
        sizes = {name: drop.size(name) for name in names}
        whole = [name for name in names if sizes[name] in (part.compressed_bytes, None)]
        return whole[0] if whole else own

    def _publish(self, drop: Drop, part: Part, staging: Folder, journal: UploadJournal) -> None:
        if journal.has_its_name(part):
            return
        was_begun = journal.begin(part)
        found = drop.publish(
            self._whole(drop, part, staging, journal),
            part.file_name,
            only_new=journal.sending.number == 1,
        )
        if found is not Published.NOW and not journal.has_its_name(part):
            url = f"{self.url.rstrip('/')}/{part.file_name}"
            if found is Published.GONE:
                journal.forget(part)
                raise TransientError(
                    f"{part.file_name} was uploaded to {self.url} and is gone; the next attempt "
                    f"uploads it again under the same name"
                )
            if found is Published.TAKEN and not (was_begun or journal.was_begun(part)):
                raise taken(part, url, journal)
            if found is Published.TAKEN and drop.size(part.file_name) != part.compressed_bytes:
                raise in_doubt(part, url, journal)
        _discard(drop, part, staging, journal)
        journal.sent(part)


def _temporary(part: Part, staging: Folder, journal: UploadJournal) -> str:
    """A temporary name that no other attempt, delivery or staging location has."""
    return f"{_own_begin(part, staging, journal)}{journal.attempt}{UNFINISHED}"


def _temporaries(drop: Drop, part: Part, staging: Folder, journal: UploadJournal) -> list[str]:
    """Temporary names under which attempts have begun a part."""
    begin = _own_begin(part, staging, journal)
    names = [name for name in drop.names() if name.startswith(begin) and name.endswith(UNFINISHED)]
    return sorted(names)


def _begun(drop: Drop, part: Part, staging: Folder, journal: UploadJournal) -> str | None:
    """The temporary name of what attempts before this one have uploaded most of, or None.

    What is empty yet is not gone on with: that would begin it anew under another attempt's hands.
    """
    sizes = {name: drop.size(name) or 0 for name in _temporaries(drop, part, staging, journal)}
    most = max(sizes, key=lambda name: sizes[name], default=None)
    return most if most is not None and sizes[most] > 0 else None


def _discard(drop: Drop, part: Part, staging: Folder, journal: UploadJournal) -> None:
    for name in _temporaries(drop, part, staging, journal):
        drop.discard(name)


def _own_begin(part: Part, staging: Folder, journal: UploadJournal) -> str:
    # With its checksum: what lies there is always the begin of these very bytes.
    facts = f"{staging.url} {journal.entry.delivery_id} {part.sha256}"
    return f"{part.file_name}.{hashlib.sha256(facts.encode()).hexdigest()[:12]}-"
