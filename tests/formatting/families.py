"""Families of rules: rows to try each on, as columns, and what must become of them.

Those for IDs and items of data files. ``line_families`` has those for whole lines, and
``id_sync_families`` those for ID sync files.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from airflow_am_provider.audience_manager.identifiers import (
    AAM_UUID,
    DPUUID,
    ECID,
    ID_KINDS,
    IDFA,
    IdKind,
)
from airflow_am_provider.audience_manager.items import ic_problem, trait_problem
from airflow_am_provider.formatting.lines.data_lines import DataFileSpec, DataLineWriter
from tests.formatting import naive
from tests.formatting.arrow_columns import column, list_column

if TYPE_CHECKING:
    from random import Random

    from airflow_am_provider.formatting.lines.line_writer import LineWriter
    from tests.formatting.hostile_rows import Mixer

Row = tuple[Any, ...]

EMAILS = (b"jane@example.com", b" JohnDoe@example.com ", "jürgen@exämple.de".encode())
PHONES = (b"+442079460958", b" +1 (212) 555-0100", b"tel:+4930/123 45 67")


class Family:
    """One family of rules, on data files unless a subclass says otherwise."""

    name: str
    spec = DataFileSpec(dpid=478, id_column="id", traits_columns=("trait",))
    max_lines: int | None = 200
    # Lines of users who have several come in another order once they are joined.
    is_joined = False

    def writer(self) -> LineWriter:
        return DataLineWriter(self.spec)

    def rows(self, mixer: Mixer, size: int) -> list[Row]:
        """Hostile rows among good ones, so that no column is personal data for the most part."""
        rows = [self.hostile(mixer) for _ in range(size)]
        rows += [self.good(mixer) for _ in range(size + 1)]
        mixer.random.shuffle(rows)
        return rows

    def hostile(self, mixer: Mixer) -> Row:
        raise NotImplementedError

    def good(self, mixer: Mixer) -> Row:
        return (mixer.unique_id(), b"24")

    def batch(self, rows: list[Row], random: Random) -> pa.RecordBatch:
        columns = zip(*rows, strict=True)
        return pa.RecordBatch.from_arrays(
            [column(values, random) for values in columns], self.writer().columns
        )

    def expected(self, rows: list[Row]) -> naive.Outcome:
        if self.is_joined:
            return naive.joined_outcome(rows, self.line, is_good_id=self.is_good_id)
        return naive.outcome(rows, self.line, max_lines=self.max_lines)

    def line(self, *row: Any) -> bytes:
        raise NotImplementedError

    def is_good_id(self, user_id: bytes | None) -> bool:
        try:
            naive.checked_id(user_id, DPUUID)
        except naive.Aside:
            return False
        return True

    def read(self, line: bytes) -> tuple[str, ...]:
        """What a reader must find in a line that was written."""
        user_id, items = line.decode().removesuffix("\n").split("\t")
        return (user_id, *(items.split(",") if items else ()))

    def careless(self, row: Row) -> bytes | None:
        """The line that a program without rules would write; None where it could mean another row.

        The reader must find fault with the line of each row that was set aside.
        """
        return None


class Ids(Family):
    def __init__(self, kind: IdKind) -> None:
        self.kind = kind
        self.name = f"id {kind.name}"
        self.spec = DataFileSpec(
            dpid=kind.dpid or 478,
            target_dpid=479 if kind.dpid else None,
            id_column="id",
            id_kind=kind,
            traits_columns=("trait",),
        )

    def hostile(self, mixer: Mixer) -> Row:
        return (mixer.maybe(self.good_id(mixer), self.kind.example.encode()), b"24")

    def good(self, mixer: Mixer) -> Row:
        return (self.good_id(mixer), b"24")

    def line(self, user_id: bytes | None, trait: bytes) -> bytes:
        return naive.data_line(naive.checked_id(user_id, self.kind), [f"d_sid={trait.decode()}"])

    def careless(self, row: Row) -> bytes | None:
        if self.kind in (AAM_UUID, ECID):
            # No data source stands for them in a data file's name: to the reader they are DPUUIDs.
            return None
        user_id, trait = row
        return (user_id or b"") + b"\td_sid=" + trait

    def good_id(self, mixer: Mixer) -> bytes:
        digits = mixer.unique_id()
        if self.kind in (AAM_UUID, ECID):
            return (str(int(digits, 16)) * 2)[:38].encode()
        if b"-" not in self.kind.example.encode() or self.kind is DPUUID:
            return digits
        guid = b"-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))
        return guid.upper() if self.kind is IDFA else guid


class TextSignals(Family):
    """Signals only, each from a column of text."""

    def careless(self, row: Row) -> bytes | None:
        user_id, *values = row
        if any(b'"' in value for value in values if value):
            # What stands behind the quote would be another item.
            return None
        pairs = zip(self.spec.signal_columns.values(), values, strict=True)
        items = [b'"%s"="%s"' % (key.encode(), value) for key, value in pairs if value]
        return (user_id or b"") + b"\t" + b",".join(items)


class PersonalData(TextSignals):
    name = "personal data"
    spec = DataFileSpec(dpid=478, id_column="id", signal_columns={"a": "city", "b": "segment"})

    def hostile(self, mixer: Mixer) -> Row:
        good = (*EMAILS, *PHONES, b"jane%40example.com", mixer.unique_id())
        return (mixer.maybe(*good), mixer.maybe(*good), mixer.maybe(*good))

    def good(self, mixer: Mixer) -> Row:
        return (mixer.unique_id(), "Köln".encode(), b"gold")

    def line(self, user_id: bytes | None, city: bytes | None, segment: bytes | None) -> bytes:
        good = naive.checked_id(user_id, DPUUID)
        items = naive.signal_items(city, "city") + naive.signal_items(segment, "segment")
        return naive.data_line(good, items)


class CutCharacters(TextSignals):
    """Characters that end in one row and go on in the next: together they are good UTF-8."""

    name = "cut characters"
    spec = DataFileSpec(dpid=478, id_column="id", signal_columns={"a": "key"})

    def rows(self, mixer: Mixer, size: int) -> list[Row]:
        random = mixer.random
        rows = [self.good(mixer) for _ in range(size)]
        for _ in range(1 + size // 50):
            whole = random.choice(("é", "日", "😀", "x", "éé")).encode()
            cut = random.randint(0, len(whole))
            place = random.randint(0, len(rows))
            halves: list[bytes | None] = [whole[:cut], *random.choice(([], [None], [b""]))]
            halves.append(whole[cut:])
            column = random.randint(0, 1)
            for half in reversed(halves):
                row = list(self.good(mixer))
                row[column] = half
                rows.insert(place, tuple(row))
        return rows

    def good(self, mixer: Mixer) -> Row:
        return (mixer.unique_id() + "é".encode(), mixer.random.choice(("Köln".encode(), b"Bonn")))

    def line(self, user_id: bytes | None, value: bytes | None) -> bytes:
        good = naive.checked_id(user_id, DPUUID)
        return naive.data_line(good, naive.signal_items(value, "key"))


class Traits(Family):
    name = "traits"
    spec = DataFileSpec(
        dpid=478,
        id_column="id",
        traits_columns=("text", "number", "list"),
        removed_traits_columns=("gone",),
        trait_flags={"flag": 77},
    )

    def hostile(self, mixer: Mixer) -> Row:
        random = mixer.random
        good = (b"24", b"5", b"1,22", b" 3", b"{4,5}", "٣".encode())
        return (
            mixer.unique_id(),
            random.choice((None, mixer.several(b",", *good), mixer.value(*good), *good)),
            random.choice((None, random.getrandbits(40), -3)),
            self._list(mixer, b"24", b"5"),
            random.choice((None, mixer.several(b",", b"7"), b"7,8", b"", b",7")),
            random.choice((None, True, False)),
        )

    def good(self, mixer: Mixer) -> Row:
        random = mixer.random
        return (mixer.unique_id(), b"1,22", random.getrandbits(40), [b"4"], b"28", True)

    def batch(self, rows: list[Row], random: Random) -> pa.RecordBatch:
        ids, texts, numbers, lists, gone, flags = zip(*rows, strict=True)
        nothing = not any(flag is not None for flag in flags)
        return pa.RecordBatch.from_arrays(
            [
                column(ids, random),
                column(texts, random),
                pa.array(numbers, random.choice((pa.int64(), pa.decimal128(20, 0)))),
                list_column(lists, random),
                column(gone, random),
                pa.nulls(len(rows)) if nothing else pa.array(flags, pa.bool_()),
            ],
            self.writer().columns,
        )

    def line(
        self,
        user_id: bytes,
        text: bytes | None,
        number: int | None,
        values: list[bytes | None] | None,
        gone: bytes | None,
        flag: bool | None,
    ) -> bytes:
        items = [
            *naive.trait_items(text, "d_sid="),
            *naive.trait_items(None if number is None else b"%d" % number, "d_sid="),
            *naive.listed_items(values, "d_sid=", trait_problem),
            *naive.trait_items(gone, "d_unsid="),
        ]
        return naive.data_line(user_id, items + (["d_sid=77"] if flag else []))

    def _list(self, mixer: Mixer, *good: bytes) -> list[bytes | None] | None:
        count = mixer.random.randint(-1, 3)
        return (
            None
            if count < 0
            else [
                mixer.random.choice((None, *good, *good, mixer.value(*good))) for _ in range(count)
            ]
        )


class SeparatedTraits(Family):
    """Traits in text, with something else than commas between them."""

    def __init__(self, separator: str) -> None:
        self.separator = separator
        self.name = f"traits by {separator!r}"
        self.spec = DataFileSpec(
            dpid=478,
            id_column="id",
            traits_columns=("text",),
            removed_traits_columns=("gone",),
            traits_separator=separator,
        )

    def hostile(self, mixer: Mixer) -> Row:
        mark = self.separator.encode()
        good = (b"24", b"5", b" 3", b"1,2", b"1" + mark + b"2", b"", "\u0663".encode())
        texts = [mixer.several(mark, *good), mixer.value(*good), None, b"7" + mark, *good]
        return (mixer.unique_id(), *(mixer.random.choice(texts) for _ in range(2)))

    def good(self, mixer: Mixer) -> Row:
        return (mixer.unique_id(), b"1" + self.separator.encode() + b"22", b"28")

    def line(self, user_id: bytes, text: bytes | None, gone: bytes | None) -> bytes:
        items = self._items(text, "d_sid=") + self._items(gone, "d_unsid=")
        return naive.data_line(user_id, items)

    def _items(self, raw: bytes | None, prefix: str) -> list[str]:
        return naive.trait_items(raw, prefix, self.separator)


class JsonTraits(SeparatedTraits):
    def __init__(self) -> None:
        super().__init__("json")

    def hostile(self, mixer: Mixer) -> Row:
        good = (
            b"[1, 22]", b"[1,22]", b'["1","22"]', b"[]", b"[ ]", b"null", b"5", b'"5"', b"[null,1]",
            b"[1 ,2]", b"[1,,2]", b"[1,]", b"[1.0]", b"[true]", b"[[1]]", b'{"a":1}', b"[-1]",
            b"[1e3]", b'["1,2"]', b"[1 2]", b"[NaN]", b" [1] ", b"", b"[1", b"1]", b"[" * 9000,
        )  # fmt: skip
        return (mixer.unique_id(), *(mixer.maybe(*good) for _ in range(2)))

    def good(self, mixer: Mixer) -> Row:
        return (mixer.unique_id(), b"[1, 22]", b"[28]")

    def _items(self, raw: bytes | None, prefix: str) -> list[str]:
        return naive.json_traits(raw, prefix)


class IcCodes(Traits):
    name = "ic codes"
    spec = DataFileSpec(dpid=478, id_column="id", ic_columns=("text", "list"))

    def hostile(self, mixer: Mixer) -> Row:
        good = (b"52", b"summer-26", b"a b", b"28:0", "größe".encode())
        return (
            mixer.unique_id(),
            mixer.random.choice((None, mixer.several(b",", *good), mixer.maybe(*good))),
            self._list(mixer, *good),
        )

    def good(self, mixer: Mixer) -> Row:
        return (mixer.unique_id(), b"52,summer", [b"a"])

    def batch(self, rows: list[Row], random: Random) -> pa.RecordBatch:
        ids, texts, lists = zip(*rows, strict=True)
        return pa.RecordBatch.from_arrays(
            [column(ids, random), column(texts, random), list_column(lists, random)],
            self.writer().columns,
        )

    def line(self, user_id: bytes, text: bytes | None, values: list[bytes | None] | None) -> bytes:
        items = naive.ic_items(text) + naive.listed_items(values, "ic=", ic_problem)
        return naive.data_line(user_id, items)


class Signals(TextSignals):
    name = "signals"
    keys = ("city", "größe von", "k-e-y")
    spec = DataFileSpec(
        dpid=478, id_column="id", signal_columns=dict(zip("abc", keys, strict=True))
    )

    def hostile(self, mixer: Mixer) -> Row:
        good = (b"New York", "Köln".encode(), b"5=5", b" ", b"", b"d_sid=1", "東京".encode())
        return (mixer.unique_id(), *(mixer.maybe(*good) for _ in self.keys))

    def good(self, mixer: Mixer) -> Row:
        return (mixer.unique_id(), b"New York", b"x", b"y")

    def line(self, user_id: bytes, *values: bytes | None) -> bytes:
        items: list[str] = []
        for key, value in zip(self.keys, values, strict=True):
            items += naive.signal_items(value, key)
        return naive.data_line(user_id, items)


class Numbers(Family):
    """Columns that are no text."""

    name = "numbers"
    spec = DataFileSpec(dpid=478, id_column="id", signal_columns={"a": "n", "b": "d", "c": "b"})

    def hostile(self, mixer: Mixer) -> Row:
        random = mixer.random
        return (
            random.choice((None, random.getrandbits(63), -random.getrandbits(63), 0)),
            random.choice((None, random.getrandbits(31))),
            random.choice((None, Decimal(random.getrandbits(40)) / 100)),
            random.choice((None, True, False)),
        )

    def good(self, mixer: Mixer) -> Row:
        return (mixer.random.getrandbits(62), 1, None, None)

    def batch(self, rows: list[Row], random: Random) -> pa.RecordBatch:
        ids, numbers, decimals, flags = zip(*rows, strict=True)
        return pa.RecordBatch.from_arrays(
            [
                pa.array(ids, random.choice((pa.int64(), pa.decimal128(38, 0)))),
                pa.array(numbers, random.choice((pa.int64(), pa.int32(), pa.uint64()))),
                pa.array(decimals, pa.decimal128(20, 2)),
                pa.array(flags, pa.bool_()).dictionary_encode(),
            ],
            self.writer().columns,
        )

    def line(
        self, user_id: int | None, number: int | None, amount: Decimal | None, flag: bool | None
    ) -> bytes:
        good = naive.checked_id(None if user_id is None else b"%d" % user_id, DPUUID)
        items = [] if number is None else [f'"n"="{number}"']
        items += [] if amount is None else [f'"d"="{amount:.2f}"']
        items += [] if flag is None else [f'"b"="{str(flag).lower()}"']
        return naive.data_line(good, items)


ALL: tuple[Family, ...] = (
    *(Ids(kind) for kind in ID_KINDS.values()),
    PersonalData(),
    CutCharacters(),
    Traits(),
    SeparatedTraits(";"),
    SeparatedTraits("|"),
    SeparatedTraits(" "),
    JsonTraits(),
    IcCodes(),
    Signals(),
    Numbers(),
)
