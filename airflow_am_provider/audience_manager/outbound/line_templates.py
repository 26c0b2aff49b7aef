r"""Lines made by a template, in the macro language of Adobe's pages.

Pages: outbound-template-macros.md, outbound-macro-examples.md. Here a template is used the other
way round: from a line to the values that its macros stood for.

>>> template = LineTemplate.parse('<PID><TAB><DP_UUID><TAB><SEGMENT_LIST;separator="|">')
>>> template.values("1131\t12345\t123|456")
{'DP_UUID': '12345', 'SEGMENT_LIST': '123|456'}

The pages say nothing of escaping. So a value ends where the text begins that follows it in the
template. What has two readings even so is refused: see
:mod:`~airflow_am_provider.audience_manager.outbound.readings`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from airflow_am_provider.audience_manager.errors import ConfigurationError
from airflow_am_provider.audience_manager.file_kinds import printable
from airflow_am_provider.audience_manager.outbound.readings import (
    DIGITS,
    LETTERS,
    Capture,
    Items,
    Maybe,
    Node,
    Text,
    Value,
    settle_ends,
    text_with_two_readings,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

PAGE: Final = "outbound-template-macros.md"
MOST_CHARACTERS: Final = 2_000

# Macros that stand for one text, the same in every line.
_TEXTS: Final = {
    "ASCII_SOH": "\x01",
    "CLOSE_CURLY_BRACKET": "}",
    "COMMA": ",",
    "OPEN_CURLY_BRACKET": "{",
    "OUTPUT_ATTRIBUTE_VALUE": "1",
    "SET_ATTRIBUTES": "1",
    "SPACE": " ",
    "TAB": "\t",
}
#: Macros that stand for an ID of the user, the one that counts as the user's first: DP_UUID is what
#: the receiver knows users by.
IDS: Final = ("DP_UUID", "UUID", "MCID")
_NUMBERS: Final = ("DPID", "MASTER_DPID", "OPT_OUT", "ORDER_ID", "PID")
_ALIASES: Final = ("PIDALIAS", "PID_ALIAS")
_WORDS: Final = {"SYNC_MODE": ("full", "iter"), "SYNC_TYPE": ("ftp", "http", "s3", "S3")}
#: Lists of numbers, and which field of an element is the number. An alias is one in the page's own
#: example; it counts where the element has no ID.
LISTS: Final[Mapping[str, tuple[str, ...]]] = {
    "SEGMENT_LIST": ("sid", "segmentId", "csegid", "alias"),
    "REMOVED_SEGMENT_LIST": ("sid", "segmentId", "csegid", "alias"),
    "TRAIT_LIST": ("traitId", "Id", "id"),
}
_NUMERIC_FIELDS: Final = ("type", "lastUpdateTime", "lastRealizationTime", "lastRealized")
_TEXT_FIELDS: Final = ("status", "alias")
_ID_LIST: Final = "DP_UUID_LIST"
_MAPPINGS: Final = "DPUUIDS"

_MACRO: Final = re.compile(
    r"<(?P<name>[A-Z_]+)"
    r"(?::\s*\{\s*(?P<variable>\w+)\s*\|(?P<element>[^}]*)\})?"
    r"(?:\s*;\s*(?P<option>\w+)\s*=\s*(?P<value>\"[^\"]*\"|[A-Z_]+))?\s*>"
)
_IF: Final = re.compile(r"<if\((?P<lists>[A-Z_]+(?:\s*&&\s*[A-Z_]+)*)\)>(?P<body>.*?)<endif>", re.S)
_FIELD: Final = re.compile(r"<(?P<variable>\w+)\.(?P<field>\w+)>|<(?P<macro>[A-Z_]+)>")


@dataclass(frozen=True, kw_only=True)
class ListForm:
    """How the elements of a list are written.

    :param one: a pattern of one element and what follows it, with its number as the first group.
    :param separator: what stands between elements that are nothing but their number; None where
        they are more.
    """

    one: str
    separator: str | None = None


@dataclass(frozen=True, kw_only=True)
class LineTemplate:
    """A template of lines that has one reading for each line.

    :param text: as it was given.
    :param pattern: a regular expression for a whole line, without its end, in what both Python and
        RE2 understand; each group has the name of its macro.
    :param macros: the macros whose values are read, in their order.
    :param lists: how the elements of each list of numbers are written.
    :param id_separator: what stands between the IDs of ``DP_UUID_LIST``.
    :param conditions: groups that are there only if all of some lists have elements.
    """

    text: str
    pattern: str
    macros: tuple[str, ...]
    lists: Mapping[str, ListForm]
    id_separator: str | None
    conditions: Mapping[str, tuple[str, ...]]

    @classmethod
    def parse(cls, text: str) -> LineTemplate:
        r"""Read a template.

        :param text: such as ``<UUID><TAB><SEGMENT_LIST;separator=",">``.
        :raises ConfigurationError: when it is none, names no user, or a line can be read in two
            ways; the message has such a line.

        >>> text = '<UUID> <SEGMENT_LIST;separator=" "> <TRAIT_LIST;separator=" ">'
        >>> LineTemplate.parse(text)  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        ...
        airflow_am_provider...ConfigurationError: line_template: the line 'A 1 1 1' can be read ...
        """
        return _parsed(text)

    @property
    def id_macro(self) -> str:
        """The macro whose value is the user's ID."""
        return next(name for name in IDS if name in self.macros)

    def values(self, line: str) -> dict[str, str] | None:
        """What the macros of a line stand for; None when it does not fit.

        :param line: without its end.
        """
        found = re.fullmatch(self.pattern, line)
        if found is None:
            return None
        for group, lists in self.conditions.items():
            if bool(found[group]) != all(found[name] for name in lists):
                return None
        return {name: found[name] for name in self.macros}


