"""What this package logs, without the words of the libraries and Airflow.

Airflow says once in a process that it masks no short secrets, for example: a test that looks at
all of the log depends on which test ran before it.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

_OURS = "airflow_am_provider"


def own_records(
    caplog: pytest.LogCaptureFixture, level: int = logging.NOTSET
) -> list[logging.LogRecord]:
    """The records of our loggers, and of the logs of our operators, from a level on."""
    return [one for one in caplog.records if _OURS in one.name and one.levelno >= level]


def own_messages(caplog: pytest.LogCaptureFixture, level: int = logging.NOTSET) -> list[str]:
    """Their texts."""
    return [one.getMessage() for one in own_records(caplog, level)]
