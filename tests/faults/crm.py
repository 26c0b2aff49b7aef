"""The customers whose traits are delivered, and what Audience Manager must know of them in the end.

Worked out here by hand from the same rows, with none of the code that is to be proven.
"""

import random
from collections.abc import Collection, Iterable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import NamedTuple

import psycopg2
from psycopg2.extras import execute_values

from demo.local.postgres import Postgres
from tests.faults.schedule import VARIANTS, WINDOWS, Run

DPID = 478
DATABASE = "faults"
# The window before the first is where nothing ever happened.
FIRST_DAY = datetime(2026, 3, 1, tzinfo=UTC)
_CUSTOMERS = 3_000
_BAD_IDS = 7


class Row(NamedTuple):
    """A change of one customer on one day."""

    customer: str
    uuid: str
    window: int
    traits: tuple[int, ...]
    removed: tuple[int, ...]
    is_bad: bool


def table(variant: int, seed: int | None = None) -> str:
    """The table of a variant, or a copy of it that one schedule has for itself."""
    return f"customers_{variant}" if seed is None else f"customers_{variant}_s{seed}"


def window(number: int) -> tuple[str, str]:
    """Begin and end of a day."""
    begin = FIRST_DAY + timedelta(days=number)
    return begin.isoformat(), (begin + timedelta(days=1)).isoformat()


@cache
def rows(variant: int) -> tuple[Row, ...]:
    """All changes; the second day takes back some of what the first one said."""
    chance = random.Random(f"customers {variant}")
    found: list[Row] = []
    traits: dict[int, tuple[int, ...]] = {}
    for day in range(WINDOWS):
        for number in sorted(chance.sample(range(_CUSTOMERS), _CUSTOMERS * 2 // 3)):
            is_bad = number % (_CUSTOMERS // _BAD_IDS) == 0
            customer = f"cust{':' if is_bad else '-'}{number:05}-{chance.randbytes(8).hex()}"
            if number in traits:
                # The same customer keeps the ID of the first day.
                customer = next(row.customer for row in found if row.uuid == f"{number:038}")
            removed = traits.get(number, ())[::2]
            gained = set(chance.sample(range(24, 99_999), 7)) - set(removed)
            traits[number] = tuple(sorted(gained))
            found.append(Row(customer, f"{number:038}", day, traits[number], removed, is_bad))
    return tuple(found)


def fill(server: Postgres) -> None:
    """Make the tables of all variants."""
    uri = server.create_database(DATABASE)
    with closing(psycopg2.connect(uri)) as connection, connection.cursor() as cursor:
        for variant in range(VARIANTS):
            cursor.execute(
                f"CREATE TABLE {table(variant)} (customer_id text, aam_uuid text, traits text, "
                f"removed text, changed_at timestamptz)"
            )
            values = [
                (
                    row.customer,
                    row.uuid,
                    ",".join(map(str, row.traits)),
                    ",".join(map(str, row.removed)),
                    FIRST_DAY + timedelta(days=row.window, minutes=place % 1_440),
                )
                for place, row in enumerate(rows(variant))
            ]
            execute_values(cursor, f"INSERT INTO {table(variant)} VALUES %s", values)
        connection.commit()


def copy(server: Postgres, variant: int, seed: int) -> None:
    """Make a schedule's own copy of a variant."""
    with closing(psycopg2.connect(server.uri(DATABASE))) as connection:
        connection.cursor().execute(
            f"CREATE TABLE {table(variant, seed)} AS SELECT * FROM {table(variant)}"
        )
        connection.commit()


def correct(server: Postgres, variant: int, seed: int, window: int) -> None:
    """Mend rows of a window in a schedule's copy."""
    values = [
        (row.uuid, ",".join(map(str, row.traits)), ",".join(map(str, row.removed)))
        for row in map(_corrected, rows(variant))
        if row.window == window
    ]
    with closing(psycopg2.connect(server.uri(DATABASE))) as connection:
        execute_values(
            connection.cursor(),
            f"UPDATE {table(variant, seed)} AS t SET traits = v.traits, removed = v.removed "
            f"FROM (VALUES %s) AS v (uuid, traits, removed) WHERE t.aam_uuid = v.uuid "
            f"AND t.changed_at >= '{FIRST_DAY + timedelta(days=window)}' "
            f"AND t.changed_at < '{FIRST_DAY + timedelta(days=window + 1)}'",
            values,
        )
        connection.commit()


def _corrected(row: Row) -> Row:
    """Some customers have a trait that was missing, and one that was wrong is taken back.

    What was sent of the row before is so made good, as a CRM's changes do it.
    """
    if int(row.uuid) % 3:
        return row
    wrong, *right = row.traits
    missing = 100_000 + int(row.uuid) % 7
    return row._replace(traits=(*right, missing), removed=(*row.removed, wrong))


def query(table: str, task: str) -> str:
    """What a format task asks the CRM."""
    columns = "aam_uuid, customer_id" if task == "format_ids" else "customer_id, traits, removed"
    return (
        f"SELECT {columns} FROM {table} WHERE changed_at >= %(window_start)s "
        f"AND changed_at < %(window_end)s ORDER BY customer_id"
    )


def rows_of(variant: int, run: Run, *, is_corrected: bool = False) -> list[Row]:
    """The rows of a run."""
    found = [row for row in rows(variant) if row.window == run.window]
    return [_corrected(row) for row in found] if is_corrected else found


def expected(
    variant: int, runs: Iterable[Run], corrected: Collection[int] = ()
) -> list[tuple[str, ...]]:
    """Every link and trait that Audience Manager must know after these runs, sorted.

    The newest data is in force, in whatever order the runs were.

    :param corrected: numbers of the runs that read corrected rows in the end.
    """
    links: set[tuple[str, ...]] = set()
    traits: dict[str, set[int]] = {}
    for number, run in sorted(enumerate(runs), key=lambda numbered: numbered[1].window):
        for row in rows_of(variant, run, is_corrected=number in corrected):
            if row.is_bad:
                continue
            if run.kind == "full":
                traits[row.customer] = set(row.traits)
                continue
            links.add(("link", "0", row.uuid, str(DPID), row.customer))
            traits.setdefault(row.customer, set()).update(row.traits)
            traits[row.customer].difference_update(row.removed)
    known = {
        ("trait", str(DPID), customer, str(DPID), str(trait))
        for customer, found in traits.items()
        for trait in found
    }
    return sorted(links | known)
