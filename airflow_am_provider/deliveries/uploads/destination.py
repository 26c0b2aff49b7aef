"""Where deliveries are sent: the environment's bucket, or an FTP host.

Pages: inbound-s3-filenames.md (keys), authorize-s3-inbound.md (the ACL), inbound-ftp-filenames.md.
Accounts at Adobe may be allowed to write and nothing else, so on S3 nothing is read or listed,
and looking whether a part arrived is tried only.
"""

from __future__ import annotations

import hashlib
import logging
import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final, Protocol

from airflow_am_provider.audience_manager.environments import object_key
from airflow_am_provider.audience_manager.errors import (
    ConfigurationError,
    DataError,
    TransientError,
)
from airflow_am_provider.storage.ftp import UNFINISHED, Published
from airflow_am_provider.storage.s3.copy import Copy
from airflow_am_provider.storage.s3.errors import AlreadyThere
from airflow_am_provider.storage.s3.folder import S3Folder, checksum_args
from airflow_am_provider.storage.s3.multipart import ResumableObject
from airflow_am_provider.storage.s3.unfinished import abort_uploads
from airflow_am_provider.storage.verified_read import VerifiedReader

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from airflow_am_provider.deliveries.manifest import Manifest, Part
    from airflow_am_provider.deliveries.uploads.journal import PiecesNote, UploadJournal
    from airflow_am_provider.storage import Folder, FtpDrop

_logger = logging.getLogger(__name__)

# authorize-s3-inbound.md: without it Adobe cannot read what another account wrote.
OBJECT_ARGS: Final = {"ACL": "bucket-owner-full-control"}
_BLOCK_BYTES: Final = 1 << 20


class NameTaken(Exception):
    """Something that no attempt of this delivery can have made has one of its names.

    Nothing of the delivery was sent, so that it may have other names.
    """


