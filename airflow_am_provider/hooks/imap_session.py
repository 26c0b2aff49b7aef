"""One login to an IMAP server, read-only. Every answer may be odd, and none is trusted."""

from __future__ import annotations

import contextlib
import imaplib
import re
import ssl
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from airflow_am_provider.audience_manager.errors import (
    AudienceManagerError,
    ConfigurationError,
    TransientError,
)
from airflow_am_provider.audience_manager.names import printable
from airflow_am_provider.hooks.connections import is_on

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

IMAP_PORT: Final = 143
IMAP_SSL_PORT: Final = 993
# fmt: off
_MONTHS: Final = (
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
)
# fmt: on
# A command of 500 numbers of ten digits has less than the 8,192 bytes that servers take
# (RFC 7162, section 4).
_MESSAGES_AT_ONCE: Final = 500
# So much is asked for at once, and is held in memory.
_BATCH_BYTES: Final = 4 * 1024 * 1024
_SLACK_BYTES: Final = 4 * 1024
# imaplib reads lines of up to 1,000,000 bytes; an answer of so many numbers is shorter.
_SEARCHED_AT_ONCE: Final = 50_000
_UID_AND_SIZE = re.compile(rb"(?=.*\bUID (\d{1,10})\b)(?=.*\bRFC822\.SIZE (\d{1,12})\b)", re.I)
_UID = re.compile(rb"\bUID (\d{1,10})\b", re.I)
_FIRST_DAY: Final = datetime(1970, 1, 2, tzinfo=UTC)  # before there was such mail
# RFC 5530: reasons that pass.
_PASSING: Final = ("[UNAVAILABLE]", "[INUSE]", "[LIMIT]", "[SERVERBUG]")


def connect(connection: Any, extra: dict[str, Any], timeout_s: float) -> imaplib.IMAP4:
    """Open a connection to the host of an Airflow connection of the type ``imap``.

    :param timeout_s: seconds that the server may be silent.
    """
    if not is_on(extra, "use_ssl"):
        return imaplib.IMAP4(connection.host, connection.port or IMAP_PORT, timeout_s)
    context = ssl.create_default_context()
    if extra.get("ssl_context") == "none":  # as in Airflow's ImapHook: a certificate of one's own
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return imaplib.IMAP4_SSL(
        connection.host,
        connection.port or IMAP_SSL_PORT,
        ssl_context=context,
        timeout=timeout_s,
    )


class ImapSession:
    """What is asked of the server. What is not understood of its answers is left out.

    :param client: a connection.
    :param where: what it is called in messages.
    :param prefix: what messages' identities begin with.
    """

    def __init__(self, client: imaplib.IMAP4, where: str, prefix: str) -> None:
        self._client = client
        self._where = where
        self._prefix = prefix
        self._count = 0  # messages in the folder

    def examine(self, folder: str) -> None:
        """Open a folder without the right to change it, not even what counts as read.

        :raises ConfigurationError: when there is no such folder.
        """
        if not folder.isprintable() or not folder.isascii():
            raise ConfigurationError(
                f"{self._where}: mail_folder {printable(folder)!r}: printable ASCII is expected, "
                f"other letters in modified UTF-7 (RFC 3501)"
            )
        with imap_errors(self._where, _no_right):
            status, answer = self._client.select(quoted(folder), readonly=True)
            if status != "OK":
                raise ConfigurationError(
                    f"{self._where}: the server does not open the folder {folder!r}; check "
                    f"mail_folder in its extra"
                )
            _, validity = self._client.response("UIDVALIDITY")
        exists = answer[0] if answer else None
        self._count = int(exists) if isinstance(exists, bytes) and exists.isdigit() else 0
        number = validity[0] if validity else None
        text = number.decode("ascii", "replace") if isinstance(number, bytes) else "0"
        self._prefix += f"/{folder};{printable(text)}"

    def identity(self, uid: int) -> str:
        """What a message is known by: unlike its number, it never means another one."""
        return f"{self._prefix};{uid}"

    def search(self, sender: str, since: datetime) -> list[int]:
        """Numbers of the messages from a sender since a time, the oldest first."""
        # The server compares days in a time zone of its own, so the day before belongs to it.
        day = max(since, _FIRST_DAY).astimezone(UTC) - timedelta(days=1)
        # Never by the locale, and four digits always.
        date = f"{day.day:02d}-{_MONTHS[day.month - 1]}-{day.year:04d}"
        found: set[int] = set()
        for start in range(1, max(self._count, 1) + 1, _SEARCHED_AT_ONCE):
            some = f"{start}:{start + _SEARCHED_AT_ONCE - 1}"
            places = [some] if self._count > _SEARCHED_AT_ONCE else []
            with imap_errors(self._where):
                status, answer = self._client.uid(
                    "SEARCH", *places, "SINCE", date, "FROM", f'"{sender}"'
                )
            if status != "OK":
                raise TransientError(f"{self._where}: the server does not search")
            words = b" ".join(line for line in answer if isinstance(line, bytes)).split()
            found.update(int(word) for word in words if word.isdigit() and len(word) <= 10)
        return sorted(found)

    def sizes(self, uids: list[int]) -> Iterator[tuple[int, int]]:
        """Numbers and sizes in bytes of messages."""
        for start in range(0, len(uids), _MESSAGES_AT_ONCE):
            some = uids[start : start + _MESSAGES_AT_ONCE]
            with imap_errors(self._where):
                _, answer = self._client.uid("FETCH", _set(some), "(UID RFC822.SIZE)")
            matches = filter(None, map(_UID_AND_SIZE.search, _lines(answer)))
            sizes = {int(match[1]): int(match[2]) for match in matches}
            yield from ((uid, sizes[uid]) for uid in some if uid in sizes)

    def fetch(
        self, sizes: Iterable[tuple[int, int]], max_bytes: int
    ) -> Iterator[tuple[int, bytes]]:
        """Messages as they are, many at once and not marked as read; those that are gone left out.

        :param sizes: their numbers, and how long the server says they are.
        :param max_bytes: no more than these are asked for, whatever size the server named.
        """
        for batch in _batches(sizes):
            # Sizes are estimates on some servers (Exchange), so a little more is asked for, and
            # what is longer still is asked for anew. Without any bound it would be left to the
            # server how much memory is used.
            most = min(2 * max(size for _, size in batch) + _SLACK_BYTES, max_bytes)
            bodies = self._bodies([uid for uid, _ in batch], most)
            for uid, _ in batch:
                body = bodies.pop(uid, None)
                if body is None or len(body) >= most:
                    body = self._bodies([uid], max_bytes).get(uid)
                if body is not None:
                    yield uid, body

    def _bodies(self, uids: list[int], max_bytes: int) -> dict[int, bytes]:
        with imap_errors(self._where):
            asked = f"(UID BODY.PEEK[]<0.{max_bytes}>)"
            _, answer = self._client.uid("FETCH", _set(uids), asked)
        found: dict[int, bytes] = {}
        items = list(answer or ())
        for item, following in zip(items, [*items[1:], b""], strict=True):
            # Between the asked for there may stand news of other messages.
            if isinstance(item, tuple) and len(item) == 2 and b"BODY[]" in item[0].upper():
                # The number stands before the text or after it.
                after = following if isinstance(following, bytes) else b""
                uid = _UID.search(item[0]) or _UID.search(after)
                if uid is not None:
                    found[int(uid[1])] = bytes(item[1])
                elif len(uids) == 1:
                    found.setdefault(uids[0], bytes(item[1]))
        return found


