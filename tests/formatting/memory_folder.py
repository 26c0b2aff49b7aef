"""A storage in memory, for tests that write thousands of small deliveries."""

from __future__ import annotations

import io
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from threading import Lock
from typing import TYPE_CHECKING, BinaryIO

from airflow_am_provider.deliveries.target.homes import Loaded
from airflow_am_provider.deliveries.targets import Targets
from airflow_am_provider.storage.folder import ListedFile

if TYPE_CHECKING:
    from collections.abc import Iterator


class MemoryFolder:
    """Files by path; a file appears whole or not at all."""

    url = "memory://staging"

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self._modified: dict[str, datetime] = {}
        self._lock = Lock()

    @contextmanager
    def open_write(self, path: str) -> Iterator[BinaryIO]:
        file = io.BytesIO()
        yield file
        self.write_bytes(path, file.getvalue())

    def open_read(self, path: str) -> BinaryIO:
        return io.BytesIO(self.files[path])

    def read_bytes(self, path: str) -> bytes | None:
        return self.files.get(path)

    def size(self, path: str) -> int | None:
        return len(self.files[path]) if path in self.files else None

    def write_bytes(self, path: str, content: bytes) -> None:
        self.files[path] = content
        # Each a second after the one before.
        self._modified[path] = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(
            seconds=len(self._modified)
        )

    def delete(self, path: str) -> None:
        self.files.pop(path, None)

    def exists(self, path: str) -> bool:
        return path in self.files

    def list(self, prefix: str = "") -> Iterator[ListedFile]:
        for path in sorted(self.files):
            if path.startswith(prefix):
                yield ListedFile(path, len(self.files[path]), self._modified[path])


class MemoryHome:
    """Documents in memory, by key; a write counts only for the version that was read."""

    url = "memory://home"

    def __init__(self) -> None:
        self.documents: dict[str, tuple[bytes, int]] = {}
        self._lock = Lock()

    def load(self, key: str) -> Loaded | None:
        found = self.documents.get(key)
        return None if found is None else Loaded(found[0], str(found[1]))

    def store(self, key: str, content: bytes, *, if_version: str | None) -> bool:
        with self._lock:
            found = self.documents.get(key)
            if (None if found is None else str(found[1])) != if_version:
                return False
            self.documents[key] = (content, 1 if found is None else found[1] + 1)
            return True

    def discard(self, key: str) -> None:
        self.documents.pop(key, None)

    def keys(self, prefix: str) -> Iterator[str]:
        yield from sorted(key for key in self.documents if key.startswith(prefix))


def memory_targets() -> Targets:
    """Targets of a staging location in memory."""
    return Targets(MemoryFolder(), MemoryHome())
