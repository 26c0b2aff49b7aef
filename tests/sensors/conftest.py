"""A delivery that was sent, and the mail that says what became of it."""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from airflow_am_provider.audience_manager.receipts.receipt import Receipt
from airflow_am_provider.operators.upload import UploadOperator
from airflow_am_provider.sensors.receipt import DeliveryReceiptSensor
from airflow_am_provider.storage import LocalFolder
from tests.connections import Connect
from tests.staged_deliveries import stage

SUBJECT = "Adobe Audience Manager Server-To-Server Processing Result:"
CONTEXT: Any = {}


@dataclass
class World:
    """A connection, its staging, its mail, and a delivery that was sent."""

    conn_id: str
    staging: LocalFolder
    append: Callable[[bytes], None]
    sender: str
    delivery: dict[str, Any] = field(default_factory=dict)

    def receipt(
        self, names: Iterable[str], *, sender: str | None = None, headers: str = "", **counts: int
    ) -> bytes:
        """Let a receipt arrive; gives it."""
        paths = tuple(f"s3n://bucket/2026-11-05/{name}" for name in names)
        raw = (
            f"{headers}From: <{sender or self.sender}>\r\nSubject: {SUBJECT}\r\n"
            f"Message-ID: <{uuid4().hex}@adobe.example>\r\n\r\n"
        ) + str(Receipt(paths=paths, **counts)).replace("\n", "\r\n")
        self.append(raw.encode())
        return raw.encode()

    def sensor(self, **arguments: Any) -> DeliveryReceiptSensor:
        arguments = {"poke_interval": 0.05, "timeout": 5, **arguments}
        return DeliveryReceiptSensor(
            task_id="receipt",
            **{"delivery": self.delivery, "audience_manager_conn_id": self.conn_id, **arguments},
        )

    def written(self) -> dict[str, Any]:
        content = self.staging.read_bytes(f"{self.delivery['location']}/reconciliation.json")
        found: dict[str, Any] = json.loads(content or b"{}")
        return found

    def upload(self, **arguments: Any) -> dict[str, Any]:
        manifest = stage(self.staging, conn_id=self.conn_id, **arguments)
        return UploadOperator(
            task_id="upload", manifest=manifest.to_json(), audience_manager_conn_id=self.conn_id
        ).execute(CONTEXT)


@pytest.fixture
def mail_to_folder(tmp_path: Path) -> tuple[dict[str, str], Callable[[bytes], None]]:
    folder = LocalFolder(tmp_path / "mail")
    location = {"receipts_location": folder.url}
    return location, lambda raw: folder.write_bytes(uuid4().hex, raw)


@pytest.fixture
def make_world(bucket_connection: Connect, staging: LocalFolder) -> Callable[..., World]:

    def make(append: Callable[[bytes], None], **extra: str) -> World:
        sender = f"{uuid4().hex}@adobe.example"
        conn_id = bucket_connection(**{"receipts_sender": sender, **extra})
        world = World(conn_id, staging, append, sender)
        world.delivery = world.upload()
        return world

    return make
