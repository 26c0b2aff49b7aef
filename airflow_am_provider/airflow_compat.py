"""What differs between Airflow's releases: names that moved into its SDK with 3.2, and an error.

The provider ``common.compat`` has a module for this as well, but not in 1.7.4, the version that
Airflow 3.1.0 pins.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING or find_spec("airflow.sdk.configuration"):
    from airflow.sdk.configuration import conf as conf
    from airflow.sdk.exceptions import AirflowException as AirflowException
    from airflow.sdk.exceptions import AirflowFailException as AirflowFailException
    from airflow.sdk.exceptions import AirflowNotFoundException as AirflowNotFoundException
    from airflow.sdk.exceptions import AirflowRescheduleException as AirflowRescheduleException
    from airflow.sdk.exceptions import AirflowSensorTimeout as AirflowSensorTimeout
    from airflow.sdk.exceptions import AirflowSkipException as AirflowSkipException
    from airflow.sdk.exceptions import TaskDeferred as TaskDeferred
else:  # Airflow 3.1
    from airflow.configuration import conf as conf
    from airflow.exceptions import AirflowException as AirflowException
    from airflow.exceptions import AirflowFailException as AirflowFailException
    from airflow.exceptions import AirflowNotFoundException as AirflowNotFoundException
    from airflow.exceptions import AirflowRescheduleException as AirflowRescheduleException
    from airflow.exceptions import AirflowSensorTimeout as AirflowSensorTimeout
    from airflow.exceptions import AirflowSkipException as AirflowSkipException
    from airflow.exceptions import TaskDeferred as TaskDeferred

if TYPE_CHECKING or hasattr(import_module("airflow.sdk.exceptions"), "TaskAwaitingInput"):
    from airflow.sdk.exceptions import TaskAwaitingInput as TaskAwaitingInput
else:  # Airflow 3.1 and 3.2 defer a task that asks a person
    TaskAwaitingInput = TaskDeferred


def takes_nested_extra() -> bool:
    """Whether the extra of an asset's event, made by an alias, may hold lists and documents.

    Before 3.1.3 the API server breaks on them (github.com/apache/airflow/pull/57352), and marks the
    task as failed that has just succeeded.
    """
    numbers = version("apache-airflow-task-sdk").split(".")[:3]
    return tuple(int("".join(filter(str.isdigit, one))) for one in numbers) >= (1, 1, 3)


def stats() -> Any:
    """Airflow's ``Stats``: ``incr``, ``gauge`` and ``timing``, each with ``tags``.

    It is asked for when something is told, as 3.1 opens its line when it is looked at first.

    :raises ImportError: when this Airflow has none where it is looked for.
    """
    if find_spec("airflow.sdk.observability"):
        from airflow.sdk.observability.stats import Stats
    else:  # Airflow 3.1
        from airflow.stats import Stats
    return Stats


@contextmanager
def missing_is_not_found() -> Iterator[None]:
    """Have a connection that is not there raise the same error on every Airflow.

    Where no task runs, as on the command line, 3.1.0 asks for what only a task has.

    :raises AirflowNotFoundException: when there is no such connection.
    """
    try:
        yield
    except ImportError as error:
        if "SUPERVISOR_COMMS" not in str(error):
            raise
        raise AirflowNotFoundException("There is no such connection") from None
