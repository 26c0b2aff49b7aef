"""An identity service over HTTPS, and an IMAP server that takes its tokens alone.

The mailbox behind that server is a real one: after the login all is passed on to it.
"""

from __future__ import annotations

import base64
import contextlib
import json
import secrets
import socketserver
import ssl
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Final, Self
from urllib.parse import parse_qs

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from demo.local.certificate import write_certificate
from demo.local.processes import HOST

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from demo.local.imap import ImapServer

Answer = tuple[int, dict[str, Any]]

_SCOPE: Final = "https://outlook.office365.com/.default"


@dataclass(frozen=True)
class Certificate:
    """A certificate for this machine.

    :param file: whoever trusts it trusts the servers here.
    :param key: the same with its key.
    """

    file: Path
    key: Path

    @classmethod
    def make(cls, directory: Path) -> Self:
        made = cls(directory / "trust.pem", directory / "server.pem")
        made.file.write_text(write_certificate(made.key))
        return made

    def context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.key)
        return context


def _pem(key: Any) -> bytes:
    return bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )


@cache
def _service_account_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@dataclass
class Identity:
    """What Microsoft's and Google's identity services answer. Attributes may be changed."""

    mailbox: str
    url: str = ""
    tenant: str = "11111111-2222-3333-4444-555555555555"
    client_id: str = "the-app"
    client_secret: str = field(default_factory=lambda: f"app-{secrets.token_hex(16)}")
    key: rsa.RSAPrivateKey = field(default_factory=_service_account_key)
    lasts_s: int = 3600
    #: The next answer with a token is this one.
    instead: Answer | None = None
    #: Tokens that the mail server takes, with their ends.
    good: dict[str, float] = field(default_factory=dict)
    issued: list[str] = field(default_factory=list)

    @property
    def microsoft(self) -> dict[str, Any]:
        """Extra of a connection by client credentials."""
        return {
            "oauth": "microsoft",
            "tenant_id": self.tenant,
            "client_id": self.client_id,
            "client_secret": self.client_secret,
            "authority": self.url,
        }

    @property
    def google(self) -> dict[str, Any]:
        """Extra of a connection by a service account."""
        key = {
            "type": "service_account",
            "client_email": "receipts@project.example",
            "private_key_id": "1",
            "private_key": _pem(self.key).decode(),
            "token_uri": f"{self.url}/google/token",
        }
        return {"oauth": "google", "keyfile_dict": key}

    def token(self) -> Answer:
        token = secrets.token_urlsafe(900)
        self.issued.append(token)
        self.good[token] = time.monotonic() + self.lasts_s
        return 200, {"access_token": token, "token_type": "Bearer", "expires_in": self.lasts_s}

    def discover(self, path: str) -> Answer:
        tenant = path.split("/")[1]
        if tenant != self.tenant:
            return 400, {"error": "invalid_tenant", "error_codes": [90002]}
        base = f"{self.url}/{tenant}"
        return 200, {
            "issuer": f"{base}/v2.0",
            "authorization_endpoint": f"{base}/oauth2/v2.0/authorize",
            "token_endpoint": f"{base}/oauth2/v2.0/token",
        }

    def answer(self, path: str, form: dict[str, str]) -> Answer:
        if self.instead is not None:
            return self.instead
        if path == "/google/token":
            return self._by_assertion(form)
        if form["client_id"] != self.client_id:
            return _refused(400, "unauthorized_client", 700016, form["client_id"])
        if form["client_secret"] != self.client_secret:
            return _refused(401, "invalid_client", 7000215, form["client_secret"])
        if form["scope"] != _SCOPE:
            return _refused(400, "invalid_resource", 500011, form["scope"])
        assert form["grant_type"] == "client_credentials"
        return self.token()

    def _by_assertion(self, form: dict[str, str]) -> Answer:
        try:
            claims = jwt.decode(
                form["assertion"],
                self.key.public_key(),
                algorithms=["RS256"],
                audience="https://oauth2.googleapis.com/token",
            )
        except jwt.InvalidSignatureError:
            return 400, {"error": "invalid_grant", "error_description": "Invalid JWT Signature."}
        assert claims["scope"] == "https://mail.google.com/"
        if claims["sub"] != self.mailbox:
            said = "Invalid email or User ID"
            return 400, {"error": "invalid_grant", "error_description": said}
        return self.token()


