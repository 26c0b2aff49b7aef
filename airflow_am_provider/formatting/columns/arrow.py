"""Between numpy and Arrow without Arrow's own conversions.

``pa.array``, ``to_numpy`` and ``pa.scalar`` look whether a value comes from pandas, and import
pandas for that wherever it is installed: half a second and some 70 MB in each task. Nothing here
does; the memory is shared.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Sequence

_TYPES: Final = {
    np.dtype(np.int8): pa.int8(),
    np.dtype(np.int32): pa.int32(),
    np.dtype(np.int64): pa.int64(),
    np.dtype(np.uint32): pa.uint32(),
}
# Not `to_pandas_dtype()`: some releases of pyarrow ask pandas for it, and fail without.
_DTYPES: Final[dict[pa.DataType, npt.DTypeLike]] = {
    pa.bool_(): np.bool_,
    pa.int8(): np.int8,
    pa.int16(): np.int16,
    pa.int32(): np.int32,
    pa.int64(): np.int64,
    pa.uint8(): np.uint8,
    pa.uint16(): np.uint16,
    pa.uint32(): np.uint32,
    pa.uint64(): np.uint64,
    pa.float32(): np.float32,
    pa.float64(): np.float64,
}


def to_arrow(values: npt.NDArray[Any]) -> pa.Array:
    """A numpy array of booleans or whole numbers as an Arrow array.

    >>> to_arrow(np.array([True, False])).to_pylist(), to_arrow(np.array([7, 8])).to_pylist()
    ([True, False], [7, 8])
    """
    count = len(values)
    if values.dtype == np.bool_:
        bits = pa.py_buffer(np.packbits(values, bitorder="little"))
        return pa.Array.from_buffers(pa.bool_(), count, [None, bits])
    data = pa.py_buffer(np.ascontiguousarray(values))
    return pa.Array.from_buffers(_TYPES[values.dtype], count, [None, data])


def to_numpy(array: pa.Array) -> npt.NDArray[Any]:
    """An Arrow array of booleans or numbers, none of them null, as a numpy array."""
    assert array.null_count == 0
    start, end = array.offset, array.offset + len(array)
    data = array.buffers()[1]
    if data is None or start == end:
        return np.empty(0, _DTYPES[array.type])
    if pa.types.is_boolean(array.type):
        bits = np.unpackbits(np.frombuffer(data, np.uint8), count=end, bitorder="little")
        return bits[start:].view(np.bool_)
    return np.frombuffer(data, _DTYPES[array.type])[start:end]


def texts_array(texts: Sequence[bytes]) -> pa.Array:
    """Texts as a ``binary`` array.

    >>> texts_array([b"a", b""]).to_pylist()
    [b'a', b'']
    """
    offsets = np.zeros(len(texts) + 1, np.int32)
    np.cumsum([len(text) for text in texts], out=offsets[1:])
    data = pa.py_buffer(b"".join(texts))
    return pa.Array.from_buffers(pa.binary(), len(texts), [None, pa.py_buffer(offsets), data])


@lru_cache(maxsize=1024)
def text_scalar(text: bytes) -> pa.Scalar:
    """A constant for Arrow's functions on ``binary`` arrays."""
    return texts_array([text])[0]
