"""Parts that were written, read once more for the rules over all lines."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final, Protocol

import numpy as np
import pyarrow as pa
from isal import igzip

from airflow_am_provider.audience_manager.names import Encoding

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from airflow_am_provider.storage.folder import Folder

_READ_BYTES: Final = 2 << 20


class StoredPart(Protocol):
    """A part that lies in a folder."""

    @property
    def path(self) -> str:
        """Where, relative to the folder."""
        ...


def read_lines(
    storage: Folder, parts: Iterable[StoredPart], encoding: Encoding | None
) -> Iterator[pa.Array]:
    """The lines of parts in batches, as ``binary`` arrays, each line with its newline.

    :param storage: where the parts lie.
    :param parts: the parts, in their order.
    :param encoding: how they are packed: gzip or not at all.
    """
    for part in parts:
        with storage.open_read(part.path) as file:
            unpacked = igzip.IGzipFile(fileobj=file) if encoding is Encoding.GZIP else file
            yield from lines_of(iter(partial(unpacked.read, _READ_BYTES), b""))


def lines_of(blocks: Iterable[bytes]) -> Iterator[pa.Array]:
    """Text in blocks as lines, in batches, each line with its newline.

    :param blocks: the text, which ends with a newline.
    """
    rest = b""
    for data in filter(None, blocks):
        data = rest + data
        end = data.rfind(b"\n") + 1
        data, rest = data[:end], data[end:]
        ends = np.flatnonzero(np.frombuffer(data, np.uint8) == ord("\n")) + 1
        offsets = np.concatenate(([0], ends)).astype(np.int32)
        yield pa.Array.from_buffers(
            pa.binary(), len(ends), [None, pa.py_buffer(offsets), pa.py_buffer(data)]
        )
