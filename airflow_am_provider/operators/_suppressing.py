"""What all operators have in common that write files of users: whom they leave out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from airflow_am_provider.hooks.parameters import flag

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from airflow_am_provider.audience_manager.identifiers import IdKind
    from airflow_am_provider.hooks.audience_manager import AudienceManagerHook
    from airflow_am_provider.suppression.ids import Suppression


class SuppressingOperator(BaseOperator):
    """Reads suppression lists: that of the connection, and the one that is named here.

    Of a user on a list nothing is sent: the row is set aside as ``suppressed``, which is counted
    and not held against ``max_set_aside``. In an ID sync any of a row's IDs counts. IDs are
    compared byte for byte.

    :param suppress_sql: one SELECT that gives the list, or the name of a table.
    :param suppress_source: URL of a CSV or Parquet file instead, or of a folder of them.
    :param suppress_conn_id: the connection that ``suppress_sql`` runs on; for ``suppress_source``
        the AWS connection, where it is not that of the staging location.
    :param suppress_column: the column of the IDs; may be left out where there is only one.
    :param suppress_hashed: whether the list holds the SHA-256 of the IDs, as 64 hexadecimal digits.
    :param suppress_allow_empty: whether a list without any ID means that nobody is on it. Otherwise
        it is taken for a broken one, and the task fails.
    """

    template_fields: Sequence[str] = (
        "suppress_sql",
        "suppress_source",
        "suppress_conn_id",
        "suppress_column",
        "suppress_hashed",
        "suppress_allow_empty",
    )

    def __init__(
        self,
        *,
        suppress_sql: str | None = None,
        suppress_source: str | None = None,
        suppress_conn_id: str | None = None,
        suppress_column: str | None = None,
        suppress_hashed: bool | str = False,
        suppress_allow_empty: bool | str = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.suppress_sql = suppress_sql
        self.suppress_source = suppress_source
        self.suppress_conn_id = suppress_conn_id
        self.suppress_column = suppress_column
        self.suppress_hashed = suppress_hashed
        self.suppress_allow_empty = suppress_allow_empty

    def suppression(
        self, hook: AudienceManagerHook, kinds: Collection[IdKind]
    ) -> Suppression | None:
        """Read the lists; None when none is named.

        :param hook: the connection.
        :param kinds: the kinds of ID that are sent.
        """
        from airflow_am_provider.suppression.source import SuppressionSource, read_suppression

        source = SuppressionSource.named(
            "suppress",
            sql=self.suppress_sql,
            source=self.suppress_source,
            conn_id=self.suppress_conn_id,
            column=self.suppress_column,
            hashed=flag("suppress_hashed", self.suppress_hashed),
        )
        return read_suppression(
            hook,
            [] if source is None else [source],
            kinds=kinds,
            allow_empty=flag("suppress_allow_empty", self.suppress_allow_empty),
        )
