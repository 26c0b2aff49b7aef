"""A part without counts and checksums: the product's compressor, and its way to S3."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, BinaryIO

from airflow_am_provider.audience_manager.names import Encoding
from airflow_am_provider.formatting.parts import packing

if TYPE_CHECKING:
    from types import TracebackType

    from airflow_am_provider.storage import Folder

_PIECE_BYTES = 1 << 20


class Packed:
    """A gzip file in a folder.

    :param folder: the folder.
    :param path: the file's path in it.
    """

    def __init__(self, folder: Folder, path: str) -> None:
        self.bytes = 0
        self._folder, self._path = folder, path
        self._stack = ExitStack()

    def __enter__(self) -> Packed:
        self._packer = self._stack.enter_context(packing(Encoding.GZIP))
        self._file: BinaryIO = self._stack.enter_context(self._folder.open_write(self._path))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            self._file.write(self._packer.flush())
        self._stack.__exit__(kind, error, trace)

    def write(self, text: memoryview | bytearray) -> None:
        """Compress text and pass it on."""
        view = memoryview(text)
        for start in range(0, len(view), _PIECE_BYTES):
            self._file.write(self._packer.compress(view[start : start + _PIECE_BYTES]))
        self.bytes += len(view)
