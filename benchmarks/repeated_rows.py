"""Rows that are there more than once, or break a rule: a number stands for a whole row."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Numbers = npt.NDArray[np.int64]

_ROWS_AT_A_TIME: Final = 500_000
_SEED: Final = 479
_WORDS: Final = 5
_MOST_TRAITS: Final = 12


def _shuffled(share: float) -> Callable[[int], Numbers]:
    def numbers(count: int) -> Numbers:
        draw = np.random.default_rng(_SEED)
        distinct = max(1, count - int(count * share))
        found = np.arange(count)
        found[distinct:] = draw.integers(0, distinct, count - distinct)
        draw.shuffle(found)
        return found

    return numbers


def _mostly_one(count: int) -> Numbers:
    numbers = np.arange(count)
    numbers[np.random.default_rng(_SEED).random(count) < 0.5] = 0
    return numbers


# What each row of so many is; those below 0 have an ID that breaks a rule.
SHAPES: Final[dict[str, Callable[[int], Numbers]]] = {
    "no duplicates": np.arange,
    "one in 100,000": _shuffled(0.00001),
    "20 % duplicates": _shuffled(0.2),
    "80 % duplicates": _shuffled(0.8),
    "80 % duplicates, adjacent": lambda count: np.sort(_shuffled(0.8)(count)),
    "the second half once more": lambda count: np.arange(count) % max(1, count // 2),
    "half of them one row": _mostly_one,
    "all of them one row": lambda count: np.zeros(count, np.int64),
    "250 lines a user": np.arange,
    "20 % bad rows": lambda count: np.where(np.arange(count) % 5 == 0, -1, 1) * np.arange(count),
    "80 % bad rows": lambda count: np.where(np.arange(count) % 5 != 0, -1, 1) * np.arange(count),
}


#: Rows in long form, each with traits of its own, as ``.overwrite`` files join them.
LONG_FORMS: Final[dict[str, Callable[[int], Numbers]]] = {
    "one row a user": np.arange,
    "five rows a user": np.arange,
    "five rows a user, shuffled": lambda count: np.random.default_rng(_SEED).permutation(count),
}
_ROWS_OF_A_USER: Final = {"250 lines a user": 250, "five rows a user": 5,
                          "five rows a user, shuffled": 5}  # fmt: skip


def repeated(shape: str, count: int) -> Iterator[pa.RecordBatch]:
    """So many rows of a shape, with columns like those of *traits*."""
    numbers = (SHAPES | LONG_FORMS)[shape](count)
    for start in range(0, count, _ROWS_AT_A_TIME):
        some = numbers[start : start + _ROWS_AT_A_TIME]
        users = some // _ROWS_OF_A_USER.get(shape, 1)
        yield pa.RecordBatch.from_arrays([_ids(users), _traits(np.abs(some))], ["id", "traits"])


def _mixed(numbers: Numbers, salt: int) -> npt.NDArray[np.uint64]:
    mixed = numbers.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(salt)
    mixed ^= mixed >> np.uint64(29)
    return mixed * np.uint64(0x243F6A8885A308D3)


def _ids(users: Numbers) -> pa.Array:
    """Forty characters, of the number and what follows from it."""
    words = [np.abs(users).astype(np.uint32)]
    words += [(_mixed(np.abs(users), salt) >> np.uint64(32)).astype(np.uint32) for salt in range(4)]
    raw = np.stack(words, axis=1).astype("<u4").view(np.uint8)
    digits = np.frombuffer(b"0123456789abcdef", np.uint8)
    text = np.empty((len(users), 8 * _WORDS), np.uint8)
    text[:, 0::2], text[:, 1::2] = digits[raw >> 4], digits[raw & 15]
    text[users < 0, 0] = ord(":")
    offsets = np.arange(0, text.size + 1, text.shape[1], dtype=np.int32)
    return pa.StringArray.from_buffers(len(users), pa.py_buffer(offsets), pa.py_buffer(text))


def _traits(numbers: Numbers) -> pa.Array:
    counts = (_mixed(numbers, 99) >> np.uint64(40)).astype(np.int64) % _MOST_TRAITS + 1
    offsets = np.concatenate(([0], np.cumsum(counts)))
    rows = np.repeat(numbers, counts)
    places = np.arange(offsets[-1]) - np.repeat(offsets[:-1], counts)
    traits = (_mixed(rows * _MOST_TRAITS + places, 7) >> np.uint64(40)) % np.uint64(29_000_000)
    texts = pa.array(traits + np.uint64(1_000_000)).cast(pa.string())
    lists = pa.ListArray.from_arrays(pa.array(offsets.astype(np.int32)), texts)
    return pc.binary_join(lists, ",")
