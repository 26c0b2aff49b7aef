"""One login to an IMAP server, read-only. Every answer may be odd, and none is trusted."""

from __future__ import annotations

import contextlib
import imaplib
import re
import ssl
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from airflow_am_provider.audience_manager.errors import (
    AudienceManagerError,
    ConfigurationError,
    TransientError,
)
from airflow_am_provider.audience_manager.names import printable
from airflow_am_provider.hooks.connections import is_on

if TYPE_CHECKING:
    from collections.abc import Container, Iterator
    from datetime import datetime

IMAP_PORT: Final = 143
IMAP_SSL_PORT: Final = 993
# fmt: off
_MONTHS: Final = (
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
)
# fmt: on
_SIZES_AT_ONCE: Final = 200
_UID_AND_SIZE = re.compile(rb"(?=.*\bUID (\d{1,10})\b)(?=.*\bRFC822\.SIZE (\d{1,12})\b)", re.I)
_UID = re.compile(rb"\bUID (\d{1,10})\b", re.I)
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

    def login(self, user: str, password: str) -> None:
        """Log in.

        :raises ConfigurationError: when the server refuses.
        """
        with imap_errors(self._where, "the server refuses the login; check login and password"):
            self._client.login(user, password)

    def examine(self, folder: str) -> None:
        """Open a folder without the right to change it, not even what counts as read.

        :raises ConfigurationError: when there is no such folder.
        """
        quoted = '"' + folder.replace("\\", "\\\\").replace('"', '\\"') + '"'
        if not folder.isprintable() or not folder.isascii():
            raise ConfigurationError(
                f"{self._where}: mail_folder {printable(folder)!r}: printable ASCII is expected, "
                f"other letters in modified UTF-7 (RFC 3501)"
            )
        with imap_errors(self._where):
            status, _ = self._client.select(quoted, readonly=True)
            if status != "OK":
                raise ConfigurationError(
                    f"{self._where}: the server does not open the folder {folder!r}; check "
                    f"mail_folder in its extra"
                )
            _, validity = self._client.response("UIDVALIDITY")
        number = validity[0] if validity else None
        text = number.decode("ascii", "replace") if isinstance(number, bytes) else "0"
        self._prefix += f"/{folder};{printable(text)}"

    def identity(self, uid: int) -> str:
        """What a message is known by: unlike its number, it never means another one."""
        return f"{self._prefix};{uid}"

    def search(self, sender: str, since: datetime) -> list[int]:
        """Numbers of the messages from a sender since a time, the oldest first."""
        # The server compares days in a time zone of its own, so the day before belongs to it.
        day = since - timedelta(days=1)
        date = f"{day.day:02d}-{_MONTHS[day.month - 1]}-{day.year}"  # never by the locale
        with imap_errors(self._where):
            status, answer = self._client.uid("SEARCH", "SINCE", date, "FROM", f'"{sender}"')
        if status != "OK":
            raise TransientError(f"{self._where}: the server does not search")
        words = b" ".join(line for line in answer if isinstance(line, bytes)).split()
        return sorted({int(word) for word in words if word.isdigit() and len(word) <= 10})

    def sizes(self, uids: list[int], seen: Container[str]) -> Iterator[tuple[int, int]]:
        """Numbers and sizes in bytes of those messages whose identity is not in ``seen``."""
        new = [uid for uid in uids if self.identity(uid) not in seen]
        for start in range(0, len(new), _SIZES_AT_ONCE):
            some = new[start : start + _SIZES_AT_ONCE]
            with imap_errors(self._where):
                numbers = ",".join(map(str, some))
                _, answer = self._client.uid("FETCH", numbers, "(UID RFC822.SIZE)")
            matches = filter(None, map(_UID_AND_SIZE.search, _lines(answer)))
            sizes = {int(match[1]): int(match[2]) for match in matches}
            yield from ((uid, sizes[uid]) for uid in some if uid in sizes)

    def fetch(self, uid: int, max_bytes: int) -> bytes | None:
        """A message as it is, not marked as read; None when it is gone.

        :param max_bytes: no more than these are asked for, whatever size the server named before.
        """
        with imap_errors(self._where):
            asked = f"(UID BODY.PEEK[]<0.{max_bytes}>)"
            _, answer = self._client.uid("FETCH", str(uid), asked)
        for item in answer or ():
            # Between the asked for there may stand news of other messages.
            if isinstance(item, tuple) and len(item) == 2 and b"BODY[]" in item[0].upper():
                found = _UID.search(item[0])
                if found is None or int(found[1]) == uid:
                    return bytes(item[1])
        return None  # deleted meanwhile


def _lines(answer: list[Any] | None) -> Iterator[bytes]:
    for item in answer or ():
        line = item[0] if isinstance(item, tuple) else item
        if isinstance(line, bytes):
            yield line


@contextlib.contextmanager
def imap_errors(where: str, refusal: str = "") -> Iterator[None]:
    """Say what a failure means, without the server's words: they may repeat ours."""
    try:
        yield
    except AudienceManagerError:
        raise
    except imaplib.IMAP4.abort:
        raise TransientError(f"{where}: the server broke the connection") from None
    except imaplib.IMAP4.error as error:
        passing = any(reason in str(error).upper() for reason in _PASSING)
        if refusal and not passing:
            raise ConfigurationError(f"{where}: {refusal}") from None
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
