"""What has to be taken from users on a suppression list: the traits that they were sent with.

The parts of deliveries that were sent are gone through in the order of sending. Lines of users on
the list are kept in temporary files, all lines of a user in the same one, so that memory depends on
the largest of these files alone. What a user was given and not relieved of is left to be removed.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa

from airflow_am_provider.audience_manager import limits
from airflow_am_provider.audience_manager.items import ADD_PREFIX, REMOVE_PREFIX
from airflow_am_provider.audience_manager.names import DataFileName, Mode
from airflow_am_provider.formatting.columns.byte_columns import ByteView
from airflow_am_provider.formatting.columns.row_hash import hash_rows
from airflow_am_provider.formatting.reading_back import read_lines
from airflow_am_provider.formatting.repeats.hash_file import temporary_file

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import BinaryIO

    from airflow_am_provider.deliveries.manifest import Manifest
    from airflow_am_provider.storage.folder import Folder
    from airflow_am_provider.suppression.ids import Suppression

#: The columns of what :func:`removals` gives.
ID_COLUMN: Final = "user_id"
TRAITS_COLUMN: Final = "traits"

_SHARES: Final = 64
_ROWS: Final = 10_000
_ADD: Final = ADD_PREFIX.encode()
_REMOVE: Final = REMOVE_PREFIX.encode()


@dataclass(frozen=True, kw_only=True, slots=True)
class DataUpload:
    """One sending of a delivery of data.

    :param manifest: the delivery.
    :param is_whole: whether all of it was sent. Where it was not, it is taken that traits were
        given, and that none was taken away.
    """

    manifest: Manifest
    is_whole: bool


def removals(
    storage: Folder, sendings: Sequence[DataUpload], suppression: Suppression
) -> Iterator[pa.RecordBatch]:
    """Rows of user IDs and the traits to take from them, with commas between.

    The same sendings and list give the same rows in the same order.

    :param storage: the staging location.
    :param sendings: what was sent to one target, in the order of sending; its parts are there.
    :param suppression: the users.
    """
    with ExitStack() as stack:
        files = [stack.enter_context(temporary_file()) for _ in range(_SHARES)]
        for number, sending in enumerate(sendings):
            for lines in read_lines(
                storage, sending.manifest.parts, sending.manifest.file_name.encoding
            ):
                _keep(lines, suppression, number, files)
        rows: list[tuple[bytes, bytes]] = []
        for file in files:
            file.seek(0)
            for user_id, traits in sorted(_left(file, sendings).items()):
                rows += ((user_id, some) for some in _on_lines(user_id, sorted(traits, key=int)))
                if len(rows) >= _ROWS:
                    yield _batch(rows)
                    rows = []
        yield _batch(rows)


def _keep(
    lines: pa.Array, suppression: Suppression, number: int, files: Sequence[BinaryIO]
) -> None:
    """Put lines of users on the list into the files, each after the number of its sending."""
    ids = _ids(lines)
    rows = np.flatnonzero(suppression.among(ids))
    if not rows.size:
        return
    view = ByteView.of(ids)
    shares = hash_rows(view.data, view.offsets[:-1], view.lengths)[rows] % np.uint64(_SHARES)
    for share, line in zip(shares.tolist(), lines.take(pa.array(rows)).to_pylist(), strict=True):
        files[share].write(b"%d\t%b" % (number, line))


def _ids(lines: pa.Array) -> pa.Array:
    """What stands before the tab, of which each line has one."""
    view = ByteView.of(lines)
    offsets = np.empty(2 * len(lines) + 1, np.int32)
    offsets[::2] = view.offsets
    offsets[1::2] = np.flatnonzero(view.data == ord("\t"))
    both = pa.Array.from_buffers(
        pa.binary(),
        2 * len(lines),
        [None, pa.py_buffer(offsets), pa.py_buffer(view.data)],
    )
    return both.take(pa.array(np.arange(0, 2 * len(lines), 2)))


def _left(file: BinaryIO, sendings: Sequence[DataUpload]) -> dict[bytes, set[bytes]]:
    """The traits that each user has after all sendings."""
    has: dict[bytes, set[bytes]] = {}
    replaced: dict[bytes, int] = {}
    for line in file:
        place, user_id, text = line.rstrip(b"\n").split(b"\t")
        number = int(place)
        sending, traits = sendings[number], has.setdefault(user_id, set())
        if sending.is_whole and _mode(sending.manifest) is Mode.OVERWRITE:
            # All lines of a user in one file stand together for the traits that the user has.
            if replaced.get(user_id) != number:
                traits.clear()
            replaced[user_id] = number
        for item in text.split(b","):
            if item.startswith(_ADD):
                traits.add(item.removeprefix(_ADD))
            elif item.startswith(_REMOVE) and sending.is_whole:
                traits.discard(item.removeprefix(_REMOVE))
    return has


def _mode(manifest: Manifest) -> Mode:
    name = manifest.file_name
    assert isinstance(name, DataFileName)
    return name.mode


def _on_lines(user_id: bytes, traits: Sequence[bytes]) -> Iterator[bytes]:
    """The traits of each line: one line, unless they are so many that it would be too long."""
    room = limits.MAX_LINE_BYTES - len(user_id) - 1
    start = size = 0
    for place, trait in enumerate(traits):
        item = len(_REMOVE) + len(trait) + 1
        if size + item > room:
            yield b",".join(traits[start:place])
            start, size = place, 0
        size += item
    if traits:
        yield b",".join(traits[start:])


def _batch(rows: Sequence[tuple[bytes, bytes]]) -> pa.RecordBatch:
    columns = [[row[place] for row in rows] for place in range(2)]
    return pa.RecordBatch.from_arrays(
        [pa.array(column, pa.binary()) for column in columns], [ID_COLUMN, TRAITS_COLUMN]
    )
