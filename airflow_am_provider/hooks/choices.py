"""Reading a parameter that is one of a few words."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from airflow_am_provider.audience_manager.errors import ConfigurationError

if TYPE_CHECKING:
    from enum import StrEnum

    Choice = TypeVar("Choice", bound=StrEnum)


def choice(place: str, value: object, options: type[Choice]) -> Choice:
    """One of a few words.

    :raises ConfigurationError: when it is none of them; lists those there are.
    """
    try:
        return options(str(value))
    except ValueError:
        words = ", ".join(repr(option.value) for option in options)
        raise ConfigurationError(f"{place}: {value!r} is none of {words}") from None
