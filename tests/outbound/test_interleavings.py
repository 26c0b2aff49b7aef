"""Seeded interleavings of arrival: no batch is taken incomplete, loaded or told twice, or left.

Adobe's side is a list of steps in an order drawn by the seed, as its pages allow it: files appear
empty and grow, control files come first, last, twice or half written, a batch is sent again, and a
load is killed while it reads, or before or after it has noted that it tells other DAGs. After each
step the sensor looks and the operator loads what is complete. ``AIRFLOW_AM_INTERLEAVINGS=500``
draws more than CI does.
"""

import hashlib
import json
import os
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow.parquet as pq
import pytest

from airflow_am_provider.audience_manager.errors import DataError, TransientError
from airflow_am_provider.outbound.arrival import ArrivalWatch, WantedBatches
from airflow_am_provider.outbound.batches import Batch, NameForm
from airflow_am_provider.outbound.load_report import is_due, is_free
from airflow_am_provider.outbound.parquet import (
    batch_path,
    load_into_parquet,
    loaded_report,
    note_announced,
)
from airflow_am_provider.storage import LocalFolder

SEEDS = range(int(os.environ.get("AIRFLOW_AM_INTERLEAVINGS", "40")))
FIRST = 1_768_953_600_000


class Killed(BaseException):
    """The loader's process is gone."""


class Inbox(LocalFolder):
    """A folder whose reader is killed, or whose line is cut, at a drawn read."""

    def __init__(self, path: Path, chance: random.Random) -> None:
        super().__init__(str(path))
        self.chance = chance

    def open_read(self, path: str) -> BinaryIO:
        draw = self.chance.random()
        if draw < 0.1:
            raise Killed
        if draw < 0.2:
            raise TransientError("the line is cut")
        return super().open_read(path)


