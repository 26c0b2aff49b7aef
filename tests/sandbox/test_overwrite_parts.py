"""What the product writes as an ``.overwrite``, taken by the sandbox part by part in any order."""

from __future__ import annotations

import gzip
from random import Random
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pytest

from airflow_am_provider.audience_manager.names import Mode
from airflow_am_provider.deliveries.partition import Partition
from airflow_am_provider.formatting.lines.data_lines import DataFileSpec, DataLineWriter
from airflow_am_provider.formatting.parts import PartSizes
from airflow_am_provider.formatting.pipeline import FormatOptions, format_rows
from airflow_am_provider.sandbox import Account
from airflow_am_provider.sources.hash_partition import rows_of
from tests.formatting.memory_folder import MemoryFolder
from tests.sandbox.conftest import Bench, T

if TYPE_CHECKING:
    from collections.abc import Iterator

SPEC = DataFileSpec(
    dpid=478,
    id_column="id",
    mode=Mode.OVERWRITE,
    traits_columns=("traits",),
    remove_all_of_users_without_items=True,
)
# Long IDs, so that a few users fill several parts.
USERS = [f"{'user':-<120}{number:04d}" for number in range(2_500)]


class OptedOut:
    """A suppression list."""

    remarks: dict[str, int] = {}  # noqa: RUF012  # nothing is added to it

    def __init__(self, ids: frozenset[str]) -> None:
        self._ids = {one.encode() for one in ids}

    def among(self, ids: pa.Array) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        return np.array([one in self._ids for one in ids.to_pylist()], bool)


def random_rows(random: Random) -> list[tuple[str, str]]:
    """Rows in long form, shuffled: several a user, some twice, some without any trait."""
    rows: list[tuple[str, str]] = []
    for user in USERS:
        for _ in range(random.choice((0, 1, 1, 2, 5))):
            traits = random.sample(range(1, 60), random.choice((0, 1, 1, 1, 3)))
            rows += [(user, ",".join(map(str, traits)))] * random.choice((1, 1, 1, 2))
    random.shuffle(rows)
    return rows


def batches(rows: list[tuple[str, str]], random: Random) -> Iterator[pa.RecordBatch]:
    start = 0
    while start < len(rows):
        end = start + random.randint(1, 3_000)
        yield pa.RecordBatch.from_pylist(
            [{"id": user, "traits": traits} for user, traits in rows[start:end]]
        )
        start = end


@pytest.mark.parametrize("seed", range(6))
def test_whatever_the_order_of_the_parts_each_user_has_the_union_of_their_items(
    bench: Bench, seed: int
) -> None:
    random = Random(seed)
    bench.configure(Account(cross_device=frozenset({478})), shuffle=seed)
    bench.take(f"ftp_dpm_478_{T}.sync", [f"{user}\td_sid=99" for user in USERS])
    rows = random_rows(random)
    opted_out = frozenset(random.sample(USERS, 50))
    count = random.choice((1, 1, 3))
    texts: list[bytes] = []
    for number in range(count):
        writer = DataLineWriter(SPEC)
        writer.suppression = OptedOut(opted_out)
        mine = rows_of(Partition(number=number, count=count), batches(rows, random), "id")
        storage = MemoryFolder()
        sizes = PartSizes(part_bytes=110_000)
        result = format_rows(mine, writer, storage, "d", FormatOptions(sizes=sizes))
        assert result.rows_read == result.rows_written + result.rows_set_aside
        texts += [gzip.decompress(storage.files[part.path]) for part in result.parts]
    assert len(texts) > 2

    for part, text in enumerate(texts, start=1):
        bench.put(f"ftp_dpm_478_{T + 1}.overwrite.{part}", text)
    bench.run()

    expected = {user: {"99"} for user in USERS}
    for user, traits in rows:
        if user not in opted_out:
            expected[user] = set()
        elif not traits:
            # A row that only takes traits away is what such a user wants.
            expected[user] = set()
    for user, traits in rows:
        if user not in opted_out:
            expected[user] |= set(filter(None, traits.split(",")))
    profiles = bench.profiles()
    assert {user: set(profiles.traits(478, user)) for user in USERS} == expected