def _refused(status: int, error: str, code: int, given: str) -> Answer:
    """As Microsoft does, which repeats what it was given."""
    said = f"AADSTS{code}: not {given}"
    return status, {"error": error, "error_description": said, "error_codes": [code]}


@contextmanager
def identity_service(certificate: Certificate, mailbox: str) -> Iterator[Identity]:
    """Run an identity service that gives tokens for a mailbox."""
    identity = Identity(mailbox)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._say(identity.discover(self.path))

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            form = {name: values[0] for name, values in parse_qs(body).items()}
            self._say(identity.answer(self.path, form))

        def _say(self, answer: Answer) -> None:
            status, document = answer
            body = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer((HOST, 0), Handler)
    server.socket = certificate.context().wrap_socket(server.socket, server_side=True)
    identity.url = f"https://{HOST}:{server.server_address[1]}"
    with _served(server):
        yield identity


@dataclass
class TokenMailbox:
    """A mailbox that takes tokens alone. Attributes may be changed."""

    port: int
    certificate: Certificate
    capabilities: bytes = b"IMAP4rev1 AUTH=XOAUTH2"
    #: What it says to any password.
    no_password: bytes = b"LOGIN failed."
    #: Whether the app is let in but may open nothing, as Exchange has it.
    is_closed: bool = False
    #: Base64 of what it was told.
    told: list[bytes] = field(default_factory=list)


@contextmanager
def token_mailbox(
    certificate: Certificate, behind: ImapServer, identity: Identity
) -> Iterator[TokenMailbox]:
    """Run an IMAP server over TLS that asks for a token and passes the rest on."""

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self._say(b"* OK ready")
            for line in self.rfile:
                tag, _, command = line.strip().partition(b" ")
                word = command.upper().partition(b" ")[0]
                if word == b"CAPABILITY":
                    self._say(b"* CAPABILITY " + mailbox.capabilities, tag + b" OK done")
                elif command == b"AUTHENTICATE XOAUTH2":
                    if self._let_in(tag):
                        self._pass_on()
                        return
                elif word == b"LOGIN":
                    self._say(tag + b" NO " + mailbox.no_password)
                elif word == b"LOGOUT":
                    self._say(b"* BYE", tag + b" OK done")
                    return
                else:
                    self._say(tag + b" BAD not logged in")

        def _say(self, *lines: bytes) -> None:
            self.wfile.write(b"".join(line + b"\r\n" for line in lines))

        def _let_in(self, tag: bytes) -> bool:
            self._say(b"+ ")
            told = self.rfile.readline().strip()
            mailbox.told.append(told)
            start, _, token = base64.b64decode(told).partition(b"\x01auth=Bearer ")
            ends = identity.good.get(token.removesuffix(b"\x01\x01").decode(), 0.0)
            if start == b"user=" + behind.user.encode() and time.monotonic() < ends:
                self._say(tag + b" OK AUTHENTICATE completed.")
                return True
            self._say(b"+ " + base64.b64encode(b'{"status":"400","schemes":"Bearer"}'))
            assert self.rfile.readline() == b"\r\n"
            self._say(tag + b" NO AUTHENTICATE failed.")
            return False

        def _pass_on(self) -> None:
            client = behind.connect()

            def back() -> None:
                with contextlib.suppress(OSError):  # either side may be gone
                    while data := client.sock.recv(65536):
                        self.connection.sendall(data)

            thread = threading.Thread(target=back, daemon=True)
            thread.start()
            for line in self.rfile:
                tag, _, command = line.partition(b" ")
                if mailbox.is_closed and command.startswith(b"EXAMINE"):
                    self._say(tag + b" BAD User is authenticated but not connected.")
                else:
                    client.sock.sendall(line)
            client.shutdown()
            thread.join(timeout=5)

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True

        def handle_error(self, *address: Any) -> None:
            # Whoever does not trust the certificate hangs up in the middle of the handshake.
            if not isinstance(sys.exception(), OSError):
                super().handle_error(*address)

    context = certificate.context()
    server = Server((HOST, 0), Handler)
    server.socket = context.wrap_socket(
        server.socket, server_side=True, do_handshake_on_connect=False
    )
    mailbox = TokenMailbox(server.server_address[1], certificate)
    with _served(server):
        yield mailbox


@contextmanager
def _served(server: socketserver.BaseServer) -> Iterator[None]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
