"""Fixtures with real servers, most of :mod:`demo.local`, started when a test first asks for them.

They last for the whole run, one of each per pytest-xdist worker: tests keep apart by names of
their own for databases, buckets, folders and mailboxes.
"""

from collections.abc import Iterator

import pytest

from benchmarks.mysql_server import mysql_server
from demo.local import ftp as local_ftp
from demo.local import imap as local_imap
from demo.local import postgres as local_postgres
from demo.local import s3 as local_s3
from demo.local import sftp as local_sftp


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[local_postgres.Postgres]:
    with local_postgres.postgres(tmp_path_factory.mktemp("postgres")) as server:
        yield server


@pytest.fixture(scope="session")
def mysql_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """Where MariaDB listens; for tests that have asked for its drivers."""
    with mysql_server(tmp_path_factory.mktemp("mysql")) as port:
        yield port


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[local_s3.S3]:
    with local_s3.s3(tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture(scope="session")
def ftp_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[local_ftp.FtpServer]:
    with local_ftp.ftp_server(tmp_path_factory.mktemp("ftp")) as server:
        yield server


@pytest.fixture(scope="session")
def ftps_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[local_ftp.FtpServer]:
    with local_ftp.ftps_server(tmp_path_factory.mktemp("ftps")) as server:
        yield server


@pytest.fixture(scope="session")
def imap_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[local_imap.ImapServer]:
    with local_imap.imap_server(tmp_path_factory.mktemp("imap")) as server:
        yield server


@pytest.fixture(scope="session")
def sftp_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[local_sftp.SftpServer]:
    with local_sftp.sftp_server(tmp_path_factory.mktemp("sftp")) as server:
        yield server
