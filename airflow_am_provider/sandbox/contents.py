"""The bytes of a file as lines: decompressed, hashed, and bounded in memory whatever comes.

Pages: inbound-file-compression.md, inbound-s3-filenames.md.
"""

from __future__ import annotations

import gzip
import hashlib
import zlib
from typing import TYPE_CHECKING, BinaryIO, Final, cast

from airflow_am_provider.audience_manager import limits
from airflow_am_provider.audience_manager.errors import DataError
from airflow_am_provider.audience_manager.names import Encoding
from airflow_am_provider.audience_manager.rules import RULES, Rule

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_CHUNK_BYTES: Final = 1 << 18
# Only this much of a longer line is kept: enough to be seen as too long, with its line end.
_KEPT_LINE_BYTES: Final = limits.MAX_LINE_BYTES + 2


class Contents:
    """Reads one file's lines once; then knows its decompressed size and hash.

    :param stream: the file as it was sent.
    :param encoding: how its name says that it is packed.
    """

    def __init__(self, stream: BinaryIO, encoding: Encoding) -> None:
        if encoding is Encoding.GZIP:
            stream = cast("BinaryIO", gzip.GzipFile(fileobj=stream, mode="rb"))
        self._stream = stream
        self._sha256 = hashlib.sha256()
        self.byte_count = 0

    @property
    def sha256(self) -> str:
        """SHA-256 of the decompressed bytes read so far, in hexadecimal."""
        return self._sha256.hexdigest()

    def lines(self) -> Iterator[bytes]:
        r"""The lines with their newlines.

        :raises DataError: when it is not whole gzip, or larger than a file may be.
        """
        return split_lines(self._chunks())

    def _chunks(self) -> Iterator[bytes]:
        while chunk := self._read():
            self.byte_count += len(chunk)
            # Ten gigabytes of zeros are ten megabytes of gzip: stop before they are all read.
            if self.byte_count > limits.MAX_PART_BYTES:
                raise refused(Rule.FILE_TOO_LARGE, f"more than {limits.MAX_PART_BYTES:,} bytes")
            self._sha256.update(chunk)
            yield chunk

    def _read(self) -> bytes:
        try:
            return self._stream.read(_CHUNK_BYTES)
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise refused(Rule.BROKEN_COMPRESSION, str(error)) from None


def split_lines(chunks: Iterable[bytes]) -> Iterator[bytes]:
    r"""Cut at newlines; a line that is too long by far is cut short, and still too long.

    >>> list(split_lines([b"a\r\nb", b"c\n", b"d"]))
    [b'a\r\n', b'bc\n', b'd']
    """
    rest = b""
    for chunk in chunks:
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            yield line + b"\n"
        rest = rest[:_KEPT_LINE_BYTES]
    if rest:
        yield rest


def refused(rule: Rule, detail: str) -> DataError:
    """The error for a file that is not read at all."""
    text = RULES[rule]
    return DataError(f"{text.sentence}: {detail} ({text.page})")
