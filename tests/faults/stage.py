"""The places of one schedule: source, staging, destination, mailbox, and the lines to them."""

import json
import os
import re
import shutil
import sqlite3
import threading
from collections.abc import Collection, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg2
from sqlalchemy import create_engine
from sqlalchemy.pool import NullPool

from airflow_am_provider.deliveries.target.homes.sql_table import SqlTableHome
from airflow_am_provider.deliveries.targets import Targets
from airflow_am_provider.sandbox import Account, Behaviours, Ledger, Sandbox, SandboxConfig, Verdict
from airflow_am_provider.sandbox.database import connect, transaction
from airflow_am_provider.storage import Folder, LocalFolder, S3Folder
from tests.faults import crm
from tests.faults.history import write_history
from tests.faults.line import Line, relay
from tests.faults.s3_line import s3_line
from tests.faults.schedule import Run, Schedule
from tests.faults.world import World

_BEHAVIOUR = "quiet_s=0.25"
PLACES = 2


def connection_of(place: int) -> str:
    """The Audience Manager connection that stages in one of the places."""
    return ("audience_manager_default", "audience_manager_elsewhere")[place]


@dataclass(kw_only=True)
class Stage:
    """The places of one schedule.

    :param lines: for each of those that run at once, by name.
    :param is_in_sql: whether decisions are kept in the SQL database by now.
    """

    world: World
    schedule: Schedule
    folder: Path
    lines: tuple[dict[str, Line], ...]
    is_in_sql: bool = False
    _sandbox: ExitStack = field(default_factory=ExitStack)

    @property
    def bucket(self) -> str:
        """Adobe's."""
        return f"adobe-{self._name}"

    @property
    def staging_bucket(self) -> str:
        """The user's."""
        return f"staging-{self._name}"

    @property
    def staging_folder(self) -> Path:
        """Staging on the small disk."""
        return self.world.disk / self._name

    @property
    def ftp_folder(self) -> Path:
        """The directory of the account, as the host sees it."""
        return self.world.ftp.root / self._name

    @property
    def mailbox(self) -> str:
        """IMAP mailbox."""
        return f"M{self.schedule.seed}"

    @property
    def profiles(self) -> Path:
        """The sandbox's database."""
        return self.folder / "sandbox.sqlite"

    def table(self, run: Run) -> str:
        """Where a run's customers are."""
        is_own = self.schedule.has_own_customers and not run.customers
        return crm.table(
            crm.customers_of(self.schedule.variant, run), self.schedule.seed if is_own else None
        )

    @property
    def _name(self) -> str:
        return f"s{self.schedule.seed}"

    def open(self) -> None:
        """Make all places."""
        client = self.world.s3.client()
        for bucket in (self.bucket, self.staging_bucket):
            client.create_bucket(Bucket=bucket)
        self.ftp_folder.mkdir()
        if self.schedule.has_own_customers:
            crm.copy(self.world.postgres, self.schedule.variant, self.schedule.seed)
        for lines in self.lines:
            lines["s3"].conditions = self._conditions()
        self._know_ids()
        if self.schedule.is_old:
            write_history(self.targets(), self.destination_name)
        if self.schedule.mail == "imap":
            with self.world.imap.connect() as mail:
                mail.create(self.mailbox)

    def _know_ids(self) -> None:
        """Let Audience Manager know the devices of customers of whom no ID sync is sent."""
        with closing(connect(self.profiles)) as connection, transaction(connection):
            for run in self.schedule.beside:
                for row in crm.rows_of(self.schedule.variant, run):
                    if row.is_bad:
                        continue
                    pair = ((0, row.uuid), (crm.DPID, row.customer))
                    connection.executemany("INSERT OR IGNORE INTO ids VALUES (NULL, ?, ?, 1)", pair)
                    connection.execute(
                        "INSERT OR IGNORE INTO links SELECT a.key, b.key FROM ids a, ids b "
                        "WHERE (a.dpid, a.id) = (?, ?) AND (b.dpid, b.id) = (?, ?)",
                        [*pair[0], *pair[1]],
                    )

    def correct(self, window: int, content: str) -> None:
        """Let a window have other rows at their source."""
        crm.put(self.world.postgres, self.schedule.variant, self.schedule.seed, window, content)

    @property
    def destination_name(self) -> str:
        """What tells this destination apart."""
        where = f"s3://{self.bucket}/acme"
        if self.schedule.transport == "ftp":
            where = f"ftp://{self.world.ftp.airflow_connection()['host']}/{self._name}"
        return f"custom/{where}"

    def _conditions(self) -> dict[str, str]:
        """What becomes of conditions, by bucket."""
        buckets = [self.staging_bucket]
        if not any(run.place for run in self.schedule.beside):
            # By nothing else would names of two staging places be kept apart.
            buckets.append(self.bucket)
        return dict.fromkeys(buckets, self.schedule.conditions) if self.schedule.conditions else {}

    def environment(self, chain: int) -> dict[str, str]:
        """Airflow's connections, over the lines of a chain."""
        lines, schedule = self.lines[chain], self.schedule
        aws: dict[str, Any] = self.world.s3.airflow_connection()
        aws["extra"] = {
            **aws["extra"],
            "endpoint_url": f"http://127.0.0.1:{lines['s3'].port}",
            "config_kwargs": {
                "s3": {"addressing_style": "path"},
                "retries": {"mode": "standard", "max_attempts": schedule.s3_attempts},
                "read_timeout": 10,
            },
        }
        # Under another name it is another service, from which nothing is copied.
        elsewhere = {**aws, "extra": dict(aws["extra"])}
        elsewhere["extra"]["endpoint_url"] = f"http://localhost:{lines['s3'].port}"
        imap: dict[str, Any] = self.world.imap.airflow_connection()
        imap["extra"] = {**imap["extra"], "mail_folder": self.mailbox}
        manager = {
            "environment": "custom",
            "transport": schedule.transport,
            "partner_name": "acme",
            "aws_conn_id": "s3",
            "staging_aws_conn_id": "" if schedule.is_copied else "s3_elsewhere",
            "bucket": self.bucket if schedule.transport == "s3" else "",
            "staging_location": self._staging_location(0),
            "state_conn_id": "decisions" if self.is_in_sql else "",
            "ftp_conn_id": "ftp" if schedule.transport == "ftp" else "",
            "ftp_directory": f"/{self._name}",
            "receipts_imap_conn_id": "mailbox" if schedule.mail == "imap" else "",
            "receipts_location": (
                f"s3://{self.staging_bucket}/mail" if schedule.mail == "s3" else ""
            ),
        }
        connections = {
            "crm": {
                **self.world.postgres.airflow_connection(crm.DATABASE),
                "port": lines["crm"].port,
            },
            "s3": aws,
            "s3_elsewhere": elsewhere,
            "ftp": {**self.world.ftp.airflow_connection(), "port": lines["ftp"].port},
            "mailbox": {**imap, "port": lines["mail"].port},
            "decisions": self.world.postgres.airflow_connection(crm.DATABASE),
        }
        for place in range(PLACES):
            manager["staging_location"] = self._staging_location(place)
            connections[connection_of(place)] = {
                "conn_type": "audience_manager",
                "extra": {name: value for name, value in manager.items() if value},
            }
        return {f"AIRFLOW_CONN_{name.upper()}": json.dumps(c) for name, c in connections.items()}

    def start_sandbox(self, *, loses: Collection[str] = ()) -> None:
        """Be Audience Manager; once more, with other habits.

        :param loses: of what no receipts come: ``ids``, ``data``.
        """
        self._sandbox.close()
        patterns = {"ids": "adobe_id_*:lose=true", "data": "ftp_dpm_*:lose=true"}
        lost = [patterns[kind] for kind in sorted(loses)]
        # Habits of ID syncs or data behind a pattern keep what holds for all.
        config = SandboxConfig(
            database=self.profiles,
            inboxes=(
                f"s3://{self.bucket}"
                if self.schedule.transport == "s3"
                else f"ftp-folder:{self.ftp_folder}",
            ),
            mailboxes=(self._mailbox_url(),),
            mail_password=self.world.imap.password,
            account=Account(),
            behaviours=Behaviours.parse(
                [_BEHAVIOUR, *([self.schedule.behaviour] if self.schedule.behaviour else []), *lost]
            ),
        )
        stop = threading.Event()
        served = self._sandbox.enter_context(Sandbox(config))
        thread = threading.Thread(
            target=served.serve, kwargs={"poll_interval_s": 0.1, "stop": stop}, daemon=True
        )
        thread.start()
        self._sandbox.callback(thread.join)
        self._sandbox.callback(stop.set)

    def taken(self) -> set[str]:
        """Names of the files that Audience Manager has taken."""
        with closing(sqlite3.connect(self.profiles)) as connection:
            files = Ledger(connection).files()
        return {file.name for file in files if file.verdict is Verdict.TAKEN}

    def is_cost(self, asked: str) -> bool:
        """Whether a request to S3 is about decisions, or lists what there is of deliveries.

        Not a look at a target's document: that is repeated while a task waits.
        """
        what, _, path = asked.partition(" ")
        if not path.startswith(self.staging_bucket):
            return False
        if "list-type=2" in path:
            return "prefix=mail" not in path
        # By which upload a part is sent again: so many as it has parts.
        if "/sendings/" in path:
            return False
        is_look = what == "GET" and "/targets/" in path
        return not is_look and re.search("/(targets|target-details)/", path) is not None

    def staging(self, place: int = 0) -> Folder:
        """A staging location, by a line without faults."""
        if self.schedule.staging == "disk":
            return LocalFolder(self._staging_location(place))
        prefix = self._staging_location(place).rpartition("/")[2]
        return S3Folder(self.world.s3.client(), self.staging_bucket, prefix)

    def targets(self, place: int = 0) -> Targets:
        """The targets of a staging location, wherever decisions are kept by now."""
        home = None
        if self.is_in_sql:
            engine = create_engine(self.world.postgres.uri(crm.DATABASE), poolclass=NullPool)
            home = SqlTableHome(engine, self._staging_location(place))
        return Targets(self.staging(place), home)

    def _staging_location(self, place: int) -> str:
        """Where parts lie: one place, and one for what another connection sends."""
        folder = ("am", "elsewhere")[place]
        if self.schedule.staging == "s3":
            return f"s3://{self.staging_bucket}/{folder}"
        return str(self.staging_folder / folder)

    @contextmanager
    def disk_filled(self, free_bytes: int | None) -> Iterator[None]:
        """Leave so much of the small disk."""
        if free_bytes is None or not self.world.is_small_disk:
            yield
            return
        filler = self.world.disk / f"filler-{threading.get_ident()}"
        free = shutil.disk_usage(self.world.disk).free
        with filler.open("wb") as file, suppress(OSError):
            os.posix_fallocate(file.fileno(), 0, max(1, free - free_bytes))
        try:
            yield
        finally:
            filler.unlink()

    @contextmanager
    def ftp_cut(self, cut: tuple[int, int] | None) -> Iterator[None]:
        """Let uploads end early."""
        if cut is None:
            yield
            return
        after_bytes, times = cut
        self.world.ftp.cut_uploads(after_bytes=after_bytes, times=times, control_too=times % 2 == 0)
        try:
            yield
        finally:
            self.world.ftp.faults.unlink(missing_ok=True)

    def close(self) -> None:
        """End the sandbox and throw away what is large."""
        self._sandbox.close()

    def _mailbox_url(self) -> str:
        imap = self.world.imap
        if self.schedule.mail == "imap":
            return f"imap://{quote(imap.user)}@{imap.host}:{imap.port}/{self.mailbox}"
        return f"s3://{self.staging_bucket}/mail"


@contextmanager
def stage(world: World, schedule: Schedule, folder: Path) -> Iterator[Stage]:
    """Make the places of a schedule and the lines to them."""
    with ExitStack() as stack:
        lines = tuple(_lines(world, stack) for _ in range(max(map(len, schedule.chains))))
        made = Stage(
            world=world, schedule=schedule, folder=folder, lines=lines, is_in_sql=schedule.in_sql
        )
        made.open()
        stack.callback(made.close)
        yield made


def _lines(world: World, stack: ExitStack) -> dict[str, Line]:
    s3_port = int(world.s3.endpoint_url.rpartition(":")[2])

    def terminate(port: int) -> None:
        with suppress(psycopg2.Error):
            connection = psycopg2.connect(world.postgres.uri())
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE client_port = %s",
                    [port],
                )
            connection.close()

    return {
        "s3": stack.enter_context(s3_line(Line("s3"), s3_port)),
        "ftp": stack.enter_context(relay(Line("ftp"), world.ftp.port)),
        "mail": stack.enter_context(relay(Line("mail"), world.imap.port)),
        "crm": stack.enter_context(relay(Line("crm"), world.postgres.port, terminate=terminate)),
    }
