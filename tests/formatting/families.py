"""Families of rules: rows to try each on, as columns, and what must become of them."""

from __future__ import annotations

import hashlib
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from airflow_am_provider.audience_manager.identifiers import (
    AAM_UUID,
    DPUUID,
    GAID,
    ID_KINDS,
    IDFA,
    IdKind,
)
from airflow_am_provider.audience_manager.items import ic_problem, trait_problem
from airflow_am_provider.audience_manager.names import IdSyncPrefix, Mode
from airflow_am_provider.audience_manager.rules import Rule
from airflow_am_provider.formatting.data_lines import DataFileSpec, DataLineWriter
from airflow_am_provider.formatting.hashed_email_lines import HashedEmailLineWriter
from airflow_am_provider.formatting.id_sync_lines import IdSyncLineWriter, IdSyncSpec
from tests.formatting import naive
from tests.formatting.arrow_columns import column, list_column

if TYPE_CHECKING:
    from random import Random

    from airflow_am_provider.formatting.lines import LineWriter
    from tests.formatting.hostile_rows import Mixer

Row = tuple[Any, ...]

EMAILS = (b"jane@example.com", b" JohnDoe@example.com ", "jürgen@exämple.de".encode())
PHONES = (b"+442079460958", b" +1 (212) 555-0100", b"+4930/123 45 67")
HASHES = tuple(hashlib.sha256(b"%d" % number).hexdigest().encode() for number in range(30))


class Family:
    """One family of rules, on data files unless a subclass says otherwise."""

    name: str
    spec = DataFileSpec(dpid=478, id_column="id", traits_columns=("trait",))
    max_lines: int | None = 200

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
        return naive.outcome(rows, self.line, max_lines=self.max_lines)

    def line(self, *row: Any) -> bytes:
        raise NotImplementedError

    def read(self, line: bytes) -> tuple[str, ...]:
        """What a reader must find in a line that was written."""
        user_id, items = line.decode().removesuffix("\n").split("\t")
        return (user_id, *(items.split(",") if items else ()))


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
        return (mixer.maybe(self._good_id(mixer), self.kind.example.encode()), b"24")

    def good(self, mixer: Mixer) -> Row:
        return (self._good_id(mixer), b"24")

    def line(self, user_id: bytes | None, trait: bytes) -> bytes:
        return naive.data_line(naive.checked_id(user_id, self.kind), [f"d_sid={trait.decode()}"])

    def _good_id(self, mixer: Mixer) -> bytes:
        digits = mixer.unique_id()
        if self.kind is AAM_UUID:
            return (str(int(digits, 16)) * 2)[:38].encode()
        if b"-" not in self.kind.example.encode() or self.kind is DPUUID:
            return digits
        guid = b"-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))
        return guid.upper() if self.kind is IDFA else guid


class PersonalData(Family):
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


class CutCharacters(Family):
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


class Signals(Family):
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


class IdSync(Family):
    max_lines = None

    def __init__(self, name: str, spec: IdSyncSpec, kinds: tuple[IdKind, ...]) -> None:
        self.name = name
        self.sync_spec = spec
        self.kinds = kinds

    def writer(self) -> LineWriter:
        return IdSyncLineWriter(self.sync_spec)

    def hostile(self, mixer: Mixer) -> Row:
        row = list(self.good(mixer))
        for place, value in enumerate(row):
            if mixer.random.random() < 0.4:
                row[place] = mixer.maybe(value, b"100%", b"a%41", b"%zz", b"x ", b"a\tb")
        return tuple(row)

    def good(self, mixer: Mixer) -> Row:
        return tuple(Ids(kind)._good_id(mixer) for kind in self.kinds)

    def line(self, *values: bytes | None) -> bytes:
        pairs = zip(values, self.kinds, strict=True)
        line = b"\t".join([naive.checked_linked_id(value, kind) for value, kind in pairs])
        if line.endswith(b" "):
            raise naive.Aside(Rule.TRAILING_SPACE)
        return line

    def read(self, line: bytes) -> tuple[str, ...]:
        return tuple(line.decode().removesuffix("\n").split("\t"))


