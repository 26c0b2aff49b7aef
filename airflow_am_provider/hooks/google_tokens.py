"""Access tokens for a mailbox of Google Workspace, by a service account that stands in for a user.

google-auth gets them, and says when one is about to end. Nothing that the identity service says is
repeated but its error code.
"""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import Any, Final

from airflow_am_provider.audience_manager.errors import ConfigurationError, TransientError
from airflow_am_provider.audience_manager.names import printable
from airflow_am_provider.hooks.oauth import TIMEOUT_S, Token, missing_library, plain_token

#: What IMAP needs (developers.google.com/gmail/imap/xoauth2-protocol).
SCOPE: Final = "https://mail.google.com/"
_NEW_KEY: Final = (
    "keyfile_dict: the key or its service account was revoked; make a new key and enter its whole "
    "JSON"
)
# Beginnings of what Google says of `invalid_grant`, in lower case.
_GRANTS: Final = {
    "invalid email or user id": "login: Google knows no such user; enter the mailbox's address",
    "invalid jwt: token must be a short-lived": "keyfile_dict: the clock of this worker is wrong; "
    "set it",
}
_ADVICE: Final = {
    "unauthorized_client": "keyfile_dict: the service account may not stand in for the mailbox; "
    f"in the Admin console give its client ID domain-wide delegation for the scope {SCOPE}",
    "access_denied": "login: the user or the organisation does not let the service account in; "
    "ask the administrator of the domain",
    "invalid_grant": _NEW_KEY,
    "invalid_client": _NEW_KEY,
    "disabled_client": _NEW_KEY,
}


@dataclass(frozen=True, kw_only=True)
class GoogleTokens:
    """Tokens for a mailbox by the key of a service account.

    :param where: the mailbox, for messages.
    :param keyfile: the JSON of the key; its ``token_uri`` is the identity service.
    :param subject: address of the user for whom the account stands in.
    """

    where: str
    keyfile: str = field(repr=False)
    subject: str

    #: What it means when the mail server refuses a good token.
    refusal = (
        "login: Google gave a token, but the mail server refuses it for this mailbox; check the "
        "address in login, and let IMAP be switched on for this user in the Admin console"
    )

    def token(self) -> Token:
        """Get a token, from memory where there is one.

        :raises ConfigurationError: when the service refuses the account, the key cannot be read,
            or the extra ``oauth`` is not installed.
        :raises TransientError: when the service does not answer as it should.
        """
        with missing_library(self.where):
            from google.auth.exceptions import GoogleAuthError, RefreshError
            from requests.exceptions import SSLError
        account = _account(self)
        try:
            text, is_new = account.token()
        except RefreshError as error:
            raise self._refused(error) from None
        except GoogleAuthError as error:
            if isinstance(error.__cause__ or error.__context__, SSLError):
                raise ConfigurationError(
                    f"{self.where}: keyfile_dict: the certificate of its token_uri is not trusted; "
                    f"correct the key, or trust the certificate's authority on the workers"
                ) from None
            raise TransientError(
                f"{self.where}: Google gives no token ({type(error).__name__}); it does not "
                f"answer, or not as it should"
            ) from None
        except (TypeError, ValueError, KeyError, AttributeError):
            raise ConfigurationError(
                f"{self.where}: keyfile_dict: its token_uri answers with no token, and no error "
                f"either; enter the JSON of the key as Google gives it"
            ) from None
        return Token(plain_token(text, f"{self.where}: keyfile_dict"), is_new)

    def forget(self) -> None:
        """Drop the token from memory, so that the next one is new."""
        _account(self).forget()

    def _refused(self, error: Any) -> Exception:
        answer = error.args[1] if len(error.args) > 1 and isinstance(error.args[1], dict) else {}
        code = printable(str(answer.get("error", type(error).__name__)))[:50]
        if error.retryable or not answer:
            # Without an answer that it understands, this is no word about the account.
            return TransientError(f"{self.where}: Google gives no token for now ({code})")
        text = str(answer.get("error_description", "")).lower()
        advice = next(
            (_GRANTS[start] for start in _GRANTS if code == "invalid_grant" and start in text),
            _ADVICE.get(code, "keyfile_dict: check the service account, its key and login"),
        )
        return ConfigurationError(f"{self.where}: {advice} (Google gives no token: {code})")


class _Account:
    """A service account with its token. Threads take turns."""

    def __init__(self, credentials: Any, request: Any) -> None:
        self._credentials = credentials
        self._request = request
        self._lock = threading.Lock()

    def token(self) -> tuple[object, bool]:
        with self._lock:
            # Not valid any more from some minutes before its end.
            is_new = not self._credentials.valid
            if is_new:
                self._credentials.refresh(self._request)
            return self._credentials.token, is_new

    def forget(self) -> None:
        with self._lock:
            self._credentials.token = None


@lru_cache(maxsize=16)
def _account(key: GoogleTokens) -> _Account:
    from google.auth.transport.requests import Request
    from google.oauth2 import service_account

    try:
        credentials = service_account.Credentials.from_service_account_info(
            json.loads(key.keyfile), scopes=[SCOPE], subject=key.subject
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        # Its text may hold the key.
        raise ConfigurationError(
            f"{key.where}: keyfile_dict: cannot be read ({type(error).__name__}); enter the whole "
            f"JSON of a service account's key"
        ) from None
    return _Account(credentials, partial(Request(), timeout=TIMEOUT_S))
