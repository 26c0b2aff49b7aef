"""The one table from this package's errors to what Airflow does next.

======================== ==========================
``ConfigurationError``   fail, no retry
``DataError``            fail, no retry
``TransientError``       fail, retry as the task says
======================== ==========================
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException

from airflow_am_provider.audience_manager.errors import (
    ConfigurationError,
    DataError,
    TransientError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def airflow_errors() -> Iterator[None]:
    """Turn this package's errors into the exceptions that Airflow decides by.

    :raises AirflowFailException: for a wrong configuration or wrong data; trying again cannot help.
    :raises AirflowException: for what may go better next time.

    >>> with airflow_errors():  # doctest: +IGNORE_EXCEPTION_DETAIL
    ...     raise ConfigurationError("bucket: missing")
    Traceback (most recent call last):
    ...
    AirflowFailException: bucket: missing
    """
    try:
        yield
    except (ConfigurationError, DataError) as error:
        raise AirflowFailException(str(error)) from error
    except TransientError as error:
        raise AirflowException(str(error)) from error
