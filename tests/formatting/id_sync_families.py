"""Families of rules for ID sync files, beside those for data files."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pyarrow as pa

from airflow_am_provider.audience_manager.identifiers import (
    AAM_UUID,
    DPUUID,
    GAID,
    IDFA,
    IdKind,
)
from airflow_am_provider.audience_manager.names import IdSyncPrefix
from airflow_am_provider.audience_manager.rules import Rule
from airflow_am_provider.formatting.lines.hashed_email_lines import HashedEmailLineWriter
from airflow_am_provider.formatting.lines.id_sync_lines import IdSyncLineWriter, IdSyncSpec
from tests.formatting import naive
from tests.formatting.arrow_columns import column, list_column
from tests.formatting.families import EMAILS, Family, Ids, Row

if TYPE_CHECKING:
    from random import Random

    from airflow_am_provider.formatting.lines.line_writer import LineWriter
    from tests.formatting.hostile_rows import Mixer

HASHES = tuple(hashlib.sha256(b"%d" % number).hexdigest().encode() for number in range(30))


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
        return tuple(Ids(kind).good_id(mixer) for kind in self.kinds)

    def line(self, *values: bytes | None) -> bytes:
        pairs = zip(values, self.kinds, strict=True)
        line = b"\t".join([naive.checked_linked_id(value, kind) for value, kind in pairs])
        if line.endswith(b" "):
            raise naive.Aside(Rule.TRAILING_SPACE)
        return line

    def read(self, line: bytes) -> tuple[str, ...]:
        return tuple(line.decode().removesuffix("\n").split("\t"))

    def careless(self, row: Row) -> bytes | None:
        return b"\t".join([value or b"" for value in row])


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

    def careless(self, row: Row) -> None:
        # A line is made of several rows.
        return None

    def _emails(
        self, text: bytes | None, values: list[bytes | None] | None, email: bytes | None
    ) -> list[bytes]:
        found = [naive.checked_hashed_email(raw) for raw in (text, *(values or ())) if raw]
        if email:
            address = naive.decoded(email)
            if not naive.is_address(address) or "@" not in address:
                raise naive.Aside(Rule.EMAIL_FORM)
            digest = hashlib.sha256(address.strip().lower().encode()).hexdigest()
            found.append(digest.encode())
        return found


ALL: tuple[Family, ...] = (
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
