"""The demo's servers in the foreground, one a process: what the containers of the compose file run.

    python -m demo.serve s3 --host 0.0.0.0 --port 5000 --bucket NAME …
    python -m demo.serve ftp --host 0.0.0.0 --port 2121 --user NAME --folder PATH
    python -m demo.serve imap --host 0.0.0.0 --port 1143 --user NAME
    python -m demo.serve crm --host HOST --port 5432 --user NAME

The first three serve until they are ended by a signal, and are asked for their health with
``--check``. The last fills the CRM's database, unless that was done before, and ends. Passwords
come from the environment variable ``DEMO_PASSWORD``.
"""

from __future__ import annotations

import argparse
import ftplib
import http.client
import imaplib
import os
import sys
import threading
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from demo.local.processes import HOST

if TYPE_CHECKING:
    from collections.abc import Sequence

_PASSWORD_VARIABLE = "DEMO_PASSWORD"
_CHECK_TIMEOUT_S = 5.0


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve, check or fill.

    :raises OSError, ftplib.Error, imaplib.IMAP4.error: with ``--check``, if the server is not well
    """
    args = parse(arguments)
    if args.service == "crm":
        _fill_crm(args)
    elif args.check:
        {"s3": _check_s3, "ftp": _check_ftp, "imap": _check_imap}[args.service](args)
    else:
        {"s3": _serve_s3, "ftp": _serve_ftp, "imap": _serve_imap}[args.service](args)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m demo.serve", description=__doc__)
    services = parser.add_subparsers(dest="service", required=True)
    for name in ("s3", "ftp", "imap", "crm"):
        service = services.add_parser(name)
        service.add_argument("--host", default=HOST)
        service.add_argument("--port", type=int, required=True)
        if name == "s3":
            service.add_argument("--bucket", action="append", default=[])
        else:
            service.add_argument("--user", required=True)
        if name == "ftp":
            service.add_argument("--folder", type=Path, required=True)
        if name != "crm":
            service.add_argument("--check", action="store_true")
    return parser.parse_args(arguments)


def _serve_s3(args: argparse.Namespace) -> None:
    # moto takes the first word of the host name for the name of a bucket: harmless on localhost,
    # wrong for a host that is called "s3". Read when moto is imported.
    os.environ["S3_IGNORE_SUBDOMAIN_BUCKETNAME"] = "true"
    from demo.local.s3 import S3
    from demo.local.s3_daemon import make_s3_server

    listening = make_s3_server(args.host, args.port)
    threading.Thread(target=listening.serve_forever, daemon=True).start()
    server = S3(endpoint_url=f"http://{HOST}:{args.port}")
    for bucket in args.bucket:
        server.create_bucket(bucket)
    _say(f"S3 on port {args.port} with the buckets {', '.join(args.bucket)}")
    threading.Event().wait()


def _check_s3(args: argparse.Namespace) -> None:
    for bucket in args.bucket:
        connection = http.client.HTTPConnection(HOST, args.port, timeout=_CHECK_TIMEOUT_S)
        connection.request("HEAD", f"/{bucket}")
        status = connection.getresponse().status
        connection.close()
        if status != http.HTTPStatus.OK:
            raise ConnectionError(f"bucket {bucket}: status {status}")


def _serve_ftp(args: argparse.Namespace) -> None:
    from demo.local.ftp_daemon import serve

    args.folder.mkdir(parents=True, exist_ok=True)
    serve(
        args.host,
        args.port,
        user=args.user,
        password=_password(),
        root=args.folder,
        faults=args.folder.with_name("ftp-faults.json"),
    )


def _check_ftp(args: argparse.Namespace) -> None:
    with ftplib.FTP(timeout=_CHECK_TIMEOUT_S) as client:
        client.connect(HOST, args.port)
        client.login(args.user, _password())
        client.voidcmd("NOOP")


def _serve_imap(args: argparse.Namespace) -> None:
    options = ["--host", args.host, "--port", str(args.port), "--no-tls"]
    mailbox = ["dict", "--demo-user", args.user, "--demo-password", _password()]
    command = [sys.executable, "-m", "demo.local.imap_daemon", *options, *mailbox]
    _say(f"IMAP on port {args.port}")
    # Its greeting holds the host's name, and looking that up can take seconds.
    os.execve(sys.executable, command, {**os.environ, "FQDN": "localhost"})


def _check_imap(args: argparse.Namespace) -> None:
    with imaplib.IMAP4(HOST, args.port, timeout=_CHECK_TIMEOUT_S) as client:
        client.login(args.user, _password())
        client.noop()


def _fill_crm(args: argparse.Namespace) -> None:
    import psycopg2

    from demo import crm
    from demo.local.postgres import Postgres

    server = Postgres(host=args.host, port=args.port, user=args.user, password=_password())
    with (
        closing(psycopg2.connect(server.create_database(crm.DATABASE))) as connection,
        connection.cursor() as cursor,
    ):
        # All tables are made in one transaction: this one speaks for the others.
        cursor.execute("SELECT to_regclass('customers') IS NOT NULL")
        if cursor.fetchone() == (True,):
            _say("the CRM is filled already")
            return
    crm.seed(server)
    _say(f"filled the CRM: {crm.CUSTOMERS:,} customers, {len(crm.DAYS)} days of changes")


def _password() -> str:
    password = os.environ.get(_PASSWORD_VARIABLE)
    if not password:
        raise SystemExit(f"the environment variable {_PASSWORD_VARIABLE} is missing")
    return password


def _say(sentence: str) -> None:
    print(sentence, flush=True)


if __name__ == "__main__":
    main()
