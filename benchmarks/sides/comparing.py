"""Extracts compared with a snapshot, and what is said again of those who did not change."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from airflow_am_provider.deliveries.staging import DeliveryContext
from airflow_am_provider.deliveries.target.state import Refreshed
from airflow_am_provider.formatting.lines.data_lines import DataFileSpec
from airflow_am_provider.formatting.pipeline import FormatOptions
from airflow_am_provider.snapshots.comparison import Base
from airflow_am_provider.snapshots.difference import DiffOptions, difference
from airflow_am_provider.snapshots.refresh import NEVER, Refresh, TimesToLive
from airflow_am_provider.sources.tables import read_table
from airflow_am_provider.storage import LocalFolder
from benchmarks.readings import Outcome

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.readings import Stopwatch

_FIRST: Final = "first.parquet"
_SPEC: Final = DataFileSpec(dpid=478, id_column="id", traits_columns=("traits",))
_TODAY: Final = date(2026, 3, 1)
_TTL: Final = TimesToLive()
# One user of so many has changed since.
_CHANGED: Final = 100


def first_snapshot(stopwatch: Stopwatch, *, extract: str, folder: str) -> Outcome:
    """The first extract, which all others are compared with."""
    return _compared(stopwatch, extract, folder, Base(path=None), _FIRST, None)


def compare(stopwatch: Stopwatch, *, extract: str, folder: str, days: int | None) -> Outcome:
    """A later extract; a hundredth of the users has changed.

    :param extract: a Parquet file.
    :param folder: where the first snapshot lies.
    :param days: how many days' turns there are; 0 for a task without ``trait_ttl_days``, None for
        everybody's.
    """
    refresh = Refresh(
        day=_TODAY, ttl=NEVER, since=(Refreshed(until=str(_TODAY), turns=NEVER.turns),)
    )
    if days != 0:
        last = _TODAY - timedelta(days=days or 1000)
        refresh = Refresh(
            day=_TODAY, ttl=_TTL, since=(Refreshed(until=str(last), turns=_TTL.turns),)
        )
    return _compared(stopwatch, extract, folder, Base(path=_FIRST), "next.parquet", refresh)


def _compared(
    stopwatch: Stopwatch,
    extract: str,
    folder: str,
    base: Base,
    snapshot: str,
    refresh: Refresh | None,
) -> Outcome:
    storage = LocalFolder(folder)
    with stopwatch:
        found = difference(
            _rows(extract, has_changed=base.path is not None),
            _SPEC,
            storage,
            FormatOptions(),
            DiffOptions(max_removed=1.0),
            bases=[base],
            snapshot=snapshot,
            context=DeliveryContext(destination="beta/acme"),
            now=datetime(2026, 3, 1, tzinfo=UTC),
            refresh=refresh,
        )
    result = found.content.result
    for part in result.parts:
        storage.delete(part.path)
    return Outcome(rows=result.rows_read, bytes=sum(part.bytes for part in result.parts))


def _rows(extract: str, *, has_changed: bool) -> Iterator[pa.RecordBatch]:
    # As the operator reads: pyarrow alone would hold the whole file.
    with Path(extract).open("rb") as file:
        for batch in read_table(file, extract, ["id", "traits"]):
            some = batch
            if has_changed:
                has = pa.array(np.arange(batch.num_rows) % _CHANGED == 0)
                other = pc.if_else(has, "1", batch["traits"])
                some = pa.RecordBatch.from_arrays([batch["id"], other], ["id", "traits"])
            yield some
