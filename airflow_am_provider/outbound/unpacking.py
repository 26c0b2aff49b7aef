"""What a file has inside, read in flat memory: plain, gzip or zip.

gzip is unpacked as it comes. What a zip file has stands at its end, so that it is first brought
onto the disk, into a temporary file that nobody else can open.
"""

from __future__ import annotations

import gzip
import io
import zipfile
import zlib
from contextlib import contextmanager
from tempfile import TemporaryFile, gettempdir
from typing import TYPE_CHECKING, BinaryIO, Final

from isal import igzip, igzip_lib

from airflow_am_provider.audience_manager.errors import DataError, TransientError
from airflow_am_provider.audience_manager.file_kinds import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from typing_extensions import Buffer

    from airflow_am_provider.outbound.batches import BatchFile
    from airflow_am_provider.outbound.checksums import CheckedStream

    Read = Callable[[int], bytes]

_PIECE_BYTES: Final = 1 << 20
_ENCRYPTED: Final = 0x1
_BROKEN_GZIP: Final[tuple[type[Exception], ...]] = (
    EOFError,
    gzip.BadGzipFile,
    igzip_lib.IsalError,  # type: ignore[assignment]  # its stub says that it is an instance
)
# The last is a way of compressing that Python does not know.
_BROKEN_ZIP: Final = (EOFError, zipfile.BadZipFile, zlib.error, NotImplementedError)


@contextmanager
def unpacked(stream: CheckedStream, file: BatchFile) -> Iterator[Read]:
    """Read what is inside.

    :param stream: the file as it lies there.
    :param file: says by its name how it is packed.
    :raises TransientError: when it is not, or not yet, what its control file says.
    :raises DataError: when it cannot be read; also from what is yielded.
    """
    if file.name.packing == "gz":
        opened = igzip.IGzipFile(fileobj=_Readable(stream))
        yield _guarded(opened.read, _BROKEN_GZIP, stream, file)
    elif file.name.packing == "zip":
        with TemporaryFile(prefix="airflow-am-") as held:
            _fetch(stream, held, file)
            with _only_file(held, file) as inside:
                yield _guarded(inside.read, _BROKEN_ZIP, stream, file)
    else:
        yield stream.read


def _guarded(
    read: Read, broken: tuple[type[Exception], ...], stream: CheckedStream, file: BatchFile
) -> Read:
    def guarded(size: int) -> bytes:
        try:
            return read(size)
        except broken as error:
            # An end that is not there is said by its size first.
            stream.check()
            raise _broken(file, type(error).__name__) from None

    return guarded


def _broken(file: BatchFile, why: str) -> DataError:
    kind = "gzip" if file.name.packing == "gz" else "zip"
    return DataError(
        f"{printable(file.path)}: it is no whole {kind} file ({why}). Nothing of the batch is "
        f"loaded; ask Adobe to send it again"
    )


def _fetch(stream: CheckedStream, held: BinaryIO, file: BatchFile) -> None:
    """Bring a file onto the disk, and see that it is the one that was listed."""
    while data := stream.read(_PIECE_BYTES):
        try:
            held.write(data)
        except OSError as error:
            raise TransientError(
                f"{printable(file.path)}: {gettempdir()} cannot hold its {file.size:,} bytes "
                f"({error.strerror}); a zip file is unpacked from there. Make room, or let TMPDIR "
                f"name a larger folder"
            ) from None
    stream.check()
    held.seek(0)


@contextmanager
def _only_file(held: BinaryIO, file: BatchFile) -> Iterator[BinaryIO]:
    """The one file that a zip file has."""
    try:
        archive = zipfile.ZipFile(held)
    except _BROKEN_ZIP as error:
        raise _broken(file, type(error).__name__) from None
    with archive:
        members = [member for member in archive.infolist() if not member.is_dir()]
        if len(members) != 1:
            raise DataError(
                f"{printable(file.path)}: it has {len(members):,} files inside, and one is "
                f"expected. Nothing of the batch is loaded"
            )
        if members[0].flag_bits & _ENCRYPTED:
            raise DataError(f"{printable(file.path)}: what it has inside is encrypted")
        try:
            inside = archive.open(members[0])
        except _BROKEN_ZIP as error:
            raise _broken(file, type(error).__name__) from None
        with inside:
            yield inside  # type: ignore[misc]  # it reads as a file does


class _Readable(io.RawIOBase):
    """A checked stream as a file that gzip reads from."""

    def __init__(self, stream: CheckedStream) -> None:
        super().__init__()
        self._stream = stream

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Buffer, /) -> int:
        view = memoryview(buffer).cast("B")
        data = self._stream.read(len(view))
        view[: len(data)] = data
        return len(data)
