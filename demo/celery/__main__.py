"""``make serve-celery``: ``docker-compose.yaml``, Airflow with two workers, without containers.

It stays until Ctrl-C.
"""

from __future__ import annotations

import argparse
import sys
from typing import Final

from demo import crm
from demo.celery.stack import Stack, redis_programs
from demo.command import DIRECTORY, SERVE_PORT, refused, run_alone, say
from demo.local.postgres import postgres
from demo.playing import stay_up

NAME: Final = "make serve-celery"
NO_REDIS: Final = (
    "Celery needs Redis, and this machine has no redis-server and redis-cli: install the package "
    "redis-server (Debian, Ubuntu) or redis (Fedora, macOS). With Python 3.11 a wheel brings them."
)
_TRY: Final = """\
Try this, in the UI or in another terminal in this folder:

1. Send all customers. Unpause audience_manager_monthly_overwrite: it runs for the last month at
   once, its partitions on both workers.
2. Send days. Dags → audience_manager_daily → Trigger → Backfill, from {first} to {last}: the
   days that have changes in the CRM. Nothing is to be sent on others.
3. Lose a worker: end one of the processes "celery worker" while tasks run. The other goes on, and
   Airflow begins the lost tasks again after five minutes.
4. Ask the sandbox what it knows of a customer:
       .venv/bin/airflow-am sandbox profile --dpid 478 --id C-… \\
           --database {profiles}

Each service has its folder and its log in {directory}.
"""


def main() -> int:
    """Start the services of the compose file and stay."""
    parser = argparse.ArgumentParser(prog="demo.celery", description=__doc__)
    parser.add_argument("--port", type=int, default=SERVE_PORT, help="port of Airflow's UI")
    port = parser.parse_args().port
    if not redis_programs():
        return refused(NO_REDIS)
    return run_alone(lambda: _serve(port), port=port, name=NAME)


def _serve(port: int) -> int:
    say("starting the services of docker-compose.yaml, each after those it needs")
    with postgres(DIRECTORY / "postgres") as database:
        stack = Stack(DIRECTORY, database, port=port)
        with stack.up(say):
            say(f"all are well. Airflow's UI: {stack.login}")
            print(f"\n{try_this(stack)}\nAirflow's UI: {stack.login}\nCtrl-C ends all.", flush=True)
            stay_up(NAME, say)


def try_this(stack: Stack) -> str:
    """What a user can do now."""
    return _TRY.format(
        first=crm.DAYS[0],
        last=crm.DAYS[-1],
        profiles=stack.profiles,
        directory=stack.directory,
    )


if __name__ == "__main__":
    sys.exit(main())
