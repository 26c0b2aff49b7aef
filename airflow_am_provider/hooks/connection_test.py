"""What "Test" on an Audience Manager connection does: it proves each part and sends no data."""

from __future__ import annotations

import secrets
from contextlib import closing
from datetime import UTC, datetime
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Final, Protocol

from airflow_am_provider.audience_manager.errors import AudienceManagerError, ConfigurationError
from airflow_am_provider.deliveries.target.homes.probe import prove_conditions
from airflow_am_provider.deliveries.uploads.idle_keys import idle_warning
from airflow_am_provider.formatting.openpgp import PgpPacker
from airflow_am_provider.hooks.mailbox import Mailbox
from airflow_am_provider.hooks.receipt_events import AnnouncedFolder
from airflow_am_provider.sources.source_files import FolderOpener
from airflow_am_provider.storage import S3Folder
from airflow_am_provider.suppression.ids import Suppression

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from airflow_am_provider.deliveries.targets import Targets
    from airflow_am_provider.formatting.openpgp import Recipient
    from airflow_am_provider.hooks.mailbox import ReceiptFolder
    from airflow_am_provider.hooks.roads.road import Road
    from airflow_am_provider.hooks.settings import ConnectionSettings
    from airflow_am_provider.storage import Folder
    from airflow_am_provider.suppression.source import SuppressionSource


_UNKNOWN_SERVER: Final = (
    "receipts_authserv_id is empty, so a header that a forger wrote would be believed; fill in "
    "the name of your mail server"
)
_UNKNOWN_PARTNER: Final = (
    "receipts_partner_id is empty, so receipts of any partner count; fill in the number that "
    "yours greet"
)


class Connection(FolderOpener, Protocol):
    """What is tested: the hook."""

    @property
    def settings(self) -> ConnectionSettings:
        """What the connection says."""

    @property
    def road(self) -> Road:
        """The way that files are sent."""

    @property
    def destination_name(self) -> str:
        """What tells destinations apart."""
        ...

    def targets(self) -> Targets:
        """The targets of the staging location."""
        ...

    def staging(self) -> Folder:
        """The folder in which deliveries are prepared."""

    def pgp_recipient(self) -> Recipient | None:
        """Who can read encrypted files."""
        ...

    def receipt_sources(self) -> Sequence[Mailbox | ReceiptFolder | AnnouncedFolder]:
        """Where receipts come in."""


def prove_parts(hook: Connection) -> tuple[bool, str]:
    """Prove staging, destination and receipts.

    :param hook: the hook of the connection.
    :return: whether all of them hold, and a sentence for each: what failed comes first, then what
        is worth a look, then what is well.
    """
    try:
        checks = list(_checks(hook))
        notes = [_sentence("note", part, said) for part, said in _notes(hook.settings)]
    except AudienceManagerError as error:
        return False, str(error)
    failed, well = [], []
    for part, check in checks:
        try:
            well.append(_sentence("ok", part, check()))
        except AudienceManagerError as error:
            failed.append(_sentence("FAILED", part, str(error)))
    return not failed, " ".join([*failed, *notes, *well])


def _sentence(verdict: str, part: str, said: str) -> str:
    return f"{verdict} {part}: {said}" + ("" if said.endswith(("?", ".")) else ".")


def _checks(hook: Connection) -> Iterator[tuple[str, Callable[[], str]]]:
    settings = hook.settings
    yield "Staging", lambda: _staging(hook.staging(), settings.staging_encryption)
    yield "Decisions", lambda: _decisions(hook)
    suppression = settings.suppression
    if suppression is not None:
        yield "Suppression", lambda: _suppression(hook, suppression)
    if settings.pgp_public_key is not None:
        yield "PGP", lambda: _pgp(hook)
    yield "Destination", lambda: _destination(hook)
    for source in hook.receipt_sources():
        yield "Receipts", partial(_receipts, source)


def _notes(settings: ConnectionSettings) -> Iterator[tuple[str, str]]:
    """What is allowed, and yet a person should know."""
    if not (settings.receipts_imap_conn_id or settings.receipts_location):
        yield "Receipts", "none are read, since neither a mailbox nor a folder is named"
        return
    if settings.receipts_authserv_id is None:
        yield "Receipts", _UNKNOWN_SERVER
    if settings.receipts_partner_id is None:
        yield "Receipts", _UNKNOWN_PARTNER


def _staging(folder: Folder, encryption: str) -> str:
    path, content = f"connection-test/{secrets.token_hex(8)}", b"probe"
    folder.write_bytes(path, content)
    if folder.read_bytes(path) != content:
        raise ConfigurationError(f"{folder.url} gives back something else than was written")
    found = folder.encryption(path) if isinstance(folder, S3Folder) else None
    folder.delete(path)
    if encryption not in {"none", found}:
        raise ConfigurationError(
            f"{folder.url}: asked to encrypt with {encryption}, S3 says that it did so with "
            f"{found or 'nothing'}"
        )
    encrypted = f", and encrypts with {found}" if found else ""
    return f"{folder.url} can be written, read and deleted from{encrypted}"


def _decisions(hook: Connection) -> str:
    """Let two writers decide against each other: one of them must lose."""
    home = hook.targets().home
    prove_conditions(home)
    return f"{home.url} lets one of two win that decide at once"


def _destination(hook: Connection) -> str:
    proved, warning = hook.road.prove(), idle_warning(hook, datetime.now(UTC))
    return proved if warning is None else f"{proved}. Keys: {warning}"


def _suppression(hook: Connection, source: SuppressionSource) -> str:
    """Read the beginning of a list, which may have millions of IDs."""
    with closing(source.batches(hook)) as batches:
        suppression = Suppression()
        suppression.add(
            islice(batches, 1), source.label, column=source.column, hashed=source.hashed
        )
    return "the list can be read, and applies to every delivery through this connection"


def _pgp(hook: Connection) -> str:
    """Encrypt nothing, which shows that gpg takes the key."""
    recipient = hook.pgp_recipient()
    assert recipient is not None
    with PgpPacker(recipient) as packer:
        packer.flush()
    return f"files are encrypted to the key {recipient.fingerprint}"


def _receipts(source: Mailbox | ReceiptFolder | AnnouncedFolder) -> str:
    source.check()
    if isinstance(source, Mailbox):
        return f"the mailbox {source.conn_id!r} takes the login and opens for reading"
    announced = ", and its queue of events is there" if isinstance(source, AnnouncedFolder) else ""
    return f"{source.folder.url} can be listed{announced}"
