"""SFTP by Airflow's SFTP connection, with what Airflow's hook leaves open.

The host's key is always checked against one that is known before; nothing waits for ever; and
what is packed already is not packed again.
"""

from __future__ import annotations

import base64
import hashlib
import socket
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn

from airflow_am_provider.airflow_compat import AirflowException
from airflow_am_provider.audience_manager.errors import ConfigurationError
from airflow_am_provider.audience_manager.names import printable
from airflow_am_provider.hooks.connections import get_connection
from airflow_am_provider.hooks.ssh_keys import key_problem, unreadable
from airflow_am_provider.storage.drops import Broken
from airflow_am_provider.storage.drops.session import reason

if TYPE_CHECKING:
    from airflow.sdk import Connection

    from airflow_am_provider.storage.drops.sftp import SftpSession

_TIMEOUT_S: Final = 60.0
_PORT: Final = 22


def open_sftp(conn_id: str, directory: str, *, timeout_s: float = _TIMEOUT_S) -> SftpSession:
    """Connect, prove the host, log in.

    :param conn_id: an Airflow connection of the type ``sftp``. Its extra may have
        ``private_key``, ``private_key_passphrase``, ``key_file``, ``host_key``, ``ciphers`` and
        ``disabled_algorithms``, in the words of Airflow's hook. Without ``host_key`` the
        worker's ``known_hosts`` must have the host.
    :param directory: where files go, as the host names it.
    :param timeout_s: seconds that the host may be silent.
    :raises ConfigurationError: when the connection lacks something, the host's key is not the one
        that is known, or it refuses the login.
    :raises Broken: when the host does not answer.
    """
    connection = get_connection(conn_id, asked_by="ftp_conn_id")
    who = f"SFTP connection {conn_id!r}"
    described = _described(connection, who)
    import paramiko

    from airflow_am_provider.storage.drops.sftp import LenientSftpClient, SftpSession, failures

    client = paramiko.SSHClient()
    _trust(client, described, who)
    # Steps of the handshake that wait without a limit end with the connection.
    guard = threading.Timer(2 * timeout_s, client.close)
    guard.daemon = True
    guard.start()
    try:
        with failures():
            _connect(client, described, who, timeout_s)
            transport = client.get_transport()
            if transport is None:
                raise Broken("a connection that ended early")
            channel = transport.open_session(timeout=timeout_s)
            channel.settimeout(timeout_s)
            channel.invoke_subsystem("sftp")
            return SftpSession(LenientSftpClient(channel), directory, client.close)
    except BaseException:
        client.close()
        raise
    finally:
        guard.cancel()


def _described(connection: Connection, who: str) -> Any:
    """What Airflow's hook reads from the connection."""
    for field in ("host", "login"):
        if not getattr(connection, field):
            raise ConfigurationError(f"{who}: {field}: missing")
    extra = connection.extra_dejson
    for field in ("no_host_key_check", "ignore_hostkey_verification", "allow_host_key_change"):
        if str(extra.get(field, False)).lower() == "true":
            raise ConfigurationError(
                f"{who}: {field}: true would send to whoever answers; take it out, and put the "
                f"host's key into host_key"
            )
    try:
        from airflow.providers.sftp.hooks.sftp import SFTPHook
        from paramiko import SSHException
    except ImportError:
        raise ConfigurationError(
            f"{who}: transport sftp needs pip install 'airflow-am-provider[sftp]'"
        ) from None
    try:
        described = SFTPHook(ssh_conn_id=connection.conn_id)
    except (AirflowException, SSHException, OSError, TypeError, ValueError):
        # Its text may hold a key.
        raise ConfigurationError(f"{who}: {unreadable(extra)}") from None
    if not (described.pkey or described.key_file or described.password):
        raise ConfigurationError(
            f"{who}: private_key: missing; Adobe's gateway takes OpenSSH keys only "
            f"(faq/faq-data-collection.md)"
        )
    if not described.pkey and described.key_file:
        _read_key_file(described, extra.get("private_key_passphrase"), who)
    return described


def _read_key_file(described: Any, passphrase: str | None, who: str) -> None:
    """Read the key before anybody is asked: what fails later would be taken for the host's word."""
    import paramiko

    path = Path(described.key_file).expanduser()
    try:
        text = path.read_bytes().decode(errors="replace")
        described.pkey = paramiko.PKey.from_path(path, passphrase.encode() if passphrase else None)
    except OSError as error:
        raise ConfigurationError(
            f"{who}: key_file: cannot read {printable(str(path))!r} on this machine "
            f"({error.strerror}); each worker needs it, or put the key into private_key"
        ) from None
    except (paramiko.SSHException, paramiko.UnknownKeyType, TypeError, ValueError):
        problem = key_problem(text, passphrase, "key_file")
        raise ConfigurationError(f"{who}: {problem or 'key_file: cannot be read'}") from None