class Destination(Protocol):
    """Takes deliveries."""

    @property
    def url(self) -> str:
        """Where they go: a bucket's folder or an FTP host's."""
        ...

    def send(
        self, staging: Folder, journal: UploadJournal, *, only: Collection[str] | None = None
    ) -> None:
        """Send what of a delivery was not sent yet, and note it; tidy up after other attempts.

        :param staging: where its parts lie.
        :param journal: the journal of this sending.
        :param only: names of the parts that are sent now; on FTP the names are given by a last call
            without it. By default all.
        :raises NameTaken: when a stranger's file has one of the names, and nothing was sent.
        :raises DataError: when a staged part is not what the manifest says; it does not appear.
        :raises ConfigurationError: when the destination refuses; when a person has to say whether
            what is there is this delivery's.
        :raises TransientError: when the destination or the line fails.
        """
        ...

    def withdraw(self, staging: Folder, journal: UploadJournal) -> None:
        """Delete what of a delivery that was given up is there and has no name of its own yet.

        What Audience Manager can see stays.

        :raises ConfigurationError: when the destination refuses.
        :raises TransientError: when the destination or the line fails.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class S3Destination:
    """A bucket: parts appear one by one, each of them whole.

    :param folder: the bucket.
    :param partner_name: its first folder, the name that Adobe gave the company.
    """

    folder: S3Folder
    partner_name: str

    @property
    def url(self) -> str:
        """``s3://bucket/PARTNER``."""
        return f"{self.folder.url}/{self.partner_name}"

    def send(
        self, staging: Folder, journal: UploadJournal, *, only: Collection[str] | None = None
    ) -> None:
        """Send; see :class:`Destination`."""
        if not journal.is_new:
            self._abort_beside(journal)
        if journal.is_whole:
            return
        if journal.sending.number == 1 and self._is_taken(journal) and not journal.has_sent:
            raise NameTaken
        _check_staged(journal.manifest, staging)
        for part in _asked_for(journal.manifest, only):
            if journal.known(part) is None:
                self._send_part(part, staging, journal)

    def withdraw(self, staging: Folder, journal: UploadJournal) -> None:
        """Abort uploads in pieces; see :class:`Destination`."""
        for part in journal.manifest.parts:
            if not journal.has_its_name(part):
                self._target(part, self._key(part, journal), journal.pieces(part)).withdraw()

    def _is_taken(self, journal: UploadJournal) -> bool:
        """Whether anything has one of the delivery's names, in whichever mode.

        A ``.processed`` marker does not say which mode the file had. Who may not list learns it
        from the first write.
        """
        name = journal.manifest.file_name
        prefix = f"{name.kind.stem}_{name.timestamp}."
        try:
            folder = object_key(self.partner_name, journal.record.sent_on, prefix)
            return next(iter(self.folder.list(folder)), None) is not None
        except ConfigurationError:
            return False

    def _abort_beside(self, journal: UploadJournal) -> None:
        """Abort what a killed worker began of parts that another one sent meanwhile."""
        parts = {self.folder.key(self._key(part, journal)): part for part in journal.manifest.parts}
        abort_uploads(
            self.folder.client,
            self.folder.bucket,
            min(parts, default="").rpartition("/")[0] + "/",
            lambda key, _: key in parts and journal.known(parts[key]) is not None,
        )

    def _send_part(self, part: Part, staging: Folder, journal: UploadJournal) -> None:
        key = self._key(part, journal)
        is_first = journal.sending.number == 1
        was_begun = journal.begin(part)
        if was_begun and is_first and self._is_ours(part, key, journal):
            _logger.info("%s: arrived by an attempt before", part.file_name)
        else:
            try:
                with _Progress(part):
                    self._upload(part, staging, key, journal, only_new=is_first)
            except AlreadyThere as there:
                may_be_ours = was_begun or there.was_retried or journal.was_begun(part)
                if not self._is_ours(part, key, journal, may_be_ours=may_be_ours, is_there=True):
                    raise TransientError(
                        f"{part.file_name}: there, and gone a moment later"
                    ) from None
        journal.uploaded(part, f"{self.folder.url}/{key}", is_sent=True)

    def _is_ours(
        self,
        part: Part,
        key: str,
        journal: UploadJournal,
        *,
        may_be_ours: bool = True,
        is_there: bool = False,
    ) -> bool:
        """Whether what has a part's key is that part, by an attempt of this delivery.

        :param may_be_ours: whether any attempt can have put it there.
        :param is_there: whether it is known that something has the key.
        :return: False when nothing has it, or nothing is known of it.
        :raises NameTaken: when it is a stranger's, and nothing was sent.
        :raises ConfigurationError: when it is a stranger's, and other parts were sent; or when a
            person has to say whose it is.
        """
        try:
            stored = self.folder.stored(key)
        except ConfigurationError:
            if is_there and may_be_ours:
                raise _in_doubt(part, f"{self.folder.url}/{key}", journal) from None
            if is_there:
                raise _taken(part, f"{self.folder.url}/{key}", journal) from None
            return False
        if stored is None:
            return False
        if may_be_ours and stored == (part.compressed_bytes, part.sha256):
            return True
        raise _taken(part, f"{self.folder.url}/{key}", journal)

    def _key(self, part: Part, journal: UploadJournal) -> str:
        return object_key(self.partner_name, journal.record.sent_on, part.file_name)

    def _upload(
        self, part: Part, staging: Folder, key: str, journal: UploadJournal, *, only_new: bool
    ) -> None:
        target = self._target(part, key, journal.pieces(part), only_new=only_new)
        if not journal.is_new:
            target.abort_others()
        if isinstance(staging, S3Folder) and self._copy(part, staging, key, only_new=only_new):
            return
        with staging.open_read(part.path) as source:
            reader = VerifiedReader(source)
            target.write(reader, partial(_check, reader, part))

    def _target(
        self, part: Part, key: str, note: PiecesNote, *, only_new: bool = False
    ) -> ResumableObject:
        return ResumableObject(
            client=self.folder.client,
            bucket=self.folder.bucket,
            key=self.folder.key(key),
            args={**self.folder.extra_args, **checksum_args(part.sha256)},
            note=note,
            only_new=only_new,
        )

    def _copy(self, part: Part, staging: S3Folder, key: str, *, only_new: bool) -> bool:
        """Let S3 copy a part from bucket to bucket; False where it does not."""
        copy = Copy(
            source=staging,
            path=part.path,
            target=self.folder,
            key=key,
            size=part.compressed_bytes,
            sha256=part.sha256,
            only_new=only_new,
        )
        return copy.run(partial(_read_and_check, part, staging))


