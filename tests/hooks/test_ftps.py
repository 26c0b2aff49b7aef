"""FTPS: whose certificate holds, what is said of others, and sessions that are taken up."""

import ftplib
import ssl
from pathlib import Path
from uuid import uuid4

import pytest

from airflow_am_provider.audience_manager.errors import ConfigurationError
from airflow_am_provider.hooks.audience_manager import AudienceManagerHook
from airflow_am_provider.hooks.ftps import FtpsClient, TimedFTPSHook
from airflow_am_provider.storage import LocalFolder
from demo.local.ftp import FtpServer
from demo.local.ftp import ftps_server as run_ftps_server
from tests.connections import Connect
from tests.staged_deliveries import NAMES, content_of, stage


def connection(server: FtpServer, **extra: object) -> dict[str, object]:
    return {**server.airflow_connection(), "extra": {"passive": True, **extra}}


def refused(conn_id: str) -> str:
    with pytest.raises(ConfigurationError) as caught:
        TimedFTPSHook(conn_id).new_connection()
    return str(caught.value)


def test_a_delivery_goes_by_ftps(
    ftps_server: FtpServer, connect: Connect, audience_manager: Connect, staging: LocalFolder
) -> None:
    folder = ftps_server.root / uuid4().hex
    folder.mkdir()
    hook = AudienceManagerHook(
        audience_manager(
            environment="custom",
            transport="ftps",
            ftp_conn_id=connect(ftps_server.airflow_connection()),
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


def test_lines_for_data_take_the_session_up(ftps_server: FtpServer, connect: Connect) -> None:
    ftp = TimedFTPSHook(connect(ftps_server.airflow_connection())).new_connection()
    assert isinstance(ftp, FtpsClient)
    line = ftp.transfercmd("NLST")
    assert isinstance(line, ssl.SSLSocket)
    assert line.session_reused
    line.close()
    ftp.close()


def test_a_certificate_that_nobody_knows(ftps_server: FtpServer, connect: Connect) -> None:
    conn_id = connect(connection(ftps_server))
    assert refused(conn_id) == (
        f"FTPS connection {conn_id!r}: 127.0.0.1 shows a certificate that does not hold: "
        f"self-signed certificate; nothing was sent, not even the password. Ask whoever runs it, "
        f"or put the certificate of your own authority into ca_certificate"
    )


@pytest.mark.parametrize(
    ("days", "host", "said", "cure"),
    [
        (-1, "127.0.0.1", "certificate has expired", "Ask whoever runs it for a new one"),
        (
            30,
            "127.0.0.2",
            "IP address mismatch, certificate is not valid for '127.0.0.1'.",
            "Give the connection the host that the certificate is for",
        ),
    ],
)
def test_a_certificate_that_has_expired_or_is_anothers(
    connect: Connect, tmp_path: Path, days: int, host: str, said: str, cure: str
) -> None:
    with run_ftps_server(tmp_path, days=days, host=host) as server:
        message = refused(connect(server.airflow_connection()))
    assert f"shows a certificate that does not hold: {said}" in message
    assert message.endswith(f"nothing was sent, not even the password. {cure}")


def test_a_host_that_does_not_encrypt_lines_for_data(
    ftps_server: FtpServer, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    # This server has P, and refuses what it does not have in the same way.
    monkeypatch.setattr(ftplib.FTP_TLS, "prot_p", lambda ftp: ftp.voidcmd("PROT E"))
    conn_id = connect(ftps_server.airflow_connection())
    message = refused(conn_id)
    assert message.startswith(
        f"FTPS connection {conn_id!r}: 127.0.0.1 does not encrypt the lines for data (reply 5"
    )
    assert message.endswith("Ask whoever runs it to allow that, or send by sftp")


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
