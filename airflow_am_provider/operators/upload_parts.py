"""Sends some of a delivery's parts, so that several tasks can send it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_am_provider.hooks.parameters import whole_number
from airflow_am_provider.operators.upload import UploadOperator

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_am_provider.deliveries.manifest import Manifest
    from airflow_am_provider.hooks.audience_manager import AudienceManagerHook

__all__ = ["UploadPartsOperator"]


class UploadPartsOperator(UploadOperator):
    """Send a share of a delivery's parts; an ``UploadOperator`` behind all shares completes it.

    Each part is in one share. A share waits for the delivery's turn as the whole would, looks
    whether all parts are staged before it sends its first, and notes each part that it sent:
    retried or cleared, it sends what is missing. Over FTP the parts keep their temporary names
    until :class:`~airflow_am_provider.operators.upload.UploadOperator` gives them theirs.

    :param share: Which share of the parts this task sends, counted from 0. This is what to
        ``.expand()`` over. (templated)
    :param shares: Into how many shares the parts are divided, of about the same size each. A share
        may be empty. (templated)

    For the other parameters see :class:`~airflow_am_provider.operators.upload.UploadOperator`.

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

    template_fields: Sequence[str] = (*UploadOperator.template_fields, "share", "shares")

    def __init__(self, *, share: int | str, shares: int | str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
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