class HashedEmails(IdSync):
    """Rows of one CRM ID follow each other and become one line."""

    def __init__(self) -> None:
        self.name = "hashed e-mails"
        self.sync_spec = IdSyncSpec(
            master_dpid=478,
            dpids=(479,),
            columns=("id", "hash", "hashes", "email"),
            prefix=IdSyncPrefix.C2C_ID,
            hash_columns=("email",),
        )

    def writer(self) -> LineWriter:
        return HashedEmailLineWriter(self.sync_spec)

    def rows(self, mixer: Mixer, size: int) -> list[Row]:
        rows: list[Row] = []
        for filler in (self.hostile, self.good):
            for _ in range(size // 2 + 1):
                row = filler(mixer)
                rows += [
                    row,
                    *(
                        (row[0], *filler(mixer)[1:])
                        for _ in range(mixer.random.choice((0, 0, 1, 2, 6)))
                    ),
                ]
        return rows

    def hostile(self, mixer: Mixer) -> Row:
        random = mixer.random
        few = random.choices(HASHES, k=3)
        count = random.randint(-1, 4)
        return (
            mixer.random.choice((mixer.unique_id(), mixer.unique_id() + mixer.value())),
            random.choice((None, b"", few[0], few[1], mixer.value(*few))),
            None
            if count < 0
            else [random.choice((None, b"", *HASHES, mixer.value(*few))) for _ in range(count)],
            random.choice((None, b"", *EMAILS, mixer.value(*EMAILS))),
        )

    def good(self, mixer: Mixer) -> Row:
        return (mixer.unique_id(), mixer.random.choice(HASHES), None, mixer.random.choice(EMAILS))

    def batch(self, rows: list[Row], random: Random) -> pa.RecordBatch:
        ids, hashes, lists, emails = zip(*rows, strict=True)
        return pa.RecordBatch.from_arrays(
            [
                column(ids, random),
                column(hashes, random),
                list_column(lists, random),
                column(emails, random),
            ],
            self.writer().columns,
        )

    def expected(self, rows: list[Row]) -> naive.Outcome:
        result = naive.Outcome()
        persons: list[tuple[bytes, list[bytes]]] = []
        for number, row in enumerate(rows, start=1):
            try:
                crm_id = naive.checked_linked_id(row[0], DPUUID)
                emails = list(dict.fromkeys(self._emails(*row[1:])))
                known = persons[-1][1] if persons and persons[-1][0] == crm_id else None
                together = list(dict.fromkeys([*(known or ()), *emails]))
                if not emails:
                    raise naive.Aside(Rule.EMPTY_ID)
                if known is not None and together == known:
                    raise naive.Aside(Rule.DUPLICATE_LINE)
                if len(together) > 10:
                    raise naive.Aside(Rule.TOO_MANY_HASHED_EMAILS)
                if len(crm_id) + 65 * len(together) > 102_400:
                    raise naive.Aside(Rule.LINE_TOO_LONG)
            except naive.Aside as aside:
                result.aside[number] = aside.rule
                continue
            if known is None:
                persons.append((crm_id, together))
            else:
                known[:] = together
        result.lines = [b"\t".join([crm_id, *emails]) + b"\n" for crm_id, emails in persons]
        return result

    def _emails(
        self, text: bytes | None, values: list[bytes | None] | None, email: bytes | None
    ) -> list[bytes]:
        found = [naive.checked_hashed_email(raw) for raw in (text, *(values or ())) if raw]
        if email:
            address = naive.decoded(email)
            if not naive.email(address) or "@" not in address:
                raise naive.Aside(Rule.EMAIL_FORM)
            digest = hashlib.sha256(address.strip().lower().encode()).hexdigest()
            found.append(digest.encode())
        return found


ALL: tuple[Family, ...] = (
    *(Ids(kind) for kind in ID_KINDS.values()),
    PersonalData(),
    CutCharacters(),
    Traits(),
    IcCodes(),
    Signals(),
    Numbers(),
    LongLines(),
    Repeats(),
    Deletions(),
    IdSync(
        "id sync of devices",
        IdSyncSpec(
            master_dpid=0, dpids=(478, 20914, 20915), columns=("uuid", "crm", "gaid", "idfa")
        ),
        (AAM_UUID, DPUUID, GAID, IDFA),
    ),
    IdSync(
        "id sync of crm ids",
        IdSyncSpec(master_dpid=478, dpids=(479,), columns=("crm", "other"), allow_crm_master=True),
        (DPUUID, DPUUID),
    ),
    HashedEmails(),
)
