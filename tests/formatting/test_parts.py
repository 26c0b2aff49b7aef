"""Where parts are split, how they are packed and what is known of each."""

import gzip
import hashlib
import random
import shutil
import subprocess

import pyarrow as pa
import pytest

from airflow_am_provider.audience_manager import limits
from airflow_am_provider.audience_manager.errors import ConfigurationError
from airflow_am_provider.audience_manager.names import Encoding
from airflow_am_provider.formatting.parts import PartSizes, PartWriter
from tests.formatting.memory_folder import MemoryFolder
from tests.formatting.running import in_pieces, run, table, users

LINE = len(b"user-0000000\td_sid=24\n")
# The smallest part that is allowed, rounded up to whole lines of users().
SMALL = LINE * (limits.MAX_LINE_BYTES // LINE + 1)


@pytest.mark.parametrize("rows_per_batch", [1000, 4655, 4656, 20_000])
@pytest.mark.parametrize("encoding", [Encoding.GZIP, Encoding.PLAIN])
def test_a_part_ends_before_the_line_that_would_be_too_much(rows_per_batch, encoding):
    done = run(
        in_pieces(users(10_000), rows_per_batch),
        encoding=encoding,
        sizes=PartSizes(part_bytes=SMALL),
    )
    in_part = SMALL // LINE
    assert [part.lines for part in done.result.parts] == [in_part, in_part, 10_000 - 2 * in_part]
    assert [part.bytes for part in done.result.parts[:2]] == [SMALL, SMALL]
    assert all(text.endswith(b"\n") for text in done.texts)
    assert done.text == b"".join(b"user-%07d\td_sid=24\n" % number for number in range(10_000))


def test_one_byte_less_and_the_line_goes_into_the_next_part():
    done = run([users(10_000)], sizes=PartSizes(part_bytes=SMALL - 1))
    assert done.result.parts[0].lines == SMALL // LINE - 1


def test_the_longest_line_fits_into_the_smallest_part():
    longest = "1" * (limits.MAX_LINE_BYTES - len("user-0\td_sid="))
    done = run(
        [table([(f"user-{number}", longest) for number in range(3)])],
        sizes=PartSizes(part_bytes=limits.MAX_LINE_BYTES + 1),
    )
    assert [(part.lines, part.bytes) for part in done.result.parts] == [(1, 102_401)] * 3


def test_parts_are_split_by_compressed_size():
    digits = random.Random(5)
    rows = [(f"{digits.getrandbits(128):032x}", "24") for _ in range(200_000)]
    limit = 1_500_000
    done = run([table(rows)], sizes=PartSizes(compressed_part_bytes=limit))
    sizes = [part.compressed_bytes for part in done.result.parts]
    assert len(sizes) > 2
    # A part is closed as soon as it is seen to be large enough, a megabyte of text later.
    assert all(limit <= size < limit + (1 << 20) for size in sizes[:-1])
    assert done.text.count(b"\n") == 200_000


def test_plain_parts_have_one_size_only():
    sizes = PartSizes(part_bytes=400_000, compressed_part_bytes=200_000)
    done = run([users(20_000)], encoding=Encoding.PLAIN, sizes=sizes)
    assert [part.bytes for part in done.result.parts] == [399_982, 40_018]
    assert all(part.bytes == part.compressed_bytes for part in done.result.parts)


def test_counts_and_checksums_are_those_of_the_files():
    done = run([users(10_000)], sizes=PartSizes(part_bytes=SMALL))
    for number, (part, text) in enumerate(zip(done.result.parts, done.texts, strict=True), 1):
        content = done.storage.files[part.path]
        assert part.path == f"d/parts/{number:05d}.gz"
        assert (part.lines, part.bytes) == (text.count(b"\n"), len(text))
        assert part.compressed_bytes == len(content)
        assert part.sha256 == hashlib.sha256(content).hexdigest()
    assert done.result.text_sha256 == hashlib.sha256(done.text).hexdigest()


def test_gzip_tools_read_what_was_written(tmp_path):
    done = run(in_pieces(users(5_000), 700))
    (part,) = done.result.parts
    content = done.storage.files[part.path]
    # No time stamp and no name, so that the same text gives the same bytes.
    assert content[:4] == b"\x1f\x8b\x08\x00"
    assert content[4:8] == b"\0\0\0\0"
    assert gzip.decompress(content) == done.text
    tool = shutil.which("gzip")
    assert tool is not None
    (tmp_path / "part.gz").write_bytes(content)
    subprocess.run([tool, "--test", tmp_path / "part.gz"], check=True)
    unpacked = subprocess.run([tool, "-dc", tmp_path / "part.gz"], check=True, capture_output=True)
    assert unpacked.stdout == done.text


def test_no_part_is_empty():
    storage = MemoryFolder()
    writer = PartWriter(storage, "parts", Encoding.GZIP, PartSizes(part_bytes=SMALL))
    writer.write(pa.array([], pa.binary()))
    assert writer.close() == []
    lines = pa.array([b"user-%07d\td_sid=24\n" % number for number in range(SMALL // LINE)])
    writer = PartWriter(storage, "parts", Encoding.GZIP, PartSizes(part_bytes=SMALL))
    writer.write(lines)
    writer.write(lines.slice(0, 0))
    assert [part.lines for part in writer.close()] == [SMALL // LINE]
    assert list(storage.files) == ["parts/00001.gz"]


@pytest.mark.parametrize(
    ("place", "size", "largest"),
    [
        ("part_bytes", 102_400, 5_000_000_000),
        ("part_bytes", 5_000_000_001, 5_000_000_000),
        ("compressed_part_bytes", 1_000_000_000, 997_902_848),
    ],
)
def test_sizes_that_adobe_does_not_take_are_refused(place, size, largest):
    with pytest.raises(ConfigurationError) as caught:
        PartSizes(**{place: size})
    assert str(caught.value) == (
        f"{place}: {size} bytes; more than 102400 (one line) and at most {largest} "
        f"(inbound-s3-filenames.md, inbound-file-compression.md)"
    )
