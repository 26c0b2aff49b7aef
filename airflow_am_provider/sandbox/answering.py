"""Decides which files get a receipt when, and puts its mails into the outbox."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import reduce
from itertools import groupby
from operator import add
from typing import TYPE_CHECKING

from airflow_am_provider.audience_manager.names import Encoding, IdSyncFileName, parse_file_name
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
        told = [] if behaviour.lose else [one for one in files if _is_told(one, behaviour)]
        mails = _mails(told, behaviour, account, mailboxes, due_at) if told else ()
        yield Answer(files=tuple(files), lost=not told, mails=tuple(mails))


def _is_told(file: FileEntry, behaviour: Behaviour) -> bool:
    """Whether receipts tell of a file."""
    is_id_sync = isinstance(parse_file_name(file.name), IdSyncFileName)
    return behaviour.id_sync_receipts or not is_id_sync


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


@dataclass(frozen=True, kw_only=True, slots=True)
class _Piece:
    """What one line of a receipt's file list stands for: a file, or a piece of it."""

    file: FileEntry
    printed: str
    totals: Totals


def _mails(
    files: Sequence[FileEntry],
    behaviour: Behaviour,
    account: Account,
    mailboxes: Sequence[str],
    due_at: float,
) -> Iterator[MailEntry]:
    # By the files, so that each delivery is cut in another way, and the same one always alike.
    chance = random.Random(f"{behaviour.seed} {files[0].name}")  # noqa: S311  # no secrets
    pieces = [piece for file in files for piece in _pieces(file, behaviour, chance)]
    if behaviour.pieces > 1:
        chance.shuffle(pieces)
    number = min(behaviour.split_over, len(pieces))
    for part in (pieces[start::number] for start in range(number)):
        receipt = reduce(add, (piece.totals for piece in part), Totals()).receipt(
            # A file that came twice stands there once.
            paths=tuple(dict.fromkeys(piece.printed for piece in part)),
            partner_id=account.partner_id,
            job_start=datetime.fromtimestamp(min(piece.file.taken_at for piece in part), UTC),
            job_end=datetime.fromtimestamp(max(piece.file.ended_at for piece in part), UTC),
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
                of = [piece.file for piece in part]
                yield _entry(mail, of, mailbox, due_at, is_genuine=mail in genuine)


def _pieces(file: FileEntry, behaviour: Behaviour, chance: random.Random) -> Iterator[_Piece]:
    """A file, or the pieces that Adobe's distributor cut it into.

    Adobe's pictures show numbers such as 1213788 after the mode, and none of how many there are.
    Where they stand in a name with a split number or an extension is shown nowhere; here they stand
    where a sender's would, after one that is there.
    """
    if behaviour.pieces == 1:
        yield _Piece(file=file, printed=file.printed, totals=file.totals)
        return
    packed = next((f".{one}" for one in Encoding if one and file.printed.endswith(f".{one}")), "")
    number = chance.randrange(1_000, 1_000_000)
    for totals in file.totals.pieces(behaviour.pieces):
        number += chance.randrange(1, 1_000)
        printed = f"{file.printed.removesuffix(packed)}.{number}{packed}"
        yield _Piece(file=file, printed=printed, totals=totals)


def _entry(
    mail: Mail, files: Sequence[FileEntry], mailbox: str, due_at: float, *, is_genuine: bool
) -> MailEntry:
    names = tuple(dict.fromkeys(file.name for file in files))
    return MailEntry(
        message_id=mail.message_id, mailbox=mailbox, files=names, genuine=is_genuine,
        raw=mail.raw, due_at=due_at,
    )  # fmt: skip
