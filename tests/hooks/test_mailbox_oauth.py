"""Mailboxes that take no password: tokens from an identity service, mail from a real server."""

import builtins
import imaplib
import json
import logging
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from airflow_am_provider.audience_manager.errors import ConfigurationError, TransientError
from airflow_am_provider.hooks.audience_manager import AudienceManagerHook
from airflow_am_provider.hooks.mailbox import Mailbox
from demo.local.imap import ImapServer
from demo.local.oauth import (
    Certificate,
    Identity,
    TokenMailbox,
    identity_service,
    token_mailbox,
)
from tests.connections import Connect

YESTERDAY = datetime.now(UTC) - timedelta(days=1)
KINDS = ("microsoft", "google")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return Certificate.make(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def identity(
    certificate: Certificate, imap_server: ImapServer, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Identity]:
    # As a company does whose proxy has a certificate of its own.
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate.file))
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate.file))
    with identity_service(certificate, imap_server.user) as service:
        yield service


@pytest.fixture
def server(
    certificate: Certificate, imap_server: ImapServer, identity: Identity
) -> Iterator[TokenMailbox]:
    with token_mailbox(certificate, imap_server, identity) as mailbox:
        yield mailbox


@pytest.fixture
def mailbox_by(
    connect: Connect, imap_server: ImapServer, server: TokenMailbox
) -> Callable[..., Mailbox]:
    """Make a mailbox from the extra of its connection, and other fields."""

    def make(extra: dict[str, Any], **fields: Any) -> Mailbox:
        document = {
            "conn_type": "imap",
            "host": "127.0.0.1",
            "port": server.port,
            "login": imap_server.user,
            "extra": extra,
        }
        return Mailbox(conn_id=connect({**document, **fields}), sender="a@b", timeout_s=10)

    return make


def failure(mailbox: Mailbox, kind: type[Exception] = ConfigurationError) -> str:
    """What a login fails with, after the mailbox's name."""
    with pytest.raises(kind) as caught:
        mailbox.check()
    start = f"mailbox {mailbox.conn_id!r}: "
    assert str(caught.value).startswith(start)
    return str(caught.value).removeprefix(start)


@pytest.mark.parametrize("kind", KINDS)
def test_mail_is_read_by_a_token_that_is_kept(
    kind: str,
    identity: Identity,
    mailbox_by: Callable[..., Mailbox],
    imap_server: ImapServer,
) -> None:
    sender = f"{uuid4().hex}@adobe.example"
    raw = f"From: <{sender}>\r\nSubject: Result\r\n\r\nRecords\r\n".encode()
    imap_server.append(raw)
    mailbox = mailbox_by(getattr(identity, kind))
    mailbox.sender = sender
    for _ in range(3):
        assert [one.raw for one in mailbox.mails(YESTERDAY)] == [raw]
    assert len(identity.issued) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_a_token_is_renewed_before_its_end(
    kind: str, identity: Identity, mailbox_by: Callable[..., Mailbox]
) -> None:
    identity.lasts_s = 200
    mailbox = mailbox_by(getattr(identity, kind))
    for _ in range(2):
        assert list(mailbox.mails(YESTERDAY)) == []
    assert len(identity.issued) == 2


@pytest.mark.parametrize("kind", KINDS)
def test_a_token_that_was_revoked_is_replaced_once(
    kind: str, identity: Identity, mailbox_by: Callable[..., Mailbox], server: TokenMailbox
) -> None:
    mailbox = mailbox_by(getattr(identity, kind))
    mailbox.check()
    identity.good.clear()
    assert list(mailbox.mails(YESTERDAY)) == []
    assert len(identity.issued) == 2
    assert len(server.told) == 3


