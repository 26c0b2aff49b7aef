"""``airflow-am sandbox``: a local Audience Manager for a dry run, and questions to its profiles."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import threading
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_am_provider.audience_manager.environments import ENVIRONMENTS
from airflow_am_provider.audience_manager.errors import ConfigurationError, TransientError
from airflow_am_provider.sandbox.account import Account, SignalRule
from airflow_am_provider.sandbox.behaviour import Behaviours
from airflow_am_provider.sandbox.events import Event, Kind
from airflow_am_provider.sandbox.mailboxes import PASSWORD_VARIABLE
from airflow_am_provider.sandbox.profiles import Profiles
from airflow_am_provider.sandbox.rest import SECRET_VARIABLE, RestApi, RestConfig
from airflow_am_provider.sandbox.sending_command import (
    add_feed,
    add_segments,
    run_feed,
    run_segments,
    traits_of,
)
from airflow_am_provider.sandbox.service import Sandbox, SandboxConfig

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

_BAD = frozenset({Kind.FILE_REJECTED, Kind.FILE_IGNORED, Kind.TROUBLE})


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``airflow-am sandbox``.

    :param parser: the parser of that subcommand.
    """
    add = parser.add_argument
    add(
        "--inbox",
        action="append",
        default=[],
        metavar="PLACE",
        help="Where files come in: s3://BUCKET, s3://BUCKET/PARTNER, s3://BUCKET/PREFIX/PARTNER, "
        "ftp-folder:/PATH (the folder that an FTP server serves), or the path of a folder. May be "
        "repeated.",
    )
    add(
        "--database",
        type=Path,
        metavar="FILE",
        help="SQLite file with profiles and what was seen. It is made when it is not there. A "
        "sandbox that was killed goes on from it.",
    )
    add(
        "--mail",
        action="append",
        default=[],
        metavar="PLACE",
        help="Where receipts go: imap://USER@HOST:PORT/MAILBOX (or imaps://; the password stands "
        f"in {PASSWORD_VARIABLE}), s3://BUCKET/PREFIX, or the path of a folder. May be repeated.",
    )
    add(
        "--environment",
        choices=sorted(ENVIRONMENTS),
        default="production",
        help="Whose rules hold. beta maps no IDs, as Adobe's does. (default: %(default)s)",
    )
    add(
        "--partner-id",
        type=int,
        default=7,
        metavar="N",
        help="Partner ID that receipts greet. (default: %(default)s)",
    )
    add(
        "--cross-device",
        type=int,
        action="append",
        default=[],
        metavar="DPID",
        help="Number of a data source whose records are stored before their IDs are synchronised. "
        "May be repeated.",
    )
    add(
        "--data-source",
        type=int,
        action="append",
        default=[],
        metavar="DPID",
        help="Number of a data source that there is. Files of others are rejected, and nothing "
        "comes back. Without the option there is every data source. May be repeated.",
    )
    add(
        "--traits",
        action="append",
        default=[],
        metavar="DPID:TRAIT,…",
        help="The onboarded traits of a target data source. Without the option every trait is "
        "known. May be repeated.",
    )
    add(
        "--trait-ttl",
        action="append",
        default=[],
        metavar="[TRAIT:]DAYS",
        help="After how many days a trait expires that was not sent again; 0 for never. For all "
        "traits, or for one. Without the option after 120, as in Audience Manager. May be "
        "repeated.",
    )
    add(
        "--api",
        type=int,
        metavar="PORT",
        help="Answer as Adobe's REST API on this port of this machine, 0 for a free one: data "
        "sources, the traits of --traits with the times of --trait-ttl, and what became of files. "
        f"The client ID is client, the secret stands in {SECRET_VARIABLE}.",
    )
    add(
        "--rule",
        action="append",
        default=[],
        metavar="DPID:KEY=VALUE:TRAIT",
        help="A signal that realises a trait. May be repeated.",
    )
    add(
        "--behaviour",
        action="append",
        default=[],
        metavar="[PATTERN:]NAME=VALUE,…",
        help="How to answer, for all files or for those of a name like PATTERN. The names are "
        "listed under Behaviours on the sandbox's page of the documentation. May be repeated.",
    )
    add(
        "--pgp-secret-key",
        type=Path,
        metavar="FILE",
        help="Secret key, without a passphrase, that encrypted files are read with. Without it "
        "they are rejected. Never Adobe's: make a pair for the sandbox.",
    )
    add(
        "--shuffle",
        type=int,
        metavar="SEED",
        help="Take the files of one look in random order, since Adobe promises none. By default "
        "they go by name, and only the parts of an .overwrite in a random order, always the same.",
    )
    add(
        "--poll-interval",
        type=float,
        default=1.0,
        metavar="SECONDS",
        help="Time between two looks. (default: %(default)s)",
    )
    add(
        "--once",
        action="store_true",
        help="Take and answer what is there, then end. Exit 0 if every file was taken, else 1.",
    )
    add("--json", action="store_true", help="Print one JSON object a line.")
    modes = parser.add_subparsers(dest="sandbox_mode", metavar="profile|segments|feed")
    profile = modes.add_parser("profile", help="print what is known of one user")
    # Suppressed, or the defaults here would replace what stands before the word "profile".
    late = argparse.SUPPRESS
    profile.add_argument(
        "--database",
        type=Path,
        default=late,
        metavar="FILE",
        help="The sandbox's SQLite file. It may be asked while the sandbox runs.",
    )
    profile.add_argument(
        "--dpid",
        type=int,
        required=True,
        help="Number of the data source of the ID. 0 stands for AAM UUIDs.",
    )
    profile.add_argument("--id", dest="user_id", required=True, help="The user ID, byte for byte.")
    profile.add_argument(
        "--json", action="store_true", default=late, help="Print JSON, and nothing else."
    )
    add_segments(modes.add_parser("segments", help="send segment files, as Adobe does"), late)
    add_feed(modes.add_parser("feed", help="send a Customer Data Feed, as Adobe does"), late)


