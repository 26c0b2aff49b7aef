"""Reading parameters that may have come through a template, and so as text.

>>> whole_number("dpid", "478")
478
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, TypeVar

from airflow_am_provider.audience_manager.errors import ConfigurationError
from airflow_am_provider.audience_manager.identifiers import id_kind

if TYPE_CHECKING:
    from enum import StrEnum

    from airflow_am_provider.audience_manager.identifiers import IdKind

    Choice = TypeVar("Choice", bound=StrEnum)

_FLAGS: Final = {"true": True, "false": False, "none": False, "": False}


def is_given(value: object) -> bool:
    """Whether a parameter says anything; templates give nothing as text.

    >>> is_given("None"), is_given(None), is_given(0)
    (False, False, True)
    """
    return value not in (None, "", "None")


def whole_number(parameter: str, value: object) -> int:
    """A whole number, perhaps as text.

    :param parameter: the parameter's name, for the message.
    :raises ConfigurationError: when it is none.
    """
    if type(value) is int:
        return value
    try:
        return int(str(value).strip())
    except ValueError:
        raise ConfigurationError(f"{parameter}: {value!r} is not a whole number") from None


def optional_whole_number(parameter: str, value: object) -> int | None:
    """A whole number, or None where nothing was given."""
    return whole_number(parameter, value) if is_given(value) else None


def optional_number(parameter: str, value: object) -> float | None:
    """A number, or None where nothing was given.

    >>> optional_number("max_rows_share", "1.5"), optional_number("max_rows_share", None)
    (1.5, None)
    """
    if not is_given(value):
        return None
    try:
        number = float(str(value))
    except ValueError:
        number = math.nan
    # Each comparison with what Python calls "nan" is false, so that it would pass every check.
    if not math.isfinite(number):
        raise ConfigurationError(f"{parameter}: {value!r} is not a number")
    return number


def whole_numbers(parameter: str, values: object) -> tuple[int, ...]:
    """Several whole numbers: a list, one number, or text with commas."""
    if isinstance(values, str):
        values = values.split(",")
    elif not isinstance(values, list | tuple):
        values = [values]
    return tuple(whole_number(f"{parameter}[{at}]", value) for at, value in enumerate(values))


def flag(parameter: str, value: object) -> bool:
    """Yes or no, perhaps as text; templates give nothing as text.

    :raises ConfigurationError: when it is neither. Python takes any text but an empty one for a
        yes, ``False`` as well.

    >>> flag("allow_crm_master", "True"), flag("allow_crm_master", "")
    (True, False)
    """
    if isinstance(value, bool):
        return value
    try:
        return _FLAGS[str(value).strip().lower()]
    except KeyError:
        raise ConfigurationError(f"{parameter}: {value!r} is neither true nor false") from None


def some_text(parameter: str, value: object) -> str:
    """Text that is not empty.

    :param parameter: the parameter's name, for the message.
    :raises ConfigurationError: when it is none.
    """
    if not isinstance(value, str) or not value.strip():
        raise ConfigurationError(f"{parameter}: {value!r} is not a text that says something")
    return value


def name(parameter: str, value: object) -> str:
    """One column's name.

    :param parameter: the parameter's name, for the message.
    :raises ConfigurationError: when it is none.
    """
    if not isinstance(value, str) or not value:
        raise ConfigurationError(f"{parameter}: {value!r} is not the name of a column")
    return value


def names(parameter: str, values: object) -> tuple[str, ...]:
    """Column names: one, several, or none.

    :raises ConfigurationError: when something else is among them.

    >>> names("traits_column", "traits"), names("traits_column", None)
    (('traits',), ())
    """
    if values is None or values == "":
        return ()
    several = values if isinstance(values, list | tuple) else [values]
    return tuple(name(parameter, value) for value in several)


def names_by_column(parameter: str, values: object) -> dict[str, str]:
    """Columns and what each is called at Adobe; a plain list keeps the columns' names.

    :raises ConfigurationError: when something else than names is among them.

    >>> names_by_column("signal_columns", ["city"])
    {'city': 'city'}
    """
    if isinstance(values, Mapping):
        return {name(parameter, column): name(parameter, key) for column, key in values.items()}
    return {column: column for column in names(parameter, values)}


def optional_id_kind(value: object) -> IdKind | None:
    """The kind of ID that ``id_kind`` names, or None where nothing was given.

    :raises ConfigurationError: when there is no such kind.
    """
    return id_kind(str(value)) if is_given(value) else None


def numbers_by_column(parameter: str, values: object) -> dict[str, int]:
    """Columns and the number that each stands for; nothing where nothing was given.

    :raises ConfigurationError: when it is no dict, as a template gives text, or of other values.

    >>> numbers_by_column("trait_flags", {"vip": "24"})
    {'vip': 24}
    """
    if values is None or values == "":
        return {}
    if not isinstance(values, Mapping):
        raise ConfigurationError(f"{parameter}: {values!r} is no dict of columns and numbers")
    return {
        name(parameter, column): whole_number(f"{parameter}[{column!r}]", number)
        for column, number in values.items()
    }


def choice(parameter: str, value: object, options: type[Choice], *, page: str = "") -> Choice:
    """One of a few words.

    :param page: the one of Adobe's that names them, for the message.
    :raises ConfigurationError: when it is none of them; lists those there are.
    """
    try:
        return options(str(value))
    except ValueError:
        words = ", ".join(repr(option.value) for option in options)
        rule = f" ({page})" if page else ""
        raise ConfigurationError(f"{parameter}: {value!r} is none of {words}{rule}") from None
