"""The sandbox at work: takes files, applies them, marks them, answers them.

Each file is applied together with its entry in the ledger, and each mail is in the outbox before
it is sent. So a sandbox that was killed goes on where it was: nothing is lost and nothing is
answered twice.
"""

from __future__ import annotations

import random
import sqlite3
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from math import inf
from typing import TYPE_CHECKING, Self

from airflow_am_provider.audience_manager.errors import DataError, TransientError
from airflow_am_provider.audience_manager.names import DataFileName, Mode, printable
from airflow_am_provider.sandbox.account import Account
from airflow_am_provider.sandbox.answering import answers
from airflow_am_provider.sandbox.behaviour import Behaviours
from airflow_am_provider.sandbox.database import connect, transaction
from airflow_am_provider.sandbox.decryption import Decryption
from airflow_am_provider.sandbox.events import Event, Kind
from airflow_am_provider.sandbox.expiry import Expiry
from airflow_am_provider.sandbox.inboxes import open_inbox
from airflow_am_provider.sandbox.ledger import FileEntry, Ledger, MailEntry, Verdict
from airflow_am_provider.sandbox.mailboxes import Mailbox, open_mailbox
from airflow_am_provider.sandbox.taking import Taking

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable
    from pathlib import Path

    from airflow_am_provider.sandbox.inbox import FoundFile, Inbox

