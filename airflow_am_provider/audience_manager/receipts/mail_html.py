"""Takes the markup off an HTML mail, in time that grows with its length and no faster.

The standard library's HTML parser takes quadratic time on hostile markup (CVE-2025-6069) in the
Python versions that are supported here, and anyone can send mail to a mailbox. A receipt needs no
more than its words, with a line break where a browser would break the line or the table cell.
"""

from __future__ import annotations

import html
import re
from typing import Final

_BREAKS_LINE: Final = re.compile(
    r"address|article|aside|blockquote|body|br|caption|center|dd|div|dl|dt|fieldset|footer|form|"
    r"h[1-6]|head|header|hr|html|li|main|nav|ol|p|pre|section|table|tbody|td|tfoot|th|thead|title|"
    r"tr|ul"
)
_HIDES_TEXT: Final = frozenset(("script", "style", "template"))
_TAG_NAME = re.compile(r"</?([A-Za-z][A-Za-z0-9]{0,30})")
# Python refuses to read integers of thousands of digits, so html.unescape would raise.
_HUGE_REFERENCE = re.compile("&#[0-9]{9,};?")


def text_of_html(markup: str) -> str:
    r"""Give the words of an HTML document as a reader sees them.

    :param markup: HTML of any quality; tags that never close swallow the rest.
    :return: text with a line break for each block, row and cell.

    >>> text_of_html("<p><b>Records</b> received:&nbsp;5<br>Format <i>Err</i>ors: 0</p>")
    '\nRecords received:\xa05\nFormat Errors: 0\n'
    """
    words: list[str] = []
    position = 0
    while (start := markup.find("<", position)) >= 0:
        words.append(_characters(markup[position:start]))
        if markup.startswith("<!--", start):
            position = _behind("-->", markup, start)
            continue
        name = _TAG_NAME.match(markup, start)
        if name is None and markup[start + 1 : start + 2] not in ("!", "?", "/"):
            words.append("<")  # a less-than sign that nobody escaped
            position = start + 1
            continue
        position = _behind(">", markup, start)
        tag = name[1].lower() if name else ""
        if _BREAKS_LINE.fullmatch(tag):
            words.append("\n")
        elif tag in _HIDES_TEXT and not markup.startswith("</", start):
            closing = re.compile(f"</{tag}", re.IGNORECASE).search(markup, position)
            position = closing.start() if closing else len(markup)
    words.append(_characters(markup[position:]))
    return "".join(words)


def _behind(mark: str, markup: str, start: int) -> int:
    found = markup.find(mark, start)
    return len(markup) if found < 0 else found + len(mark)


def _characters(text: str) -> str:
    return html.unescape(_HUGE_REFERENCE.sub("\ufffd", text))
