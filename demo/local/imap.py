"""An IMAP server (pymap) with one mailbox in memory."""

import imaplib
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from demo.local.processes import HOST, ServerError, free_port, running


@dataclass(frozen=True, kw_only=True)
class ImapServer:
    """A running IMAP server without TLS. Its mails are gone when it ends."""

    port: int
    host: str = HOST
    user: str = "receipts@partner.example"
    password: str = field(default="local-password", repr=False)

    def connect(self, timeout_s: float = 10.0) -> imaplib.IMAP4:
        """A logged-in client; the caller logs it out."""
        client = imaplib.IMAP4(self.host, self.port, timeout=timeout_s)
        client.authenticate("PLAIN", lambda _: f"\0{self.user}\0{self.password}".encode())
        return client

    def append(self, message: bytes, *, mailbox: str = "INBOX") -> None:
        """Put an unread mail, as raw bytes, into a mailbox."""
        with self.connect() as client:
            now = imaplib.Time2Internaldate(time.time())
            status, answer = client.append(mailbox, "", now, message)
        if status != "OK":
            raise ServerError(f"IMAP server refused a mail: {answer}")

    def count(self, criterion: str = "ALL", *, mailbox: str = "INBOX") -> int:
        """How many mails a search finds, such as ``"UNSEEN"``."""
        with self.connect() as client:
            client.select(mailbox, readonly=True)
            _, answer = client.search(None, criterion)
        return len(answer[0].split())

    def airflow_connection(self) -> dict[str, object]:
        """The Airflow connection to this server."""
        return {
            "conn_type": "imap",
            "host": self.host,
            "port": self.port,
            "login": self.user,
            "password": self.password,
            "extra": {"use_ssl": False},
        }

    def answers(self) -> bool:
        """Whether the user can log in."""
        try:
            self.connect(timeout_s=2.0).logout()
        except OSError:
            return False
        return True


@contextmanager
def imap_server(directory: Path, **account: str) -> Iterator[ImapServer]:
    """Run an IMAP server with an empty INBOX.

    :param directory: for ``imap.log``
    :param account: another ``user`` or ``password``
    :raises ServerError: if it does not start
    """
    server = ImapServer(port=free_port(), **account)
    options = ["--host", HOST, "--port", str(server.port), "--no-tls"]
    mailbox = ["dict", "--demo-user", server.user, "--demo-password", server.password]
    with running(
        "IMAP server",
        [sys.executable, "-m", "demo.local.imap_daemon", *options, *mailbox],
        log=directory / "imap.log",
        # Its greeting holds the host's name, and looking that up can take seconds.
        env={"FQDN": "localhost"},
    ) as process:
        process.wait_until(server.answers, timeout_s=20)
        yield server
