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

    :param suppress_sql: One SELECT that gives the suppression list, or the name of a table. Name
        either ``suppress_sql`` or ``suppress_source``. Example: ``SELECT customer_id FROM
        opt_outs``. (templated)
    :param suppress_source: File with the suppression list, the IDs of users of whom nothing is
        sent. It is a URL of a file of the kinds that ``source`` takes, or of a folder of them. A
        CSV file has a header, ``,`` between its fields, and is in UTF-8, or in UTF-16 with its byte
        order mark. Example: ``s3://crm/opt_outs.csv``. (templated)
    :param suppress_conn_id: Connection of the suppression list. For ``suppress_sql`` it is the
        database's. For ``suppress_source`` it is the AWS connection, when that is not the one of
        the staging location. (templated)
    :param suppress_column: Column of the IDs in the suppression list. Needed when the list has more
        than one column. (templated)
    :param suppress_hashed: Says that the suppression list holds the SHA-256 of the IDs, as 64
        hexadecimal digits. (templated)
    :param suppress_allow_empty: Says that the suppression list may be empty, which means that
        nobody is on it. Otherwise an empty list is an error, as it may be a broken one. The
        connection's own list never may. (templated)
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