@dataclass(frozen=True, kw_only=True)
class FtpDestination:
    """An FTP directory: parts get their names when all of them are there.

    :param open_drop: opens the directory.
    :param url: ``ftp://host/directory``.
    """

    open_drop: Callable[[], FtpDrop]
    url: str

    def send(
        self, staging: Folder, journal: UploadJournal, *, only: Collection[str] | None = None
    ) -> None:
        """Send; see :class:`Destination`."""
        if journal.is_whole:
            return
        with self.open_drop() as drop:
            if (
                journal.sending.number == 1
                and self._is_taken(drop, journal)
                and not journal.has_sent
            ):
                raise NameTaken
            _check_staged(journal.manifest, staging)
            for part in _asked_for(journal.manifest, only):
                if journal.known(part) is not None:
                    continue
                with _Progress(part), staging.open_read(part.path) as source:
                    begun = None if journal.is_new else _begun(drop, part, staging, journal)
                    drop.put(
                        # What an attempt before this one began is gone on with. What none began
                        # has a name of this attempt's own: two at once would cut each other's
                        # short, perhaps one that just gets its name.
                        begun or _temporary(part, staging, journal),
                        source,
                        size=part.compressed_bytes,
                        sha256=part.sha256,
                        resume=begun is not None,
                    )
                journal.uploaded(part, f"{self.url.rstrip('/')}/{part.file_name}", is_sent=False)
            if only is not None:
                return
            for part in journal.manifest.parts:
                self._publish(drop, part, staging, journal)

    def withdraw(self, staging: Folder, journal: UploadJournal) -> None:
        """Delete files that have their temporary name; see :class:`Destination`."""
        with self.open_drop() as drop:
            for part in journal.manifest.parts:
                if not journal.has_its_name(part):
                    _discard(drop, part, staging, journal)
                    # Should it be taken up again, it is uploaded anew.
                    journal.forget(part)

    def _is_taken(self, drop: FtpDrop, journal: UploadJournal) -> bool:
        """Whether anything has, or had, one of the delivery's names, in whichever mode."""
        name = journal.manifest.file_name
        prefix = f"{name.kind.stem}_{name.timestamp}."
        return any(
            other.startswith(prefix) and not other.endswith(UNFINISHED) for other in drop.names()
        )

    def _whole(self, drop: FtpDrop, part: Part, staging: Folder, journal: UploadJournal) -> str:
        """The temporary name of a whole part: this attempt's, or that of one before it."""
        own = _temporary(part, staging, journal)
        names = _temporaries(drop, part, staging, journal)
        if own in names:
            return own
        # Of a host that tells no sizes, what was noted as uploaded is whole.
        sizes = {name: drop.size(name) for name in names}
        whole = [name for name in names if sizes[name] in (part.compressed_bytes, None)]
        return whole[0] if whole else own

    def _publish(self, drop: FtpDrop, part: Part, staging: Folder, journal: UploadJournal) -> None:
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
                raise _taken(part, url, journal)
            if found is Published.TAKEN and drop.size(part.file_name) != part.compressed_bytes:
                raise _in_doubt(part, url, journal)
        _discard(drop, part, staging, journal)
        journal.sent(part)


def _temporary(part: Part, staging: Folder, journal: UploadJournal) -> str:
    """A temporary name that no other attempt, delivery or staging location has."""
    return f"{_own_begin(part, staging, journal)}{journal.attempt}{UNFINISHED}"


def _temporaries(drop: FtpDrop, part: Part, staging: Folder, journal: UploadJournal) -> list[str]:
    """Temporary names under which attempts have begun a part."""
    begin = _own_begin(part, staging, journal)
    names = [name for name in drop.names() if name.startswith(begin) and name.endswith(UNFINISHED)]
    return sorted(names)