_KINDS = {
    Verdict.TAKEN: Kind.FILE_TAKEN,
    Verdict.REJECTED: Kind.FILE_REJECTED,
    Verdict.IGNORED: Kind.FILE_IGNORED,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class SandboxConfig:
    """What a sandbox works with.

    :param database: the SQLite file for profiles, files seen and mails due; made if absent.
    :param inboxes: where files come in, see `sandbox.inboxes.open_inbox`.
    :param mailboxes: where receipts go, see `sandbox.mailboxes.open_mailbox`. None at all: only
        the ledger and the markers tell.
    :param mail_password: for IMAP.
    :param account: the customer's data sources, traits and rules.
    :param behaviours: how files are answered.
    :param pgp_secret_key: the file of the key that encrypted files are read with. None: they are
        rejected.
    :param shuffle: a seed by which the files found at one look are put into a random order, since
        Adobe promises none (faq/faq-inbound-data-ingestion.md). None: by name, inbox by inbox,
        which happens to put ID syncs before data; only the parts of an ``.overwrite`` are in a
        random order then, the same one each time, so that nobody comes to count on one.
    """

    database: str | Path
    inboxes: tuple[str, ...]
    mailboxes: tuple[str, ...] = ()
    mail_password: str | None = field(default=None, repr=False)
    account: Account = field(default_factory=Account)
    behaviours: Behaviours = field(default_factory=Behaviours)
    pgp_secret_key: Path | None = None
    shuffle: int | None = None


class Sandbox:
    """A local Audience Manager.

    :param config: what it works with.
    :param tell: called with each event as it happens.
    :raises ConfigurationError: when the settings are wrong.
    """

    def __init__(
        self, config: SandboxConfig, *, tell: Callable[[Event], None] = lambda event: None
    ) -> None:
        self._config = config
        self._tell_outside = tell
        self._random = random.Random(config.shuffle or 0)  # noqa: S311  # order, not secrets
        self._told: list[Event] = []
        self._troubles: set[tuple[str, str]] = set()
        bucket = config.account.environment.bucket
        inboxes = [open_inbox(url, bucket=bucket) for url in config.inboxes]
        self._inboxes: dict[str, Inbox] = {inbox.url: inbox for inbox in inboxes}
        self._mailboxes: dict[str, Mailbox] = {
            url: open_mailbox(url, password=config.mail_password) for url in config.mailboxes
        }
        decryption = Decryption(config.pgp_secret_key) if config.pgp_secret_key else None
        self._connection = connect(config.database)
        self._expiry = Expiry(self._connection, config.account)
        self._taking = Taking(self._connection, config.account, config.behaviours, decryption)
        self.ledger = Ledger(self._connection)

    def close(self) -> None:
        """Let go of the database."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def run_once(self, now: datetime | None = None, *, at_once: bool = False) -> list[Event]:
        """Take what is there, and send the answers whose time has come.

        :param now: the time to go by, in UTC; by default the clock's.
        :param at_once: answer everything now, however short a delivery has been quiet.
        :return: what happened.
        """
        moment = now or datetime.now(UTC)
        self._troubles = {
            (event.subject, event.reason) for event in self._told if event.kind is Kind.TROUBLE
        }
        self._told = []
        files = [
            (inbox, file) for inbox in self._inboxes.values() for file in self._found(inbox, moment)
        ]
        if self._config.shuffle is not None:
            self._random.shuffle(files)
        else:
            files = self._with_parts_shuffled(files)
        # What comes too late finds nothing there any more.
        self._expire(moment)
        for inbox, file in files:
            self._take(inbox, file, moment)
        self._mark_all(moment)
        self._answer_all(moment, at_once=at_once)
        self._send_all(moment, at_once=at_once)
        return self._told

    def serve(self, *, poll_interval_s: float, stop: threading.Event) -> None:
        """Go on until told to stop; trouble with one file or place never ends it.

        :param poll_interval_s: seconds between two looks.
        :param stop: set from another thread or a signal handler.
        """
        while not stop.is_set():
            try:
                self.run_once()
            except sqlite3.OperationalError as error:
                # A full disk, or another process that does not let go: it may pass.
                place = str(self._config.database)
                self._tell(Kind.TROUBLE, datetime.now(UTC), place, f"database: {error}")
            stop.wait(poll_interval_s)

    def _with_parts_shuffled(
        self, files: list[tuple[Inbox, FoundFile]]
    ) -> list[tuple[Inbox, FoundFile]]:
        """The same files, with the parts of each ``.overwrite`` in a random order."""
        places: dict[str, list[int]] = {}
        for place, (_, file) in enumerate(files):
            with suppress(DataError):
                name = DataFileName.parse(file.path.rpartition("/")[2])
                if name.mode is Mode.OVERWRITE:
                    places.setdefault(str(name.with_split(None)), []).append(place)
        ordered = list(files)
        for of_parts in places.values():
            mixed = self._random.sample(of_parts, len(of_parts))
            for place, other in zip(of_parts, mixed, strict=True):
                ordered[place] = files[other]
        return ordered

    def _found(self, inbox: Inbox, moment: datetime) -> list[FoundFile]:
        """What is in an inbox as far as it can be seen."""
        found: list[FoundFile] = []
        try:
            found.extend(inbox.files())
        except TransientError as error:
            self._tell(Kind.TROUBLE, moment, inbox.url, str(error))
        return found

    def _take(self, inbox: Inbox, file: FoundFile, moment: datetime) -> None:
        try:
            entry = self._taking.take(inbox, file, moment.timestamp())
        except TransientError as error:
            self._tell(Kind.TROUBLE, moment, file.path, str(error))
            return
        if entry is not None:
            self._tell_of_file(entry, moment)

    def _expire(self, moment: datetime) -> None:
        expired = self._expiry.expire(moment.timestamp())
        if expired:
            place = str(self._config.database)
            self._tell(Kind.TRAITS_EXPIRED, moment, place, "not sent again in time", traits=expired)

    def _mark_all(self, moment: datetime) -> None:
        for entry in self.ledger.unmarked():
            inbox = self._inboxes.get(entry.inbox)
            if inbox is None or not self._config.behaviours.of(entry.name).markers:
                continue
            try:
                is_marked = inbox.mark(entry.path, entry.version)
            except TransientError as error:
                self._tell(Kind.TROUBLE, moment, entry.path, str(error))
                continue
            self.ledger.set_marked(entry)
            if is_marked:
                self._tell(Kind.FILE_MARKED, moment, entry.path)

    def _answer_all(self, moment: datetime, *, at_once: bool) -> None:
        with transaction(self._connection):
            due = list(
                answers(
                    self.ledger.unanswered(),
                    behaviours=self._config.behaviours,
                    account=self._config.account,
                    mailboxes=tuple(self._mailboxes),
                    now=moment.timestamp(),
                    at_once=at_once,
                )
            )
            for answer in due:
                for mail in answer.mails:
                    self.ledger.add_mail(mail)
                self.ledger.set_answered(answer.files)
        for answer in due:
            self._tell(
                Kind.RECEIPT_LOST if answer.lost else Kind.RECEIPT_MADE,
                moment,
                " ".join(dict.fromkeys(file.delivery for file in answer.files)),
                files=[file.name for file in answer.files],
                mails=len(answer.mails),
            )

    def _send_all(self, moment: datetime, *, at_once: bool) -> None:
        for mail in self.ledger.due_mails(inf if at_once else moment.timestamp()):
            mailbox = self._mailboxes.get(mail.mailbox)
            if mailbox is None:
                continue
            self.ledger.set_attempted(mail)
            try:
                mailbox.put(mail.message_id, mail.raw, maybe_there=mail.attempted)
            except TransientError as error:
                self._tell(Kind.TROUBLE, moment, mail.mailbox, str(error))
                continue
            self.ledger.set_sent(mail, moment.timestamp())
            self._tell_of_mail(mail, moment)

    def _tell_of_mail(self, mail: MailEntry, moment: datetime) -> None:
        kind = Kind.RECEIPT_SENT if mail.genuine else Kind.FORGERY_SENT
        self._tell(kind, moment, mail.message_id, files=list(mail.files), mailbox=mail.mailbox)

    def _tell_of_file(self, entry: FileEntry, moment: datetime) -> None:
        details: dict[str, object] = {}
        if entry.verdict is Verdict.TAKEN:
            details = {"bytes": entry.byte_count, "totals": entry.totals.to_json()}
            details |= {"findings": entry.findings} if entry.findings else {}
        self._tell(_KINDS[entry.verdict], moment, entry.path, entry.reason, **details)

    def _tell(
        self, kind: Kind, moment: datetime, subject: str, reason: str = "", **details: object
    ) -> None:
        event = Event(
            kind=kind, at=moment, subject=printable(subject), reason=reason, details=details
        )
        self._told.append(event)
        # A server that is away is away at every look; once is enough to say so.
        if kind is not Kind.TROUBLE or (event.subject, event.reason) not in self._troubles:
            self._tell_outside(event)
