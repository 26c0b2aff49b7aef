"""How a file is packed, by its first bytes, and its content in blocks, in flat memory."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import TYPE_CHECKING, Any, BinaryIO, Final

from isal import isal_zlib
from isal.isal_zlib import IsalError

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

_READ_BYTES: Final = 1 << 18
# A small file may unpack to a thousand times its size, so no more comes out at once.
_MOST_UNPACKED_BYTES: Final = 1 << 20
_GZIP_WBITS: Final = 31
_GZIP_START: Final = b"\x1f\x8b"
_ZIP_STARTS: Final = (b"PK\x03\x04", b"PK\x05\x06")
# Versions and lengths at the start of OpenPGP packets; no text has them, in any encoding.
_CONTROL: Final = re.compile(rb"[\x00-\x08\x0e-\x1f]")
_ARMOUR: Final = b"-----BEGIN PGP MESSAGE-----"
# First bytes of an encrypted OpenPGP message: a session key's packet (1, 3), a marker (10),
# or the encrypted data itself (9, 18), in both formats of RFC 4880, 4.2.
_PGP_STARTS: Final = frozenset(
    [0x80 | tag << 2 | length for tag in (1, 3, 9, 10) for length in range(4)]
    + [0xC0 | tag for tag in (1, 3, 9, 10, 18)]
)


class Packing(StrEnum):
    """How a file's content is packed."""

    PLAIN = "plain"
    GZIP = "gzip"
    OPENPGP = "OpenPGP"
    ZIP = "zip"


def packing_of(file: BinaryIO) -> Packing:
    """Tell from a file's first bytes how it is packed."""
    start = file.read(len(_ARMOUR))
    if start.startswith(_GZIP_START):
        return Packing.GZIP
    if start.startswith(_ZIP_STARTS):
        return Packing.ZIP
    if start == _ARMOUR or (start and start[0] in _PGP_STARTS and _CONTROL.search(start)):
        return Packing.OPENPGP
    return Packing.PLAIN


class Unpacker:
    """Reads files and remembers what was wrong with their packing."""

    def __init__(self) -> None:
        self.problem: str | None = None

    def plain(self, file: BinaryIO) -> Iterator[bytes]:
        """The content of a plain file, which is closed at the end."""
        with file:
            while block := file.read(_READ_BYTES):
                yield block

    def gzip(self, file: BinaryIO) -> Generator[bytes]:
        """The content of a gzip file as far as it can be unpacked.

        Several gzip files one after the other are one, as for ``gzip`` itself.
        """
        self.problem = None
        member = isal_zlib.decompressobj(_GZIP_WBITS)
        with file:
            try:
                while packed := file.read(_READ_BYTES):
                    while packed:
                        if member.eof:
                            if not packed.startswith(_GZIP_START[: len(packed)]):
                                self._note_rest(packed, file)
                                return
                            member = isal_zlib.decompressobj(_GZIP_WBITS)
                        yield from _unpacked(member, packed)
                        packed = member.unused_data
            except IsalError as error:  # type: ignore[misc]  # its stub has no base class
                self.problem = f"damaged ({error})"
                return
        if not member.eof:
            self.problem = "cut off before its end"

    def _note_rest(self, rest: bytes, file: BinaryIO) -> None:
        # Tapes and some tools fill up with zeros, which gzip passes over.
        while rest:
            if rest.strip(b"\x00"):
                self.problem = "something that is not gzip follows its end"
                return
            rest = file.read(_READ_BYTES)


def _unpacked(member: Any, packed: bytes) -> Iterator[bytes]:
    """Everything that comes out of some packed bytes, in blocks of bounded size."""
    while True:
        block = member.decompress(packed, _MOST_UNPACKED_BYTES)
        yield block
        packed = member.unconsumed_tail
        # A full block may leave something over even when all input was taken.
        if member.eof or not (packed or len(block) == _MOST_UNPACKED_BYTES):
            return
