"""Control files: which files a batch has, and how large they are.

Pages: transfer-control-files.md (segment files), features/cdf-files.md (Customer Data Feeds). The
first page's example is not JSON, since its keys have no quotes; both forms are read. A control file
may arrive before the files it lists, so that it says what will be there, not what is.

>>> found = parse_control_file(b'{Files: [{FileName: "a.sync", FileByteSize: 7}]}', "a.info")
>>> found.files[0].name, found.files[0].size
('a.sync', 7)
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any, Final

from airflow_am_provider.audience_manager.errors import DataError
from airflow_am_provider.audience_manager.file_kinds import printable

PAGE: Final = "transfer-control-files.md"
FEED_PAGE: Final = "features/cdf-files.md"
#: A file takes about 200 bytes of it, so that 40,000 files have room.
MOST_BYTES: Final = 8 << 20
MOST_FILES: Final = 100_000

# Each alternative takes at once all that it could be tried for again: a string as far as it goes,
# closed or not, and a whole word. Without that, the time grows with the square of the size.
_TOKEN: Final = re.compile(
    r'"(?:[^"\\]|\\.)*+(?:"|\\?\Z)|(?P<word>[A-Za-z_]\w*+)(?P<colon>\s*+:)?|,(?=\s*+[}\]])',
    re.DOTALL,
)
_MD5: Final = re.compile(r"(?P<digest>[0-9a-f]{32})(?:-(?P<parts>[1-9]\d{0,4}))?", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True, slots=True)
class ControlledFile:
    """A file that a control file lists.

    :param name: its name, in the control file's own folder.
    :param size: bytes, header lines included.
    :param lines: lines, header lines included; None where the control file does not say.
    :param sequence: its place in the batch, from 1; None where the control file does not say.
    :param checksum: as it stands there: an MD5, for feeds the ETag of S3, or None.
    """

    name: str
    size: int
    lines: int | None = None
    sequence: int | None = None
    checksum: str | None = None

    @property
    def md5(self) -> str | None:
        """The MD5 of the whole file in small letters; None when there is none that can be one."""
        found = _MD5.fullmatch(self.checksum or "")
        return found["digest"].lower() if found and found["parts"] is None else None

    @property
    def etag(self) -> tuple[str, int] | None:
        """For an object uploaded in parts: the MD5 of the parts' MD5s, and how many parts."""
        found = _MD5.fullmatch(self.checksum or "")
        if found is None or found["parts"] is None:
            return None
        return found["digest"].lower(), int(found["parts"])

    @property
    def is_checkable(self) -> bool:
        """Whether the checksum can be one; the page's own sample has letters that no MD5 has."""
        return _MD5.fullmatch(self.checksum or "") is not None


@dataclass(frozen=True, kw_only=True, slots=True)
class ControlFile:
    """What a control file says.

    :param name: its own name.
    :param files: what it lists, in the order of their sequence.
    :param remarks: what is odd about it and no reason to refuse it, in sentences.
    """

    name: str
    files: tuple[ControlledFile, ...]
    remarks: tuple[str, ...] = ()

    @property
    def names(self) -> frozenset[str]:
        """The names of all files."""
        return frozenset(file.name for file in self.files)


def parse_control_file(content: bytes, name: str) -> ControlFile:
    """Read a control file.

    :param content: the file.
    :param name: its name, for messages.
    :raises DataError: when it cannot be read, which may be since it is still being written; or when
        it names files outside its folder, the same file twice, or sizes that are none.
    """
    place = f"control file {printable(name)!r}"
    if len(content) > MOST_BYTES:
        raise DataError(f"{place}: {len(content):,} bytes; at most {MOST_BYTES:,} are read")
    document = _document(content, place)
    listed = document.get("Files")
    if not isinstance(listed, list) or not listed or len(listed) > MOST_FILES:
        raise DataError(
            f"{place}: Files lists no files, or more than {MOST_FILES:,} ({PAGE}, {FEED_PAGE})"
        )
    files = [_file(entry, f"{place}, Files[{index}]") for index, entry in enumerate(listed)]
    if len({file.name for file in files}) < len(files):
        raise DataError(f"{place}: it lists the same file twice ({PAGE})")
    # Their sequence is said by FileSequenceNumber; without it the order of the list is kept.
    files.sort(key=lambda file: file.sequence or 0)
    return ControlFile(
        name=name, files=tuple(files), remarks=tuple(_remarks(document, files, place))
    )


def _document(content: bytes, place: str) -> dict[str, Any]:
    text = content.decode("utf-8-sig", errors="replace")
    try:
        document = _loads(text)
    except (ValueError, RecursionError):
        raise DataError(
            f"{place}: it cannot be read, neither as JSON nor with keys without quotes ({PAGE}); "
            f"it may be that it is still being written"
        ) from None
    if not isinstance(document, dict):
        raise DataError(f"{place}: an object with Files and Totals is expected ({PAGE})")
    return document


def _loads(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        # Keys get their quotes, a comma before a closing bracket goes, strings stay as they are.
        return json.loads(_TOKEN.sub(_quoted, text))


def _quoted(match: re.Match[str]) -> str:
    found = match[0]
    if found == ",":
        return ""
    return f'"{match["word"]}"{match["colon"]}' if match["colon"] else found


def _file(entry: object, place: str) -> ControlledFile:
    if not isinstance(entry, dict):
        raise DataError(f"{place}: an object with FileName and FileByteSize is expected ({PAGE})")
    name = entry.get("FileName")
    if not isinstance(name, str) or not _is_plain(name):
        raise DataError(
            f"{place}: FileName {printable(str(name))!r} is no name of a file in the control "
            f"file's own folder ({PAGE})"
        )
    checksum = entry.get("md5", entry.get("FileChecksumMD5"))
    size = _count(entry, "FileByteSize", place)
    if size is None:
        raise DataError(f"{place}: FileByteSize is missing ({PAGE})")
    return ControlledFile(
        name=name,
        size=size,
        lines=_count(entry, "FileLineCount", place),
        sequence=_count(entry, "FileSequenceNumber", place),
        checksum=checksum.strip() if isinstance(checksum, str) else None,
    )


def _is_plain(name: str) -> bool:
    """Whether it is the name of a file and nothing else: a control file may come from anybody."""
    return (
        0 < len(name) <= 255
        and name.isprintable()
        and not set(name) & {"/", "\\"}
        and name not in {".", ".."}
    )


def _count(entry: dict[str, Any], key: str, place: str) -> int | None:
    value = entry.get(key)
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 19:
        value = int(value)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**63:
        raise DataError(f"{place}: {key} {printable(str(value))!r} is no count ({PAGE})")
    return value


def _remarks(document: dict[str, Any], files: list[ControlledFile], place: str) -> list[str]:
    totals = document.get("Totals")
    if not isinstance(totals, dict):
        return []
    said = _count(totals, "TotalNumberFiles", f"{place}, Totals")
    if said is not None and said != len(files):
        raise DataError(
            f"{place}: Totals says {said:,} files and Files lists {len(files):,} ({PAGE}); it may "
            f"be that it is still being written"
        )
    remarks = []
    size = _count(totals, "TotalByteSize", f"{place}, Totals")
    if size is not None and size != sum(file.size for file in files):
        # The feed page's own sample has a sum that its files do not have.
        remarks.append(f"{place}: TotalByteSize is not the sum of its files' sizes")
    odd = sum(file.checksum is not None and not file.is_checkable for file in files)
    if odd:
        remarks.append(
            f"{place}: the checksums of {odd:,} of {len(files):,} files are no MD5, so that these "
            f"files are known by their sizes and lines alone"
        )
    return remarks
