"""The line to the REST API: tokens, tries and errors, for calls with and without ``await``."""

from __future__ import annotations

import random
import threading
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cache
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

import httpx

from airflow_am_provider.audience_manager.errors import ConfigurationError, TransientError
from airflow_am_provider.audience_manager.names import printable

if TYPE_CHECKING:
    import ssl
    from collections.abc import Generator

_PAGE: Final = "api/rest-api-main/aam-api-getting-started.md"
_TIMEOUT_S: Final = 60.0
_TRIES: Final = 5
_FIRST_PAUSE_S: Final = 1.0
_LONGEST_PAUSE_S: Final = 120.0
# A token is renewed so long before it ends, since a clock or a call may be slow.
_BEFORE_ITS_END_S: Final = 300.0
_AGAIN: Final = frozenset({408, 425, 429, 500, 502, 503, 504})


@dataclass(frozen=True, kw_only=True)
class Credentials:
    """OAuth server-to-server credentials, and where tokens come from.

    :param conn_id: the connection they are in, for messages.
    :param token_url: the identity service's URL for tokens.
    :param client_id: the credential's client ID; it is sent as ``x-api-key`` as well.
    :param client_secret: its secret.
    :param scope: the scopes that the credential's page shows.
    """

    conn_id: str
    token_url: str
    client_id: str
    client_secret: str = field(repr=False)
    scope: str

    @property
    def form(self) -> dict[str, str]:
        """What is posted for a token."""
        return {
            "grant_type": "client_credentials",
            "client_id": self.client_id,
            "client_secret": self.client_secret,
            "scope": self.scope,
        }


class ClientCredentials(httpx.Auth):
    """Puts a token on each request; gets one first, and a new one when it was refused.

    httpx drives it with and without ``await``. The token is kept for all calls of this process and
    stands in no log and no message.

    :param credentials: what tokens are had for.
    """

    requires_response_body = True

    def __init__(self, credentials: Credentials) -> None:
        self.credentials = credentials

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Send a request with a token."""
        request.headers["x-api-key"] = self.credentials.client_id
        token = _TOKENS.get(self.credentials)
        if token is None:
            token = self._read((yield self._token_request()))
        request.headers["Authorization"] = f"Bearer {token}"
        response = yield request
        if response.status_code == HTTPStatus.UNAUTHORIZED:
            # It may have been revoked, or ended early. A second no is final.
            _TOKENS.forget(self.credentials)
            token = self._read((yield self._token_request()))
            request.headers["Authorization"] = f"Bearer {token}"
            yield request

    def _token_request(self) -> httpx.Request:
        return httpx.Request("POST", self.credentials.token_url, data=self.credentials.form)

    def _read(self, response: httpx.Response) -> str:
        where = f"connection {self.credentials.conn_id!r}"
        if response.status_code in _AGAIN:
            raise _Busy(response)
        if response.is_error:
            # What the service says has a code that helps, and nothing of the secret.
            raise ConfigurationError(
                f"{where}: {_host(self.credentials.token_url)} gives no token: HTTP "
                f"{response.status_code}{_word(response, 'error')}. Check login (client ID), "
                f"password (client secret) and scope; the credential may have been revoked "
                f"({_PAGE})"
            )
        try:
            document = response.json()
            token, lasts_s = document["access_token"], float(document.get("expires_in") or 0)
            if not isinstance(token, str) or not token.isascii() or not token.isprintable():
                raise ValueError
        except (ValueError, TypeError, KeyError, AttributeError):
            raise ConfigurationError(
                f"{where}: token_url: {_host(self.credentials.token_url)} answers with no token; "
                f"is it the URL of the identity service? ({_PAGE})"
            ) from None
        _TOKENS.keep(self.credentials, token, lasts_s)
        return token


class _Tokens:
    """The tokens of this process, by credentials."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._tokens: dict[Credentials, tuple[str, float]] = {}

    def get(self, credentials: Credentials) -> str | None:
        with self._lock:
            token, ends = self._tokens.get(credentials, ("", 0.0))
            return token if time.monotonic() < ends else None

    def keep(self, credentials: Credentials, token: str, lasts_s: float) -> None:
        with self._lock:
            ends = time.monotonic() + max(0.0, lasts_s - _BEFORE_ITS_END_S)
            self._tokens[credentials] = (token, ends)

    def forget(self, credentials: Credentials) -> None:
        with self._lock:
            self._tokens.pop(credentials, None)


_TOKENS: Final = _Tokens()


class _Busy(Exception):
    """The other side asks to come again."""

    def __init__(self, response: httpx.Response) -> None:
        super().__init__(response.status_code)
        self.response = response


