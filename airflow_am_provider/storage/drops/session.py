"""What a protocol has to offer so that files can be dropped into a directory by it.

A new protocol is one module with a class like this; retries, resuming and names are
:class:`~airflow_am_provider.storage.drops.drop.Drop`'s.
"""

from __future__ import annotations

import socket
from typing import Final, Protocol


class Refused(Exception):
    """The host says no, and would say so again; the text is its reply, without its own words."""


class Unexplained(Refused):
    """The host says no, and not why: it may say yes the next time."""


class Broken(Exception):
    """The line or the host failed, and may not the next time; the text says how."""


class Unreached(Broken):
    """There was no connection yet; the text names the host."""


_REASONS: Final[tuple[tuple[type[BaseException], str], ...]] = (
    (TimeoutError, "no answer in time"),
    (ConnectionRefusedError, "nothing listens there"),
    (ConnectionError, "the line was cut"),
    (socket.gaierror, "nobody knows this name"),
    (EOFError, "the line ended early"),
)


def reason(error: BaseException) -> str:
    """Why a line failed, in words; the kind of the error where there are none."""
    return next(
        (words for kind, words in _REASONS if isinstance(error, kind)), type(error).__name__
    )


class Source(Protocol):
    """What is sent."""

    def read(self, size: int = -1, /) -> bytes:
        """Read up to ``size`` bytes; none at the end."""
        ...


class Session(Protocol):
    """A connection to a host, logged in, in one directory of it.

    Each method raises :class:`Refused` or :class:`Broken`; after either, the session is given up.
    """

    def check(self) -> None:
        """Ask for the directory, and do nothing there."""
        ...

    def names(self) -> frozenset[str]:
        """The names in the directory; those that are not safe are left out."""
        ...

    def size(self, name: str) -> int | None:
        """Size of a file in bytes; None when there is none, or the host does not tell."""
        ...

    def store(self, name: str, source: Source, offset: int) -> None:
        """Write a file from an offset on, to the end of the source.

        :param offset: where to begin; at 0 the file is made anew, whatever was there.
        """
        ...

    def rename(self, old: str, new: str, *, replace: bool) -> None:
        """Give a file another name.

        :param replace: put it in the place of what has that name, where the host can. Otherwise
            the host is asked to refuse then; not every protocol can ask that.
        """
        ...

    def delete(self, name: str) -> None:
        """Delete a file."""
        ...

    def leave(self) -> None:
        """Say goodbye and close the connection."""
        ...

    def close(self) -> None:
        """Close the connection without a word, since the host's answers may be out of step."""
        ...