def _trust(client: Any, described: Any, who: str) -> None:
    """Let the client know the host's key, and refuse every other."""
    from paramiko import MissingHostKeyPolicy
    from paramiko.hostkeys import InvalidHostKey

    class _Refuse(MissingHostKeyPolicy):  # type: ignore[misc]  # paramiko has no types
        def missing_host_key(self, _: Any, __: str, key: Any) -> NoReturn:
            raise ConfigurationError(
                f"{who}: host_key: {described.remote_host} shows {_shown(key)}, and no key of it "
                f"is known; compare that with what Adobe says, then put it into host_key: "
                f"{_line(key)}"
            )

    client.set_missing_host_key_policy(_Refuse())
    port = described.port or _PORT
    if described.host_key is None:
        try:
            client.load_system_host_keys()
        except InvalidHostKey as error:
            # It may be one that OpenSSH reads, such as @revoked: left out it would be believed.
            raise ConfigurationError(
                f"{who}: host_key: missing, and known_hosts of this machine has a line that cannot "
                f"be read here: {printable(error.line)[:80]!r}; put the host's key into host_key"
            ) from None
        return
    host = described.remote_host
    name = host if port == _PORT else f"[{host}]:{port}"
    client.get_host_keys().add(name, described.host_key.get_name(), described.host_key)


def _connect(client: Any, described: Any, who: str, timeout_s: float) -> None:
    import paramiko

    def transport(sock: socket.socket, **options: Any) -> Any:
        # Without it a host that takes nothing more is waited for in vain.
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            milliseconds = int(timeout_s * 1000)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, milliseconds)
        made = paramiko.Transport(sock, **options)
        security = made.get_security_options()
        # What checks and encrypts in one go takes half the time.
        wanted = getattr(described, "ciphers", None) or sorted(
            security.ciphers, key=lambda name: "gcm" not in name
        )
        security.ciphers = tuple(wanted)
        return made

    try:
        client.connect(
            described.remote_host,
            described.port or _PORT,
            described.username,
            described.password or None,
            described.pkey,
            timeout=timeout_s,
            banner_timeout=timeout_s,
            auth_timeout=timeout_s,
            channel_timeout=timeout_s,
            allow_agent=False,
            look_for_keys=False,
            compress=False,
            disabled_algorithms=described.disabled_algorithms,
            transport_factory=transport,
        )
    except paramiko.BadHostKeyException as error:
        raise ConfigurationError(
            f"{who}: host_key: {described.remote_host} shows {_shown(error.key)}, and known is "
            f"{_shown(error.expected_key)}; somebody may be in between. Nothing was sent. Only if "
            f"Adobe says that its key has changed, put the new one into host_key: "
            f"{_line(error.key)}"
        ) from None
    except paramiko.AuthenticationException:
        raise ConfigurationError(_refused(described, who)) from None
    except paramiko.ssh_exception.NoValidConnectionsError as error:
        # One for each address of the host.
        raise Broken(reason(next(iter(error.errors.values()), error))) from None
    except paramiko.ssh_exception.IncompatiblePeer:
        raise ConfigurationError(
            f"{who}: {described.remote_host} and this machine have no cipher or key exchange in "
            f"common; ask for others in ciphers, or take them out of disabled_algorithms"
        ) from None
    except paramiko.SSHException:
        reached = client.get_transport()
        if reached is None or not reached.remote_version:
            raise Broken("what answers does not speak SSH, or says nothing") from None
        raise


def _refused(described: Any, who: str) -> str:
    host, key = described.remote_host, described.pkey
    if key is None:
        return (
            f"{who}: {host} refuses the password; check login and password, or give it a "
            f"private_key: Adobe's gateway takes OpenSSH keys only (faq/faq-data-collection.md)"
        )
    return (
        f"{who}: {host} refuses the login {printable(described.username)!r} with the key "
        f"{_shown(key)}; check login and private_key, and that Adobe has its public key"
    )


def _shown(key: Any) -> str:
    """A key as people compare it: its kind, and its fingerprint as OpenSSH writes it."""
    digest = base64.b64encode(hashlib.sha256(key.asbytes()).digest()).decode().rstrip("=")
    return f"{printable(key.get_name())} SHA256:{digest}"


def _line(key: Any) -> str:
    return f"'{printable(key.get_name())} {key.get_base64()}'"
