"""What differs between databases that batches are loaded into."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from airflow_am_provider.sources.database_hook import DbApiHook


@dataclass(frozen=True, kw_only=True)
class Dialect:
    """What differs between databases.

    :param placeholder: of a value in a statement.
    :param moment: the type of a time.
    :param key: the type of a text that is a key.
    :param text: the type of any other text.
    :param lock: what keeps other loads out until the transaction ends; ``{table}`` is the table.
        None where nothing is known that does.
    :param first_lock: the same, by a name that needs no table: it comes first of all, before tables
        are made. Where it is None, making them at once does no harm, or nothing is known.
    :param numbers: a FROM item that gives each number of a column of text, as ``part.value``. None
        where no current table can be kept.
    :param integer: what a number is cast to.
    :param as_moment: what a time is cast to.
    :param upsert: what becomes of a row of the current table that is there; ``{own}`` is that one.
    :param analyze: what says how many rows ``{table}`` has, where a statement is planned without.
    :param index: how an index is made: ``statement``, ``inline`` with the table, or None.
    :param bulk: the way of many rows: ``copy``, ``load_data``, or None for INSERT.
    :param longest_name: characters of a table's name; what is longer is cut off or refused. None
        where it is not known.
    :param is_known: whether it is known that a transaction is all or nothing.
    """

    placeholder: str
    moment: str
    key: str = "TEXT"
    text: str = "TEXT"
    integer: str = "BIGINT"
    as_moment: str = "TEXT"
    upsert: str = ""
    lock: str | None = None
    first_lock: str | None = None
    numbers: str | None = None
    analyze: str | None = None
    index: str | None = "statement"
    bulk: str | None = None
    longest_name: int | None = None
    is_known: bool = True


_ON_CONFLICT: Final = (
    "ON CONFLICT (destination, id_dpid, user_id, segment) DO UPDATE SET since = CASE WHEN "
    "{own}.until IS NULL OR {own}.until = excluded.since THEN {own}.since ELSE excluded.since END, "
    "until = NULL"
)

POSTGRES: Final = Dialect(
    placeholder="%s",
    moment="TIMESTAMPTZ",
    as_moment="TIMESTAMPTZ",
    upsert=_ON_CONFLICT,
    bulk="copy",
    longest_name=63,
    lock="LOCK TABLE {table} IN EXCLUSIVE MODE",
    # Two that make tables or indexes at once fail or wait for each other, whatever IF NOT EXISTS
    # says, and a lock of a table cannot come before it is made.
    first_lock="SELECT pg_advisory_xact_lock(hashtextextended('airflow_am_{table}', 0))",
    numbers="unnest(string_to_array(nullif({column}, ''), ',')::bigint[]) AS part(value)",
    # Of tables that one session alone sees, its autovacuum learns nothing.
    analyze="ANALYZE {table}",
)
SQLITE: Final = Dialect(
    placeholder="?",
    moment="TEXT",
    upsert=_ON_CONFLICT,
    # Any write takes the lock of the whole database.
    lock="DELETE FROM {table} WHERE 1 = 0",
    numbers="json_each('[' || {column} || ']') AS part",
)
# MariaDB too. Its statements that make tables end a transaction, so they come first.
MYSQL: Final = Dialect(
    placeholder="%s",
    # Text that sorts as times do: whether a time may have a zone depends on the version.
    moment="VARCHAR(40)",
    # Other orders take ann and Ann for one.
    key="VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin",
    integer="SIGNED",
    as_moment="CHAR(40)",
    upsert=(
        "ON DUPLICATE KEY UPDATE since = CASE WHEN {own}.until IS NULL OR {own}.until = "
        "VALUES(since) THEN {own}.since ELSE VALUES(since) END, until = NULL"
    ),
    # Of the session; it ends with the connection. A lock of a table would end the transaction.
    first_lock="SELECT GET_LOCK(CONCAT('airflow_am_', MD5('{table}')), 86400)",
    numbers=(
        "JSON_TABLE(CONCAT('[', {column}, ']'), '$[*]' COLUMNS (value BIGINT PATH '$')) AS part"
    ),
    index="inline",
    longest_name=64,
)
# Its hook says that it is PostgreSQL, of which it has neither indexes nor modes of locks. What it
# calls TEXT has 256 bytes (docs.aws.amazon.com/redshift/latest/dg: r_LOCK, r_Character_types).
REDSHIFT: Final = Dialect(
    placeholder="%s",
    moment="VARCHAR(40)",
    key="VARCHAR(255)",
    text="VARCHAR(65535)",
    lock="LOCK {table}",
    index=None,
    is_known=False,
)
_ON: Final = ("1", "true", "yes", "on")
_DIALECTS: Final = {
    "postgresql": POSTGRES,
    "postgres": POSTGRES,
    "sqlite": SQLITE,
    "mysql": MYSQL,
    "mariadb": MYSQL,
}


def dialect_of(hook: DbApiHook) -> Dialect:
    """The dialect of a database; of one that is not known, what most have in common.

    :param hook: the database's.
    """
    if _is_redshift(hook):
        return REDSHIFT
    known = _DIALECTS.get(str(getattr(hook, "dialect_name", "") or ""))
    if known is MYSQL and str(hook.connection_extra.get("local_infile")).lower() in _ON:
        return replace(MYSQL, bulk="load_data")
    return known or Dialect(
        placeholder=hook.placeholder,
        # Text that sorts as times do: types of times differ.
        moment="VARCHAR(40)",
        key="VARCHAR(255)",
        index=None,
        is_known=False,
    )


def _is_redshift(hook: DbApiHook) -> bool:
    """By a connection of its own type, or one of PostgreSQL that says so."""
    if getattr(hook, "conn_type", None) == "redshift":
        return True
    extra = hook.connection_extra
    return any(extra.get(name) for name in ("redshift", "redshift-serverless"))
