"""SFTP connections: whom they trust, and what is said when something does not hold."""

import os
import signal
import socket
import time
from pathlib import Path
from threading import Thread
from typing import Any
from uuid import uuid4

import asyncssh
import pytest

from airflow_am_provider.audience_manager.errors import ConfigurationError, TransientError
from airflow_am_provider.hooks.audience_manager import AudienceManagerHook
from airflow_am_provider.hooks.sftp import open_sftp
from airflow_am_provider.storage.drops import Broken
from demo.local.sftp import SftpServer
from demo.local.sftp import sftp_server as run_sftp_server
from tests.connections import Connect


def new_key(kind: str = "ssh-ed25519", passphrase: str | None = None) -> tuple[str, str]:
    """A private key, and its public one."""
    key = asyncssh.generate_private_key(kind)
    private = key.export_private_key(passphrase=passphrase).decode()
    return private, key.export_public_key().decode().strip()


def fingerprint(public: str) -> str:
    return asyncssh.import_public_key(public).get_fingerprint()


def refused(conn_id: str) -> str:
    with pytest.raises(ConfigurationError) as caught:
        open_sftp(conn_id, "/")
    return str(caught.value)


def test_a_host_whose_key_nobody_knows(
    sftp_server: SftpServer, connect: Connect, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    conn_id = connect(sftp_server.airflow_connection(host_key=None))
    assert refused(conn_id) == (
        f"SFTP connection {conn_id!r}: host_key: 127.0.0.1 shows ssh-ed25519 "
        f"{fingerprint(sftp_server.host_key)}, and no key of it is known; compare that with what "
        f"Adobe says, then put it into host_key: '{sftp_server.host_key}'"
    )
    # Nothing was learnt by asking.
    assert refused(conn_id).startswith(f"SFTP connection {conn_id!r}: host_key: 127.0.0.1 shows ")
    known = tmp_path / ".ssh" / "known_hosts"
    assert not known.exists()
    known.parent.mkdir()
    known.write_text(f"[127.0.0.1]:{sftp_server.port} {sftp_server.host_key}\n")
    open_sftp(conn_id, "/").leave()


def test_a_host_whose_key_has_changed(sftp_server: SftpServer, connect: Connect) -> None:
    _, other = new_key()
    conn_id = connect(sftp_server.airflow_connection(host_key=other))
    assert refused(conn_id) == (
        f"SFTP connection {conn_id!r}: host_key: 127.0.0.1 shows ssh-ed25519 "
        f"{fingerprint(sftp_server.host_key)}, and known is ssh-ed25519 {fingerprint(other)}; "
        f"somebody may be in between. Nothing was sent. Only if Adobe says that its key has "
        f"changed, put the new one into host_key: '{sftp_server.host_key}'"
    )


@pytest.mark.parametrize(
    "field", ["no_host_key_check", "ignore_hostkey_verification", "allow_host_key_change"]
)
@pytest.mark.parametrize("value", [True, "true"])
def test_trusting_whoever_answers_is_refused(
    sftp_server: SftpServer, connect: Connect, field: str, value: object
) -> None:
    conn_id = connect(sftp_server.airflow_connection(host_key=None, **{field: value}))
    assert refused(conn_id) == (
        f"SFTP connection {conn_id!r}: {field}: true would send to whoever answers; take it out, "
        f"and put the host's key into host_key"
    )


def test_a_key_that_the_host_does_not_take(sftp_server: SftpServer, connect: Connect) -> None:
    private, public = new_key()
    conn_id = connect(sftp_server.airflow_connection(private_key=private))
    assert refused(conn_id) == (
        f"SFTP connection {conn_id!r}: 127.0.0.1 refuses the login {sftp_server.user!r} with the "
        f"key ssh-ed25519 {fingerprint(public)}; check login and private_key, and "
        f"that Adobe has its public key"
    )


def test_a_password_is_enough_where_the_host_takes_one(
    sftp_server: SftpServer, connect: Connect
) -> None:
    document = sftp_server.airflow_connection(private_key=None)
    open_sftp(connect({**document, "password": sftp_server.password}), "/").leave()
    conn_id = connect({**document, "password": "planted-secret"})
    assert refused(conn_id) == (
        f"SFTP connection {conn_id!r}: 127.0.0.1 refuses the password; check login and password, "
        f"or give it a private_key: Adobe's gateway takes OpenSSH keys only "
        f"(faq/faq-data-collection.md)"
    )


@pytest.mark.parametrize("kind", ["ssh-rsa", "ecdsa-sha2-nistp256"])
def test_keys_of_other_kinds_can_be_read(
    sftp_server: SftpServer, connect: Connect, kind: str
) -> None:
    private, _ = new_key(kind, passphrase="planted-secret")
    document = sftp_server.airflow_connection(
        private_key=private, private_key_passphrase="planted-secret"
    )
    assert "with the key" in refused(connect(document))


def test_a_key_that_is_none_is_not_shown(sftp_server: SftpServer, connect: Connect) -> None:
    conn_id = connect(sftp_server.airflow_connection(private_key="planted-secret"))
    message = refused(conn_id)
    assert message == (
        f"SFTP connection {conn_id!r}: private_key: cannot be read; it is a whole OpenSSH or PEM "
        f"key with its line breaks"
    )


@pytest.mark.parametrize("between", [" ", ""])
def test_a_key_whose_line_breaks_are_lost(
    sftp_server: SftpServer, connect: Connect, between: str
) -> None:
    private = new_key()[0].strip().replace("\n", between)
    conn_id = connect(sftp_server.airflow_connection(private_key=private))
    assert refused(conn_id) == (
        f"SFTP connection {conn_id!r}: private_key: cannot be read: its line breaks are lost; in "
        f"JSON each is \\n"
    )


def test_a_fingerprint_is_no_host_key(sftp_server: SftpServer, connect: Connect) -> None:
    shown = fingerprint(sftp_server.host_key)
    conn_id = connect(sftp_server.airflow_connection(host_key=shown))
    assert refused(conn_id) == (
        f"SFTP connection {conn_id!r}: host_key: is a fingerprint; host_key is the whole key, "
        f"which Test shows without a host_key"
    )


@pytest.mark.parametrize("host_key", ["", "AAAA", "127.0.0.1 ssh-ed25519 AAAA"])
def test_a_host_key_that_is_none(sftp_server: SftpServer, connect: Connect, host_key: str) -> None:
    conn_id = connect(sftp_server.airflow_connection(host_key=host_key))
    assert refused(conn_id) == (
        f"SFTP connection {conn_id!r}: host_key: cannot be read; it is like 'ssh-ed25519 AAAA…'"
    )


@pytest.mark.parametrize("as_file", [False, True])
@pytest.mark.parametrize("kind", ["ssh-ed25519", "ssh-rsa"])
def test_a_passphrase_that_is_wrong_or_missing(
    sftp_server: SftpServer, connect: Connect, tmp_path: Path, kind: str, as_file: bool
) -> None:
    private, _ = new_key(kind, passphrase="planted-secret")
    field, value = "private_key", private
    if as_file:
        field, value = "key_file", str(tmp_path / "key")
        Path(value).write_text(private)
    key = {"private_key": None, field: value}

    def said(passphrase: str | None) -> str:
        extra = {**key, "private_key_passphrase": passphrase}
        conn_id = connect(sftp_server.airflow_connection(**extra))
        return refused(conn_id).removeprefix(f"SFTP connection {conn_id!r}: ")

    assert said(None).startswith(f"private_key_passphrase: missing, and {field} has one")
    assert said("planted-other").startswith(f"private_key_passphrase: is not that of {field}")
    assert "with the key" in said("planted-secret")


def test_a_key_file_that_is_not_there_is_not_the_hosts_fault(
    sftp_server: SftpServer, connect: Connect, tmp_path: Path
) -> None:
    path = tmp_path / "absent"
    conn_id = connect(sftp_server.airflow_connection(private_key=None, key_file=str(path)))
    assert refused(conn_id) == (
        f"SFTP connection {conn_id!r}: key_file: cannot read {str(path)!r} on this machine (No "
        f"such file or directory); each worker needs it, or put the key into private_key"
    )


@pytest.mark.parametrize("line", ["@revoked * ssh-ed25519 AAAA", "other ssh-ed25519 garbage"])
def test_known_hosts_that_cannot_be_read(
    sftp_server: SftpServer,
    connect: Connect,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    line: str,
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh" / "known_hosts").write_text(f"{line}\n")
    conn_id = connect(sftp_server.airflow_connection(host_key=None))
    assert refused(conn_id) == (
        f"SFTP connection {conn_id!r}: host_key: missing, and known_hosts of this machine has a "
        f"line that cannot be read here: {line!r}; put the host's key into host_key"
    )
    # Who names the key needs no file.
    open_sftp(connect(sftp_server.airflow_connection()), "/").leave()


@pytest.mark.parametrize("transport", ["sftp", "ftp"])
@pytest.mark.parametrize(
    ("host", "why"), [("127.0.0.1", "nothing listens there"), ("absent.invalid", "nobody knows")]
)
def test_a_host_that_cannot_be_reached_is_named(
    sftp_server: SftpServer,
    connect: Connect,
    audience_manager: Connect,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    transport: str,
    host: str,
    why: str,
) -> None:
    monkeypatch.setattr("airflow_am_provider.storage.drops.drop.time.sleep", lambda _: None)
    where = {"host": host, "port": 1}
    account = connect({**sftp_server.airflow_connection(), **where, "conn_type": transport})
    conn_id = audience_manager(
        environment="custom", transport=transport, ftp_conn_id=account, staging_location="/tmp"
    )
    with pytest.raises(TransientError) as caught:
        AudienceManagerHook(conn_id).drop().check()
    message = str(caught.value)
    assert message.startswith(
        f"{transport.upper()} connection {account!r}: cannot enter '/': {host}, port 1: {why}"
    )
    assert message.endswith("5 times; check host and port, and that this machine may go there")


def test_what_answers_and_speaks_no_ssh(sftp_server: SftpServer, connect: Connect) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def answer() -> None:
            line, _ = listening.accept()
            with line:
                line.sendall(b"HTTP/1.0 400 Bad Request\r\n\r\n")

        Thread(target=answer, daemon=True).start()
        port = listening.getsockname()[1]
        conn_id = connect({**sftp_server.airflow_connection(), "port": port})
        with pytest.raises(Broken, match="does not speak SSH, or says nothing"):
            open_sftp(conn_id, "/", timeout_s=10)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"host": ""}, "host: missing"),
        ({"login": ""}, "login: missing"),
        (
            {"extra": {}},
            (
                "private_key: missing; Adobe's gateway takes OpenSSH keys only "
                "(faq/faq-data-collection.md)"
            ),
        ),
    ],
)
def test_what_the_connection_lacks(
    sftp_server: SftpServer, connect: Connect, change: dict[str, Any], message: str
) -> None:
    conn_id = connect({**sftp_server.airflow_connection(), **change})
    assert refused(conn_id) == f"SFTP connection {conn_id!r}: {message}"


