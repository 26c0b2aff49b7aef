"""The AWS hook says at each client where its keys come from: once is enough in a task.

The lines of other DAGs' own AWS hooks are left alone: only what is said while this package makes a
client counts.
"""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

_is_ours: ContextVar[bool] = ContextVar("makes_a_client_of_ours", default=False)
_KEPT: Final = 200


class OnceLogger:
    """A logger that says each information once, as long as this package asks for it.

    :param logger: whose words they are.
    """

    def __init__(self, logger: Any) -> None:
        self._logger = logger
        self._said: set[str] = set()

    def info(self, text: str, *values: Any, **more: Any) -> None:
        """Say it, unless it was said."""
        if _is_ours.get():
            said = text % values if values else text
            if said in self._said:
                return
            if len(self._said) < _KEPT:
                self._said.add(said)
        self._logger.info(text, *values, **more)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._logger, name)


@contextmanager
def said_once() -> Iterator[None]:
    """Have the AWS hook say where keys come from only where that was not said before."""
    from airflow.providers.amazon.aws.utils.connection_wrapper import AwsConnectionWrapper

    # Airflow's loggers are structlog's, which take no logging.Filter; a class keeps its own, and
    # is handed none in any other way.
    if not isinstance(AwsConnectionWrapper._log, OnceLogger):  # noqa: SLF001  # see above
        logger: Any = OnceLogger(AwsConnectionWrapper.logger())
        AwsConnectionWrapper._log = logger  # noqa: SLF001  # see above
    token = _is_ours.set(True)
    try:
        yield
    finally:
        _is_ours.reset(token)
