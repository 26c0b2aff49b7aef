"""What came in and what went out: the memory that lets a restarted sandbox go on."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from airflow_am_provider.sandbox.totals import Totals

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Iterator

_FILE_COLUMNS = (
    "key, inbox, path, version, name, delivery, partner, printed, verdict, reason, bytes, sha256, "
    "totals, findings, taken_at, ended_at, marked, answered"
)
_MAIL_COLUMNS = "key, message_id, mailbox, files, genuine, raw, due_at, attempted, sent_at"


class Verdict(StrEnum):
    """What became of a file."""

    TAKEN = "taken"
    REJECTED = "rejected"
    IGNORED = "ignored"


@dataclass(frozen=True, kw_only=True, slots=True)
class FileEntry:
    """One file at one time: written anew under the same path, it is another entry.

    :param key: number in the order of reading.
    :param inbox: where it was found, as in the settings.
    :param path: the whole path.
    :param version: tells this content of the path from others.
    :param name: its own name.
    :param delivery: its name without split number: what belongs together has it in common.
    :param partner: the company's folder on S3, else empty.
    :param printed: how a receipt prints its path.
    :param verdict: what became of it.
    :param reason: why it was not taken, or empty.
    :param byte_count: size as sent.
    :param sha256: of the decompressed content, in hexadecimal; empty unless taken.
    :param totals: what reading it came to.
    :param findings: how many lines broke each rule.
    :param taken_at: when reading began, UNIX seconds.
    :param ended_at: when reading ended, UNIX seconds.
    :param marked: whether its ``.processed`` marker is set.
    :param answered: whether a receipt was made for it, or decided against.
    """

    key: int = 0
    inbox: str
    path: str
    version: str
    name: str
    delivery: str = ""
    partner: str = ""
    printed: str = ""
    verdict: Verdict
    reason: str = ""
    byte_count: int = 0
    sha256: str = ""
    totals: Totals = field(default_factory=Totals)
    findings: dict[str, int] = field(default_factory=dict)
    taken_at: float
    ended_at: float
    marked: bool = False
    answered: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class MailEntry:
    """One mail to one mailbox.

    :param message_id: with its angle brackets.
    :param mailbox: where it goes, as in the settings.
    :param files: names of the files it lists.
    :param genuine: False for a forged one.
    :param raw: the message as sent.
    :param due_at: when it is sent, UNIX seconds.
    :param attempted: whether sending was begun, so that it may have arrived.
    :param sent_at: when it was sent, or None.
    """

    key: int = 0
    message_id: str
    mailbox: str
    files: tuple[str, ...]
    genuine: bool
    raw: bytes = field(repr=False)
    due_at: float
    attempted: bool = False
    sent_at: float | None = None


class Ledger:
    """Files seen and mails due, in the sandbox's database.

    :param connection: of :func:`~airflow_am_provider.sandbox.database.connect`.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def knows(self, path: str, version: str) -> bool:
        """Whether a file was dealt with, as this content."""
        found = self._connection.execute(
            "SELECT 1 FROM files WHERE path = ? AND version = ?", (path, version)
        )
        return found.fetchone() is not None

    def add_file(self, entry: FileEntry) -> None:
        """Remember what became of a file; its key is given here."""
        self._connection.execute(
            f"INSERT INTO files ({_FILE_COLUMNS}) VALUES (NULL{', ?' * 17})",  # noqa: S608  # no value is in the text
            (
                entry.inbox, entry.path, entry.version, entry.name, entry.delivery, entry.partner,
                entry.printed, entry.verdict, entry.reason, entry.byte_count, entry.sha256,
                json.dumps(entry.totals.to_json()), json.dumps(entry.findings), entry.taken_at,
                entry.ended_at, entry.marked, entry.answered,
            ),
        )  # fmt: skip

    def files(self) -> list[FileEntry]:
        """Every file that was ever dealt with, in that order."""
        return list(self._files("true"))

    def unmarked(self) -> list[FileEntry]:
        """Files that were taken and have no marker yet."""
        return list(self._files(f"verdict = '{Verdict.TAKEN}' AND NOT marked"))

    def unanswered(self) -> list[FileEntry]:
        """Files that were taken and are not in any receipt yet."""
        return list(self._files(f"verdict = '{Verdict.TAKEN}' AND NOT answered"))

    def set_marked(self, entry: FileEntry) -> None:
        """Remember that a file's marker is set."""
        self._connection.execute("UPDATE files SET marked = 1 WHERE key = ?", (entry.key,))

    def set_answered(self, entries: Iterable[FileEntry]) -> None:
        """Remember that files need no other receipt."""
        self._connection.executemany(
            "UPDATE files SET answered = 1 WHERE key = ?", [(entry.key,) for entry in entries]
        )

    def add_mail(self, mail: MailEntry) -> None:
        """Put a mail into the outbox; its key is given here."""
        self._connection.execute(
            f"INSERT INTO mails ({_MAIL_COLUMNS}) VALUES (NULL{', ?' * 8})",  # noqa: S608  # no value is in the text
            (
                mail.message_id, mail.mailbox, json.dumps(mail.files), mail.genuine, mail.raw,
                mail.due_at, mail.attempted, mail.sent_at,
            ),
        )  # fmt: skip

    def mails(self) -> list[MailEntry]:
        """Every mail that was ever made, in that order."""
        return list(self._mails("true"))

    def due_mails(self, now: float) -> list[MailEntry]:
        """Mails that are to be sent now.

        :param now: UNIX seconds; infinity for all that are not sent yet.
        """
        return list(self._mails("sent_at IS NULL AND due_at <= ?", now))

    def set_attempted(self, mail: MailEntry) -> None:
        """Remember that sending a mail begins."""
        self._connection.execute("UPDATE mails SET attempted = 1 WHERE key = ?", (mail.key,))

    def set_sent(self, mail: MailEntry, now: float) -> None:
        """Remember that a mail was sent."""
        self._connection.execute("UPDATE mails SET sent_at = ? WHERE key = ?", (now, mail.key))

    def _files(self, condition: str, *values: object) -> Iterator[FileEntry]:
        query = f"SELECT {_FILE_COLUMNS} FROM files WHERE {condition} ORDER BY key"  # noqa: S608  # no value is in the text
        for row in self._connection.execute(query, values).fetchall():
            yield _file_entry(row)

    def _mails(self, condition: str, *values: object) -> Iterator[MailEntry]:
        query = f"SELECT {_MAIL_COLUMNS} FROM mails WHERE {condition} ORDER BY due_at, key"  # noqa: S608  # no value is in the text
        for row in self._connection.execute(query, values).fetchall():
            key, message_id, mailbox, files, genuine, raw, due_at, attempted, sent_at = row
            yield MailEntry(
                key=key, message_id=message_id, mailbox=mailbox, files=tuple(json.loads(files)),
                genuine=bool(genuine), raw=raw, due_at=due_at, attempted=bool(attempted),
                sent_at=sent_at,
            )  # fmt: skip


def _file_entry(row: tuple[Any, ...]) -> FileEntry:
    (key, inbox, path, version, name, delivery, partner, printed, verdict, reason, byte_count,
     sha256, totals, findings, taken_at, ended_at, marked, answered) = row  # fmt: skip
    return FileEntry(
        key=key, inbox=inbox, path=path, version=version, name=name, delivery=delivery,
        partner=partner, printed=printed, verdict=Verdict(verdict), reason=reason,
        byte_count=byte_count, sha256=sha256, totals=Totals.from_json(json.loads(totals)),
        findings=json.loads(findings), taken_at=taken_at, ended_at=ended_at, marked=bool(marked),
        answered=bool(answered),
    )  # fmt: skip