def _begun(drop: FtpDrop, part: Part, staging: Folder, journal: UploadJournal) -> str | None:
    """The temporary name of what attempts before this one have uploaded most of, or None.

    What is empty yet is not gone on with: that would begin it anew under another attempt's hands.
    """
    sizes = {name: drop.size(name) or 0 for name in _temporaries(drop, part, staging, journal)}
    most = max(sizes, key=lambda name: sizes[name], default=None)
    return most if most is not None and sizes[most] > 0 else None


def _discard(drop: FtpDrop, part: Part, staging: Folder, journal: UploadJournal) -> None:
    for name in _temporaries(drop, part, staging, journal):
        drop.discard(name)


def _own_begin(part: Part, staging: Folder, journal: UploadJournal) -> str:
    # With its checksum: what lies there is always the begin of these very bytes.
    facts = f"{staging.url} {journal.entry.delivery_id} {part.sha256}"
    return f"{part.file_name}.{hashlib.sha256(facts.encode()).hexdigest()[:12]}-"


def _taken(part: Part, url: str, journal: UploadJournal) -> Exception:
    """What to do about a stranger's file under a part's name."""
    others = [other for other in journal.manifest.parts if other.file_name != part.file_name]
    if not any(map(journal.was_begun, others)) and not any(map(journal.has_its_name, others)):
        return NameTaken()
    return ConfigurationError(
        f"{part.file_name}: {url} is there, and it is not this delivery's: somebody else sends "
        f"files for the same data source under the same names. It was not touched. Other files of "
        f"delivery {journal.entry.delivery_id} were sent already, so it cannot have another name: "
        f"format and send the rows again, or have that file taken away and clear this task"
    )


def _in_doubt(part: Part, url: str, journal: UploadJournal) -> ConfigurationError:
    """What a person is told who has to say whose file it is."""
    return ConfigurationError(
        f"{part.file_name}: {url} is there already, and this account cannot tell whether an "
        f"attempt before this one put it there. Nothing was overwritten. If the file there is this "
        f"delivery's ({part.compressed_bytes:,} bytes, SHA-256 {part.sha256}): airflow-am "
        f"deliveries confirm {journal.entry.delivery_id} {part.file_name}. If it is somebody "
        f"else's: "
        f"airflow-am deliveries rename {journal.entry.delivery_id}. Then clear this task"
    )


def _asked_for(manifest: Manifest, only: Collection[str] | None) -> list[Part]:
    return [part for part in manifest.parts if only is None or part.file_name in only]


class _Progress:
    """Logs how long a part took."""

    def __init__(self, part: Part) -> None:
        self._part = part
        self._begun = time.monotonic()

    def __enter__(self) -> None:
        self._begun = time.monotonic()

    def __exit__(self, failure: object, *_: object) -> None:
        if failure is None:
            seconds = max(time.monotonic() - self._begun, 1e-3)
            megabytes = self._part.compressed_bytes / 1e6
            _logger.info(
                "%s: %.1f MB in %.1f s, %.1f MB/s",
                self._part.file_name,
                megabytes,
                seconds,
                megabytes / seconds,
            )


def _read_and_check(part: Part, staging: Folder) -> None:
    """Read a staged part to its end and hold it against the manifest.

    :raises DataError: when it is something else.
    """
    with staging.open_read(part.path) as source:
        reader = VerifiedReader(source)
        while reader.read(_BLOCK_BYTES):
            pass
    _check(reader, part)


def _check(reader: VerifiedReader, part: Part) -> None:
    reader.check(part.file_name, size=part.compressed_bytes, sha256=part.sha256)


def _check_staged(manifest: Manifest, staging: Folder) -> None:
    """Look whether all parts are there before the first one goes."""
    for part in manifest.parts:
        size = staging.size(part.path)
        if size is None:
            raise DataError(
                f"{part.file_name}: {staging.url}/{part.path} is not there, and nothing was sent "
                f"now; if staging was cleaned, format the rows again"
            )
        if size != part.compressed_bytes:
            raise DataError(
                f"{part.file_name}: {staging.url}/{part.path} has {size:,} bytes, but the manifest "
                f"says {part.compressed_bytes:,}; nothing was sent now"
            )
