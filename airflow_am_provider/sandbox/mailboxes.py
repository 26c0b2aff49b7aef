"""Where receipts go: a mailbox, a folder of raw messages, or a prefix of raw messages in S3."""

from __future__ import annotations

import imaplib
import os
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol
from urllib.parse import unquote, urlsplit

from airflow_am_provider.audience_manager.errors import ConfigurationError, TransientError

if TYPE_CHECKING:
    from collections.abc import Iterator

PASSWORD_VARIABLE: Final = "AIRFLOW_AM_SANDBOX_MAIL_PASSWORD"  # noqa: S105  # a name, no password

_TIMEOUT_S: Final = 30.0
_PORTS: Final = {"imap": 143, "imaps": 993}
_UNSAFE = re.compile(r"[^A-Za-z0-9@._-]")


class Mailbox(Protocol):
    """A place for mails."""

    @property
    def url(self) -> str:
        """The place, as given in the settings; without password."""
        ...

    def put(self, message_id: str, raw: bytes, *, maybe_there: bool) -> None:
        """Put a message there.

        :param message_id: with its angle brackets.
        :param raw: the message.
        :param maybe_there: an earlier attempt may have succeeded; then the message is not put
            there a second time.
        :raises TransientError: when it could not be put there.
        """
        ...


def open_mailbox(url: str, *, password: str | None = None) -> Mailbox:
    """The mailbox for a setting.

    :param url: ``imap://USER@HOST:PORT/MAILBOX`` (or ``imaps://``, with TLS), ``s3://BUCKET/PREFIX``
        or the path of a folder, which is made when there is none.
    :param password: for IMAP.
    :raises ConfigurationError: when it is none of these.
    """
    if url.startswith(("imap://", "imaps://")):
        return ImapMailbox(url, password=password)
    if url.startswith("s3://"):
        return S3Mailbox(url)
    if "://" in url:
        raise ConfigurationError(
            f"mail {url.partition('://')[0]}://…: imap://USER@HOST:PORT/MAILBOX, "
            f"s3://BUCKET/PREFIX or the path of a folder is needed"
        )
    return FolderMailbox(url)


class ImapMailbox:
    """A mailbox on an IMAP server.

    :param url: ``imap://USER@HOST:PORT/MAILBOX``.
    :param password: the user's.
    :raises ConfigurationError: when something is missing, or the URL holds a password.
    """

    def __init__(self, url: str, *, password: str | None) -> None:
        parts = urlsplit(url)
        try:
            port = parts.port
        except ValueError:
            port = -1
        if parts.password is not None:
            # Not repeated here: whoever put it there has it in a shell history already.
            raise ConfigurationError(
                f"mail {parts.scheme}://…: the password belongs in {PASSWORD_VARIABLE}, not in "
                f"the URL"
            )
        if not parts.hostname or not parts.username or port == -1 or password is None:
            raise ConfigurationError(
                f"mail {url!r}: {parts.scheme}://USER@HOST:PORT/MAILBOX is needed, and the "
                f"password in {PASSWORD_VARIABLE}"
            )
        self.url = url
        self._tls = parts.scheme == "imaps"
        self._host, self._port = parts.hostname, port or _PORTS[parts.scheme]
        self._user, self._password = unquote(parts.username), password
        self._mailbox = unquote(parts.path.strip("/")) or "INBOX"

    def put(self, message_id: str, raw: bytes, *, maybe_there: bool) -> None:
        """Append a message to the mailbox, unread."""
        try:
            with self._connect() as client:
                self._login(client)
                if maybe_there and self._holds(client, message_id):
                    return
                now = imaplib.Time2Internaldate(time.time())
                _ok(client.append(_quoted(self._mailbox), "", now, raw))
        except (OSError, imaplib.IMAP4.error) as error:
            raise TransientError(f"{self.url}: {error}") from error

    def _login(self, client: imaplib.IMAP4) -> None:
        if (self._user + self._password).isascii():
            client.login(_quoted(self._user), self._password)
        else:  # LOGIN has no letters for it, AUTHENTICATE PLAIN takes UTF-8 (RFC 4616)
            words = f"\0{self._user}\0{self._password}".encode()
            client.authenticate("PLAIN", lambda _: words)

    def _connect(self) -> imaplib.IMAP4:
        if self._tls:
            return imaplib.IMAP4_SSL(self._host, self._port, timeout=_TIMEOUT_S)
        return imaplib.IMAP4(self._host, self._port, timeout=_TIMEOUT_S)

    def _holds(self, client: imaplib.IMAP4, message_id: str) -> bool:
        _ok(client.select(_quoted(self._mailbox), readonly=True))
        found = _ok(client.search(None, "HEADER", "Message-ID", _quoted(message_id)))
        return bool(found[0])


class FolderMailbox:
    """A folder with a file for each message, named by its Message-ID.

    :param path: the folder.
    """

    def __init__(self, path: str) -> None:
        self.url = path
        self._root = Path(path).absolute()
        try:
            self._root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigurationError(f"mail {path!r}: {error.strerror}") from error

    def put(self, message_id: str, raw: bytes, *, maybe_there: bool) -> None:
        """Write a message; it appears whole."""
        place = self._root / _file_name(message_id)
        hidden = place.with_name(f".{place.name}.{os.getpid()}")
        try:
            hidden.write_bytes(raw)
            hidden.replace(place)
        except OSError as error:
            raise TransientError(f"{self.url}: {error.strerror}") from error

    def messages(self) -> Iterator[bytes]:
        """The messages there."""
        for place in sorted(self._root.glob("*.eml")):
            yield place.read_bytes()


class S3Mailbox:
    """A prefix in an S3 bucket with an object for each message, as mail services store them.

    :param url: ``s3://BUCKET/PREFIX``.
    """

    def __init__(self, url: str) -> None:
        # S3 needs boto3, which a sandbox without it does not have to have.
        from airflow_am_provider.sandbox.s3_inbox import bucket_and_prefix, s3_client

        self.url = url
        self._bucket, prefix = bucket_and_prefix(url)
        self._prefix = f"{prefix}/" if prefix else ""
        self._client = s3_client()

    def put(self, message_id: str, raw: bytes, *, maybe_there: bool) -> None:
        """Write a message; once more does no harm."""
        from airflow_am_provider.sandbox.s3_inbox import s3_errors

        with s3_errors(self.url):
            self._client.put_object(
                Bucket=self._bucket, Key=self._prefix + _file_name(message_id), Body=raw
            )


def _file_name(message_id: str) -> str:
    return f"{_UNSAFE.sub('_', message_id.strip('<>'))}.eml"


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _ok(answer: tuple[str, list[Any]]) -> list[Any]:
    status, data = answer
    if status != "OK":
        raise imaplib.IMAP4.error(f"{status} {data!r}")
    return data
