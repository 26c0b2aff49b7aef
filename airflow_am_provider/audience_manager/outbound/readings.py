"""The parts of a template, and whether a text made by it has more than one reading.

Each part is a pattern, and a place in an automaton whose places are the characters of texts and the
values between them (Glushkov's construction). A text has two readings when two different ways
through the places spell it, so that both ways are gone at once, from their begin, over all pairs of
places: there are few.

>>> text_with_two_readings([Value(DIGITS), Value(DIGITS)])
'111'
>>> text_with_two_readings([Value(DIGITS), Text(","), Value(DIGITS)]) is None
True
"""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

_COMMA: Final = ","


def _set_of(codes: Iterable[int]) -> int:
    return sum(1 << code for code in codes)


#: Sets of bytes, as the bits of a number.
DIGITS: Final = _set_of(range(0x30, 0x3A))
LETTERS: Final = _set_of({*range(0x41, 0x5B), *range(0x61, 0x7B)})
PRINTING: Final = _set_of({*range(0x20, 0x100)} - {0x7F})
# What prints, but a space and a comma, and what UTF-8 has beyond ASCII.
_ID: Final = _set_of({*range(0x21, 0x100)} - {0x7F, ord(_COMMA)})
# A number of 18 digits always fits 64 bits.
_NUMBER: Final = r"[0-9]{1,18}"


class Node(Protocol):
    """A part of a template."""

    def pattern(self, *, with_groups: bool = True) -> str:
        """What it can be, as a regular expression.

        :param with_groups: whether what is asked for is a group of it.
        """
        ...

    def place(self, automaton: Automaton) -> Ends:
        """Give its characters places."""
        ...


@dataclass(frozen=True)
class Ends:
    """Where a part of a template can begin and end.

    :param first: places that it can begin with.
    :param last: places that it can end with.
    :param is_empty: whether it can be nothing.
    """

    first: frozenset[int] = frozenset()
    last: frozenset[int] = frozenset()
    is_empty: bool = True


@dataclass
class Automaton:
    """Places, what can stand at each, and which can follow it.

    :param sets: of bytes, for each place.
    :param follow: the places that can come after each.
    :param values: the value that a place is of, where it is one.
    """

    sets: list[int] = field(default_factory=list)
    follow: list[set[int]] = field(default_factory=list)
    values: dict[int, Value] = field(default_factory=dict)

    def add(self, bytes_: int) -> int:
        """A place for one character, or a run of them."""
        self.sets.append(bytes_)
        self.follow.append(set())
        return len(self.sets) - 1

    def run(self, sets: Sequence[int]) -> Ends:
        """Places for characters, one after the other."""
        places = [self.add(bytes_) for bytes_ in sets]
        for before, after in pairwise(places):
            self.link([before], [after])
        return Ends(frozenset(places[:1]), frozenset(places[-1:]), is_empty=not places)

    def link(self, before: Iterable[int], after: Iterable[int]) -> None:
        """Let some places follow others."""
        following = frozenset(after)
        for place in before:
            self.follow[place] |= following

    def sequence(self, nodes: Iterable[Node]) -> Ends:
        """Parts one after the other."""
        whole = Ends()
        for node in nodes:
            ends = node.place(self)
            self.link(whole.last, ends.first)
            whole = Ends(
                first=whole.first | (ends.first if whole.is_empty else frozenset()),
                last=ends.last | (whole.last if ends.is_empty else frozenset()),
                is_empty=whole.is_empty and ends.is_empty,
            )
        return whole


@dataclass(frozen=True)
class Text:
    """Characters that stand there as they are."""

    text: str

    def pattern(self, *, with_groups: bool = True) -> str:
        """The text itself."""
        return re.escape(self.text)

    def place(self, automaton: Automaton) -> Ends:
        """A place for each character."""
        return automaton.run([1 << ord(character) for character in self.text])


@dataclass
class Value:
    """A run of characters of some kind.

    :param bytes_: which.
    :param is_id: whether it is free text, which ends where what follows it begins.
    :param may_be_empty: whether it may be nothing.
    :param words: the words that it can be; none for any run.
    """

    bytes_: int
    is_id: bool = False
    may_be_empty: bool = False
    words: tuple[str, ...] = ()

    @classmethod
    def of_id(cls, *, may_be_empty: bool = False) -> Value:
        """An ID, or other text without spaces and commas."""
        return cls(_ID, is_id=True, may_be_empty=may_be_empty)

    def pattern(self, *, with_groups: bool = True) -> str:
        """A run of its characters."""
        if self.words:
            return f"(?:{'|'.join(self.words)})"
        if not self.is_id:
            return _NUMBER
        excluded = "".join(
            f"\\x{code:02x}" for code in range(0x21, 0x7F) if not self.bytes_ >> code & 1
        )
        return f"[^\\x00-\\x20\\x7f{excluded}]{'*' if self.may_be_empty else '+'}"

    def place(self, automaton: Automaton) -> Ends:
        """One place, which follows itself."""
        place = automaton.add(self.bytes_)
        automaton.link([place], [place])
        automaton.values[place] = self
        return Ends(frozenset([place]), frozenset([place]), is_empty=self.may_be_empty)


