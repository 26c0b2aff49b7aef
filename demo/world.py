"""The demo's world: every server that a company and Adobe would have, on this machine."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from demo import crm
from demo.local.airflow import Airflow, airflow
from demo.local.ftp import ftp_server
from demo.local.imap import imap_server
from demo.local.postgres import postgres
from demo.local.s3 import S3, s3
from demo.sandbox import Sandbox

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from datetime import date

    from demo.local.ftp import FtpServer
    from demo.local.imap import ImapServer
    from demo.local.postgres import Postgres

ADOBE_BUCKET: Final = "adobe-inbound"
STAGING_BUCKET: Final = "company-staging"
#: Where Audience Manager puts segment files, as the example DAG has it.
SEGMENTS_BUCKET: Final = "acme-segments"
#: All buckets that there are.
BUCKETS: Final = (ADOBE_BUCKET, STAGING_BUCKET, SEGMENTS_BUCKET)
PARTNER: Final = "acme"
DAGS_FOLDER: Final = Path(__file__).parent.parent / "dags"


@dataclass(frozen=True, kw_only=True)
class World:
    """What runs.

    :param airflow: the scheduler, the triggerer and the API server.
    :param s3: the server of Adobe's bucket and of the staging bucket.
    :param ftp_root: the folder that the FTP server serves.
    :param crm_uri: of the CRM's database.
    :param sandbox: plays Audience Manager.
    """

    airflow: Airflow
    s3: S3
    ftp_root: Path
    crm_uri: str = field(repr=False)
    sandbox: Sandbox

    @property
    def profiles(self) -> Path:
        """The sandbox's database, for ``airflow-am sandbox profile``."""
        return self.sandbox.profiles


@contextmanager
def world(
    directory: Path,
    *,
    port: int | None = None,
    days: Sequence[date] = crm.DAYS,
    policies: str = "",
    in_database: bool = False,
    environment: Mapping[str, str] | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> Iterator[World]:
    """Start everything; stop it when the block is left, however it is left.

    :param directory: where all data and logs go.
    :param port: of Airflow's UI, a free one by default.
    :param days: on which something happened in the CRM.
    :param policies: for Airflow, see :func:`demo.local.airflow.airflow`.
    :param in_database: whether Airflow's connections are in its database, where the UI shows and
        changes them, and not in its environment.
    :param environment: more settings of Airflow's.
    :param say: told what is going on.
    """
    with ExitStack() as stack:
        say("starting PostgreSQL, S3, FTP and IMAP servers")
        database, bucket_server, ftp, mailbox = _at_once(
            stack,
            lambda: postgres(directory / "postgres"),
            lambda: s3(directory / "s3"),
            lambda: ftp_server(directory / "ftp"),
            lambda: imap_server(directory / "imap"),
        )
        for bucket in BUCKETS:
            bucket_server.create_bucket(bucket)
        say(f"filling the CRM: {crm.CUSTOMERS:,} customers, {len(days)} days of changes")
        crm.seed(database, days)
        say("starting the sandbox, which plays Audience Manager")
        sandbox = stack.enter_context(_sandbox(directory, bucket_server, ftp, mailbox))
        say("starting Airflow: scheduler, DAG processor, triggerer, API server")
        connections = _connections(database, bucket_server, ftp, mailbox)
        running_airflow = stack.enter_context(
            airflow(
                directory / "airflow",
                database=database,
                dags_folder=DAGS_FOLDER,
                port=port,
                # The sandbox answers in seconds, not twice a day.
                environment={
                    "AIRFLOW__AUDIENCE_MANAGER__RECEIPT_POKE_INTERVAL_S": "2",
                    **(environment or {}),
                },
                connections={} if in_database else connections,
                policies=policies,
            )
        )
        for conn_id, connection in connections.items() if in_database else ():
            running_airflow.api.add_connection(conn_id, connection)
        yield World(
            airflow=running_airflow,
            s3=bucket_server,
            ftp_root=ftp.root,
            crm_uri=database.uri(crm.DATABASE),
            sandbox=sandbox,
        )


def _sandbox(directory: Path, buckets: S3, ftp: FtpServer, mailbox: ImapServer) -> Sandbox:
    profiles = directory / "sandbox.sqlite"
    return Sandbox(
        command=[
            *(sys.executable, "-m", "airflow_am_provider.cli", "sandbox"),
            *("--inbox", f"s3://{ADOBE_BUCKET}", "--inbox", f"ftp-folder:{ftp.root}"),
            *("--mail", f"imap://{mailbox.user}@{mailbox.host}:{mailbox.port}/INBOX"),
            *("--database", profiles, "--poll-interval", "0.5"),
            *("--behaviour", "quiet_s=1"),
        ],
        environment={
            "AIRFLOW_AM_SANDBOX_MAIL_PASSWORD": mailbox.password,
            **buckets.environment,
        },
        log=directory / "sandbox.log",
        profiles=profiles,
    )


def _connections(
    database: Postgres, buckets: S3, ftp: FtpServer, mailbox: ImapServer
) -> dict[str, dict[str, object]]:
    """What the example DAGs need, in the form of their JSON."""
    common = {
        "environment": "custom",
        "partner_name": PARTNER,
        "aws_conn_id": "aws_default",
        "staging_location": f"s3://{STAGING_BUCKET}/audience-manager",
        "receipts_imap_conn_id": "receipts_mailbox",
        # What the sandbox writes into its mails.
        "receipts_authserv_id": "mx.partner.example",
        "receipts_partner_id": "7",
    }
    return {
        "crm": database.airflow_connection(crm.DATABASE),
        "warehouse": database.airflow_connection(crm.DATABASE),
        "aws_default": {**buckets.airflow_connection(), "port": 0},
        "receipts_mailbox": mailbox.airflow_connection(),
        "adobe_ftp": ftp.airflow_connection(),
        "audience_manager_default": _connection(
            {**common, "transport": "s3", "bucket": ADOBE_BUCKET}
        ),
        "audience_manager_ftp": _connection(
            {**common, "transport": "ftp", "ftp_conn_id": "adobe_ftp"}
        ),
    }


def _connection(extra: dict[str, str]) -> dict[str, object]:
    # Without a port the UI's Test is refused (docs/connection.md).
    return {"conn_type": "audience_manager", "port": 0, "extra": extra}


def _at_once(stack: ExitStack, *servers: Callable[[], Any]) -> list[Any]:
    """Enter all of them side by side: each waits for its server more than it works."""
    with ThreadPoolExecutor(len(servers)) as pool:
        return list(pool.map(lambda server: stack.enter_context(server()), servers))
