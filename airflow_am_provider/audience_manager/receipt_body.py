"""Finds the receipt among the parts of a message: plain text, HTML, or both.

Page: inbound-receipt-message.md. Adobe does not say in which form its e-mail comes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_am_provider.audience_manager.mail_html import text_of_html
from airflow_am_provider.audience_manager.mail_parts import Part, leaves
from airflow_am_provider.audience_manager.receipts import NotAReceipt, Receipt

if TYPE_CHECKING:
    from collections.abc import Iterator


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
    known = fullest.counts
    for receipt in read:
        differs = [
            name for name, count in receipt.counts.items() if known.get(name, count) != count
        ]
        if set(receipt.files) != set(fullest.files):
            differs.append("files")
        if differs:
            raise NotAReceipt(f"the message's parts differ in {', '.join(differs)}")
    return fullest


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
