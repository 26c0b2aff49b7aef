"""A sandbox on folders, with a clock that only the test moves."""

import gzip
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from airflow_am_provider.audience_manager.receipts.mail import read_receipt_mail
from airflow_am_provider.audience_manager.receipts.receipt import Receipt
from airflow_am_provider.sandbox import (
    Account,
    Behaviours,
    Event,
    FileEntry,
    Profiles,
    Sandbox,
    SandboxConfig,
)

START = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)
T = 1476312152  # the timestamp of Adobe's sample names


def uuid(number: int) -> str:
    """An AAM UUID."""
    return f"{number:038d}"


class Bench:
    """A sandbox, the folder it watches and the folder its mails go to."""

    def __init__(self, directory: Path) -> None:
        self.inbox = directory / "inbox"
        self.mail = directory / "mail"
        self.inbox.mkdir()
        self.config = SandboxConfig(
            database=directory / "sandbox.db",
            inboxes=(str(self.inbox),),
            mailboxes=(str(self.mail),),
        )
        self.now = START
        self._sandbox: Sandbox | None = None
        self.told: list[Event] = []

    @property
    def sandbox(self) -> Sandbox:
        if self._sandbox is None:
            self._sandbox = Sandbox(self.config, tell=self.told.append)
        return self._sandbox

    def configure(
        self, account: Account | None = None, behaviours: Iterable[str] = (), **changes: object
    ) -> None:
        """Change the settings; the sandbox is started anew."""
        if behaviours:
            changes["behaviours"] = Behaviours.parse(list(behaviours))
        if account is not None:
            changes["account"] = account
        self.config = replace(self.config, **changes)
        self.restart()

    def restart(self) -> None:
        if self._sandbox is not None:
            self._sandbox.close()
            self._sandbox = None

    def put(self, name: str, content: str | bytes | Iterable[str]) -> Path:
        """Put a file into the inbox: its content, or its lines."""
        if not isinstance(content, str | bytes):
            content = "".join(f"{line}\n" for line in content)
        raw = content.encode() if isinstance(content, str) else content
        path = self.inbox / name
        hidden = path.with_name(f".{path.name}")
        hidden.write_bytes(gzip.compress(raw) if name.endswith(".gz") else raw)
        hidden.replace(path)
        return path

    def run(self, *, after_s: float = 0, at_once: bool = False) -> list[Event]:
        """Let time pass and the sandbox look once."""
        self.now += timedelta(seconds=after_s)
        return self.sandbox.run_once(self.now, at_once=at_once)

    def take(self, name: str, content: str | bytes | Iterable[str]) -> FileEntry:
        """Put a file and let the sandbox take it; answer nothing."""
        self.put(name, content)
        self.run()
        return self.sandbox.ledger.files()[-1]

    def messages(self) -> list[bytes]:
        return [path.read_bytes() for path in sorted(self.mail.glob("*.eml"))]

    def receipts(self) -> list[Receipt]:
        """Receipts in the mailbox that a careful reader believes."""
        return [read_receipt_mail(raw).receipt for raw in self.messages()]

    def profiles(self) -> Profiles:
        return Profiles(self.config.database)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    yield bench
    bench.restart()


@pytest.fixture
def synced(bench: Bench) -> Callable[..., None]:
    """Synchronise CRM IDs of data source 478 (or another) with devices of their own."""

    def synchronise(*user_ids: str, dpid: int = 478) -> None:
        lines = [f"{uuid(n)}\t{user_id}" for n, user_id in enumerate(user_ids, start=1000)]
        bench.take(f"adobe_id_0_{dpid}_{T}.sync", lines)

    return synchronise
