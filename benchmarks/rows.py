"""The rows that are delivered: the same ones every time, each with a user ID of its own.

``traits`` has a text column with one to twelve trait IDs, some 135 bytes a line; ``attrs`` has
eight columns that become signals, some 172 bytes a line.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from benchmarks.repeated_rows import LONG_FORMS, SHAPES, repeated

if TYPE_CHECKING:
    from collections.abc import Iterator

ROWS_AT_A_TIME: Final = 500_000
_ID_BYTES: Final = 40
_MOST_TRAITS: Final = 12
_SEED: Final = 478
# Names of columns, and with them keys of signals, and how their values look.
_ATTRIBUTES: Final[dict[str, list[str | None]]] = {
    "gender": ["f", "m", "d"],
    "age_band": [f"{low}-{low + 9}" for low in range(20, 80, 10)],
    "loyalty": ["basic", "silver", "gold"],
    "city": [f"{name}{n}" for name in ("Bern", "Köln", "Oslo") for n in range(300)],
    "store_id": [f"s{n:04d}" for n in range(2_000)],
    "spending": [str(n) for n in range(5_000)],
    "churn": [f"0.{n:02d}" for n in range(100)],
    # One in ten has none.
    "app": [None, *(["ios", "android", "web"] * 3)],
}
ATTRIBUTES: Final = tuple(_ATTRIBUTES)
COLUMNS: Final = {"traits": ("id", "traits"), "attrs": ("id", *ATTRIBUTES)}


def batches(kind: str, count: int) -> Iterator[pa.RecordBatch]:
    """So many rows.

    :param kind: ``traits``, ``attrs``, or one of the shapes of :mod:`benchmarks.repeated_rows`.
    """
    if kind in SHAPES or kind in LONG_FORMS:
        yield from repeated(kind, count)
        return
    make = {"traits": traits, "attrs": _attributes}[kind]
    for start in range(0, count, ROWS_AT_A_TIME):
        rng = np.random.default_rng([_SEED, start])
        size = min(ROWS_AT_A_TIME, count - start)
        columns = {"id": ids(rng, start, size), **make(rng, size)}
        yield pa.RecordBatch.from_pydict(columns)


def ids(rng: np.random.Generator, start: int, size: int) -> pa.Array:
    """Random hexadecimal digits, of which eight count, scattered, so that none occurs twice."""
    numbers = np.arange(start, start + size, dtype=np.uint32)
    raw = rng.integers(0, 256, (size, _ID_BYTES // 2), np.uint8)
    # An odd factor only changes the order of the numbers modulo 2 ** 32.
    raw[:, :4] = (numbers * np.uint32(2_654_435_761)).view(np.uint8).reshape(-1, 4)
    digits = np.frombuffer(b"0123456789abcdef", np.uint8)
    text = np.empty((size, _ID_BYTES), np.uint8)
    text[:, 0::2] = digits[raw >> 4]
    text[:, 1::2] = digits[raw & 15]
    offsets = np.arange(0, size * _ID_BYTES + 1, _ID_BYTES, dtype=np.int32)
    return pa.StringArray.from_buffers(size, pa.py_buffer(offsets), pa.py_buffer(text))


def traits(rng: np.random.Generator, size: int) -> dict[str, pa.Array]:
    """A column with one to twelve trait IDs a row."""
    counts = rng.integers(1, _MOST_TRAITS + 1, size)
    offsets = np.concatenate(([0], np.cumsum(counts))).astype(np.int32)
    traits = pa.array(rng.integers(1_000_000, 30_000_000, int(offsets[-1]))).cast(pa.string())
    return {"traits": pc.binary_join(pa.ListArray.from_arrays(pa.array(offsets), traits), ",")}


def _attributes(rng: np.random.Generator, size: int) -> dict[str, pa.Array]:
    return {
        name: pa.array(values, pa.string()).take(pa.array(rng.integers(0, len(values), size)))
        for name, values in _ATTRIBUTES.items()
    }
