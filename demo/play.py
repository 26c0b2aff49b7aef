"""What a user of ``make serve`` can do to the company and to Adobe.

    .venv/bin/python -m demo.play damage          two customers in three get lost
    .venv/bin/python -m demo.play repair          they are back
    .venv/bin/python -m demo.play stop-sandbox    Audience Manager takes nothing in
    .venv/bin/python -m demo.play start-sandbox   it does again
    .venv/bin/python -m demo.play segments        Audience Manager sends who is in which segment

Each works on the ``make serve`` of the same folder.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import psycopg2

from demo import crm
from demo.command import DIRECTORY, as_shell, refused
from demo.local.processes import ServerError
from demo.world import SEGMENTS_BUCKET

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

COMMANDS: Final = ("damage", "repair", "stop-sandbox", "start-sandbox", "segments")
# Of the traits that the daily DAG sends, in its data source; where audience_manager_outbound looks.
_SEGMENTS: Final = (
    *("--into", f"s3://{SEGMENTS_BUCKET}/from-adobe", "--destination", "1234", "--dpid", "478"),
    *("--segment", "24:101", "--segment", "25:110,111,112"),
)


def main(arguments: Sequence[str] | None = None, *, directory: Path = DIRECTORY) -> int:
    """Do one of them.

    :param directory: where ``make serve`` keeps its data.
    :return: 1 when it was not done, as when nothing is there to play with.
    """
    parser = argparse.ArgumentParser(
        prog="demo.play", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("command", choices=COMMANDS)
    command = parser.parse_args(arguments).command
    try:
        notes = json.loads(_notes(directory).read_text())
        print(_do(command, notes, directory))
    except (FileNotFoundError, psycopg2.OperationalError):
        return refused("No make serve runs in this folder: start it first.")
    except ServerError as error:
        return refused(str(error))
    return 0


def prepare(
    directory: Path, crm_uri: str, s3: Mapping[str, str], airflow: Mapping[str, str]
) -> None:
    """Tell the commands where things are, and a shell how ``airflow`` and ``airflow-am`` find them.

    :param s3: variables by which the S3 server is found.
    :param airflow: variables by which Airflow's commands work on this Airflow.
    """
    notes, shell = _notes(directory), directory / "shell.sh"
    for path in (notes, shell):
        path.touch(mode=0o600)
    notes.write_text(json.dumps({"crm": crm_uri, "s3": dict(s3)}))
    programs = f"export PATH={shlex.quote(str(Path(sys.executable).parent))}:$PATH\n"
    shell.write_text(programs + as_shell({**airflow, **s3}))


def wants_sandbox(directory: Path) -> bool:
    """Whether the sandbox is to run, by what was asked for last."""
    return not _stopped(directory).exists()


def batch_time(is_first: bool, now: datetime) -> datetime:
    """The time in the names of a batch.

    The first is of the day that audience_manager_outbound runs for once it is switched on.
    """
    today = now.replace(hour=14, minute=0, second=0, microsecond=0)
    last = today if today <= now else today - timedelta(days=1)
    return last if is_first else now


def _do(command: str, notes: Mapping[str, Any], directory: Path) -> str:
    uri = notes["crm"]
    if command == "segments":
        return _send_segments(notes["s3"], directory)
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


def _send_segments(s3: Mapping[str, str], directory: Path) -> str:
    sent = directory / "segments-sent"
    time = batch_time(not sent.exists(), datetime.now(UTC))
    command = [sys.executable, "-m", "airflow_am_provider.cli", "sandbox", "segments", *_SEGMENTS]
    command += ["--database", str(directory / "sandbox.sqlite"), "--time", f"{time:%FT%T}"]
    done = subprocess.run(command, env={**os.environ, **s3}, capture_output=True, text=True)
    if done.returncode:
        raise ServerError(f"No segments were sent: {done.stderr.strip()}")
    sent.touch()
    return f"Audience Manager has sent the batch {done.stdout.strip()}"


def _notes(directory: Path) -> Path:
    return directory / "play.json"


def _stopped(directory: Path) -> Path:
    return directory / "sandbox-stopped"


if __name__ == "__main__":
    sys.exit(main())
