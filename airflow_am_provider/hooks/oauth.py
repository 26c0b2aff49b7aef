"""What access tokens have in common, whoever issues them."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from airflow_am_provider.audience_manager.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Seconds that an identity service may be silent.
TIMEOUT_S: Final = 60.0


class Token(NamedTuple):
    """An access token.

    :param text: the token itself, a secret.
    :param is_new: whether it was issued just now, and not taken from memory.
    """

    text: str
    is_new: bool


class TokenSource(Protocol):
    """Who gives tokens for a mailbox."""

    @property
    def refusal(self) -> str:
        """What it means when the mail server refuses a good token, and what to do."""

    def token(self) -> Token:
        """Get a token, from memory where there is one."""
        ...

    def forget(self) -> None:
        """Drop the token from memory, so that the next one is new."""


@contextlib.contextmanager
def missing_library(where: str) -> Iterator[None]:
    """Say which extra brings the library that a block imports.

    :raises ConfigurationError: when it is not installed.
    """
    try:
        yield
    except ImportError:
        raise ConfigurationError(
            f"{where}: oauth: needs pip install 'airflow-am-provider[oauth]'"
        ) from None


def plain_token(text: object, where: str) -> str:
    """Take a token for one only if it is such text as a header may hold.

    :raises ConfigurationError: when it is something else.
    """
    if not isinstance(text, str) or not text.isascii() or not text.isprintable() or not text:
        raise ConfigurationError(
            f"{where}: what answers gives no token; is it the URL of the identity service?"
        )
    return text
