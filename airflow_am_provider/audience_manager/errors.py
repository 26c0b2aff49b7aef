"""Errors, grouped by what the caller does next.

======================== ============================== =======================
error                    meaning                        what Airflow does
======================== ============================== =======================
``ConfigurationError``   a parameter or connection is   fail, do not retry
                         wrong; a person must change it
``DataError``            the rows or files break the    fail, do not retry
                         contract
``TransientError``       the other side did not answer  retry
                         as it should; it may later
======================== ============================== =======================

Messages say value, place, rule and page, and never hold a secret or a whole row.
"""

from __future__ import annotations

__all__ = ["AudienceManagerError", "ConfigurationError", "DataError", "TransientError"]


class AudienceManagerError(Exception):
    """Base of every error that this package raises on purpose."""


class ConfigurationError(AudienceManagerError, ValueError):
    """A parameter, a connection or a request is wrong. Trying again does not help."""


class DataError(AudienceManagerError, ValueError):
    """Rows, files or messages break the contract. Trying again with them does not help."""


class TransientError(AudienceManagerError):
    """Something outside did not answer as it should. Trying again may help."""
