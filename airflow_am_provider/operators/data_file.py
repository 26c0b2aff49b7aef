"""Format data files: traits, ``ic`` codes and signals of users."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_am_provider.audience_manager.identifiers import id_kind
from airflow_am_provider.audience_manager.names import Mode
from airflow_am_provider.hooks.parameters import (
    choice,
    flag,
    name,
    names,
    names_by_column,
    numbers_by_column,
    optional_whole_number,
    whole_number,
)
from airflow_am_provider.operators._stage_delivery import StageDeliveryOperator

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow_am_provider.formatting.lines.data_lines import DataLineWriter

__all__ = ["FormatDataFileOperator"]


class FormatDataFileOperator(StageDeliveryOperator):
    """Format rows as a data file of Audience Manager and stage it.

    Each row becomes ``USERID<TAB>ITEM,ITEM,…`` (inbound-file-contents.md). Rows that break a
    rule are set aside, counted by reason and listed in a rejects file. The manifest that is
    returned goes to :class:`~airflow_am_provider.operators.upload.UploadOperator`.

    :param dpid: Number of the data source of the user IDs. Example: ``478``. (templated)
    :param id_column: Column with the user ID, which is sent byte for byte. (templated)
    :param id_kind: Kind of the user ID. It follows from ``dpid``, so it is needed only to say
        ``aam_uuid`` for a data source of your own. (templated)
    :param target_dpid: Number of the data source whose traits or signals are set, when it is not
        ``dpid``. Needed for device IDs. (templated)
    :param mode: ``sync`` adds and removes traits. ``overwrite`` replaces, for each user in the
        file, all traits of the target data source. (templated)
    :param traits_column: Column or columns with the IDs of traits that the user has. A value is one
        ID, several IDs with commas between them, or a list. Example: ``traits`` or ``["traits",
        "loyalty"]``. (templated)
    :param traits_separator: What stands between the trait IDs of a text: one character, or ``json``
        for texts such as ``[1, 2]``. Lists and PostgreSQL's arrays need none. Example: ``;``.
        (templated)
    :param removed_traits_column: Column or columns with the IDs of traits that the user no longer
        has, in the same forms as ``traits_column``. Not with ``overwrite``. (templated)
    :param ic_column: Column or columns with codes of the key ``ic``, in the same forms as
        ``traits_column``. (templated)
    :param trait_flags: Boolean columns, and the trait that each stands for. True means that the
        user has the trait. Anything else says nothing. CSV files have no such columns. Example:
        ``{"is_member": 24}``. (templated)
    :param signal_columns: Columns that are sent as signals ``"key"="value"``, under their own names
        or under other keys. Empty values are left out. Give a list, or a dict from column to key.
        Example: ``["city"]`` or ``{"city": "home_city"}``. (templated)
    :param remove_all_of_users_without_items: With the mode ``overwrite``: remove all traits of
        users without any item. Otherwise the rows of these users are set aside. (templated)
    :param refuse_hyphens: Set rows aside in which a MAID, TIFA or Vizio IFA has hyphens. Otherwise
        they are sent, with a warning: Adobe has not confirmed hyphens. (templated)

    All parameters are template fields. For the source, staging and limits see
    :class:`~airflow_am_provider.operators._stage_delivery.StageDeliveryOperator`.

    :raises AirflowFailException: for wrong parameters, and for data that breaks the rules beyond
        ``max_set_aside``; retrying does not help.
    :raises AirflowException: when the database or the staging location does not answer.
    :raises AirflowSkipException: when there is nothing to send and ``on_empty="skip"``.

    .. code-block:: python

        FormatDataFileOperator(
            task_id="format",
            conn_id="crm",
            sql="SELECT customer_id, traits FROM customers",
            dpid=478,
            id_column="customer_id",
            traits_column="traits",
        )
    """

    template_fields: Sequence[str] = (
        *StageDeliveryOperator.template_fields,
        "dpid",
        "id_column",
        "id_kind",
        "target_dpid",
        "mode",
        "traits_column",
        "traits_separator",
        "removed_traits_column",
        "ic_column",
        "trait_flags",
        "signal_columns",
        "remove_all_of_users_without_items",
        "refuse_hyphens",
    )

    def __init__(
        self,
        *,
        dpid: int | str,
        id_column: str,
        id_kind: str | None = None,
        target_dpid: int | str | None = None,
        mode: str = "sync",
        traits_column: str | Sequence[str] | None = None,
        traits_separator: str = ",",
        removed_traits_column: str | Sequence[str] | None = None,
        ic_column: str | Sequence[str] | None = None,
        trait_flags: Mapping[str, int | str] | None = None,
        signal_columns: Sequence[str] | Mapping[str, str] | None = None,
        remove_all_of_users_without_items: bool | str = False,
        refuse_hyphens: bool | str = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.dpid = dpid
        self.id_column = id_column
        self.id_kind = id_kind
        self.target_dpid = target_dpid
        self.mode = mode
        self.traits_column = traits_column
        self.traits_separator = traits_separator
        self.removed_traits_column = removed_traits_column
        self.ic_column = ic_column
        self.trait_flags = trait_flags
        self.signal_columns = signal_columns
        self.remove_all_of_users_without_items = remove_all_of_users_without_items
        self.refuse_hyphens = refuse_hyphens

    def line_writer(self) -> DataLineWriter:
        """What turns rows into lines."""
        from airflow_am_provider.formatting.lines.data_lines import DataFileSpec, DataLineWriter

        return DataLineWriter(
            DataFileSpec(
                dpid=whole_number("dpid", self.dpid),
                target_dpid=optional_whole_number("target_dpid", self.target_dpid),
                mode=choice("mode", self.mode, Mode),
                id_column=name("id_column", self.id_column),
                id_kind=id_kind(self.id_kind) if self.id_kind else None,
                traits_columns=names("traits_column", self.traits_column),
                traits_separator=str(self.traits_separator),
                removed_traits_columns=names("removed_traits_column", self.removed_traits_column),
                ic_columns=names("ic_column", self.ic_column),
                trait_flags=numbers_by_column("trait_flags", self.trait_flags),
                signal_columns=names_by_column("signal_columns", self.signal_columns),
                remove_all_of_users_without_items=flag(
                    "remove_all_of_users_without_items", self.remove_all_of_users_without_items
                ),
                refuse_hyphens=flag("refuse_hyphens", self.refuse_hyphens),
            )
        )
