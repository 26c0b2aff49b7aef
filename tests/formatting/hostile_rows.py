"""Rows of hostile values: every cell is good, odd, broken or something in between."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import strategies as st

from airflow_am_provider.audience_manager.identifiers import ID_KINDS
from tests.audience_manager.hostile import HOSTILE_WORDS, hostile_text

if TYPE_CHECKING:
    from collections.abc import Iterator
    from random import Random

# What no text is: bytes that begin, go on or end a character alone.
BROKEN = (b"\xff", b"\xc3", b"\xa9", b"\xe2\x82", b"\x80\x80", b"\xed\xa0\x80", b"\xf0\x9f\x98")
CORPUS = (
    *(word.encode() for word in HOSTILE_WORDS),
    *BROKEN,
    *(kind.example.encode() for kind in ID_KINDS.values()),
    "\u3000+442079460958".encode(),
    b"\xc2\xa0+442079460958\xc2\x85",
    b"jane.doe@example.co.uk ",
    b"v@1.2",
    b"a@b.c3",
    "Größe".encode(),
    "日本語".encode(),
    "ｆｕｌｌ".encode(),
    b"NULL",
    b"  nUlL ",
    b"\\N",
    b"None",
    b"nan",
    b"NaN",
    b"-inf",
    b"NA",
    b"#N/A",
    b"<NA>",
    b"true",
    b"undefined",
    b"1.23457E+12",
    b" 1,5e7",
    b"4E+17",
    b"4E17",
    b"1001.00",
    "\u3000\xa0 \u200b".encode(),
    "\u2060".encode(),
    b"{1,NULL, 2}",
    b"{}",
    b"{",
    b"a:0",
    b"a:-1",
    b"\t",
    b"x" * 3000,
)

#: Values that hypothesis makes up and shrinks; rows are put together from them.
pools = st.lists(
    hostile_text.map(lambda text: text.encode("utf-8", "surrogatepass")) | st.binary(max_size=12),
    min_size=1,
    max_size=8,
)


class Mixer:
    """Makes cells out of a pool of hostile values.

    :param pool: values that hypothesis made up.
    :param random: decides everything else.
    """

    def __init__(self, pool: list[bytes], random: Random) -> None:
        self.random = random
        self._pool = pool

    def value(self, *good: bytes) -> bytes:
        """Something hostile, or something good, or something good with a scratch."""
        random = self.random
        dice = random.random()
        if good and dice < 0.45:
            return random.choice(good)
        if dice < 0.6:
            return random.choice(self._pool)
        if dice < 0.75:
            return random.choice(CORPUS)
        if good and dice < 0.9:
            return self._scratched(random.choice(good))
        return random.choice(CORPUS) + random.choice(self._pool) + random.choice(CORPUS)

    def maybe(self, *good: bytes) -> bytes | None:
        """The same, and sometimes nothing."""
        return None if self.random.random() < 0.1 else self.value(*good)

    def several(self, separator: bytes, *good: bytes) -> bytes:
        """Values behind one another."""
        return separator.join(self.value(*good) for _ in range(self.random.randint(1, 4)))

    def unique_id(self) -> bytes:
        """A good ID that no other row has."""
        return b"%032x" % self.random.getrandbits(128)

    def pieces(self, count: int) -> Iterator[slice]:
        """Cut so many rows into batches of any size."""
        start = 0
        while start < count:
            end = start + self.random.choice((1, 7, 64, count))
            yield slice(start, min(end, count))
            start = end

    def _scratched(self, value: bytes) -> bytes:
        place = self.random.randint(0, len(value))
        kept = place + self.random.randint(0, 1)
        return value[:place] + self.random.choice((b"", *CORPUS)) + value[kept:]
