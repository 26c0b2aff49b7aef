"""What ``make serve`` has on top of the demo: days to send, notes in DAGs, things to try."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NoReturn

from botocore.exceptions import BotoCoreError

from demo import crm, play
from demo.deliveries import keep
from demo.local.processes import dead

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import date
    from pathlib import Path

    from demo.local.processes import Process
    from demo.sandbox import Sandbox
    from demo.world import World

APPROVAL_DAG: Final = "audience_manager_approval"
#: How many of the fourteen days are sent before the user begins.
SENT_DAYS: Final = 2
_PLAY: Final = ".venv/bin/python -m demo.play"
_POLL_S: Final = 1.0

_NOTE: Final = """**In `make serve`** the CRM has data on the days from {first} to {last}.
{sent} are sent. To send more, *Trigger*, then *Backfill*, from {next} to {last}, whole days in UTC.
Nothing is scheduled: each day waits for you. Airflow names a run by the end of its day.

"""
_APPROVAL_NOTE: Final = """**In `make serve`** all customers are sent once, so that the guard has \
something to compare with. Run `{play} damage`, trigger this DAG, and see it ask under
*Required Actions*.

"""
_TRY: Final = """\
Try this, in the UI or in another terminal in this folder:

1. Send days. {unsent} days are unsent: {next} to {last} (UTC).
   Dags → audience_manager_daily → Trigger → Backfill, from {next} to {soon}.
   Airflow names a run by the end of its day: that of {next} is called {soon} 00:00.
   The task replay_newer is skipped, in pink, unless an older day comes after a newer one.
2. Look at the result. "Audience Manager" in the navigation shows each delivery, from rows read
   to records stored. The commands on that page work in a shell after:
       . .demo/shell.sh
3. Damage the CRM, and see the guard ask before anything is sent:
       {play} damage
   Then trigger audience_manager_approval ("Single Run"), and answer under "Required Actions" on
   the Home page. Reject it, with a reason: the run fails, as it should. Bring the customers back:
       {play} repair
4. Stop Adobe, and see what waiting looks like:
       {play} stop-sandbox
   Backfill another day. Its receipt task is deferred, and its log says what it waits for.
       {play} start-sandbox
5. Get segments back from Audience Manager into the table current_segments:
       {play} segments
   Then switch audience_manager_outbound on, in the list of Dags. Given again, the command sends
   who is in which segment by then, and what has arrived starts a run by itself.
6. Change a connection under Admin → Connections: they are in Airflow's database.

audience_manager_feed and audience_manager_circle need event files of a web site, and
audience_manager_snapshot reads who has which trait today: they stay paused.
"""

_POLICY: Final = '''

def dag_policy(dag):
    """What make serve says in the docs of DAGs; and it schedules none of the daily ones."""
    from datetime import datetime

    dag.doc_md = {notes!r}.get(dag.dag_id, "") + (dag.doc_md or "")
    if dag.dag_id in {daily!r}:
        dag.end_date = datetime.fromisoformat({end!r})
'''


@dataclass(frozen=True, kw_only=True)
class Days:
    """The days of the CRM.

    :param all: oldest first.
    """

    all: Sequence[date]

    @property
    def sent(self) -> Sequence[date]:
        """Those that are sent before the user begins."""
        return self.all[:SENT_DAYS]

    @property
    def unsent(self) -> Sequence[date]:
        """Those that are left to the user."""
        return self.all[SENT_DAYS:]


def days() -> Days:
    """The days of this ``make serve``."""
    return Days(all=crm.days_to_play())


def policies(days: Days, daily_dags: Sequence[str]) -> str:
    """For Airflow's local settings: what is said in the DAGs' docs.

    :param daily_dags: those that send a day with each run.
    """
    note = _NOTE.format(
        first=days.all[0],
        last=days.all[-1],
        sent=" and ".join(map(str, days.sent)),
        next=days.unsent[0],
    )
    notes = dict.fromkeys(daily_dags, note)
    notes[APPROVAL_DAG] = _APPROVAL_NOTE.format(play=_PLAY)
    # Airflow would run an unpaused DAG for yesterday, which has no data here: a run of skips.
    end = f"{days.all[-1]}T00:00:00+00:00"
    return _POLICY.format(notes=notes, daily=tuple(daily_dags), end=end)


def login(running: World) -> str:
    """Where the UI is and who may in."""
    airflow = running.airflow
    return f"{airflow.url}  user {airflow.user}, password {airflow.password}"


def try_this(days: Days) -> str:
    """What a user can do now."""
    return _TRY.format(
        play=_PLAY,
        unsent=len(days.unsent),
        next=days.unsent[0],
        soon=days.unsent[1],
        last=days.unsent[-1],
    )


def stay(running: World, directory: Path, say: Callable[[str], None]) -> None:
    """Keep everything up until Ctrl-C; keep the folders as the buckets are.

    :param directory: where the data of ``make serve`` is.
    """
    told: set[Process] = set()
    while True:
        follow(running.sandbox, directory, say)
        tell_of_the_dead(told, say, "make serve")
        with suppress(BotoCoreError):  # the S3 server has ended: that is told of
            keep(running.s3, directory / "buckets")
        time.sleep(_POLL_S)


def stay_up(command: str, say: Callable[[str], None]) -> NoReturn:
    """Do nothing until Ctrl-C, but say of each part that ends that it has ended.

    :param command: what starts all anew.
    """
    told: set[Process] = set()
    while True:
        tell_of_the_dead(told, say, command)
        time.sleep(_POLL_S)


def follow(sandbox: Sandbox, directory: Path, say: Callable[[str], None]) -> None:
    """Stop or start the sandbox as the user asked for it."""
    wanted = play.wants_sandbox(directory)
    if wanted and not sandbox.is_running:
        sandbox.start()
        say("the sandbox is started: Audience Manager takes in what came meanwhile")
    elif sandbox.is_running and not wanted:
        sandbox.stop()
        say("the sandbox is stopped: deliveries wait for their receipts")


def tell_of_the_dead(told: set[Process], say: Callable[[str], None], command: str) -> None:
    """Say once of each part that it has ended.

    :param told: those that were told of; added to.
    :param command: what starts all anew.
    """
    for process in dead():
        if process not in told:
            told.add(process)
            say(f"{process.error()}\nThe rest goes on. Ctrl-C, then {command}, starts all anew.")