@lru_cache(maxsize=64)
def _parsed(text: str) -> LineTemplate:
    if not text.isascii() or "\n" in text or "\r" in text or len(text) > MOST_CHARACTERS:
        raise ConfigurationError(
            f"line_template: one line of at most {MOST_CHARACTERS:,} ASCII characters is expected; "
            f"a tab is <TAB> ({PAGE})"
        )
    parser = _Parser()
    nodes = parser.nodes(text)
    captured = parser.captured
    if not set(captured) & set(IDS):
        raise ConfigurationError(
            f"line_template {text!r}: it names no user; one of {', '.join(IDS)} is expected "
            f"({PAGE})"
        )
    for group, lists in parser.conditions.items():
        for name in lists:
            if name not in captured:
                raise ConfigurationError(
                    f"line_template: {group} asks for {name}, which does not stand in it ({PAGE})"
                )
    settle_ends(nodes)
    sample = text_with_two_readings(nodes)
    if sample is not None:
        raise ConfigurationError(
            f"line_template: the line {printable(sample)!r} can be read in two ways: a list ends "
            f"where its separator stands as well, or a value goes on where what follows it begins "
            f"({PAGE})"
        )
    return LineTemplate(
        text=text,
        pattern="".join(node.pattern() for node in nodes),
        macros=tuple(captured),
        lists={name: _list_form(items) for name, items in parser.lists.items()},
        id_separator=parser.id_separator,
        conditions=parser.conditions,
    )


def _list_form(items: Items) -> ListForm:
    separator = re.escape(items.separator)
    element = "".join(node.pattern() for node in items.element)
    only = items.element[0] if len(items.element) == 1 else None
    return ListForm(
        one=f"{element}(?:{separator}|$)",
        separator=items.separator if isinstance(only, Capture) and not items.may_end else None,
    )


