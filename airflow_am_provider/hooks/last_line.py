"""The last line of a task's log: what happened, or why nothing did, and what is next.

Airflow folds what it says before and after a task, the reason of a skip among it. This line stands
below what the task itself has said, outside of these folds.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import wraps
from typing import TYPE_CHECKING, Any, Final

from airflow_am_provider.airflow_compat import (
    AirflowException,
    AirflowFailException,
    AirflowRescheduleException,
    AirflowSensorTimeout,
    AirflowSkipException,
    TaskAwaitingInput,
    TaskDeferred,
)
from airflow_am_provider.audience_manager.words import counted

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow.sdk import BaseOperator

_logger = logging.getLogger(__name__)

# Trigger rules under which a task runs although one before it was skipped.
_RUN_AFTER_A_SKIP: Final = frozenset(
    {
        "all_done",
        "all_done_min_one_success",
        "all_skipped",
        "always",
        "none_failed",
        "none_failed_min_one_success",
        "one_done",
        "one_success",
    }
)
#: After a failure that no retry helps.
CLEAR: Final = "mend what it says, and clear this task: Airflow does not try again by itself"


def last_line(execute: Callable[..., Any]) -> Callable[..., Any]:
    """Have ``execute`` or ``execute_complete`` of an operator end with a plain line in the log.

    :param execute: the method. Its operator has ``outcome(result)``, which says in a sentence
        without its full stop what came of it; errors say it themselves. Where a person has to do
        something before it goes on, ``next_while_waiting`` says what; ``next_after_failure``, what
        to do where clearing this task may not be enough; ``next_after_timeout``, when a sensor has
        waited in vain.

    Example::

        @last_line
        def execute(self, context):
            ...
    """

    @wraps(execute)
    def told(operator: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            result = execute(operator, *args, **kwargs)
        except (TaskDeferred, TaskAwaitingInput):
            then = getattr(operator, "next_while_waiting", "this task goes on by itself")
            _logger.info("Waiting, without a worker. Next: %s.", then)
            raise
        except AirflowRescheduleException as later:
            _logger.info(
                "Not over yet; the worker is free meanwhile. Next: this task looks again at %s "
                "UTC.",
                f"{later.reschedule_date:%H:%M:%S}",
            )
            raise
        except AirflowSkipException as reason:
            _tell(f"Skipped: {reason}", what_is_next(operator, is_skipped=True))
            raise
        except AirflowSensorTimeout as error:
            _tell(f"Failed: {error}", getattr(operator, "next_after_timeout", CLEAR), is_error=True)
            raise
        except AirflowFailException as error:
            then = getattr(operator, "next_after_failure", CLEAR)
            _tell(f"Failed: {error}", then, is_error=True)
            raise
        except Exception as error:
            # The words of other errors may quote rows.
            said = str(error) if type(error) is AirflowException else type(error).__name__
            context = kwargs.get("context", args[0] if args else None)
            left = _retries_left(context)
            what = "Failed" if left == 0 else "Failed for now"
            _tell(f"{what}: {said}", _retry(operator, left), is_error=True)
            raise
        # What lineage is told of, once the task has ended.
        operator.returned = result
        _tell(operator.outcome(result), what_is_next(operator))
        return result

    return told


def what_is_next(task: BaseOperator, *, is_skipped: bool = False) -> str:
    """The tasks that come after one, and what becomes of them.

    :param task: the task.
    :param is_skipped: whether it was skipped.
    """
    after = sorted(task.downstream_task_ids)
    if not after:
        return "nothing, this is the last task"
    if not is_skipped:
        return f"{_named(after)}"
    dag = task.get_dag()
    rules = {one: dag.get_task(one).trigger_rule if dag else "" for one in after}
    rules = {one: str(getattr(rule, "value", rule)) for one, rule in rules.items()}
    running = [one for one in after if rules[one] in _RUN_AFTER_A_SKIP]
    skipped = [one for one in after if one not in running]
    said = []
    if running:
        said.append(f"{_named(running)}, by {'its' if len(running) == 1 else 'their'} trigger rule")
    if skipped:
        said.append(f"{_named(skipped)} {'is' if len(skipped) == 1 else 'are'} skipped too")
    return "; ".join(said)


def _named(tasks: list[str]) -> str:
    """Task IDs as people list them.

    >>> _named(["upload"]), _named(["a", "b", "c"])
    ('upload', 'a, b and c')
    """
    if len(tasks) == 1:
        return tasks[0]
    return f"{', '.join(tasks[:-1])} and {tasks[-1]}"


def _retries_left(context: object) -> int | None:
    """How often Airflow tries again by itself; None where it does not say."""
    task = context.get("ti") if isinstance(context, Mapping) else None
    tried, most = getattr(task, "try_number", None), getattr(task, "max_tries", None)
    if isinstance(tried, int) and isinstance(most, int):
        return max(0, most + 1 - tried)
    return None


def _retry(operator: BaseOperator, left: int | None) -> str:
    if left is None:
        return "Airflow tries again, if a retry is left"
    if not left:
        return "no retry is left; look into it, and clear this task"
    tries = f"{counted(left, 'retry', 'retries')} {'is' if left == 1 else 'are'} left"
    return f"Airflow tries again in about {operator.retry_delay}; {tries}"


def _tell(what: str, then: str, *, is_error: bool = False) -> None:
    tell = _logger.error if is_error else _logger.info
    tell("%s. Next: %s.", what.rstrip(".").strip(), then)