def run(args: argparse.Namespace) -> int:
    """Run ``airflow-am sandbox``.

    :param args: what a parser with :func:`add_arguments` gave.
    :return: the exit status: 0, 1 when ``--once`` met a file that was not taken or a place cannot
        be reached, or 2 for wrong use.
    """
    try:
        if args.sandbox_mode == "profile":
            return _profile(args)
        if args.sandbox_mode == "segments":
            return run_segments(args)
        if args.sandbox_mode == "feed":
            return run_feed(args)
        return _serve(args)
    except (ConfigurationError, TransientError) as error:
        sys.stderr.write(f"airflow-am sandbox: {error}\n")
        return 2 if isinstance(error, ConfigurationError) else 1


def _serve(args: argparse.Namespace) -> int:
    if not args.inbox or args.database is None:
        raise ConfigurationError("--inbox and --database are needed")
    if not 0 < args.poll_interval <= threading.TIMEOUT_MAX:
        raise ConfigurationError(f"--poll-interval {args.poll_interval}: more than 0 is needed")
    ttls = dict(map(_ttl, args.trait_ttl))
    config = SandboxConfig(
        database=args.database,
        inboxes=tuple(args.inbox),
        mailboxes=tuple(args.mail),
        mail_password=os.environ.get(PASSWORD_VARIABLE),
        account=Account(
            environment=ENVIRONMENTS[args.environment],
            partner_id=args.partner_id,
            cross_device=frozenset(args.cross_device),
            data_sources=frozenset(args.data_source) or None,
            traits=dict(map(traits_of, args.traits)),
            trait_ttl_days=ttls.pop("", 120),
            trait_ttls=ttls,
            rules=tuple(map(_rule, args.rule)),
        ),
        behaviours=Behaviours.parse(args.behaviour),
        pgp_secret_key=args.pgp_secret_key,
        shuffle=args.shuffle,
    )

    def tell(event: Event) -> None:
        _print(json.dumps(event.to_json()) if args.json else str(event))

    places: dict[str, object] = {
        "inboxes": list(config.inboxes),
        "mailboxes": list(config.mailboxes),
    }
    with ExitStack() as stack:
        if args.api is not None:
            api = stack.enter_context(_api(config, args.api))
            places |= {"api": api.url, "tokens": api.token_url}
        sandbox = stack.enter_context(Sandbox(config, tell=tell))
        stop = stack.enter_context(_stopped_by_signals())
        tell(_event(Kind.STARTED, str(args.database), places))
        events = sandbox.run_once(at_once=True) if args.once else []
        if not args.once:
            sandbox.serve(poll_interval_s=args.poll_interval, stop=stop)
        tell(_event(Kind.ENDED, str(args.database), {}))
        return int(any(event.kind in _BAD for event in events))


