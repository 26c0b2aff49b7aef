"""A query for one share of another query's rows, told by a hash of the user ID in the database."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from airflow_am_provider.audience_manager.errors import ConfigurationError
from airflow_am_provider.hooks.placeholders import asks_for, without_end

if TYPE_CHECKING:
    from collections.abc import Iterable

    from airflow.providers.common.sql.hooks.sql import DbApiHook

_PLACEHOLDERS = ("partition", "partitions")
# A row without an ID has to be somewhere: in the first partition. No `%` here, which drivers would
# take for a placeholder.
_POSTGRESQL = """
SELECT * FROM (
{sql}
) AS divided
WHERE MOD(COALESCE(hashtext(CAST(({expression}) AS text))::bigint + 2147483648, 0), {count})
    = {number}
"""


def partition_query(
    hook: DbApiHook,
    sql: str,
    parameters: Mapping[str, Any] | Iterable[Any] | None,
    number: int,
    count: int,
    expression: str | None,
    *,
    id_column: str,
) -> tuple[str, Mapping[str, Any] | Iterable[Any] | None]:
    """The query for one partition.

    :param hook: tells the kind of database.
    :param sql: one SELECT. Where it has placeholders ``partition`` and ``partitions``, it divides
        its rows itself.
    :param parameters: values for its placeholders.
    :param number: which partition, counted from 0.
    :param count: how many there are.
    :param expression: SQL on the query's columns, the same for all rows of a user ID; the ID's
        column when there is none.
    :param id_column: the column of the user ID.
    :return: the query, and values for its placeholders.
    :raises ConfigurationError: when it is not known how to divide rows in this kind of database.
    """
    asked = [name for name in _PLACEHOLDERS if asks_for(sql, name)]
    if asked:
        if len(asked) < len(_PLACEHOLDERS) or not isinstance(parameters, Mapping | None):
            raise ConfigurationError(
                "sql: asks for one of the placeholders partition and partitions; both are needed, "
                "by name, or rows would be left out"
            )
        if expression:
            raise ConfigurationError(
                "partition_by: sql divides its rows itself, by the placeholders partition and "
                "partitions; use one way"
            )
        return sql, {**(parameters or {}), "partition": number, "partitions": count}
    dialect = getattr(hook, "dialect_name", "")
    if dialect != "postgresql":
        raise ConfigurationError(
            f"partitions: how to divide rows of {dialect or type(hook).__name__} by a hash is not "
            f"known here. Let sql do it by the placeholders partition and partitions, such as "
            f"WHERE MOD(ABS(COALESCE(customer_number, 0)), :partitions) = :partition in the way of "
            f"its driver"
        )
    column = '"' + id_column.replace('"', '""') + '"'
    divided = _POSTGRESQL.format(
        sql=without_end(sql), expression=expression or column, count=count, number=number
    )
    if parameters is not None and "%" in column:
        divided = divided.replace(column, column.replace("%", "%%"))
    return divided, parameters
