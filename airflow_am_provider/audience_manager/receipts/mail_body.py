"""Finds the receipt among the parts of a message: plain text, HTML, or both.

Page: inbound-receipt-message.md. Adobe does not say in which form its e-mail comes.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from airflow_am_provider.audience_manager.receipts.mail_html import text_of_html
from airflow_am_provider.audience_manager.receipts.mail_parts import Part, leaves
from airflow_am_provider.audience_manager.receipts.receipt import NotAReceipt, Receipt

if TYPE_CHECKING:
    from collections.abc import Iterator

_BESIDE_COUNTS: Final = ("partner_id", "job_start", "job_end")


def read_body(message: Part) -> Receipt:
    """Read the receipt from whichever part has it; parts must not contradict each other.

    :param message: the whole message.
    :raises NotAReceipt: when no part is a receipt, or two are and differ.
    :raises UnreadableMail: when the message goes beyond the bounds.
    """
    read: list[Receipt] = []
    reasons: list[NotAReceipt] = []
    for part in leaves(message):
        try:
            receipt = _read_part(part)
        except NotAReceipt as error:
            reasons.append(error)
        else:
            read += [receipt] if receipt else []
    if not read:
        raise reasons[0] if reasons else NotAReceipt("no part of plain text or HTML")
    fullest = max(read, key=lambda receipt: len(receipt.counts))
    known = {name: value for receipt in read for name, value in _said(receipt).items()}
    for receipt in read:
        differs = [name for name, value in _said(receipt).items() if known[name] != value]
        if set(receipt.files) != set(fullest.files):
            differs.append("files")
        if differs:
            raise NotAReceipt(f"the message's parts differ in {', '.join(differs)}")
    # Whom it greets and when it was may stand in one part alone.
    beside: dict[str, Any] = {name: known.get(name) for name in _BESIDE_COUNTS}
    return replace(fullest, **beside)


def _said(receipt: Receipt) -> dict[str, Any]:
    beside = {name: getattr(receipt, name) for name in _BESIDE_COUNTS}
    return {**receipt.counts, **{name: one for name, one in beside.items() if one is not None}}


def _read_part(part: Part) -> Receipt | None:
    """Read one part; None when it is no text.

    :raises NotAReceipt: with the reason of the likeliest reading.
    """
    reasons: list[NotAReceipt] = []
    for text in _part_texts(part):
        try:
            return Receipt.parse_text(text)
        except NotAReceipt as error:
            reasons.append(error)
    if reasons:
        raise reasons[0]
    return None


def texts_of(message: Part) -> Iterator[str]:
    """Every text that a message may be read as.

    :raises UnreadableMail: when the message goes beyond the bounds.
    """
    for part in leaves(message):
        yield from _part_texts(part)


def _part_texts(part: Part) -> Iterator[str]:
    """The ways to read one part, the likeliest first."""
    if not part.content_type.startswith("text/"):
        return
    for text in part.texts():
        if part.content_type != "text/html":
            yield text
        # Markup that is labelled as plain text, or not at all, is markup still.
        if part.content_type == "text/html" or "</" in text:
            yield text_of_html(text)
