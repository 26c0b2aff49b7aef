"""Makes one attempt of a task in a process of its own, which may be killed at any time."""

import threading
from collections.abc import Mapping
from typing import Any

from tests.faults.line import Line
from tests.faults.told import JobFailedError
from tests.faults.trouble import Trouble
from tests.faults.worker import attempt

_ATTEMPT_S = 400


def outcome_of(
    context: Any, order: dict[str, Any], trouble: Trouble, lines: Mapping[str, Line]
) -> tuple[str, Any]:
    """Make an attempt, and tell what came of it: ``killed``, or what the worker says.

    :param context: what processes are forked from.
    :param order: what :func:`tests.faults.worker.attempt` is to do.
    :param lines: those of the attempt, by name.
    :raises JobFailedError: when it takes far too long.
    """
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=attempt, args=(order, sender), daemon=True)
    process.start()
    sender.close()
    for line in lines.values():
        line.serves(process.pid)
    killer = threading.Timer(trouble.kill_after_s or 0, process.kill)
    if trouble.kill_after_s is not None:
        killer.start()
    try:
        if not receiver.poll(_ATTEMPT_S):
            process.kill()
            raise JobFailedError(f"an attempt took over {_ATTEMPT_S} s: {order['log']}")
        outcome: tuple[str, Any] = receiver.recv()
    except (EOFError, ConnectionResetError):
        outcome = ("killed", "the worker was killed")
    finally:
        killer.cancel()
        process.join()
        receiver.close()
    return outcome
