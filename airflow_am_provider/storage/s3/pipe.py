"""A bounded pipe between a thread that writes a file and the one that uploads it."""

from __future__ import annotations

import io
import sys
import threading
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from typing_extensions import Buffer


class Pipe(io.RawIOBase):
    """Bytes in on one side, out on the other, at most ``capacity`` of them in between.

    Unlike a pipe of the operating system it can end in an error: the reader of a file that was
    given up must not take what there is for the whole.

    :param capacity: bytes that may wait before the writer does.
    """

    def __init__(self, capacity: int) -> None:
        super().__init__()
        self._capacity = capacity
        self._waiting: deque[memoryview] = deque()
        self._size = 0
        self._changed = threading.Condition()
        self._whole = False
        self._writer_error: BaseException | None = None
        self._reader_error: BaseException | None = None

    def writable(self) -> bool:
        """Whether it can be written to: always."""
        return True

    def write(self, data: Buffer, /) -> int:
        """Put bytes in, waiting while the pipe is full.

        :raises Exception: the one that ended the upload, should it have ended already.
        """
        # What cannot change needs no copy.
        view = memoryview(data if isinstance(data, bytes) else bytes(data))
        with self._changed:
            for start in range(0, len(view), self._capacity):
                piece = view[start : start + self._capacity]
                while self._reader_error is None and self._size >= self._capacity:
                    self._changed.wait()
                if self._reader_error is not None:
                    raise self._reader_error
                self._waiting.append(piece)
                self._size += len(piece)
                self._changed.notify_all()
        return len(view)

    def finish(self) -> None:
        """Say that everything was written."""
        with self._changed:
            self._whole = True
            self._changed.notify_all()

    def give_up(self, error: BaseException) -> None:
        """Say that the rest will not come; the reader gets the error."""
        with self._changed:
            self._writer_error = error
            self._changed.notify_all()

    def refuse(self, error: BaseException) -> None:
        """Say that nothing more is read; the writer gets the error."""
        with self._changed:
            self._reader_error = error
            self._changed.notify_all()

    def take(self, size: int) -> bytes:
        """Take exactly ``size`` bytes, or fewer at the end.

        :raises ConnectionAbortedError: when the writer gave up.
        """
        taken: list[memoryview] = []
        wanted = size
        with self._changed:
            while wanted:
                while not (self._waiting or self._whole or self._writer_error):
                    self._changed.wait()
                if self._writer_error is not None:
                    raise ConnectionAbortedError("the file was given up") from self._writer_error
                if not self._waiting:
                    break
                piece = self._waiting.popleft()
                if len(piece) > wanted:
                    self._waiting.appendleft(piece[wanted:])
                    piece = piece[:wanted]
                taken.append(piece)
                wanted -= len(piece)
                self._size -= len(piece)
                self._changed.notify_all()
        return b"".join(taken)


class ReadEnd:
    """The side of a :class:`Pipe` that an uploader reads: no more than ``read``, and no seeking.

    :param pipe: where the bytes come from.
    """

    def __init__(self, pipe: Pipe) -> None:
        self._pipe = pipe
        self.has_ended: Callable[[], bool] = lambda: False

    def read(self, size: int = -1) -> bytes:
        """Take exactly ``size`` bytes, or fewer at the end; by default all that come.

        :raises ConnectionAbortedError: when the writer gave up, or the upload failed: boto3 would
            read on to the end, though every further piece is thrown away.
        """
        if self.has_ended():
            raise ConnectionAbortedError("the upload has failed")
        return self._pipe.take(sys.maxsize if size < 0 else size)
