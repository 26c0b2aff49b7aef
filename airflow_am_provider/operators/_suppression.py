"""The users about whom a task sends nothing."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

from airflow_am_provider.parameters import flag

if TYPE_CHECKING:
    from collections.abc import Collection

    from airflow_am_provider.audience_manager.identifiers import IdKind
    from airflow_am_provider.hooks.audience_manager import AudienceManagerHook
    from airflow_am_provider.suppression.ids import Suppression


@dataclass(frozen=True, kw_only=True)
class SuppressionLists:
    """The list of the connection, and the one that a task names on top.

    Each field is the operators' parameter of the same name after ``suppression_``, as its template
    rendered it.
    """

    sql: str | None
    source: str | None
    conn_id: str | None
    column: str | None
    hashed: bool | str
    allow_empty: bool | str

    @classmethod
    def of(cls, task: object) -> SuppressionLists:
        """What a task's parameters say.

        :param task: an operator that has them as attributes.
        """
        names = [field.name for field in fields(cls)]
        return cls(**{name: getattr(task, f"suppression_{name}") for name in names})

    def read(self, hook: AudienceManagerHook, kinds: Collection[IdKind]) -> Suppression | None:
        """Read them; None when none is named.

        :param hook: the connection.
        :param kinds: the kinds of ID that are sent.
        """
        from airflow_am_provider.suppression.source import SuppressionSource, read_suppression

        source = SuppressionSource.named(
            "suppression list of the task",
            sql=self.sql,
            source=self.source,
            conn_id=self.conn_id,
            column=self.column,
            hashed=flag("suppression_hashed", self.hashed),
        )
        return read_suppression(
            hook,
            [] if source is None else [source],
            kinds=kinds,
            allow_empty=flag("suppression_allow_empty", self.allow_empty),
        )
