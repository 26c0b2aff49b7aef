"""The commands, and reading the arguments of the one that is called."""

from __future__ import annotations

import argparse
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Final, NoReturn, Protocol, cast

from airflow_am_provider import __version__
from airflow_am_provider.cli.completion import complete, is_asked
from airflow_am_provider.cli.examples import add_examples

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

PROGRAM: Final = "airflow-am"

# Name, module, help. The module is imported when its command is called, and no earlier.
_COMMANDS: Final = (
    ("check", "airflow_am_provider.cli.check", "say whether files follow Adobe's contract"),
    ("format", "airflow_am_provider.cli.format", "make files from CSV or Parquet"),
    ("receipt", "airflow_am_provider.cli.receipt", "read receipts, and reconcile a delivery"),
    (
        "deliveries",
        "airflow_am_provider.cli.delivery_records",
        "show what was sent and how far it came, send it again, give it up",
    ),
    (
        "outbound",
        "airflow_am_provider.cli.outbound",
        "look at segment files that Audience Manager sent",
    ),
    (
        "sandbox",
        "airflow_am_provider.sandbox.command",
        "run a local Audience Manager that takes files and sends receipts",
    ),
)


class WrongUse(Exception):
    """The arguments make no sense; the message is the whole line to print."""


class _Command(Protocol):
    """What a command's module has."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None: ...

    def run(self, args: argparse.Namespace) -> int: ...


class _Parser(argparse.ArgumentParser):
    """Raises instead of printing the whole usage and leaving the process."""

    def error(self, message: str) -> NoReturn:
        raise WrongUse(f"{self.prog}: {message}; see {self.prog} --help")


def parse(argv: Sequence[str]) -> Callable[[], int] | None:
    """Read the arguments.

    :param argv: the arguments without the program's name.
    :return: what runs the command, or None when everything was said, as for ``--help``.
    :raises WrongUse: when the arguments make no sense.
    """
    parser = _Parser(
        prog=PROGRAM,
        description="Adobe Audience Manager's files and receipts, without Airflow.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {__version__}")
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    modules: dict[str, _Command] = {}
    for name, module, summary in _COMMANDS:
        subparser = subparsers.add_parser(
            name,
            help=summary,
            description=f"{summary[0].upper()}{summary[1:]}.",
            allow_abbrev=False,
        )
        if name in argv or is_asked():
            modules[name] = cast("_Command", import_module(module))
            modules[name].add_arguments(subparser)
    add_examples(parser)
    if is_asked():
        complete(parser)
    try:
        args = parser.parse_args(argv)
    except SystemExit:
        # --help and --version have printed what they have to say.
        return None
    return partial(modules[args.command].run, args)


def add_json(parser: argparse.ArgumentParser) -> None:
    """Add ``--json``."""
    parser.add_argument("--json", action="store_true", help="Print JSON, and nothing else.")
