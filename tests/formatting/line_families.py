"""Families of rules for whole lines of data files: length, repetition, no items at all."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_am_provider.audience_manager.identifiers import DPUUID
from airflow_am_provider.audience_manager.names import Mode
from airflow_am_provider.formatting.lines.data_lines import DataFileSpec
from tests.formatting import naive
from tests.formatting.families import Family, Row

if TYPE_CHECKING:
    from tests.formatting.hostile_rows import Mixer


class LongLines(Family):
    name = "long lines"
    spec = DataFileSpec(
        dpid=478, id_column="id", traits_columns=("trait",), signal_columns={"a": "key"}
    )

    def hostile(self, mixer: Mixer) -> Row:
        random = mixer.random
        if random.random() > 0.03:
            return (mixer.unique_id(), b"24", mixer.value(b"x"))
        # 32 of the ID, a tab, "d_sid=24," and "key"="" take 50 bytes.
        length = 102_400 - 50 + random.choice((-1, 0, 1, 2, 5000))
        filling = random.choice((b"x", "é".encode(), mixer.value(b"y") or b"z"))
        return (mixer.unique_id(), b"24", (filling * length)[:length])

    def line(self, user_id: bytes, trait: bytes, value: bytes | None) -> bytes:
        items = naive.trait_items(trait, "d_sid=") + naive.signal_items(value, "key")
        return naive.data_line(user_id, items)

    def good(self, mixer: Mixer) -> Row:
        return (mixer.unique_id(), b"24", None)


class Repeats(Family):
    """Few IDs and few items, so that lines are repeated and users have more than 200."""

    name = "repeats"
    spec = DataFileSpec(dpid=478, id_column="id", traits_columns=("trait",))

    def hostile(self, mixer: Mixer) -> Row:
        random = mixer.random
        user_id = random.choice((b"ann", b"bob", b"Ann", b"ann ", mixer.value(b"eve")))
        return (user_id, b"%d" % random.choice((1, random.randint(1, 400))))

    def rows(self, mixer: Mixer, size: int) -> list[Row]:
        rows = super().rows(mixer, size)
        heavy = [(b"ann", b"%d" % number) for number in range(size)]
        place = mixer.random.randint(0, len(rows))
        return [*rows[:place], *heavy, *rows[place:]]

    def line(self, user_id: bytes | None, trait: bytes | None) -> bytes:
        good = naive.checked_id(user_id, DPUUID)
        return naive.data_line(good, naive.trait_items(trait, "d_sid="))


class Deletions(Family):
    """``.overwrite`` with users that lose all their traits."""

    name = "overwrite deletions"
    is_joined = True
    spec = DataFileSpec(
        dpid=478,
        id_column="id",
        mode=Mode.OVERWRITE,
        traits_columns=("trait",),
        signal_columns={"a": "key"},
        remove_all_of_users_without_items=True,
    )

    def hostile(self, mixer: Mixer) -> Row:
        random = mixer.random
        return (
            mixer.maybe(mixer.unique_id()),
            random.choice((None, b"", b",", b" , ", b"{}", b"5", mixer.maybe(b"24"))),
            random.choice((None, None, b"", mixer.value(b"x"))),
        )

    def line(self, user_id: bytes | None, trait: bytes | None, value: bytes | None) -> bytes:
        good = naive.checked_id(user_id, DPUUID)
        items = naive.trait_items(trait, "d_sid=") + naive.signal_items(value, "key")
        return naive.data_line(good, items, deletions=True)

    def good(self, mixer: Mixer) -> Row:
        return (mixer.unique_id(), b"24", b"x")


class Joined(Deletions):
    """Few users with many rows each, so that most lines are joined and some are too long."""

    name = "overwrite joined"

    def hostile(self, mixer: Mixer) -> Row:
        random = mixer.random
        user_id = random.choice((b"ann", b"bob", b"Ann", b"an,n", b"ann ", mixer.value(b"eve")))
        if random.random() < 0.9:
            user_id += b"%d" % random.randint(0, 20)
        traits = ",".join(str(random.randint(1, 40)) for _ in range(random.randint(0, 3)))
        value = random.choice((None, None, b"x", mixer.value(b"x")))
        if random.random() < 0.02:
            value = b"%05d" % random.randint(0, 99_999) * random.randint(1, 20_000)
        return (user_id, random.choice((traits.encode(), mixer.maybe(b"24"))), value)


ALL: tuple[Family, ...] = (LongLines(), Repeats(), Deletions(), Joined())
