"""Takes one file: looks whether it may be read, reads it, applies it, and remembers that."""

from __future__ import annotations

import sqlite3
import time
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING, Any, BinaryIO

from airflow_am_provider.audience_manager.errors import DataError, TransientError
from airflow_am_provider.audience_manager.files import size_problem
from airflow_am_provider.audience_manager.names import (
    DataFileName,
    Encoding,
    IdSyncFileName,
    parse_file_name,
    printable,
)
from airflow_am_provider.audience_manager.rules import Rule
from airflow_am_provider.sandbox.behaviour import Reject
from airflow_am_provider.sandbox.contents import Contents, refused
from airflow_am_provider.sandbox.data_loading import DataLoading
from airflow_am_provider.sandbox.database import transaction
from airflow_am_provider.sandbox.file_reader import CountingReader
from airflow_am_provider.sandbox.id_sync_loading import IdSyncLoading
from airflow_am_provider.sandbox.ledger import FileEntry, Ledger, Verdict
from airflow_am_provider.sandbox.loading import BATCH_LINES
from airflow_am_provider.sandbox.totals import Totals

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from airflow_am_provider.sandbox.account import Account
    from airflow_am_provider.sandbox.behaviour import Behaviours
    from airflow_am_provider.sandbox.decryption import Decryption
    from airflow_am_provider.sandbox.inbox import FoundFile, Inbox

# Such a file is reported once, however often it changes: it may be an upload on its way.
_ANY_VERSION = ""


class Taking:
    """Takes files from inboxes.

    :param connection: the sandbox's database.
    :param account: whose files these are.
    :param behaviours: which of them are rejected on purpose.
    :param decryption: reads encrypted files, which are rejected without it.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        account: Account,
        behaviours: Behaviours,
        decryption: Decryption | None = None,
    ) -> None:
        self._connection = connection
        self._ledger = Ledger(connection)
        self._account = account
        self._behaviours = behaviours
        self._decryption = decryption

    def take(self, inbox: Inbox, found: FoundFile, now: float) -> FileEntry | None:
        """Take a file, unless it was dealt with before or has gone.

        :param now: UNIX seconds.
        :return: what became of it, which is in the ledger then; or None.
        :raises TransientError: when reading failed half-way; nothing is changed then.
        """
        if self._ledger.knows(found.path, found.version):
            return None
        if self._ledger.knows(found.path, _ANY_VERSION):
            return None
        started = time.monotonic()
        try:
            name = _name(found)
        except DataError as error:
            return self._remember(inbox, found, now, Verdict.IGNORED, str(error))
        try:
            self._refuse(inbox, found, name)
            with inbox.open(found) as stream, self._decrypted(stream, name) as (text, encoding):
                contents = Contents(text, encoding)
                with transaction(self._connection):
                    # Another process may have been at it until now.
                    if self._ledger.knows(found.path, found.version):
                        return None
                    totals, findings = self._apply(name, found.name, contents, now)
                    entry = FileEntry(
                        inbox=inbox.url,
                        path=found.path,
                        version=found.version,
                        name=found.name,
                        delivery=str(name.with_split(None)),
                        partner=found.partner,
                        printed=found.printed,
                        verdict=Verdict.TAKEN,
                        byte_count=found.byte_count,
                        sha256=contents.sha256,
                        totals=totals,
                        findings=findings,
                        taken_at=now,
                        ended_at=now + time.monotonic() - started,
                    )
                    self._ledger.add_file(entry)
        except DataError as error:
            return self._remember(inbox, found, now, Verdict.REJECTED, str(error))
        except FileNotFoundError:
            return None
        except sqlite3.OperationalError as error:
            raise TransientError(f"{printable(found.name)}: database: {error}") from error
        return entry

    def _refuse(self, inbox: Inbox, found: FoundFile, name: DataFileName | IdSyncFileName) -> None:
        """Raise DataError when a file is not to be opened at all."""
        if self._behaviours.of(found.name).reject is Reject.FILE:
            raise DataError("rejected as told (behaviour reject=file)")
        unknown = self._account.unknown(_data_sources(name))
        if unknown:
            raise DataError(f"data source {unknown[0]}: the account has no such data source")
        if name.encoding.is_encrypted and self._decryption is None:
            raise refused(
                Rule.ENCRYPTED, "the sandbox has no secret key; give it one with --pgp-secret-key"
            )
        if found.byte_count == 0:
            raise refused(Rule.EMPTY_FILE, "0 bytes")
        too_large = size_problem(found.byte_count, name.encoding)
        if too_large is not None:
            raise refused(Rule.FILE_TOO_LARGE, too_large)
        refusal = inbox.refusal(found)
        if refusal is not None:
            raise DataError(refusal)

    @contextmanager
    def _decrypted(
        self, stream: BinaryIO, name: DataFileName | IdSyncFileName
    ) -> Iterator[tuple[BinaryIO, Encoding]]:
        """A file as far as it has to be decrypted, and how it is packed then."""
        if self._decryption is None or not name.encoding.is_encrypted:
            yield stream, name.encoding
            return
        with self._decryption.opened(stream) as text:
            yield text, Encoding.PLAIN

    def _apply(
        self, name: DataFileName | IdSyncFileName, file_name: str, contents: Contents, now: float
    ) -> tuple[Totals, dict[str, int]]:
        totals = Totals()
        reader = CountingReader(name, totals)
        records = reader.records(contents.lines())
        if self._behaviours.of(file_name).reject is Reject.LINES:
            _feed(records, lambda lines: None)
            totals = Totals(records_received=reader.line_count, format_errors=reader.line_count)
        elif isinstance(name, IdSyncFileName):
            id_sync = IdSyncLoading(self._connection, self._account, name, totals)
            _feed(records, id_sync.apply)
            id_sync.finish()
        else:
            data = DataLoading(
                self._connection,
                self._account,
                name,
                totals,
                now,
                counts_misses=self._behaviours.of(file_name).stored_misses,
            )
            _feed(records, data.apply)
            data.finish()
        if reader.line_count == 0:
            raise refused(Rule.EMPTY_FILE, "0 bytes inside")
        return totals, {rule.value: count for rule, count in sorted(reader.counts.items())}

    def _remember(
        self, inbox: Inbox, found: FoundFile, now: float, verdict: Verdict, reason: str
    ) -> FileEntry:
        entry = FileEntry(
            inbox=inbox.url,
            path=found.path,
            version=_ANY_VERSION if verdict is Verdict.IGNORED else found.version,
            name=found.name,
            partner=found.partner,
            printed=found.printed,
            verdict=verdict,
            reason=reason,
            byte_count=found.byte_count,
            taken_at=now,
            ended_at=now,
        )
        self._ledger.add_file(entry)
        return entry


def _data_sources(name: DataFileName | IdSyncFileName) -> tuple[int, ...]:
    if isinstance(name, IdSyncFileName):
        return (name.master_dpid, *name.dpids)
    return (name.dpid, name.dpid if name.target_dpid is None else name.target_dpid)


def _name(found: FoundFile) -> DataFileName | IdSyncFileName:
    if found.place_problem:
        raise DataError(found.place_problem)
    name = parse_file_name(found.name)
    if not isinstance(name, DataFileName | IdSyncFileName):
        raise DataError("a file of Oracle Data Cloud (custom-partner-integrations.md) is not read")
    return name


def _feed(records: Iterator[Any], apply: Callable[[Sequence[Any]], None]) -> None:
    while batch := list(islice(records, BATCH_LINES)):
        apply(batch)
