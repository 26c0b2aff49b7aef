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

from airflow_am_provider.airflow_compat import AirflowException, AirflowFailException
from airflow_am_provider.audience_manager.errors import (
    ConfigurationError,
    DataError,
    TransientError,
)
from airflow_am_provider.deliveries.uploads.journal import MustWait, Superseded

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["MustWait", "Superseded", "airflow_errors"]


@contextmanager
def airflow_errors() -> Iterator[None]:
    """Turn this package's errors into the exceptions that Airflow decides by.

    :raises AirflowFailException: for a wrong configuration or wrong data; trying again cannot help.
    :raises AirflowException: for what may go better next time, and for errors of Arrow, whose words
        quote values.

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
    except Exception as error:
        if not _is_arrows(error):
            raise
        raise AirflowException(
            f"Arrow could not do something with the rows: {type(error).__name__}. Its words are "
            f"left out, as they may quote values"
        ) from None


def _is_arrows(error: Exception) -> bool:
    # By name: what a DAG file imports does not load Arrow.
    return any(kind.__name__ == "ArrowException" for kind in type(error).__mro__)
