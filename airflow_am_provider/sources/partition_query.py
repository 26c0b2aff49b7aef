"""A query for one share of another query's rows, divided in the database.

The condition is made here and not by the user: whatever its expression gives, a row is in one
share and no other, rows with a negative number or none at all as well.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from airflow_am_provider.audience_manager.errors import ConfigurationError
from airflow_am_provider.sources.placeholders import asks_for, filled, without_end

if TYPE_CHECKING:
    from airflow_am_provider.deliveries.partition import Partition
    from airflow_am_provider.sources.database_hook import DbApiHook
    from airflow_am_provider.sources.partition_bounds import Bounds

#: What a query asks for where the condition is to stand.
IN_PARTITION: Final = "in_partition"
# No `%` in what drivers may take it for a placeholder in. A row without a value has to be
# somewhere: in the first partition.
_HASH: Final = (
    "MOD(COALESCE(hashtext(CAST(({expression}) AS text))::bigint + 2147483648, 0), {count})"
    " = {number}"
)
# Elsewhere the expression is a number: each database hashes in its own way, if in any. A remainder
# has the sign of the number; what is after a decimal point would make it none of the partitions.
_REMAINDER: Final = "ABS(MOD(FLOOR(COALESCE(({expression}), 0)), {count})) = {number}"
_REMAINDERS: Final = {
    # Neither has MOD, and SQLite not always FLOOR.
    "sqlite": "ABS(CAST(COALESCE(({expression}), 0) AS INTEGER) % {count}) = {number}",
    "mssql": "ABS(CAST(FLOOR(COALESCE(({expression}), 0)) AS bigint) - CAST(FLOOR(COALESCE("
    "({expression}), 0)) AS bigint) / {count} * {count}) = {number}",
    # FLOOR gives a float here, which MOD does not take.
    "bigquery": "ABS(MOD(CAST(FLOOR(COALESCE(({expression}), 0)) AS INT64), {count})) = {number}",
}
_AROUND: Final = "SELECT * FROM (\n{sql}\n) AS divided\nWHERE {condition}"


def partition_query(
    hook: DbApiHook,
    sql: str,
    partition: Partition,
    expression: str | None,
    *,
    id_column: str,
    has_values: bool,
    bounds: Bounds | None = None,
) -> str | None:
    """The query for one partition.

    :param hook: tells the kind of database.
    :param sql: one SELECT, which may ask for the condition by the placeholder ``in_partition``.
    :param partition: which one.
    :param expression: SQL, the same for all rows of a user ID; for other databases than PostgreSQL
        a number, unless there are bounds. The ID's column when there is none.
    :param id_column: the column of the user ID.
    :param has_values: whether the driver gets values for placeholders, and so looks for them.
    :param bounds: of ranges of the expression, which may then be of any type; None for a hash or a
        remainder.
    :return: the query; None where the database cannot divide, and it has to be done after reading.
    :raises ConfigurationError: when something is missing for dividing in the database.
    """
    if asks_for(sql, "partition") or asks_for(sql, "partitions"):
        raise ConfigurationError(
            "sql: asks for partition or partitions. A row that its own condition leaves out would "
            "be lost without a trace: ask for in_partition instead, and name what to divide by in "
            "partition_by"
        )
    is_postgresql = _dialect(hook) == "postgresql"
    is_asked = asks_for(sql, IN_PARTITION)
    if is_asked and not (expression or is_postgresql):
        raise ConfigurationError(
            "partition_by: missing, and sql asks for in_partition. Name a whole number that is the "
            "same for all rows of a user ID, such as partition_by='customer_number'"
        )
    if not (is_asked or is_postgresql):
        if expression:
            raise ConfigurationError(
                "partition_by: only used when sql asks for in_partition, written as its driver "
                "wants it, such as WHERE :in_partition. Without both, the rows are divided by "
                "their "
                "user ID after reading"
            )
        if bounds is not None:
            raise ConfigurationError(
                "partition_bounds: say what they are bounds of in partition_by, and write "
                "in_partition into sql as its driver wants it, such as WHERE :in_partition"
            )
        return None
    column = '"' + id_column.replace('"', '""') + '"'
    if has_values:
        column = column.replace("%", "%%")
    if bounds is not None:
        condition = bounds.condition(expression or column, partition)
    else:
        form = _HASH if is_postgresql else _REMAINDERS.get(_dialect(hook), _REMAINDER)
        condition = form.format(
            expression=expression or column, count=partition.count, number=partition.number
        )
    if is_asked:
        return filled(sql, IN_PARTITION, condition)
    return _AROUND.format(sql=without_end(sql), condition=condition)


def _dialect(hook: DbApiHook) -> str:
    return str(getattr(hook, "dialect_name", ""))