def test_a_test_asks_for_a_new_token_since_the_secret_may_have_ended(
    identity: Identity, mailbox_by: Callable[..., Mailbox]
) -> None:
    mailbox = mailbox_by(identity.microsoft)
    mailbox.check()
    identity.client_secret = "another"
    assert failure(mailbox).startswith("client_secret: it is wrong")


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_secret_is_logged(
    kind: str,
    identity: Identity,
    mailbox_by: Callable[..., Mailbox],
    server: TokenMailbox,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(imaplib, "Debug", 5)
    caplog.set_level(logging.DEBUG)
    mailbox = mailbox_by(getattr(identity, kind))
    mailbox.check()
    # A token that is good for another mailbox only.
    other = mailbox_by(getattr(identity, kind), login="other@partner.example")
    identity.mailbox = "other@partner.example"
    said = [failure(other)]
    identity.client_secret, old_secret = "another", identity.client_secret
    identity.instead = (400, {"error": "invalid_grant", "error_description": old_secret})
    identity.lasts_s = 1
    said.append(failure(mailbox_by({**getattr(identity, kind), "scope": "other"}, login="x@y")))
    seen = caplog.text + "".join(capfd.readouterr()) + "".join(said)
    assert "XOAUTH2" in seen  # imaplib does tell what it sends
    key = identity.google["keyfile_dict"]["private_key"].splitlines()[1]
    secrets = [*identity.issued, old_secret, key, *(told.decode() for told in server.told)]
    assert len(secrets) == 6
    # Pieces too, since a line may be cut.
    assert [secret[:4] for secret in secrets if secret[40:80] and secret[40:80] in seen] == []
    assert [secret[:4] for secret in secrets if secret in seen] == []


REFUSED_BY_MICROSOFT = (
    "login: Microsoft gave a token, but the mail server refuses it for this mailbox; check the "
    "address in login, grant the app IMAP.AccessAsApp with admin consent, and register its service "
    "principal in Exchange (New-ServicePrincipal, with the object ID of the enterprise application)"
)
REFUSED_BY_GOOGLE = (
    "login: Google gave a token, but the mail server refuses it for this mailbox; check the "
    "address in login, and let IMAP be switched on for this user in the Admin console"
)


@pytest.mark.parametrize(
    ("kind", "said"), [("microsoft", REFUSED_BY_MICROSOFT), ("google", REFUSED_BY_GOOGLE)]
)
def test_a_mail_server_that_refuses_a_good_token(
    kind: str,
    said: str,
    identity: Identity,
    mailbox_by: Callable[..., Mailbox],
    server: TokenMailbox,
) -> None:
    identity.mailbox = "other@partner.example"
    other = mailbox_by(getattr(identity, kind), login="other@partner.example")
    assert failure(other) == said
    assert len(server.told) == 1  # a new token is not tried twice


def test_an_app_that_is_let_in_and_may_open_nothing(
    identity: Identity, mailbox_by: Callable[..., Mailbox], server: TokenMailbox
) -> None:
    server.is_closed = True
    assert failure(mailbox_by(identity.microsoft)) == (
        "login: the server takes the login, but it may not open this mailbox; check the address in "
        "login, and give the app's service principal the right in Exchange (Add-MailboxPermission)"
    )


def test_a_wrong_secret(identity: Identity, mailbox_by: Callable[..., Mailbox]) -> None:
    assert failure(mailbox_by({**identity.microsoft, "client_secret": "wrong"})) == (
        "client_secret: it is wrong; enter the secret's value, not its ID (Microsoft gives no "
        "token: invalid_client, AADSTS7000215)"
    )


def test_a_wrong_tenant(identity: Identity, mailbox_by: Callable[..., Mailbox]) -> None:
    assert failure(mailbox_by({**identity.microsoft, "tenant_id": "elsewhere"})) == (
        "tenant_id: 127.0.0.1 knows no tenant 'elsewhere'; enter the directory ID of the app "
        "registration, and leave authority empty outside national clouds"
    )


@pytest.mark.parametrize(
    ("kind", "status", "error", "code", "said"),
    [
        (
            "microsoft",
            401,
            "invalid_client",
            7000222,
            (
                "client_secret: it has run out; make a new one in the app registration (Microsoft "
                "gives no token: invalid_client, AADSTS7000222)"
            ),
        ),
        (
            "microsoft",
            400,
            "unauthorized_client",
            700016,
            (
                "client_id: the tenant has no such app; check client_id and tenant_id (Microsoft "
                "gives no token: unauthorized_client, AADSTS700016)"
            ),
        ),
        (
            "microsoft",
            401,
            "invalid_client",
            1,
            (
                "client_id: check tenant_id, client_id and client_secret; the app or its secret "
                "may have been revoked (Microsoft gives no token: invalid_client, AADSTS1)"
            ),
        ),
        (
            "google",
            401,
            "unauthorized_client",
            0,
            (
                "keyfile_dict: the service account may not stand in for the mailbox; in the Admin "
                "console give its client ID domain-wide delegation for the scope "
                "https://mail.google.com/ (Google gives no token: unauthorized_client)"
            ),
        ),
        (
            "google",
            400,
            "invalid_grant",
            0,
            (
                "keyfile_dict: the key or its service account was revoked; make a new key and "
                "enter its whole JSON (Google gives no token: invalid_grant)"
            ),
        ),
    ],
)
def test_what_the_identity_service_refuses(
    kind: str,
    status: int,
    error: str,
    code: int,
    said: str,
    identity: Identity,
    mailbox_by: Callable[..., Mailbox],
) -> None:
    identity.instead = (status, {"error": error, "error_codes": [code]})
    assert failure(mailbox_by(getattr(identity, kind))) == said


def test_a_user_that_google_does_not_know(
    identity: Identity, mailbox_by: Callable[..., Mailbox]
) -> None:
    assert failure(mailbox_by(identity.google, login="typo@partner.example")) == (
        "login: Google knows no such user; enter the mailbox's address (Google gives no token: "
        "invalid_grant)"
    )


@pytest.mark.parametrize("kind", KINDS)
def test_an_identity_service_that_fails_for_now_is_asked_again(
    kind: str,
    identity: Identity,
    mailbox_by: Callable[..., Mailbox],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("time.sleep", lambda _: None)  # google-auth waits between its tries
    identity.instead = (503, {"error": "temporarily_unavailable"})
    mailbox = mailbox_by(getattr(identity, kind))
    assert "gives no token" in failure(mailbox, TransientError)


@pytest.mark.parametrize(
    ("kind", "answer", "said"),
    [
        ("google", "hello", "keyfile_dict: its token_uri answers with no token, and no error"),
        ("google", [], "keyfile_dict: its token_uri answers with no token, and no error"),
        ("google", {"token_type": "Bearer"}, "keyfile_dict: check the service account"),
        ("microsoft", {"token_type": "Bearer"}, "client_id: check tenant_id, client_id and"),
        ("microsoft", "hello", "tenant_id: "),
    ],
)
def test_an_identity_service_that_answers_something_else(
    kind: str, answer: Any, said: str, identity: Identity, mailbox_by: Callable[..., Mailbox]
) -> None:
    identity.instead = (200, answer)
    message = failure(mailbox_by(getattr(identity, kind)))
    assert message.startswith(said)
    assert "None" not in message


@pytest.mark.parametrize("kind", KINDS)
def test_an_identity_service_that_nobody_vouches_for(
    kind: str,
    identity: Identity,
    mailbox_by: Callable[..., Mailbox],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("REQUESTS_CA_BUNDLE")
    monkeypatch.setattr("time.sleep", lambda _: None)
    mailbox = mailbox_by(getattr(identity, kind))
    assert "is not trusted" in failure(mailbox)
    assert identity.issued == []


WANTS_OAUTH = (
    "the server takes no password; set oauth to microsoft or google in its extra (connection.md)"
)


@pytest.mark.parametrize(
    ("capabilities", "no_password", "said"),
    [
        (b"IMAP4rev1 AUTH=XOAUTH2 LOGINDISABLED", b"", WANTS_OAUTH),
        (b"IMAP4rev1", b"LogonDenied-BasicAuthBlocked-1", WANTS_OAUTH),
        (b"IMAP4rev1", b"[ALERT] Application-specific password required", WANTS_OAUTH),
        (
            b"IMAP4rev1 AUTH=XOAUTH2",
            b"LOGIN failed.",
            "the server refuses the login; check login and password; it may take OAuth alone",
        ),
    ],
)
def test_a_mailbox_that_wants_oauth(
    capabilities: bytes,
    no_password: bytes,
    said: str,
    mailbox_by: Callable[..., Mailbox],
    server: TokenMailbox,
) -> None:
    server.capabilities, server.no_password = capabilities, no_password
    assert failure(mailbox_by({}, password="a-password")) == said


def test_a_server_without_oauth(
    identity: Identity, mailbox_by: Callable[..., Mailbox], server: TokenMailbox
) -> None:
    server.capabilities = b"IMAP4rev1 AUTH=PLAIN"
    assert failure(mailbox_by(identity.microsoft)) == (
        "host: the server offers no login by OAuth (AUTH=XOAUTH2); it is outlook.office365.com or "
        "imap.gmail.com, or leave oauth empty"
    )
    assert identity.issued == []


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"oauth": "yahoo"}, "oauth: 'yahoo' is not known; it is microsoft or google"),
        (
            {"oauth": ""},
            "oauth: missing, though its extra has client_secret; set it to microsoft or google",
        ),
        ({"client_secret": ""}, "client_secret: missing from its extra"),
        ({"tenant_id": None}, "tenant_id: missing from its extra"),
        ({"oauth": "google"}, "keyfile_dict: missing from its extra"),
        (
            {"oauth": "google", "keyfile_dict": "{"},
            "keyfile_dict: cannot be read; enter the whole JSON of a service account's key",
        ),
        (
            {"oauth": "google", "keyfile_dict": {"token_uri": "https://x", "private_key": "k"}},
            (
                "keyfile_dict: cannot be read (MalformedError); enter the whole JSON of a service "
                "account's key"
            ),
        ),
        ({"authority": "http://x"}, "authority: 'http://x' is no https:// URL"),
        (
            {"use_ssl": "false"},
            "use_ssl: a token is not sent without TLS; set it to true in its extra",
        ),
        (
            {"ssl_context": "none"},
            (
                "ssl_context: 'none' trusts whoever answers, and a token is not sent there; take "
                "it out of its extra, and let the workers trust the server's authority"
            ),
        ),
    ],
)
def test_fields_that_are_not_as_they_should_be(
    changed: dict[str, Any],
    said: str,
    identity: Identity,
    mailbox_by: Callable[..., Mailbox],
) -> None:
    assert failure(mailbox_by({**identity.microsoft, **changed})) == said


