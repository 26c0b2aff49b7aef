"""What differs between databases that batches are loaded into."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from airflow_am_provider.sources.database_hook import DbApiHook


@dataclass(frozen=True, kw_only=True)
class Dialect:
    """What differs between databases.

    :param placeholder: of a value in a statement.
    :param moment: the type of a time.
    :param key: the type of a text that is a key.
    :param lock: what keeps other loads out until the transaction ends; ``{table}`` is the table.
        None where nothing is known that does.
    :param numbers: a FROM item that gives each number of a column of text, as ``part.value``. None
        where no current table can be kept.
    :param makes_indexes: whether an index can be made unless it is there.
    :param is_known: whether it is known that a transaction is all or nothing.
    """

    placeholder: str
    moment: str
    key: str = "TEXT"
    lock: str | None = None
    numbers: str | None = None
    makes_indexes: bool = True
    is_known: bool = True


POSTGRES: Final = Dialect(
    placeholder="%s",
    moment="TIMESTAMPTZ",
    lock="LOCK TABLE {table} IN EXCLUSIVE MODE",
    numbers="unnest(string_to_array(nullif({column}, ''), ',')::bigint[]) AS part(value)",
)
SQLITE: Final = Dialect(
    placeholder="?",
    moment="TEXT",
    # Any write takes the lock of the whole database.
    lock="DELETE FROM {table} WHERE 1 = 0",
    numbers="json_each('[' || {column} || ']') AS part",
)
_DIALECTS: Final = {"postgresql": POSTGRES, "postgres": POSTGRES, "sqlite": SQLITE}


def dialect_of(hook: DbApiHook) -> Dialect:
    """The dialect of a database; of one that is not known, what most have in common.

    :param hook: the database's.
    """
    known = _DIALECTS.get(str(getattr(hook, "dialect_name", "") or ""))
    return known or Dialect(
        placeholder=hook.placeholder,
        # Text that sorts as times do: types of times differ.
        moment="VARCHAR(40)",
        key="VARCHAR(255)",
        makes_indexes=False,
        is_known=False,
    )
