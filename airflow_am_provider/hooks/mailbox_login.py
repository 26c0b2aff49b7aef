"""How a mailbox is logged in to: by password, or by OAuth where its provider takes no passwords."""

from __future__ import annotations

import imaplib
import json
import re
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from airflow_am_provider.audience_manager.errors import ConfigurationError
from airflow_am_provider.audience_manager.names import printable
from airflow_am_provider.hooks.connections import is_on
from airflow_am_provider.hooks.google_tokens import GoogleTokens
from airflow_am_provider.hooks.imap_session import imap_errors, quoted
from airflow_am_provider.hooks.microsoft_tokens import AUTHORITY, SCOPE, MicrosoftTokens

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_am_provider.hooks.oauth import TokenSource

_PLAIN_TEXT: Final = re.compile(r"[ -~]*")
# What a user name may be without quotes (RFC 3501, atom).
_ATOM: Final = re.compile(r"[A-Za-z0-9!#$&'+,./:;<=>?@\[^_`|~-]+")
_SECRETS: Final = {"microsoft": ("client_secret",), "google": ("keyfile_dict",)}
# What Microsoft and Google answer to a password that they would not take were it right.
_OAUTH_ALONE: Final = ("BASICAUTHBLOCKED", "APPLICATION-SPECIFIC PASSWORD")
_WANTS_OAUTH: Final = (
    "the server takes no password; set oauth to microsoft or google in its extra (connection.md)"
)


def token_source(where: str, login: str, extra: Mapping[str, Any]) -> TokenSource | None:
    """Read from a connection who gives tokens for its mailbox.

    :param where: the mailbox, for messages.
    :param login: the mailbox's address.
    :param extra: the connection's extra; ``oauth`` says which fields count.
    :return: ``None`` where the mailbox is logged in to by password.
    :raises ConfigurationError: when a field is missing, or is not what it should be.
    """
    kind = str(extra.get("oauth") or "").strip().lower()
    if not kind:
        stray = next((name for names in _SECRETS.values() for name in names if extra.get(name)), "")
        if stray:
            raise ConfigurationError(
                f"{where}: oauth: missing, though its extra has {stray}; set it to microsoft or "
                f"google"
            )
        return None
    if kind not in _SECRETS:
        raise ConfigurationError(
            f"{where}: oauth: {printable(kind)!r} is not known; it is microsoft or google"
        )
    if not is_on(extra, "use_ssl"):
        raise ConfigurationError(
            f"{where}: use_ssl: a token is not sent without TLS; set it to true in its extra"
        )
    if extra.get("ssl_context") == "none":
        raise ConfigurationError(
            f"{where}: ssl_context: 'none' trusts whoever answers, and a token is not sent there; "
            f"take it out of its extra, and let the workers trust the server's authority"
        )
    if not login:
        raise ConfigurationError(f"{where}: login: missing; enter the mailbox's address")
    return _microsoft(where, extra) if kind == "microsoft" else _google(where, login, extra)


def _microsoft(where: str, extra: Mapping[str, Any]) -> MicrosoftTokens:
    fields = {
        name: _text(where, extra, name) for name in ("tenant_id", "client_id", "client_secret")
    }
    authority = str(extra.get("authority") or AUTHORITY)
    _check_url(where, "authority", authority)
    scope = str(extra.get("scope") or SCOPE)
    return MicrosoftTokens(where=where, authority=authority, scope=scope, **fields)


def _google(where: str, login: str, extra: Mapping[str, Any]) -> GoogleTokens:
    key = extra.get("keyfile_dict")
    if not key:
        raise ConfigurationError(f"{where}: keyfile_dict: missing from its extra")
    try:
        document = json.loads(key) if isinstance(key, str) else key
        token_url = str(document["token_uri"])
    except (ValueError, KeyError, TypeError):
        raise ConfigurationError(
            f"{where}: keyfile_dict: cannot be read; enter the whole JSON of a service account's "
            f"key"
        ) from None
    _check_url(where, "keyfile_dict: token_uri", token_url)
    return GoogleTokens(where=where, keyfile=json.dumps(document, sort_keys=True), subject=login)