def test_a_host_that_falls_silent_is_not_waited_for(tmp_path: Path, connect: Connect) -> None:
    with run_sftp_server(tmp_path) as server:
        conn_id = connect(server.airflow_connection())
        session = open_sftp(conn_id, "/", timeout_s=1)
        pid = int((tmp_path / "pid").read_text())
        os.kill(pid, signal.SIGSTOP)
        try:
            begun = time.monotonic()
            with pytest.raises(Broken):
                session.store("file", Endless(), 0)
            session.close()
            with pytest.raises(Broken):
                open_sftp(conn_id, "/", timeout_s=1)
            assert time.monotonic() - begun < 30
        finally:
            os.kill(pid, signal.SIGCONT)


class Endless:
    """A source without an end."""

    def read(self, size: int = -1, /) -> bytes:
        return bytes(size)


def test_the_hook_proves_the_road(
    sftp_server: SftpServer, tmp_path: Path, connect: Connect, audience_manager: Connect
) -> None:
    directory = sftp_server.root / uuid4().hex
    directory.mkdir()
    conn_id = audience_manager(
        environment="custom",
        transport="sftp",
        ftp_conn_id=connect(sftp_server.airflow_connection()),
        ftp_directory=f"/{directory.name}",
        staging_location=str(tmp_path),
    )
    hook = AudienceManagerHook(conn_id)
    holds, message = hook.test_connection()
    assert holds
    said = (
        f"ok Destination: sftp://127.0.0.1/{directory.name} takes the login and has the directory."
    )
    assert said in message
    assert hook.destination_name == f"custom/sftp://127.0.0.1/{directory.name}"
    assert list(directory.iterdir()) == []
