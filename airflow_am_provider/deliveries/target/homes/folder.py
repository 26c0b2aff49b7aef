"""Documents in a local folder, for one machine: a lock file makes writes take turns."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

from airflow_am_provider.deliveries.target.homes import Loaded

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_am_provider.storage.local import LocalFolder

_LOCK: Final = ".decisions.lock"
_DOCUMENT: Final = ".json"


class FolderHome:
    """Documents in a folder of this machine.

    The lock is the operating system's: it is gone when its process is, however that ended. On a
    disk that several machines share it counts only where the file system says so.

    :param folder: the folder.
    """

    def __init__(self, folder: LocalFolder) -> None:
        self._folder = folder

    @property
    def url(self) -> str:
        """The folder's path."""
        return self._folder.url

    def load(self, key: str) -> Loaded | None:
        """See :class:`~airflow_am_provider.deliveries.target.homes.Home`."""
        content = self._folder.read_bytes(key + _DOCUMENT)
        return None if content is None else Loaded(content, _version(content))

    def store(self, key: str, content: bytes, *, if_version: str | None) -> bool:
        """See :class:`~airflow_am_provider.deliveries.target.homes.Home`."""
        with self._folder.locked(_LOCK):
            found = self.load(key)
            if (None if found is None else found.version) != if_version:
                return False
            self._folder.write_bytes(key + _DOCUMENT, content)
        return True

    def keys(self, prefix: str) -> Iterator[str]:
        """See :class:`~airflow_am_provider.deliveries.target.homes.Home`."""
        for entry in self._folder.list(prefix):
            if entry.path.endswith(_DOCUMENT):
                yield entry.path.removesuffix(_DOCUMENT)

    def discard(self, key: str) -> None:
        """See :class:`~airflow_am_provider.deliveries.target.homes.Home`."""
        self._folder.delete(key + _DOCUMENT)


def _version(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
