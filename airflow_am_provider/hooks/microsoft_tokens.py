"""Access tokens for a mailbox of Microsoft 365, by the client credentials of an app registration.

msal gets them, keeps them in the memory of this process, and takes a new one five minutes before
one ends. Nothing that the identity service says is repeated but its error codes.
"""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from airflow_am_provider.audience_manager.errors import ConfigurationError, TransientError
from airflow_am_provider.audience_manager.names import printable
from airflow_am_provider.hooks.oauth import TIMEOUT_S, Token, missing_library, plain_token

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Microsoft's public cloud. National clouds have other hosts.
AUTHORITY: Final = "https://login.microsoftonline.com"
#: All rights that the app was given in Exchange Online.
SCOPE: Final = "https://outlook.office365.com/.default"
# learn.microsoft.com/entra/identity-platform/reference-error-codes
_ADVICE: Final = {
    7000215: "client_secret: it is wrong; enter the secret's value, not its ID",
    7000222: "client_secret: it has run out; make a new one in the app registration",
    700016: "client_id: the tenant has no such app; check client_id and tenant_id",
    7000112: "client_id: the app is switched off in the tenant; ask its administrator",
    7000229: "client_id: the tenant has no service principal of the app; grant admin consent",
    90002: "tenant_id: there is no such tenant; enter the directory ID of the app registration",
    900023: "tenant_id: there is no such tenant; enter the directory ID of the app registration",
    53003: "client_id: a conditional access policy of the tenant blocks the app; ask its "
    "administrator",
    500011: "scope: the tenant does not know this resource; leave scope empty outside national "
    "clouds",
}
_PASSING_ERRORS: Final = frozenset({"temporarily_unavailable", "server_error"})
_PASSING_CODES: Final = frozenset({50196, 90033})
_PASSING_STATUS: Final = re.compile(r"HTTP status: (408|425|429)\b")


@dataclass(frozen=True, kw_only=True)
class MicrosoftTokens:
    """Tokens for the app of a tenant.

    :param where: the mailbox, for messages.
    :param tenant_id: directory ID of the tenant, or one of its domains.
    :param client_id: application ID of the app registration.
    :param client_secret: the value of one of its secrets.
    :param authority: URL of the identity service, without the tenant.
    :param scope: what the token is for.
    """

    where: str
    tenant_id: str
    client_id: str
    client_secret: str = field(repr=False)
    authority: str = AUTHORITY
    scope: str = SCOPE

    #: What it means when the mail server refuses a good token.
    refusal = (
        "login: Microsoft gave a token, but the mail server refuses it for this mailbox; check the "
        "address in login, grant the app IMAP.AccessAsApp with admin consent, and register its "
        "service principal in Exchange (New-ServicePrincipal, with the object ID of the enterprise "
        "application)"
    )

    def token(self) -> Token:
        """Get a token, from memory where there is one.

        :raises ConfigurationError: when the service refuses the app, or the extra ``oauth`` is not
            installed.
        :raises TransientError: when the service does not answer as it should.
        """
        with self._failures():
            application = _application(self)
            answer = application.acquire_token_for_client(scopes=[self.scope])
        if "access_token" not in answer:
            raise self._refused(answer)
        text = plain_token(answer["access_token"], f"{self.where}: authority")
        return Token(text, answer.get("token_source") != "cache")

    def forget(self) -> None:
        """Drop the token from memory, so that the next one is new."""
        _application(self).remove_tokens_for_client()

    @contextlib.contextmanager
    def _failures(self) -> Iterator[None]:
        with missing_library(self.where):
            from msal.exceptions import MsalError
            from requests import RequestException
            from requests.exceptions import SSLError
        host = urlsplit(self.authority).hostname
        try:
            yield
        except SSLError:
            raise ConfigurationError(
                f"{self.where}: authority: the certificate of {host} is not trusted; correct the "
                f"URL, or trust its authority on the workers"
            ) from None
        except (RequestException, MsalError) as error:
            raise TransientError(
                f"{self.where}: {host} gives no token ({type(error).__name__}); it does not "
                f"answer, or not as it should"
            ) from None
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            # What the tenant's document or the answer with the token looks like is not as expected.
            if _PASSING_STATUS.search(str(error.__context__)):
                raise TransientError(f"{self.where}: {host} asks to come again later") from None
            raise ConfigurationError(
                f"{self.where}: tenant_id: {host} knows no tenant {printable(self.tenant_id)!r}; "
                f"enter the directory ID of the app registration, and leave authority empty "
                f"outside national clouds"
            ) from None

    def _refused(self, answer: dict[str, Any]) -> Exception:
        error = printable(str(answer.get("error") or "and no error either"))[:50]
        codes = [code for code in answer.get("error_codes") or () if isinstance(code, int)]
        said = f"{error}, AADSTS{codes[0]}" if codes else error
        if error in _PASSING_ERRORS or _PASSING_CODES.intersection(codes):
            return TransientError(f"{self.where}: Microsoft gives no token for now ({said})")
        advice = next(
            (_ADVICE[code] for code in codes if code in _ADVICE),
            "client_id: check tenant_id, client_id and client_secret; the app or its secret may "
            "have been revoked",
        )
        return ConfigurationError(f"{self.where}: {advice} (Microsoft gives no token: {said})")


# msal keeps tokens in the application, so there is one for each app as long as the process lives.
@lru_cache(maxsize=16)
def _application(app: MicrosoftTokens) -> Any:
    import msal

    return msal.ConfidentialClientApplication(
        app.client_id,
        client_credential=app.client_secret,
        authority=f"{app.authority.rstrip('/')}/{app.tenant_id}",
        # Otherwise Microsoft's public cloud is asked whether it knows the host.
        instance_discovery=False,
        timeout=TIMEOUT_S,
    )