def _api(config: SandboxConfig, port: int) -> RestApi:
    """The REST API of the same account, so that both tell the same."""
    secret = os.environ.get(SECRET_VARIABLE)
    if not secret:
        raise ConfigurationError(f"--api: the client secret is missing; set {SECRET_VARIABLE}")
    told = RestConfig.of(config.account, client_secret=secret, database=config.database)
    try:
        return RestApi(told, port)
    except (OSError, OverflowError) as error:
        raise ConfigurationError(f"--api {port}: cannot listen there: {error}") from None


def _profile(args: argparse.Namespace) -> int:
    if args.database is None or not args.database.is_file():
        raise ConfigurationError(f"--database {args.database}: there is no such file")
    with Profiles(args.database) as profiles:
        user = (args.dpid, args.user_id)
        known: dict[str, Sequence[object]] = {
            "traits": _sorted(profiles.traits(*user)),
            "traits_with_linked_ids": _sorted(profiles.traits(*user, linked=True)),
            "signals": sorted(profiles.signals(*user)),
            "devices": sorted(profiles.mapped(*user)),
            "hashed_emails": sorted(profiles.hashed_emails(*user)),
        }
    if args.json:
        _print(json.dumps({"dpid": args.dpid, "id": args.user_id, **known}))
        return 0
    for name, values in known.items():
        shown = [": ".join(map(str, v)) if isinstance(v, tuple) else str(v) for v in values]
        _print(f"{name.replace('_', ' '):22} {', '.join(shown) or 'none'}")
    return 0


def _sorted(traits: Iterable[str]) -> list[str]:
    """Trait IDs as numbers go, whatever their length."""
    return sorted(traits, key=lambda trait: (len(trait), trait))


def _ttl(text: str) -> tuple[str, int]:
    """A trait, or nothing for all others, and its days."""
    trait, colon, days = text.rpartition(":")
    if not (text.isascii() and days.isdigit() and trait.isdigit() == bool(colon)):
        raise ConfigurationError(f"--trait-ttl {text!r}: DAYS or TRAIT:DAYS is needed")
    return trait, int(days)


def _rule(text: str) -> SignalRule:
    dpid, _, rest = text.partition(":")
    signal_text, _, trait = rest.rpartition(":")
    key, equals, value = signal_text.partition("=")
    if not (dpid.isascii() and dpid.isdigit() and key and equals):
        raise ConfigurationError(f"--rule {text!r}: DPID:KEY=VALUE:TRAIT is needed")
    return SignalRule(dpid=int(dpid), key=key, value=value, trait=trait)


@contextmanager
def _stopped_by_signals() -> Iterator[threading.Event]:
    """End after the look that is under way, when Ctrl-C or a service manager asks for it."""
    stop = threading.Event()
    before = {
        number: signal.signal(number, lambda *_: stop.set())
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _event(kind: Kind, subject: str, details: dict[str, object]) -> Event:
    return Event(kind=kind, at=datetime.now(UTC), subject=subject, details=details)


def _print(line: str) -> None:
    # Whoever reads a pipe wants each line when it is written.
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
