"""FTPS: whose certificate holds, what is said of others, and sessions that are taken up."""

import ftplib
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path
from uuid import uuid4

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from airflow_am_provider.audience_manager.errors import ConfigurationError
from airflow_am_provider.hooks.audience_manager import AudienceManagerHook
from airflow_am_provider.hooks.ftps import FtpsClient, TimedFTPSHook
from airflow_am_provider.storage import LocalFolder
from demo.local.ftp import FtpServer, ftp_server
from tests.connections import Connect, staging
from tests.staged_deliveries import NAMES, content_of, stage

__all__ = ["staging"]

Certified = tuple[FtpServer, str]


def certificate(path: Path, *, days: int, host: str = "127.0.0.1") -> str:
    """Write key and certificate to a file; gives the certificate."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "local")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=30))
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(IPv4Address(host))]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    public = made.public_bytes(serialization.Encoding.PEM)
    path.write_bytes(private + public)
    return public.decode()


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Certified]:
    directory = tmp_path_factory.mktemp("ftps")
    pem = certificate(directory / "server.pem", days=30)
    with ftp_server(directory, certificate=directory / "server.pem") as server:
        yield server, pem


def connection(server: FtpServer, **extra: object) -> dict[str, object]:
    return {**server.airflow_connection(), "extra": {"passive": True, **extra}}


def refused(conn_id: str) -> str:
    with pytest.raises(ConfigurationError) as caught:
        TimedFTPSHook(conn_id).new_connection()
    return str(caught.value)


def test_a_delivery_goes_by_ftps(
    good: Certified, connect: Connect, audience_manager: Connect, staging: LocalFolder
) -> None:
    server, pem = good
    folder = server.root / uuid4().hex
    folder.mkdir()
    hook = AudienceManagerHook(
        audience_manager(
            environment="custom",
            transport="ftps",
            ftp_conn_id=connect(connection(server, ca_certificate=pem)),
            ftp_directory=f"/{folder.name}",
            staging_location=staging.url,
        )
    )
    sent = hook.upload(stage(staging, conn_id=hook.audience_manager_conn_id).to_json())
    assert sent is not None
    assert sent["destination"] == f"ftps://127.0.0.1/{folder.name}"
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {
        name: content_of(name) for name in NAMES
    }
    # Airflow's own hook leaves its port there, for all connections of the process.
    assert ftplib.FTP_TLS.port == ftplib.FTP_PORT


def test_lines_for_data_take_the_session_up(good: Certified, connect: Connect) -> None:
    server, pem = good
    ftp = TimedFTPSHook(connect(connection(server, ca_certificate=pem))).new_connection()
    assert isinstance(ftp, FtpsClient)
    line = ftp.transfercmd("NLST")
    assert isinstance(line, ssl.SSLSocket)
    assert line.session_reused
    line.close()
    ftp.close()


def test_a_certificate_that_nobody_knows(good: Certified, connect: Connect) -> None:
    conn_id = connect(connection(good[0]))
    assert refused(conn_id) == (
        f"FTPS connection {conn_id!r}: 127.0.0.1 shows a certificate that does not hold: "
        f"self-signed certificate; nothing was sent, not even the password. Ask whoever runs it, "
        f"or put the certificate of your own authority into ca_certificate"
    )


@pytest.mark.parametrize(
    ("days", "host", "said"),
    [
        (-1, "127.0.0.1", "certificate has expired"),
        (30, "127.0.0.2", "IP address mismatch, certificate is not valid for '127.0.0.1'."),
    ],
)
def test_a_certificate_that_has_expired_or_is_anothers(
    connect: Connect, tmp_path: Path, days: int, host: str, said: str
) -> None:
    pem = certificate(tmp_path / "server.pem", days=days, host=host)
    with ftp_server(tmp_path, certificate=tmp_path / "server.pem") as server:
        message = refused(connect(connection(server, ca_certificate=pem)))
    assert f"shows a certificate that does not hold: {said}" in message


def test_a_host_without_tls(ftp_server: FtpServer, connect: Connect) -> None:
    conn_id = connect(connection(ftp_server))
    assert refused(conn_id) == (
        f"FTPS connection {conn_id!r}: 127.0.0.1 does not speak TLS (reply 500 to AUTH TLS); "
        f"nothing was sent, not even the password"
    )


def test_an_authority_that_is_no_certificate(ftp_server: FtpServer, connect: Connect) -> None:
    conn_id = connect(connection(ftp_server, ca_certificate="planted"))
    assert refused(conn_id) == (
        f"FTPS connection {conn_id!r}: ca_certificate: is no certificate; it is PEM, from "
        f"-----BEGIN CERTIFICATE----- on, with its line breaks"
    )