class ApiLine:
    """Asks the API for JSON, again and again where that may help.

    :param base_url: such as ``https://aam.adobe.io/v1/``.
    :param credentials: how to get in.
    :param timeout_s: seconds until a server that says nothing is given up.
    """

    def __init__(
        self, base_url: str, credentials: Credentials, *, timeout_s: float = _TIMEOUT_S
    ) -> None:
        self._base_url = base_url.rstrip("/") + "/"
        self._conn_id = credentials.conn_id
        self._auth = ClientCredentials(credentials)
        self._timeout_s = timeout_s

    def forget_token(self) -> None:
        """Let the next call ask for a new token."""
        _TOKENS.forget(self._auth.credentials)

    def read(self, path: str, query: dict[str, Any]) -> Any:
        """GET some JSON; None where there is nothing (HTTP 404).

        :raises ConfigurationError: when the API refuses.
        :raises TransientError: when it does not answer, or not as it should, several times over.
        """
        with httpx.Client(auth=self._auth, timeout=self._timeout_s, verify=_tls()) as client:
            steps = self._tries(path)
            pause = next(steps)
            while True:
                time.sleep(pause)
                outcome: httpx.Response | Exception
                try:
                    outcome = client.get(self._base_url + path, params=query)
                except (httpx.HTTPError, _Busy) as error:
                    outcome = error
                try:
                    pause = steps.send(outcome)
                except StopIteration as done:
                    return done.value

    async def read_async(self, path: str, query: dict[str, Any]) -> Any:
        """The same, for triggers."""
        import asyncio

        async with httpx.AsyncClient(
            auth=self._auth, timeout=self._timeout_s, verify=_tls()
        ) as client:
            steps = self._tries(path)
            pause = next(steps)
            while True:
                await asyncio.sleep(pause)
                outcome: httpx.Response | Exception
                try:
                    outcome = await client.get(self._base_url + path, params=query)
                except (httpx.HTTPError, _Busy) as error:
                    outcome = error
                try:
                    pause = steps.send(outcome)
                except StopIteration as done:
                    return done.value

    def _tries(self, path: str) -> Generator[float, httpx.Response | Exception, Any]:
        """What follows from each outcome: a pause before the next try, a result or an error."""
        url = f"{_host(self._base_url)}/{printable(path)}"
        pause, why = 0.0, ""
        for number in range(_TRIES):
            outcome = yield pause
            asked = _asked(outcome) or url
            usual = _FIRST_PAUSE_S * 2**number * (1 + random.random() / 4)  # noqa: S311  # no secret
            if isinstance(outcome, _Busy):
                outcome = outcome.response
            if isinstance(outcome, httpx.Response):
                if outcome.status_code not in _AGAIN:
                    return self._result(outcome, url)
                why = f"{asked} answers HTTP {outcome.status_code}, {number + 1} times"
                pause = _asked_pause(outcome) or usual
                if pause > _LONGEST_PAUSE_S:
                    why = (
                        f"{asked} asks to come again in {pause:,.0f} seconds (HTTP "
                        f"{outcome.status_code}), and {_LONGEST_PAUSE_S:,.0f} are waited for at "
                        f"most"
                    )
                    break
            elif isinstance(outcome, (httpx.InvalidURL, httpx.UnsupportedProtocol)):
                raise ConfigurationError(
                    f"connection {self._conn_id!r}: host: {url!r} is no URL that begins with "
                    f"https://"
                )
            else:
                why = (
                    f"no answer from {asked} ({type(outcome).__name__}), {number + 1} times; check "
                    f"host and token_url, and that this machine may go there"
                )
                pause = usual
        raise TransientError(f"Audience Manager's API with connection {self._conn_id!r}: {why}")

    def _result(self, response: httpx.Response, url: str) -> Any:
        if response.status_code == HTTPStatus.NOT_FOUND:
            return None
        where = f"Audience Manager's API with connection {self._conn_id!r}: {url}"
        if response.status_code == HTTPStatus.UNAUTHORIZED:
            raise ConfigurationError(
                f"{where} refuses a new token (HTTP 401{_word(response, 'error_code')}): the "
                f"credential is not for this API, or it was revoked ({_PAGE})"
            )
        if response.status_code == HTTPStatus.FORBIDDEN:
            raise ConfigurationError(
                f"{where} refuses (HTTP 403): the technical account may not see this. After its "
                f"first call, put it into a group with the rights to view data sources and traits "
                f"({_PAGE})"
            )
        if response.is_error:
            raise ConfigurationError(f"{where} refuses (HTTP {response.status_code}) ({_PAGE})")
        try:
            return response.json()
        except ValueError:
            raise TransientError(f"{where} answers with no JSON") from None


@cache
def _tls() -> ssl.SSLContext:
    """The certificates that are trusted; reading them takes longer than most calls."""
    return httpx.create_ssl_context()


def _asked(outcome: httpx.Response | Exception) -> str | None:
    """Who was asked: the API, or the identity service for a token; None where it is not known."""
    response = outcome.response if isinstance(outcome, _Busy) else outcome
    try:
        url = response.request.url  # type: ignore[union-attr]  # most have one
    except (AttributeError, RuntimeError):
        return None
    return printable(f"{url.host}{url.path}")


def _host(url: str) -> str:
    try:
        return httpx.URL(url).host or printable(url)
    except httpx.InvalidURL:
        return "it"


def _asked_pause(response: httpx.Response) -> float | None:
    """Seconds by ``Retry-After``: a number, or a date."""
    text = response.headers.get("Retry-After", "")
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    return max(0.0, (moment - datetime.now(UTC)).total_seconds())


def _word(response: httpx.Response, name: str) -> str:
    """A code of one word that an error carries."""
    try:
        value = response.json().get(name)
    except (ValueError, AttributeError):
        return ""
    is_code = isinstance(value, str) and value.isidentifier() and len(value) < 60
    return f", {value}" if is_code else ""