def _batches(sizes: Iterable[tuple[int, int]]) -> Iterator[list[tuple[int, int]]]:
    """Messages that may be asked for at once: of each as much as the longest of them has."""
    batch: list[tuple[int, int]] = []
    longest = 0
    for uid, size in sizes:
        longest = max(longest, size)
        is_full = len(batch) >= _MESSAGES_AT_ONCE or longest * (len(batch) + 1) > _BATCH_BYTES
        if batch and is_full:
            yield batch
            batch, longest = [], size
        batch.append((uid, size))
    if batch:
        yield batch


def _set(uids: Iterable[int]) -> str:
    return ",".join(map(str, uids))


def quoted(text: str) -> str:
    """Text as IMAP quotes it."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _lines(answer: list[Any] | None) -> Iterator[bytes]:
    for item in answer or ():
        line = item[0] if isinstance(item, tuple) else item
        if isinstance(line, bytes):
            yield line


def _no_right(said: str) -> str:
    """What it means when Microsoft lets an app in and then opens nothing."""
    if "AUTHENTICATED BUT NOT CONNECTED" not in said:
        return ""
    return (
        "login: the server takes the login, but it may not open this mailbox; check the address in "
        "login, and give the app's service principal the right in Exchange (Add-MailboxPermission)"
    )


@contextlib.contextmanager
def imap_errors(where: str, refusal: Callable[[str], str] = lambda _: "") -> Iterator[None]:
    """Say what a failure means, without the server's words: they may repeat ours.

    :param where: the mailbox.
    :param refusal: what a refusal means for whoever set up the connection, by the server's words in
        capitals; empty where it passes.
    """
    try:
        yield
    except AudienceManagerError:
        raise
    except imaplib.IMAP4.abort:
        raise TransientError(f"{where}: the server broke the connection") from None
    except imaplib.IMAP4.error as error:
        said = str(error).upper()
        meaning = "" if any(reason in said for reason in _PASSING) else refusal(said)
        if meaning:
            raise ConfigurationError(f"{where}: {meaning}") from None
        raise TransientError(f"{where}: the server refuses a command") from None
    except ssl.SSLCertVerificationError:
        raise ConfigurationError(
            f"{where}: the server's certificate is not trusted; correct the host, or trust its "
            f"authority on the workers"
        ) from None
    except OSError as error:
        raise TransientError(
            f"{where}: {type(error).__name__}; the server does not answer, or the line broke"
        ) from None