@dataclass(frozen=True)
class Digits:
    """So many digits, and no more.

    :param count: how many.
    """

    count: int

    def pattern(self, *, with_groups: bool = True) -> str:
        """The digits."""
        return f"[0-9]{{{self.count}}}"

    def place(self, automaton: Automaton) -> Ends:
        """A place for each."""
        return automaton.run([DIGITS] * self.count)


@dataclass
class Items:
    """A list, perhaps an empty one.

    :param element: the parts of an element.
    :param separator: what stands between elements; never nothing.
    :param may_end: whether the separator may stand after the last one, too.
    """

    element: list[Node]
    separator: str
    may_end: bool = False

    def pattern(self, *, with_groups: bool = True) -> str:
        """Elements with separators between them, or nothing."""
        # Groups within it are for one element.
        element = "".join(node.pattern(with_groups=False) for node in self.element)
        separator = re.escape(self.separator)
        end = f"(?:{separator})?" if self.may_end else ""
        return f"(?:{element}(?:{separator}{element})*{end})?"

    def place(self, automaton: Automaton) -> Ends:
        """The element's places, and the separator's, which lead back to its begin."""
        element = automaton.sequence(self.element)
        between = Text(self.separator).place(automaton)
        automaton.link(element.last, between.first)
        automaton.link(between.last, element.first)
        last = element.last | (between.last if self.may_end else frozenset())
        return Ends(element.first, last, is_empty=True)


@dataclass
class Capture:
    """Parts whose text is what is asked for.

    :param name: of the group; None for the number of a list's element.
    :param nodes: the parts.
    """

    name: str | None
    nodes: list[Node]

    def pattern(self, *, with_groups: bool = True) -> str:
        """The parts as a group."""
        inside = "".join(node.pattern(with_groups=with_groups) for node in self.nodes)
        if not with_groups:
            return f"(?:{inside})"
        return f"({inside})" if self.name is None else f"(?P<{self.name}>{inside})"

    def place(self, automaton: Automaton) -> Ends:
        """As the parts."""
        return automaton.sequence(self.nodes)


@dataclass
class Maybe:
    """A part that can be left out."""

    node: Node

    def pattern(self, *, with_groups: bool = True) -> str:
        """The part, or nothing."""
        return f"{self.node.pattern(with_groups=with_groups)}?"

    def place(self, automaton: Automaton) -> Ends:
        """As the part."""
        ends = self.node.place(automaton)
        return Ends(ends.first, ends.last, is_empty=True)


def up_to(count: int) -> Node:
    """From one to so many digits."""
    if count == 1:
        return Digits(1)
    return Capture(None, [Digits(1), Maybe(up_to(count - 1))])


def settle_ends(nodes: Sequence[Node]) -> None:
    """Let each ID end where the text begins that follows it: that character is in none of them.

    :param nodes: a whole line.
    """
    automaton = Automaton()
    automaton.sequence(nodes)
    for place, value in automaton.values.items():
        for after in automaton.follow[place] - automaton.values.keys() if value.is_id else ():
            value.bytes_ &= ~automaton.sets[after]


def text_with_two_readings(nodes: Sequence[Node]) -> str | None:
    """The shortest text that has two; None when each has one at most.

    :param nodes: a whole template.
    """
    automaton = Automaton()
    start = automaton.add(0)
    whole = automaton.sequence(nodes)
    automaton.link([start], whole.first)
    # Two ways that spell the same so far, and whether they have parted.
    begin = (start, start, False)
    before: dict[tuple[int, int, bool], tuple[tuple[int, int, bool], int] | None] = {begin: None}
    waiting = deque([begin])
    while waiting:
        one, other, have_parted = state = waiting.popleft()
        if have_parted and one in whole.last and other in whole.last:
            return "".join(reversed([*_spelled(before, state)]))
        for next_one in automaton.follow[one]:
            for next_other in automaton.follow[other]:
                common = automaton.sets[next_one] & automaton.sets[next_other]
                low, high = sorted((next_one, next_other))
                following = (low, high, have_parted or low != high)
                if common and following not in before:
                    before[following] = (state, common)
                    waiting.append(following)
    return None


def _lowest(bytes_: int) -> str:
    return chr((bytes_ & -bytes_).bit_length() - 1)


def _spelled(
    before: dict[tuple[int, int, bool], tuple[tuple[int, int, bool], int] | None],
    state: tuple[int, int, bool],
) -> Iterator[str]:
    """The characters that led to a pair of places, the last one first."""
    step = before[state]
    while step is not None:
        state, common = step
        yield next((one for one in "A1" if common >> ord(one) & 1), _lowest(common))
        step = before[state]
