"""What a user of ``make serve`` can do to the company and to Adobe.

    .venv/bin/python -m demo.play damage          two customers in three get lost
    .venv/bin/python -m demo.play repair          they are back
    .venv/bin/python -m demo.play stop-sandbox    Audience Manager takes nothing in
    .venv/bin/python -m demo.play start-sandbox   it does again

Each works on the ``make serve`` of the same folder.
"""

from __future__ import annotations

import argparse
import json
import sys
from typing import TYPE_CHECKING, Final

import psycopg2

from demo import crm
from demo.command import DIRECTORY

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

COMMANDS: Final = ("damage", "repair", "stop-sandbox", "start-sandbox")


def main(arguments: Sequence[str] | None = None, *, directory: Path = DIRECTORY) -> int:
    """Do one of them.

    :param directory: where ``make serve`` keeps its data.
    :return: 1 when nothing is there to play with.
    """
    parser = argparse.ArgumentParser(
        prog="demo.play", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("command", choices=COMMANDS)
    command = parser.parse_args(arguments).command
    try:
        uri = json.loads(_notes(directory).read_text())["crm"]
        print(_do(command, uri, directory))
    except (FileNotFoundError, psycopg2.OperationalError):
        print("No make serve runs in this folder: start it first.", file=sys.stderr)
        return 1
    return 0


def prepare(directory: Path, crm_uri: str) -> None:
    """Tell the commands where the CRM is."""
    notes = _notes(directory)
    notes.touch(mode=0o600)
    notes.write_text(json.dumps({"crm": crm_uri}))


def wants_sandbox(directory: Path) -> bool:
    """Whether the sandbox is to run, by what was asked for last."""
    return not _stopped(directory).exists()


def _do(command: str, uri: str, directory: Path) -> str:
    if command == "damage":
        if crm.damage(uri):
            return "Two customers in three are gone from the CRM."
        return "They are gone already. To bring them back: repair"
    if command == "repair":
        if crm.repair(uri):
            return "All customers are back in the CRM."
        return "Nobody is missing in the CRM."
    if command == "stop-sandbox":
        _stopped(directory).touch()
        return "The sandbox stops within seconds: make serve says when."
    _stopped(directory).unlink(missing_ok=True)
    return "The sandbox starts within seconds: make serve says when."


def _notes(directory: Path) -> Path:
    return directory / "play.json"


def _stopped(directory: Path) -> Path:
    return directory / "sandbox-stopped"


if __name__ == "__main__":
    sys.exit(main())