def _text(where: str, extra: Mapping[str, Any], name: str) -> str:
    value = extra.get(name)
    if not isinstance(value, str) or not value.strip():
        raise ConfigurationError(f"{where}: {name}: missing from its extra")
    return value.strip()


def _check_url(where: str, field: str, url: str) -> None:
    try:
        parts = urlsplit(url)
        is_url = parts.scheme == "https" and bool(parts.hostname) and url.isprintable()
    except ValueError:
        is_url = False
    if not is_url:
        raise ConfigurationError(f"{where}: {field}: {printable(url)!r} is no https:// URL")


def log_in_by_token(
    client: imaplib.IMAP4, where: str, user: str, source: TokenSource, *, anew: bool = False
) -> None:
    """Log in by ``AUTHENTICATE XOAUTH2``.

    A token from memory that is refused is tried once more as a new one: it may have been revoked.

    :param anew: take no token from memory, which shows that the secret still holds.
    :raises ConfigurationError: when the server or the identity service refuses.
    :raises TransientError: when one of them fails.
    """
    if "AUTH=XOAUTH2" not in client.capabilities:
        raise ConfigurationError(
            f"{where}: host: the server offers no login by OAuth (AUTH=XOAUTH2); it is "
            f"outlook.office365.com or imap.gmail.com, or leave oauth empty"
        )
    token = source.token()
    if anew and not token.is_new:
        source.forget()
        token = source.token()
    try:
        _authenticate(client, where, user, token.text, source.refusal)
    except ConfigurationError:
        if token.is_new:
            raise
        source.forget()
        _authenticate(client, where, user, source.token().text, source.refusal)


def _authenticate(client: imaplib.IMAP4, where: str, user: str, token: str, refusal: str) -> None:
    if not user.isprintable():
        raise ConfigurationError(f"{where}: login: holds a character that no address has")
    words = f"user={user}\x01auth=Bearer {token}\x01\x01".encode()
    # A second challenge tells what is wrong, and is answered with nothing before the server says no
    # (developers.google.com/gmail/imap/xoauth2-protocol). imaplib notes the length of what is
    # answered, never the words.
    answers = iter((words,))
    with imap_errors(where, lambda _: refusal):
        client.authenticate("XOAUTH2", lambda _: next(answers, b""))


def log_in_by_password(client: imaplib.IMAP4, where: str, user: str, password: str) -> None:
    """Log in by LOGIN, or by AUTHENTICATE PLAIN what LOGIN has no letters for.

    :raises ConfigurationError: when the server refuses, or cannot be told such a password.
    """
    if "LOGINDISABLED" in client.capabilities:
        raise ConfigurationError(
            f"{where}: {_WANTS_OAUTH}"
            if isinstance(client, imaplib.IMAP4_SSL)
            else f"{where}: the server takes no password without TLS; set use_ssl to true in its "
            f"extra"
        )
    is_plain = _PLAIN_TEXT.fullmatch(user + password) is not None
    words = b"" if is_plain else _sasl_words(client, where, user, password)

    def refusal(said: str) -> str:
        if any(word in said for word in _OAUTH_ALONE):
            return _WANTS_OAUTH
        also = "; it may take OAuth alone" if "AUTH=XOAUTH2" in client.capabilities else ""
        return f"the server refuses the login; check login and password{also}"

    with imap_errors(where, refusal):
        if is_plain:
            client.login(user if _ATOM.fullmatch(user) else quoted(user), password)
        else:
            client.authenticate("PLAIN", lambda _: words)


def _sasl_words(client: imaplib.IMAP4, where: str, user: str, password: str) -> bytes:
    """Login and password as RFC 4616 has them: in UTF-8, and never without their ends."""
    try:
        if "\0" in user + password:
            raise ValueError
        words = f"\0{user}\0{password}".encode()
    except ValueError:
        # Not the error's own words: they repeat the password.
        raise ConfigurationError(
            f"{where}: login or password holds a character that no text has"
        ) from None
    if "AUTH=PLAIN" not in client.capabilities:
        raise ConfigurationError(
            f"{where}: login or password holds letters beyond ASCII, and the server has no login "
            f"that takes them (AUTH=PLAIN, RFC 4616); give the mailbox another one"
        )
    return words
