"""Sends some of a delivery's parts, so that several tasks can send it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_am_provider.airflow_compat import conf
from airflow_am_provider.audience_manager.words import counted
from airflow_am_provider.hooks.connections import DEFAULT_CONN_ID
from airflow_am_provider.hooks.polling import POKE_INTERVAL_S
from airflow_am_provider.operators.upload import UploadOperator
from airflow_am_provider.parameters import whole_number

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_am_provider.deliveries.manifest import Manifest
    from airflow_am_provider.hooks.audience_manager import AudienceManagerHook

__all__ = ["UploadPartsOperator"]


class UploadPartsOperator(UploadOperator):
    """Send a share of a delivery's parts; an ``UploadOperator`` after all shares completes it.

    Each part is in one share. A share waits for the delivery's turn as the whole would, looks
    whether all parts are staged before it sends its first, and notes each part that it sent:
    retried or cleared, it sends what is missing. Over FTP the parts keep their temporary names
    until :class:`~airflow_am_provider.operators.upload.UploadOperator` gives them theirs.

    :param share: Which share of the parts this task sends, counted from 0. This is what to
        ``.expand()`` over. (templated)
    :param shares: Into how many shares the parts are divided, of about the same size each. A share
        may be empty. (templated)
    :param manifest: What a format operator returned. Example: ``format_traits.output``. (templated)
    :param audience_manager_conn_id: Airflow connection of the type ``audience_manager``. It knows
        the staging location and where deliveries go. All tasks of one delivery use the same.
        (templated)
    :param after: Uploads that must be acknowledged first, such as the ID sync's: what
        ``UploadOperator`` returned, or a list of that. None stands for an upload that was skipped.
        Example: ``upload_ids.output``. (templated)
    :param on_older: What happens when newer data was already sent to the same target. ``refuse``
        fails with a sentence that names both. ``send`` sends the old data all the same. ``replay``
        sends it too, and :class:`~airflow_am_provider.sensors.replay.ReplayNewerSensor` then sends
        the newer data again. An ``.overwrite`` is compared with other ``.overwrite`` deliveries
        only. (templated)
    :param in_order: Whether the delivery waits for its turn. Use False for accounts that get
        neither receipts nor markers: there, nothing says when a delivery was processed. (templated)
    :param deferrable: Whether to wait in the triggerer, without a worker.
    :param poke_interval: Seconds between two looks. The default can be set in Airflow's
        configuration: ``receipt_poke_interval_s`` in section ``[audience_manager]``.
    :param order_timeout: Seconds to wait for the delivery's turn. After that the task fails and
        names what it waits for.
    :return: plain JSON: the delivery's ID, and the names of the share's files.
    :raises AirflowSkipException: when the manifest has no parts.
    :raises AirflowFailException: as of ``UploadOperator``, and when there is no such share.
    :raises AirflowException: when the destination or the line fails; a retry goes on from there.

    Example::

        parts = UploadPartsOperator.partial(
            task_id="upload_parts", manifest=combine.output, shares=3
        ).expand(share=[0, 1, 2])
        upload = UploadOperator(task_id="upload", manifest=combine.output)
        parts >> upload
    """

    template_fields: Sequence[str] = (
        "share",
        "shares",
        "manifest",
        "audience_manager_conn_id",
        "after",
        "on_older",
        "in_order",
    )

    def __init__(
        self,
        *,
        share: int | str,
        shares: int | str,
        manifest: object,
        audience_manager_conn_id: str = DEFAULT_CONN_ID,
        after: object = None,
        on_older: str = "refuse",
        in_order: bool | str = True,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        poke_interval: float = POKE_INTERVAL_S,
        order_timeout: float = 3 * 24 * 3600,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            manifest=manifest,
            audience_manager_conn_id=audience_manager_conn_id,
            after=after,
            on_older=on_older,
            in_order=in_order,
            deferrable=deferrable,
            poke_interval=poke_interval,
            order_timeout=order_timeout,
            **kwargs,
        )
        self.share = share
        self.shares = shares

    def _sent(self, hook: AudienceManagerHook, manifest: Manifest) -> dict[str, Any]:
        share, shares = whole_number("share", self.share), whole_number("shares", self.shares)
        files = hook.upload_share(
            self.manifest,
            share,
            shares,
            on_older=self.on_older,
            after=self.after,
            in_order=self.in_order,
        )
        return {"delivery_id": manifest.delivery_id, "files": files}

    def outcome(self, result: dict[str, Any]) -> str:
        """What was sent, for the last line of the log."""
        share, shares = whole_number("share", self.share) + 1, whole_number("shares", self.shares)
        what = counted(len(result["files"]), "file") if result["files"] else "no file"
        return f"Share {share} of {shares} is sent: {what} of delivery {result['delivery_id']}"
