"""Decides which files get a receipt when, and puts its mails into the outbox."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import reduce
from itertools import groupby
from operator import add
from typing import TYPE_CHECKING

from airflow_am_provider.audience_manager.names import DataFileName, IdSyncFileName, parse_file_name
from airflow_am_provider.sandbox.ledger import FileEntry, MailEntry
from airflow_am_provider.sandbox.mails import Mail, forged_mail, genuine_mail
from airflow_am_provider.sandbox.totals import Totals

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from airflow_am_provider.sandbox.account import Account
    from airflow_am_provider.sandbox.behaviour import Behaviour, Behaviours


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """Files that are answered together.

    :param files: all of them.
    :param lost: whether they are answered by silence.
    :param mails: what is sent, by mailbox.
    """

    files: tuple[FileEntry, ...]
    lost: bool
    mails: tuple[MailEntry, ...]


def answers(
    unanswered: Iterable[FileEntry],
    *,
    behaviours: Behaviours,
    account: Account,
    mailboxes: Sequence[str],
    now: float,
    at_once: bool = False,
) -> Iterator[Answer]:
    """Find the files whose time for an answer has come.

    :param unanswered: files that were taken and not answered.
    :param behaviours: how to answer which.
    :param account: whom to greet.
    :param mailboxes: where mails go.
    :param now: UNIX seconds.
    :param at_once: wait for nothing.
    """
    for behaviour, files in _groups(unanswered, behaviours):
        last = max(file.taken_at for file in files)
        ready_at = last + behaviour.quiet_s
        if behaviour.merge_within_s is not None:
            first = min(file.taken_at for file in files)
            ready_at = max(ready_at, first + behaviour.merge_within_s)
        if now < ready_at and not at_once:
            continue
        due_at = now if at_once else max(now, last + behaviour.delay_s)
        mails = () if behaviour.lose else _mails(files, behaviour, account, mailboxes, due_at)
        yield Answer(files=tuple(files), lost=behaviour.lose, mails=tuple(mails))


def _groups(
    unanswered: Iterable[FileEntry], behaviours: Behaviours
) -> Iterator[tuple[Behaviour, list[FileEntry]]]:
    """Files that get their receipts together: a delivery's, or all that behave alike."""

    def group(file: FileEntry) -> tuple[str, str, str]:
        behaviour = behaviours.of(file.name)
        merged = behaviour.merge_within_s is not None
        return file.partner, repr(behaviour) if merged else "", "" if merged else file.delivery

    for _, found in groupby(sorted(unanswered, key=group), key=group):
        files = sorted(found, key=lambda file: file.key)
        yield behaviours.of(files[0].name), files


def _mails(
    files: Sequence[FileEntry],
    behaviour: Behaviour,
    account: Account,
    mailboxes: Sequence[str],
    due_at: float,
) -> Iterator[MailEntry]:
    number = min(behaviour.split_over, len(files))
    for part in (files[start::number] for start in range(number)):
        receipt = reduce(add, (file.totals for file in part), Totals()).receipt(
            paths=_printed(part, behaviour),
            partner_id=account.partner_id,
            job_start=datetime.fromtimestamp(min(file.taken_at for file in part), UTC),
            job_end=datetime.fromtimestamp(max(file.ended_at for file in part), UTC),
        )
        sent_at = datetime.fromtimestamp(due_at, UTC)
        forged = [
            forged_mail(receipt, sent_at=sent_at, body=behaviour.body, number=place)
            for place in range(behaviour.forged)
        ]
        genuine = [
            genuine_mail(receipt, sent_at=sent_at, body=behaviour.body)
            for _ in range(behaviour.copies)
        ]
        for mail in (*forged, *genuine):
            for mailbox in mailboxes:
                yield _entry(mail, part, mailbox, due_at, is_genuine=mail in genuine)


def _entry(
    mail: Mail, files: Sequence[FileEntry], mailbox: str, due_at: float, *, is_genuine: bool
) -> MailEntry:
    names = tuple(dict.fromkeys(file.name for file in files))
    return MailEntry(
        message_id=mail.message_id, mailbox=mailbox, files=names, genuine=is_genuine,
        raw=mail.raw, due_at=due_at,
    )  # fmt: skip


def _printed(files: Sequence[FileEntry], behaviour: Behaviour) -> tuple[str, ...]:
    """The paths of a receipt; a file that came twice stands there once."""
    paths = dict.fromkeys(file.printed for file in files)
    if not behaviour.added_split:
        return tuple(paths)
    return tuple(printed for path in paths for printed in _with_added_splits(path))


def _with_added_splits(path: str) -> list[str]:
    """Names of the two pieces that Adobe's distributor cut a file into.

    Adobe shows no such name. The numbers stand where a sender's would, or after the sender's.
    """
    folder, slash, own = path.rpartition("/")
    name = parse_file_name(own)
    if not isinstance(name, DataFileName | IdSyncFileName):
        return [path]
    if name.split is None:
        return [f"{folder}{slash}{name.with_split(number)}" for number in (1, 2)]
    packed = f".{name.encoding}" if name.encoding else ""
    bare = own.removesuffix(packed)
    return [f"{folder}{slash}{bare}.{number}{packed}" for number in (1, 2)]