def test_a_key_as_text_is_read_too(identity: Identity, mailbox_by: Callable[..., Mailbox]) -> None:
    key = json.dumps(identity.google["keyfile_dict"])
    mailbox_by({"oauth": "google", "keyfile_dict": key}).check()


@pytest.mark.parametrize(("kind", "library"), [("microsoft", "msal"), ("google", "google.auth")])
def test_a_library_that_is_not_installed(
    kind: str,
    library: str,
    identity: Identity,
    mailbox_by: Callable[..., Mailbox],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    load = builtins.__import__

    def without(name: str, *arguments: Any, **options: Any) -> Any:
        if name.startswith(library):
            raise ModuleNotFoundError(name)
        return load(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    mailbox = mailbox_by(getattr(identity, kind))
    assert failure(mailbox) == "oauth: needs pip install 'airflow-am-provider[oauth]'"


def test_airflow_masks_the_secrets(identity: Identity) -> None:
    masker = pytest.importorskip("airflow.sdk._shared.secrets_masker")
    for extra in (identity.microsoft, identity.google):
        shown = str(masker.redact(extra))
        assert "***" in shown
        assert identity.client_secret not in shown
        assert "PRIVATE KEY" not in shown


@pytest.mark.parametrize("kind", KINDS)
def test_test_proves_the_mailbox(
    kind: str,
    identity: Identity,
    mailbox_by: Callable[..., Mailbox],
    audience_manager: Connect,
    tmp_path: Path,
) -> None:
    mailbox = mailbox_by(getattr(identity, kind))
    conn_id = audience_manager(
        environment="custom",
        transport="ftp",
        ftp_conn_id="absent",
        staging_location=str(tmp_path),
        receipts_imap_conn_id=mailbox.conn_id,
    )
    _, said = AudienceManagerHook(conn_id).test_connection()
    assert f"the mailbox {mailbox.conn_id!r} takes the login and opens for reading" in said
    assert len(identity.issued) == 1