class Adobe:
    """Sends batches, a step at a time."""

    def __init__(self, folder: Path, chance: random.Random) -> None:
        self.folder = folder
        self.chance = chance
        self.sent: dict[str, list[str]] = {}  # what each batch has at the end, line by line

    def steps(self) -> Iterator[None]:
        queues = [self._batch(day) for day in range(self.chance.randrange(1, 4))]
        while queues:
            queue = self.chance.choice(queues)
            if next(queue, None) is None:
                queues.remove(queue)
            yield

    def _batch(self, day: int) -> Iterator[str]:
        root = f"S3_1234_20914_full_{FIRST + day * 86_400_000}"
        for sending in range(self.chance.choice([1, 1, 2])):
            yield from self._sending(root, sending)

    def _sending(self, root: str, sending: int) -> Iterator[str]:
        parts = {}
        for number in range(self.chance.randrange(1, 4)):
            name = f"{root}{f'{number:03d}' if number else ''}.sync"
            rows = self.chance.randrange(1, 50)
            parts[name] = "".join(f"u{number}-{row} {sending + 1}\n" for row in range(rows))
        for old in self.folder.glob(f"{root}*.sync"):
            if old.name not in parts:
                old.unlink()
        self.sent[root] = [line for text in parts.values() for line in text.splitlines()]
        control = json.dumps(
            {
                "Files": [
                    {
                        "FileName": name,
                        "FileByteSize": len(text),
                        "FileLineCount": text.count("\n"),
                        "md5": hashlib.md5(text.encode(), usedforsecurity=False).hexdigest(),
                    }
                    for name, text in parts.items()
                ]
            }
        )
        info = self.chance.choice([f"{root}.info", f"{root.replace('full', 'iter')}.info"])
        for other in self.folder.glob(f"{root[:14]}*{root[-13:]}.info"):
            if sending and other.name != info:
                other.unlink()
        writes = [self._growing(name, text) for name, text in parts.items()]
        writes.append(self._growing(info, control))
        if self.chance.random() < 0.2:
            writes.append(self._growing(info, control))  # the control file comes twice
        while writes:
            write = self.chance.choice(writes)
            step = next(write, None)
            if step is None:
                writes.remove(write)
            else:
                yield step

    def _growing(self, name: str, text: str) -> Iterator[str]:
        path = self.folder / name
        if self.chance.random() < 0.3:
            path.with_name(f"{name}.tmp").write_text(text[: len(text) // 2])
            yield name
            path.with_name(f"{name}.tmp").unlink(missing_ok=True)
        if self.chance.random() < 0.5:
            path.write_text(text[: self.chance.randrange(len(text))])
            yield name
        path.write_text(text)
        yield name


def lines_of(path: Path) -> list[str]:
    rows: list[dict[str, Any]] = pq.read_table(path).to_pylist()
    return [f"{row['user_id']} {','.join(map(str, row['segments']))}" for row in rows]


class Tasks:
    """Tasks that load what is complete, one after the other; each may be killed at any place.

    What :class:`OutboundLoadOperator` does, with its parts.
    """

    def __init__(self, inbox: Inbox, target: LocalFolder, chance: random.Random) -> None:
        self.inbox = inbox
        self.target = target
        self.chance = chance
        self.loads: Counter[tuple[str, str]] = Counter()
        self.told: Counter[tuple[str, str]] = Counter()
        self.teller = {"by": 0, "max_tries": 0}

    def run(self, batches: Sequence[Batch]) -> None:
        """A try of a task: of the same one until it has succeeded, or is cleared."""
        teller = self.teller
        due, has_failed = list[Batch](), False
        for batch in batches:
            kept = loaded_report(self.target, batch)
            if kept.get("version") != batch.version:
                try:
                    load_into_parquet(self.inbox, batch, self.target)
                except (Killed, TransientError, DataError):
                    has_failed = True
                    continue
                self.loads[batch.batch_id, batch.version] += 1
                due.append(batch)
            elif is_due(kept, teller) or (
                is_free(kept, teller) and not self.told[batch.batch_id, batch.version]
            ):
                note_announced(self.target, kept, teller, tells=False)
                due.append(batch)
        dies_at = self.chance.random()
        is_cleared = self.chance.random() < 0.5
        noted = list[Batch]()
        if not has_failed and dies_at > 0.2:
            noted = [
                batch
                for batch in due
                if note_announced(self.target, loaded_report(self.target, batch), teller)
            ]
        if has_failed or dies_at < 0.3:  # before Airflow knows that it has succeeded
            self.teller = {**teller, "max_tries": teller["max_tries"] + is_cleared}
            return
        self.told.update((batch.batch_id, batch.version) for batch in noted)
        self.teller = {"by": teller["by"] + 1, "max_tries": 0}


@pytest.mark.parametrize("seed", SEEDS)
def test_no_batch_is_taken_incomplete_none_twice_and_none_is_left(
    seed: int, tmp_path: Path
) -> None:
    chance = random.Random(seed)
    folder, target = tmp_path / "inbox", LocalFolder(str(tmp_path / "loaded"))
    folder.mkdir()
    inbox, adobe = Inbox(folder, chance), Adobe(folder, chance)
    tasks = Tasks(inbox, target, chance)

    def look() -> None:
        watch = ArrivalWatch(LocalFolder(str(folder)), WantedBatches(form=NameForm()))
        complete = watch.look().complete
        tasks.run(complete)
        for batch in complete:
            path = tmp_path / "loaded" / batch_path(batch)
            if path.exists():
                # Whatever is there is whole: as sent now, or as it was sent before.
                assert len({line.split()[1] for line in lines_of(path)}) == 1

    def is_all_told() -> bool:
        watch = ArrivalWatch(LocalFolder(str(folder)), WantedBatches(form=NameForm()))
        complete = {(batch.batch_id, batch.version) for batch in watch.look().complete}
        return {batch for batch, _ in complete} == set(adobe.sent) and complete <= set(tasks.told)

    for _ in adobe.steps():
        look()
    for _ in range(60):  # a loader that is killed again and again comes through some time
        look()
        if is_all_told():
            break
    for root, expected in adobe.sent.items():
        (path,) = (tmp_path / "loaded").rglob(f"{root}.parquet")
        assert sorted(lines_of(path)) == sorted(expected)
    assert set(tasks.loads.values()) == {1}
    assert is_all_told()
    assert set(tasks.told.values()) == {1}
