"""One pass over a source's rows: what is counted and set aside, and what is left when it fails."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from airflow_am_provider.audience_manager.errors import AudienceManagerError, DataError
from airflow_am_provider.formatting.acceptance import PersonalDataWatch
from airflow_am_provider.formatting.columns.arrow import to_arrow
from airflow_am_provider.formatting.id_watch import IdWatch
from airflow_am_provider.formatting.rejects import Rejects
from airflow_am_provider.formatting.remarks import together

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    import pyarrow as pa

    from airflow_am_provider.formatting.columns.checks import Codes
    from airflow_am_provider.formatting.lines.line_writer import PersonalData, SuppressedIds
    from airflow_am_provider.storage.folder import Folder

log = logging.getLogger(__name__)


class SourcePass(ABC):
    """Base of what goes through all rows once and writes files of them.

    :param storage: where they go.
    :param folder: the folder of this pass, relative to it.
    :param rejects: the file for what is set aside, relative to the storage.
    """

    def __init__(self, storage: Folder, folder: str, rejects: str) -> None:
        self._storage = storage
        self._folder = folder
        self._rows_read = 0
        self._watch = PersonalDataWatch()
        # One for each ID of a row.
        self._ids: list[IdWatch] = []
        self._rejects = Rejects(storage, rejects)
        self._rejects_left: str | None = None

    @contextmanager
    def tidied(self) -> Iterator[None]:
        """Leave nothing half-written when it fails; for wrong data the rejects file is left.

        :raises DataError: says where that file is.
        """
        try:
            yield
        except DataError as error:
            self._clean_up(self._leave_rejects)
            if self._rejects_left is None:
                raise
            raise DataError(
                f"{error}. Rows set aside are listed in {self._storage.url}/{self._rejects_left}"
            ) from None
        except BaseException:
            self._clean_up(self._rejects.discard)
            raise

    @abstractmethod
    def _clean_up(self, end_rejects: Callable[[], object]) -> None:
        """Take back what was written.

        :param end_rejects: what becomes of the rejects file.
        """

    def _count(
        self,
        codes: Codes,
        ids: pa.Array,
        personal_data: dict[str, PersonalData],
        more_ids: Sequence[pa.Array] = (),
    ) -> None:
        """Count a batch's rows, and set those aside that broke a rule."""
        bad = np.flatnonzero(codes)
        if bad.size:
            self._rejects.add(
                bad + self._rows_read + 1,
                codes[bad],
                lambda some: ids.take(to_arrow(bad[some])),
            )
        self._rows_read += len(codes)
        self._ids = self._ids or [IdWatch() for _ in (ids, *more_ids)]
        for watch, some in zip(self._ids, (ids, *more_ids), strict=True):
            watch.add(some, codes)
        self._watch.add(personal_data)

    def _remarks(
        self, suppression: SuppressedIds | None, more: Mapping[str, int] | None = None
    ) -> dict[str, int]:
        """What is worth a look, in counts.

        :param more: counts of a writer's own.
        """
        lists = {} if suppression is None else suppression.remarks
        return together([lists, more or {}, *(watch.remarks for watch in self._ids)])

    def _put_away(self, step: Callable[[], object]) -> None:
        # The error that ended the pass says more than what it leads to, such as a full disk that
        # is still full.
        try:
            step()
        except (AudienceManagerError, OSError) as error:
            log.warning("Could not clean up %s/%s: %s", self._storage.url, self._folder, error)

    def _leave_rejects(self) -> None:
        self._rejects_left = self._rejects.close()
