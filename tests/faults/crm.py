"""The customers whose traits are delivered, and what Audience Manager must know of them in the end.

Worked out here by hand from the same rows, with none of the code that is to be proven.
"""

import random
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import NamedTuple

import psycopg2
from psycopg2.extras import execute_values

from demo.local.postgres import Postgres
from tests.faults.schedule import MAPPED, VARIANTS, WINDOWS, Run

DPID = 478
DATABASE = "faults"
# The window before the first is where nothing ever happened.
FIRST_DAY = datetime(2026, 3, 1, tzinfo=UTC)
_CUSTOMERS = 3_000
_BAD_IDS = 7
# What the rows of a window are: as at first, or mended; for what is there and back: as at first,
# mended, and as at first again. The last ones differ in rows that are set aside alone.
PLAIN, CORRECTED = "plain", "corrected"
THERE_AND_BACK = ("there", "and", "back")


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
            # A device belongs to the customers of one variant.
            uuid = f"{variant * 10 * _CUSTOMERS + number:038}"
            customer = f"cust{':' if is_bad else '-'}{number:05}-{chance.randbytes(8).hex()}"
            if number in traits:
                # The same customer keeps the ID of the first day.
                customer = next(row.customer for row in found if row.uuid == uuid)
            removed = traits.get(number, ())[::2]
            gained = set(chance.sample(range(24, 99_999), 7)) - set(removed)
            traits[number] = tuple(sorted(gained))
            found.append(Row(customer, uuid, day, traits[number], removed, is_bad))
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
            values = list(_values(rows(variant)))
            execute_values(cursor, f"INSERT INTO {table(variant)} VALUES %s", values)
        connection.commit()


def copy(server: Postgres, variant: int, seed: int) -> None:
    """Make a schedule's own copy of a variant."""
    with closing(psycopg2.connect(server.uri(DATABASE))) as connection:
        connection.cursor().execute(
            f"CREATE TABLE {table(variant, seed)} AS SELECT * FROM {table(variant)}"
        )
        connection.commit()


def put(server: Postgres, variant: int, seed: int, window: int, content: str) -> None:
    """Let a window of a schedule's copy have other rows."""
    begin = FIRST_DAY + timedelta(days=window)
    with closing(psycopg2.connect(server.uri(DATABASE))) as connection:
        cursor, name = connection.cursor(), table(variant, seed)
        cursor.execute(
            f"DELETE FROM {name} WHERE changed_at >= %s AND changed_at < %s",
            [begin, begin + timedelta(days=1)],
        )
        found = [row for row in rows(variant) if row.window == window]
        execute_values(
            cursor, f"INSERT INTO {name} VALUES %s", list(_values(_content(found, content)))
        )
        connection.commit()


def _values(found: Iterable[Row]) -> Iterator[tuple[object, ...]]:
    for place, row in enumerate(found):
        traits, removed = (",".join(map(str, items)) for items in (row.traits, row.removed))
        changed_at = FIRST_DAY + timedelta(days=row.window, minutes=place % 1_440)
        yield row.customer, row.uuid, traits, removed, changed_at


def _content(found: list[Row], content: str) -> list[Row]:
    """A window's rows, as they are at some time."""
    if content == PLAIN:
        return found
    if content == CORRECTED:
        return list(map(_corrected, found))
    there, and_, _ = THERE_AND_BACK
    if content == and_:
        return [*map(_corrected, found), *_bad(found[0], 3)]
    # What the correction adds is not there, which takes it back once the correction was sent.
    taken_back = [row._replace(removed=(*row.removed, _missing(row))) for row in found]
    return [*taken_back, *([] if content == there else _bad(found[0], 5))]


def _bad(like: Row, count: int) -> Iterator[Row]:
    """Rows that are set aside."""
    for number in range(900_000, 900_000 + count):
        yield like._replace(customer=f"cust:{number}", uuid=f"{number:038}", is_bad=True)


def _missing(row: Row) -> int:
    return 100_000 + int(row.uuid) % 7


def _corrected(row: Row) -> Row:
    """Some customers have a trait that was missing, and one that was wrong is taken back.

    What was sent of the row before is so made good, as a CRM's changes do it.
    """
    if int(row.uuid) % 3:
        return row
    wrong, *right = row.traits
    return row._replace(traits=(*right, _missing(row)), removed=(*row.removed, wrong))


def query(table: str, task: str, run: Run, *, has_window: bool) -> str:
    """What a format task asks the CRM."""
    columns = "aam_uuid, customer_id" if task == "format_ids" else "customer_id, traits, removed"
    start, end = ("%(window_start)s", "%(window_end)s")
    if not has_window:
        start, end = (f"'{moment}'" for moment in window(run.window))
    share = ""
    if run.share is not None:
        share = f"AND mod(right(aam_uuid, 1)::int, {MAPPED}) = {run.share} "
    return (
        f"SELECT {columns} FROM {table} WHERE changed_at >= {start} "
        f"AND changed_at < {end} {share}ORDER BY customer_id"
    )


def customers_of(variant: int, run: Run) -> int:
    """The variant whose customers a run is about."""
    return (variant + run.customers) % VARIANTS


def rows_of(variant: int, run: Run, content: str = PLAIN) -> list[Row]:
    """The rows of a run of a job."""
    found = [row for row in rows(customers_of(variant, run)) if row.window == run.window]
    found = _content(found, content)
    return [row for row in found if run.share is None or int(row.uuid) % MAPPED == run.share]


def expected(
    variant: int, runs: Iterable[Run], contents: Mapping[int, str] | None = None
) -> list[tuple[str, ...]]:
    """Every link and trait that Audience Manager must know after these runs, sorted.

    The newest data is in force, in whatever order the runs were.

    :param contents: what rows each run read in the end, by its number.
    """
    contents = contents or {}
    links: set[tuple[str, ...]] = set()
    traits: dict[str, set[int]] = {}
    for number, run in sorted(enumerate(runs), key=lambda numbered: numbered[1].window):
        for row in rows_of(variant, run, contents.get(number, PLAIN)):
            if row.is_bad:
                continue
            if run.kind == "full":
                if run.customers:
                    links.add(("link", "0", row.uuid, str(DPID), row.customer))
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