class _Parser:
    """Reads a template from its begin to its end."""

    def __init__(self) -> None:
        self.captured: list[str] = []
        self.lists: dict[str, Items] = {}
        self.id_separator: str | None = None
        self.conditions: dict[str, tuple[str, ...]] = {}

    def nodes(self, text: str) -> list[Node]:
        found: list[Node] = []
        at = 0
        while at < len(text):
            if text[at] != "<":
                end = text.find("<", at)
                end = len(text) if end < 0 else end
                found.append(Text(text[at:end]))
                at = end
                continue
            condition = _IF.match(text, at)
            macro = _MACRO.match(text, at)
            if condition is not None:
                found.append(self._condition(condition))
                at = condition.end()
            elif macro is not None:
                found += self._macro(macro)
                at = macro.end()
            else:
                raise ConfigurationError(
                    f"line_template: what begins with {text[at : at + 20]!r} is no macro ({PAGE})"
                )
        return found

    def _condition(self, match: re.Match[str]) -> Node:
        lists = tuple(name.strip() for name in match["lists"].split("&&"))
        body = self.nodes(match["body"])
        if not body or not all(isinstance(node, Text) for node in body):
            raise ConfigurationError(
                f"line_template: between <if({match['lists']})> and <endif> text is expected, such "
                f"as <COMMA> ({PAGE})"
            )
        group = f"if{len(self.conditions)}"
        self.conditions[group] = lists
        return Maybe(Capture(group, body))

    def _macro(self, match: re.Match[str]) -> Iterator[Node]:
        name = match["name"]
        option = (match["option"], (match["value"] or "").strip('"'))
        if name in LISTS:
            yield self._capture(name, self._numbers(name, match, option))
        elif match["element"] is not None:
            raise ConfigurationError(f"line_template: <{name}> has no elements ({PAGE})")
        elif name == _ID_LIST:
            self.id_separator = _needed(name, _separator(name, option))
            yield self._capture(name, Items([Value.of_id()], self.id_separator))
        elif name == _MAPPINGS:
            if option[0] != "format" or "format=json" not in option[1].split("|"):
                raise ConfigurationError(
                    f'line_template: <{name}> is read with format="…|format=json" ({PAGE})'
                )
            yield self._capture(name, *_mappings())
        elif option[0] is not None:
            raise ConfigurationError(f"line_template: <{name}> has no {option[0]} ({PAGE})")
        elif name in IDS:
            yield self._capture(name, Value.of_id())
        else:
            yield _plain(name)

    def _capture(self, name: str, *nodes: Node) -> Node:
        if name in self.captured:
            raise ConfigurationError(f"line_template: <{name}> stands twice ({PAGE})")
        self.captured.append(name)
        return Capture(name, list(nodes))

    def _numbers(self, name: str, match: re.Match[str], option: tuple[str | None, str]) -> Node:
        separator = _separator(name, option)
        may_end = False
        if match["element"] is None:
            element: list[Node] = [Capture(None, [Value(DIGITS)])]
        else:
            element = _element(name, match["variable"], match["element"])
            last = element[-1]
            if not separator and isinstance(last, Text):
                # The page's own example leaves it out after the last element.
                separator, may_end = last.text, True
                element.pop()
        self.lists[name] = Items(element, _needed(name, separator), may_end=may_end)
        return self.lists[name]


def _separator(name: str, option: tuple[str | None, str]) -> str:
    kind, value = option
    if kind not in (None, "separator"):
        raise ConfigurationError(f"line_template: <{name}> has no {kind} ({PAGE})")
    return _TEXTS.get(value, value)


def _needed(name: str, separator: str) -> str:
    if not separator:
        raise ConfigurationError(
            f"line_template: <{name}> has no separator, without which its elements cannot be told "
            f'apart; <{name};separator=","> is expected ({PAGE})'
        )
    return separator


def _plain(name: str) -> Node:
    """A macro whose value is passed over, or a text."""
    if name in _TEXTS:
        return Text(_TEXTS[name])
    if name in _NUMBERS:
        return Value(DIGITS)
    if name in _ALIASES:
        return Value.of_id(may_be_empty=True)
    if name in _WORDS:
        return Value(DIGITS | LETTERS, words=_WORDS[name])
    known = sorted({*_TEXTS, *IDS, *_NUMBERS, *_ALIASES, *_WORDS, *LISTS, _ID_LIST, _MAPPINGS})
    raise ConfigurationError(
        f"line_template: <{name}> is no macro of a line; these are: {', '.join(known)} ({PAGE})"
    )


def _mappings() -> list[Node]:
    """``[["1111","AAAA"],["2222","CCCC"]]``."""
    pair: list[Node] = [Text('["'), Value(DIGITS), Text('","'), Value.of_id(), Text('"]')]
    return [Text("["), Items(pair, ","), Text("]")]


def _element(name: str, variable: str, text: str) -> list[Node]:
    """The form of a list's elements, with their number as its only group."""
    fields = {match["field"] for match in _FIELD.finditer(text)} - {None}
    number = next((field for field in LISTS[name] if field in fields), None)
    if number is None:
        raise ConfigurationError(
            f"line_template: the elements of <{name}> have no number; <{variable}.{LISTS[name][0]}>"
            f" is expected ({PAGE})"
        )
    nodes: list[Node] = []
    at = 0
    for match in _FIELD.finditer(text):
        if match.start() > at:
            nodes.append(Text(text[at : match.start()]))
        at = match.end()
        if match["macro"]:
            nodes.append(_plain(match["macro"]))
        elif match["variable"] != variable:
            raise ConfigurationError(
                f"line_template: <{match[0][1:-1]}>: {variable} is what stands before the bar "
                f"({PAGE})"
            )
        elif match["field"] == number:
            nodes.append(Capture(None, [Value(DIGITS)]))
        elif match["field"] in (*_NUMERIC_FIELDS, *LISTS[name][:-1]):
            nodes.append(Value(DIGITS))
        elif match["field"] in _TEXT_FIELDS:
            nodes.append(Value.of_id(may_be_empty=True))
        else:
            raise ConfigurationError(
                f"line_template: <{name}> has no field {match['field']!r} ({PAGE})"
            )
    if text[at:]:
        nodes.append(Text(text[at:]))
    return nodes
