"""Extract ID pairs and format them as ID sync files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_am_provider.audience_manager.names import IdSyncPrefix
from airflow_am_provider.hooks.parameters import choice, flag, names, whole_number, whole_numbers
from airflow_am_provider.operators._stage_delivery import StageDeliveryOperator

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_am_provider.formatting.lines.line_writer import LineWriter

__all__ = ["IdSyncExtractOperator"]


class IdSyncExtractOperator(StageDeliveryOperator):
    """Extract IDs of the same people and stage them as an ID sync file.

    Audience Manager skips data of users it cannot map, so an ID sync goes first, and the data
    waits for its receipt (id-sync-file-based.md).

    :param master_dpid: Number of the data source of the first column. 0 stands for AAM UUIDs. In a
        ``c2c_id`` file it is the CRM's. Example: ``0``. (templated)
    :param dpids: Numbers of the data sources of the other columns, in the order of the columns.
        Example: ``[478]`` or ``478,479``. (templated)
    :param columns: Columns with the IDs, the master's first. In a ``c2c_id`` file all others hold
        e-mails, and rows of one CRM ID must follow each other. Example: ``["aam_uuid",
        "customer_id"]``. (templated)
    :param prefix: ``adobe_id`` maps device IDs to device IDs or CRM IDs. ``c2c_id`` maps CRM IDs to
        hashed e-mails. (templated)
    :param hash_columns: Those of the columns that hold plain e-mail addresses. They are trimmed,
        lower-cased and hashed with SHA-256 before they leave the task. Example: ``["email"]``.
        (templated)
    :param allow_crm_master: Permit CRM IDs as master of an ``adobe_id`` file. Use it when an
        earlier file synchronised these IDs. (templated)
    :param refuse_hyphens: Set rows aside in which a MAID, TIFA or Vizio IFA has hyphens. Otherwise
        they are sent, with a warning: Adobe has not confirmed hyphens. (templated)

    All parameters are template fields. For the source, staging and limits see
    :class:`~airflow_am_provider.operators._stage_delivery.StageDeliveryOperator`.

    :raises AirflowFailException: for wrong parameters, and for data that breaks the rules beyond
        ``max_set_aside``; retrying does not help.
    :raises AirflowException: when the database or the staging location does not answer.
    :raises AirflowSkipException: when there is nothing to send and ``on_empty="skip"``.

    .. code-block:: python

        IdSyncExtractOperator(
            task_id="extract_ids",
            conn_id="crm",
            sql="SELECT aam_uuid, customer_id FROM customers WHERE aam_uuid IS NOT NULL",
            master_dpid=0,
            dpids=[478],
            columns=["aam_uuid", "customer_id"],
        )
    """

    template_fields: Sequence[str] = (
        *StageDeliveryOperator.template_fields,
        "master_dpid",
        "dpids",
        "columns",
        "prefix",
        "hash_columns",
        "allow_crm_master",
        "refuse_hyphens",
    )

    def __init__(
        self,
        *,
        master_dpid: int | str,
        dpids: Sequence[int | str] | int | str,
        columns: Sequence[str],
        prefix: str = "adobe_id",
        hash_columns: Sequence[str] | str = (),
        allow_crm_master: bool | str = False,
        refuse_hyphens: bool | str = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.master_dpid = master_dpid
        self.dpids = dpids
        self.columns = columns
        self.prefix = prefix
        self.hash_columns = hash_columns
        self.allow_crm_master = allow_crm_master
        self.refuse_hyphens = refuse_hyphens

    def line_writer(self) -> LineWriter:
        """What turns rows into lines."""
        from airflow_am_provider.formatting.lines.hashed_email_lines import HashedEmailLineWriter
        from airflow_am_provider.formatting.lines.id_sync_lines import IdSyncLineWriter, IdSyncSpec

        spec = IdSyncSpec(
            master_dpid=whole_number("master_dpid", self.master_dpid),
            dpids=whole_numbers("dpids", self.dpids),
            columns=names("columns", self.columns),
            prefix=choice("prefix", self.prefix, IdSyncPrefix),
            hash_columns=names("hash_columns", self.hash_columns),
            allow_crm_master=flag("allow_crm_master", self.allow_crm_master),
            refuse_hyphens=flag("refuse_hyphens", self.refuse_hyphens),
        )
        if spec.prefix is IdSyncPrefix.C2C_ID:
            return HashedEmailLineWriter(spec)
        return IdSyncLineWriter(spec)
