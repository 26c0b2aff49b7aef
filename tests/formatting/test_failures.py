"""When the source or the storage fails: the error is told as it is, and nothing is left."""

import errno
import io
import threading
from contextlib import contextmanager

import pytest

from airflow_am_provider.audience_manager.errors import TransientError
from airflow_am_provider.audience_manager.names import Encoding
from airflow_am_provider.formatting.overlap import BackgroundWorker, prefetched
from airflow_am_provider.formatting.parts import PartSizes
from airflow_am_provider.storage import LocalFolder
from tests.formatting.memory_folder import MemoryFolder
from tests.formatting.running import run, table, users

SMALL = PartSizes(part_bytes=102_401)
BAD = table([("a:b", "24")])


@pytest.fixture(autouse=True)
def _no_threads_are_left():
    before = threading.active_count()
    yield
    assert threading.active_count() == before


class FullFolder(MemoryFolder):
    """A storage that takes so many bytes in all."""

    def __init__(self, room: int, *, where: str = "") -> None:
        super().__init__()
        self.room = room
        self.where = where

    @contextmanager
    def open_write(self, path):
        class File(io.BytesIO):
            def write(file, data):  # noqa: N805  # a file's method
                if self.where in path:
                    self.room -= len(data)
                if self.room < 0:
                    raise TransientError("disk full")
                return super().write(data)

        file = File()
        yield file
        if self.where in path and self.room <= 0:
            raise TransientError("disk full")
        self.files[path] = file.getvalue()


def test_an_error_of_the_source_is_told_and_leaves_nothing():
    closed = []

    def source():
        try:
            yield BAD
            yield users(30_000)
            raise ConnectionError("the database went away")
        finally:
            closed.append(threading.current_thread().name)

    storage = MemoryFolder()
    with pytest.raises(ConnectionError, match="the database went away"):
        run(source(), storage=storage, sizes=SMALL)
    assert storage.files == {}
    assert len(closed) == 1


def test_a_source_is_closed_where_it_was_read():
    threads = []

    def source():
        try:
            for number in range(100):
                threads.append(threading.current_thread().name)
                yield users(10, 10 * number)
        finally:
            threads.append(threading.current_thread().name)

    with pytest.raises(TransientError):
        run(source(), storage=FullFolder(0), encoding=Encoding.PLAIN)
    assert set(threads) == {"read-ahead_0"}
    assert len(threads) < 100


@pytest.mark.parametrize("encoding", [Encoding.PLAIN, Encoding.GZIP])
@pytest.mark.parametrize("room", [0, 10, 1000, 30_000, 150_000, 400_000])
def test_a_full_disk_leaves_nothing(room, encoding):
    # What is packed is a fifth as large.
    storage = FullFolder(room if encoding is Encoding.PLAIN else room // 10)
    rows = users(20_000)
    source = [BAD, rows.slice(0, 1000), rows.slice(1000)]
    with pytest.raises(TransientError, match="disk full"):
        run(source, storage=storage, sizes=SMALL, encoding=encoding)
    assert storage.files == {}


@pytest.mark.parametrize("room", [0, 100, 40_000])
def test_a_full_disk_while_repeats_are_taken_out_leaves_nothing(room):
    storage = FullFolder(room, where="without-repeats")
    with pytest.raises(TransientError, match="disk full"):
        run([users(20_000), users(10)], storage=storage, sizes=SMALL)
    assert storage.files == {}


def test_a_full_disk_for_the_rejects_leaves_nothing():
    storage = FullFolder(0, where="rejects")
    with pytest.raises(TransientError, match="disk full"):
        run([users(1000), BAD], storage=storage)
    assert storage.files == {}


def test_what_cannot_be_cleaned_up_does_not_hide_the_error(caplog):
    class Stuck(FullFolder):
        def delete(self, path):
            raise OSError(errno.EIO, "no answer")

    with pytest.raises(TransientError, match="disk full"):
        run([users(20_000)], storage=Stuck(50_000), sizes=SMALL)
    assert "Could not clean up memory://staging/d: [Errno 5] no answer" in caplog.text


def test_a_directory_is_left_empty(tmp_path):
    def source():
        yield users(30_000)
        raise ConnectionError("gone")

    with pytest.raises(ConnectionError):
        run(source(), storage=LocalFolder(tmp_path), sizes=SMALL)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_nothing_is_written_behind_a_gap():
    done = []

    def work(item):
        if item == 1:
            raise TransientError("no")
        done.append(item)

    worker = BackgroundWorker(work, depth=5)
    for item in range(5):
        worker.put(item)
    with pytest.raises(TransientError, match="no"):
        worker.close()
    assert done == [0]


def test_a_thread_reads_ahead_but_not_far():
    taken = []

    def source():
        for number in range(100):
            taken.append(number)
            yield number

    read = prefetched(source(), depth=2)
    assert next(read) == 0
    assert len(taken) <= 4
    assert list(read) == list(range(1, 100))


def test_a_source_that_cannot_be_closed_does_not_hide_what_happened(caplog):
    class Source:
        def __iter__(self):
            return self

        def __next__(self):
            raise ConnectionError("first")

        def close(self):
            raise ConnectionError("second, with jane@example.com")

    with pytest.raises(ConnectionError, match="first"):
        next(prefetched(Source()))
    assert "Could not close the source: ConnectionError" in caplog.text
    assert "jane" not in caplog.text
