"""The queue of each target, in staging: a file for each place, and each place is taken once.

    lanes/production-acme-1b2c3d4e/478/000001.json       who has the first place
    lanes/production-acme-1b2c3d4e/478/000001.settled    it need not be waited for any more

A place is taken by a write that only one of two can win, after looking at all places before it. So
what was decided when it was taken stays true, whoever else was at it in the same moment.
"""

from __future__ import annotations

import hashlib
import json
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Final

from airflow_am_provider.audience_manager.errors import DataError, TransientError
from airflow_am_provider.audience_manager.names import Mode
from airflow_am_provider.audience_manager.ordering import Turn

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from airflow_am_provider.stores.entry import Folder

LANES: Final = "lanes"
_PLACE: Final = re.compile(r"(?P<number>[0-9]{6,})\.(?P<kind>json|settled)")
_READ_AT_ONCE: Final = 8
_MOST_TRIES: Final = 100


class Lane:
    """The queue of one target.

    :param staging: the staging location.
    :param destination: where its deliveries go, such as ``production/acme``.
    :param target: whose traits are set; see
        :func:`~airflow_am_provider.audience_manager.ordering.target_of`.
    """

    def __init__(self, staging: Folder, destination: str, target: str) -> None:
        self._staging = staging
        self._folder = f"{LANES}/{_folder_name(destination)}/{target}"

    def turns(self) -> list[Turn]:
        """All places, in their order."""
        return self._read(self._listed()["json"])

    def unsettled(self) -> list[Turn]:
        """Those that may have to be waited for, in their order."""
        listed = self._listed()
        # Of a long queue nearly all are settled: those are not read.
        return self._read(listed["json"] - listed["settled"])

    def numbers(self) -> set[int]:
        """The numbers of all places."""
        return self._listed()["json"]

    def overwrites(self, numbers: set[int]) -> list[Turn]:
        """Those of these places that ``.overwrite`` deliveries have, in their order."""
        return [turn for turn in self._read(numbers) if turn.mode is Mode.OVERWRITE]

    def take(self, draft: Turn, check: Callable[[Sequence[Turn]], None]) -> Turn:
        """Take the next place, unless the delivery has one.

        :param draft: the delivery; its number is given here.
        :param check: looks at the places before; what it raises leaves the queue as it is.
        :return: the place.
        """
        for _ in range(_MOST_TRIES):
            turns = self.turns()
            for turn in turns:
                if (turn.delivery_id, turn.sending) == (draft.delivery_id, draft.sending):
                    return turn
            mine = replace(draft, number=turns[-1].number + 1 if turns else 1)
            check(turns)
            content = json.dumps(asdict(mine), indent=2).encode()
            if self._staging.create(self._path(mine.number, "json"), content):
                return mine
        raise TransientError(f"{self._staging.url}/{self._folder}: too many take places at once")

    def settle(self, turn: Turn) -> None:
        """Note that nobody has to wait for it any more."""
        self._staging.write_bytes(self._path(turn.number, "settled"), b"")

    def _listed(self) -> dict[str, set[int]]:
        """The numbers that have a file of each kind."""
        found: dict[str, set[int]] = {"json": set(), "settled": set()}
        for entry in self._staging.list(f"{self._folder}/"):
            match = _PLACE.fullmatch(entry.path.rpartition("/")[2])
            if match is not None:
                found[match["kind"]].add(int(match["number"]))
        return found

    def _read(self, numbers: set[int]) -> list[Turn]:
        """These places, in their order."""
        with ThreadPoolExecutor(_READ_AT_ONCE) as pool:
            return list(pool.map(self._turn, sorted(numbers)))

    def _turn(self, number: int) -> Turn:
        path = self._path(number, "json")
        content = self._staging.read_bytes(path)
        try:
            document = json.loads(content or b"")
            mode = None if document["mode"] is None else Mode(document["mode"])
            return Turn(**{**document, "mode": mode})
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(
                f"{self._staging.url}/{path}: not a place in the queue: {error}; what is on its "
                f"way is not known, so nothing is sent. Restore the file"
            ) from None

    def _path(self, number: int, kind: str) -> str:
        return f"{self._folder}/{number:06}.{kind}"


def _folder_name(destination: str) -> str:
    """A folder's name for a destination, which may be a URL; two never share one."""
    words = re.sub(r"[^A-Za-z0-9]+", "-", destination).strip("-")[:60]
    return f"{words}-{hashlib.sha256(destination.encode()).hexdigest()[:8]}"
