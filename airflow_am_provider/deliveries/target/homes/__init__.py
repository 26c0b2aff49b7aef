"""Where documents lie: a place that changes one only if nobody has changed it meanwhile."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator


class Loaded(NamedTuple):
    """A document as it was read.

    :param content: its text.
    :param version: what it has to be still when it is written back.
    """

    content: bytes
    version: str


class Home(Protocol):
    """Keeps small documents by key. All writes are conditional."""

    @property
    def url(self) -> str:
        """Where it is, for people."""
        ...

    def load(self, key: str) -> Loaded | None:
        """Read a document, or None when there is none.

        :param key: its name, words of ASCII letters, digits, ``.``, ``-``, ``_`` between slashes.
        :raises ConfigurationError: when it may not be read.
        :raises TransientError: when the place does not answer.
        """
        ...

    def store(self, key: str, content: bytes, *, if_version: str | None) -> bool:
        """Write a document if it is still what was read.

        :param key: its name.
        :param if_version: the version it was read in; None: only where there is none yet.
        :return: whether it was written; False when somebody else was quicker. After an answer that
            got lost it may have been written all the same: whoever asks reads again.
        :raises ConfigurationError: when it may not be written, or the place knows no conditions.
        :raises TransientError: when the place does not answer.
        """
        ...

    def discard(self, key: str) -> None:
        """Delete a document that decides nothing; that there is none is no error."""
        ...

    def keys(self, prefix: str) -> Iterator[str]:
        """Names of documents that begin with ``prefix``, in their order."""
        ...
