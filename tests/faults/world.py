"""The servers that schedules run on, one after the other, each in places of its own."""

import json
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg2

from airflow_am_provider.sandbox import Account, Behaviours, Sandbox, SandboxConfig
from airflow_am_provider.storage import Folder, LocalFolder, S3Folder
from demo.local.ftp import FtpServer, ftp_server
from demo.local.imap import ImapServer, imap_server
from demo.local.postgres import Postgres, postgres
from demo.local.s3 import S3, s3
from tests.faults import crm
from tests.faults.line import Line, relay
from tests.faults.s3_line import s3_line
from tests.faults.schedule import Schedule

_DISK_BYTES = 8 << 20
_BEHAVIOUR = "quiet_s=0.25"


@dataclass(frozen=True, kw_only=True)
class World:
    """Running servers."""

    postgres: Postgres
    s3: S3
    ftp: FtpServer
    imap: ImapServer
    disk: Path
    is_small_disk: bool


@contextmanager
def world(directory: Path) -> Iterator[World]:
    """Run all servers, and a small disk where this user may make one."""
    with ExitStack() as stack:
        postgres_server = stack.enter_context(postgres(directory / "postgres"))
        s3_server = stack.enter_context(s3(directory / "s3", least_piece_bytes=1))
        made = World(
            postgres=postgres_server,
            s3=s3_server,
            ftp=stack.enter_context(ftp_server(directory / "ftp")),
            imap=stack.enter_context(imap_server(directory / "imap")),
            disk=directory / "disk",
            is_small_disk=stack.enter_context(_small_disk(directory / "disk")),
        )
        environment = {
            "AWS_ENDPOINT_URL": s3_server.endpoint_url,
            "AWS_ACCESS_KEY_ID": s3_server.access_key,
            "AWS_SECRET_ACCESS_KEY": s3_server.secret_key,
            "AWS_DEFAULT_REGION": s3_server.region,
        }
        before = {name: os.environ.get(name) for name in environment}
        os.environ.update(environment)
        crm.fill(postgres_server)
        try:
            yield made
        finally:
            for name, value in before.items():
                os.environ.pop(name, None)
                if value is not None:
                    os.environ[name] = value


@contextmanager
def _small_disk(place: Path) -> Iterator[bool]:
    """A file system in memory, for root; for others a folder, where no disk gets full."""
    place.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={_DISK_BYTES},mode=0755", "faults", str(place)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode:
        yield False
        return
    try:
        yield True
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


@dataclass(kw_only=True)
class Stage:
    """The places of one schedule.

    :param lines: for each chain, by name.
    """

    world: World
    schedule: Schedule
    folder: Path
    lines: tuple[dict[str, Line], ...]
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

    @property
    def table(self) -> str:
        """Where the customers are."""
        return crm.table(
            self.schedule.variant, self.schedule.seed if self.schedule.correction else None
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
        if self.schedule.correction:
            crm.copy(self.world.postgres, self.schedule.variant, self.schedule.seed)
        if self.schedule.mail == "imap":
            with self.world.imap.connect() as mail:
                mail.create(self.mailbox)

    def correct(self, window: int) -> None:
        """Mend rows of a window at their source."""
        crm.correct(self.world.postgres, self.schedule.variant, self.schedule.seed, window)

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
            "staging_location": (
                f"s3://{self.staging_bucket}/am"
                if schedule.staging == "s3"
                else str(self.staging_folder)
            ),
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
            "audience_manager_default": {
                "conn_type": "audience_manager",
                "extra": {name: value for name, value in manager.items() if value},
            },
        }
        return {f"AIRFLOW_CONN_{name.upper()}": json.dumps(c) for name, c in connections.items()}

    def start_sandbox(self, *, loses: str) -> None:
        """Be Audience Manager; once more, with other habits."""
        self._sandbox.close()
        lost = {"ids": ["adobe_id_*:lose=true"], "data": ["ftp_dpm_*:lose=true"]}.get(loses, [])
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

    def staging(self) -> Folder:
        """The staging location, by a line without faults."""
        if self.schedule.staging == "disk":
            return LocalFolder(self.staging_folder)
        return S3Folder(self.world.s3.client(), self.staging_bucket, "am")

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
        made = Stage(world=world, schedule=schedule, folder=folder, lines=lines)
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
