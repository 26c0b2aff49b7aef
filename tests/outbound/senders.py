"""Sends batches into a folder as Adobe does."""

from __future__ import annotations

import gzip
import hashlib
import json
from typing import TYPE_CHECKING

from airflow_am_provider.outbound.arrival import ArrivalWatch, WantedBatches
from airflow_am_provider.outbound.batches import NameForm
from airflow_am_provider.storage import LocalFolder

if TYPE_CHECKING:
    from pathlib import Path

    from airflow_am_provider.outbound.batches import Batch

DAY_MS = 86_400_000
FIRST_DAY = 1_768_953_600_000  # 21 January 2026


class Sender:
    """Sends batches of one destination.

    :param folder: the inbox.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def send(
        self,
        day: int,
        mode: str,
        *parts: str,
        control: bool = True,
        md5: str = "",
        dpid: int | str = 20914,
    ) -> str:
        root = f"S3_1234_{dpid}_{mode}_{FIRST_DAY + day * DAY_MS}"
        files = []
        for number, text in enumerate(parts):
            name = f"{root}{f'{number:03d}' if number else ''}.sync.gz"
            content = gzip.compress(text.encode())
            (self.folder / name).write_bytes(content)
            files.append(
                {
                    "FileName": name,
                    "FileByteSize": len(content),
                    "FileLineCount": text.count("\n"),
                    "FileSequenceNumber": number + 1,
                    "md5": md5 or hashlib.md5(content, usedforsecurity=False).hexdigest(),
                }
            )
        if control:
            (self.folder / f"{root}.info").write_text(json.dumps({"Files": files}))
        return root

    def batches(self) -> list[Batch]:
        watch = ArrivalWatch(LocalFolder(str(self.folder)), WantedBatches(form=NameForm()))
        return list(watch.look().complete)

    def batch(self, root: str) -> Batch:
        (found,) = [batch for batch in self.batches() if batch.batch_id == root]
        return found

    @property
    def inbox(self) -> LocalFolder:
        return LocalFolder(str(self.folder))
