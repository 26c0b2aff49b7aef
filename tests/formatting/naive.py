"""The contract once more, row by row and as plainly as can be: what the engine is held against.

Nothing here comes from the engine, and whether a value is good is decided here without the
contract's own functions. Only the name of the broken rule is asked of them, and both must
agree on whether there is one.
"""

from __future__ import annotations

import json
import re
import string
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from airflow_am_provider.audience_manager.identifiers import DPUUID, IdKind
from airflow_am_provider.audience_manager.items import ic_problem, trait_problem, value_problem
from airflow_am_provider.audience_manager.rules import RULES, Rule

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

LOWER = set("0123456789abcdef")
UPPER = set("0123456789ABCDEF")
CONTROLS = {chr(code) for code in range(32)} | {"\x7f"}
DIGITS = set("0123456789")
HEX = LOWER | UPPER
ALPHANUMERIC = set(string.ascii_letters + string.digits)
SEPARATORS = set(" ()./-\u00a0\u2009\u202f\u2010\u2011\u2012\u2013")
AMOUNT = re.compile(r"\+\d{1,3}([ .,']\d{3})*[.,]\d\d?(?![ .,()/-]*\d)", re.ASCII)
PLACE = re.compile(r"\+\d{1,3}\.\d+[+-]\d{1,3}\.\d", re.ASCII)
EXTENSION = re.compile(r"[ ;,]?(x|ext\.?=?) ?\d{1,6}", re.ASCII)


class Aside(Exception):
    """A row that is not written."""

    def __init__(self, rule: Rule) -> None:
        self.rule = rule


@dataclass
class Outcome:
    """What must come out: the lines in order, and each row that is set aside with its rule."""

    lines: list[bytes] = field(default_factory=list)
    aside: dict[int, Rule] = field(default_factory=dict)

    @property
    def reasons(self) -> dict[str, int]:
        return dict(Counter(rule.value for rule in self.aside.values()))

    @property
    def lost(self) -> int:
        return sum(not RULES[rule].loses_nothing for rule in self.aside.values())


def outcome(
    rows: Iterable[Sequence[object]],
    line: Callable[..., bytes],
    *,
    max_lines: int | None,
) -> Outcome:
    """Go through all rows with everything seen so far in one dictionary."""
    result = Outcome()
    seen: dict[bytes, dict[bytes, int]] = {}
    for number, row in enumerate(rows, start=1):
        try:
            text = line(*row)
            if len(text) > 102_400:
                raise Aside(Rule.LINE_TOO_LONG)
            others = seen.setdefault(text.split(b"\t")[0], {})
            if text in others:
                result.aside[others[text]] = Rule.DUPLICATE_LINE
            elif max_lines is not None and len(others) >= max_lines:
                raise Aside(Rule.TOO_MANY_LINES_PER_USER)
            others[text] = number
        except Aside as aside:
            result.aside[number] = aside.rule
    kept = ((number, text) for others in seen.values() for text, number in others.items())
    result.lines = [text + b"\n" for _, text in sorted(kept)]
    return result


def joined_outcome(
    rows: Iterable[Sequence[object]],
    line: Callable[..., bytes],
    *,
    is_good_id: Callable[[Any], bool],
) -> Outcome:
    """The same where each user has one line, with the items of all of that user's rows."""
    result = Outcome()
    numbers: dict[bytes, list[int]] = {}
    lines: dict[bytes, list[bytes]] = {}
    incomplete: set[bytes] = set()
    for number, row in enumerate(rows, start=1):
        try:
            text = line(*row)
            if len(text) > 102_400:
                raise Aside(Rule.LINE_TOO_LONG)
            user_id, items = text.split(b"\t")
            numbers.setdefault(user_id, []).append(number)
            lines.setdefault(user_id, []).append(items)
        except Aside as aside:
            result.aside[number] = aside.rule
            if is_good_id(row[0]) and not RULES[aside.rule].loses_nothing:
                incomplete.add(row[0])
    for user_id, texts in lines.items():
        whole = texts[0]
        if len(texts) > 1:
            said = (item for text in texts for item in text.split(b",") if item)
            whole = b",".join(dict.fromkeys(said))
        rule = None
        if user_id in incomplete:
            rule = Rule.USER_INCOMPLETE
        elif len(user_id) + 1 + len(whole) > 102_400:
            rule = Rule.JOINED_LINE_TOO_LONG
        if rule is None:
            result.lines.append(user_id + b"\t" + whole + b"\n")
        else:
            result.aside |= dict.fromkeys(numbers[user_id], rule)
    return result


def decoded(raw: bytes) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        raise Aside(Rule.INVALID_UTF8) from None


def _judge(good: bool, rule: Rule | None) -> None:
    assert good is (rule is None), rule
    if rule is not None:
        raise Aside(rule)


def checked_id(raw: bytes | None, kind: IdKind) -> bytes:
    """The ID, when it is good."""
    text = decoded(raw or b"")
    good = text != "" and not (set(text) & CONTROLS or text[0] == "\ufeff" or personal(text))
    good = good and not (all(map(unseen, text)) or stands_for_nothing(text) or rounded(text))
    if kind.name in {"gaid", "rida", "fire_tv", "lgudid"}:
        good = good and guid(text, LOWER)
    elif kind.name == "idfa":
        good = good and guid(text, UPPER)
    elif kind.name in {"aam_uuid", "ecid"}:
        good = good and len(text) == 38 and set(text) <= DIGITS
    elif kind.name == "dpuuid":
        good = good and ":" not in text and "%3a" not in text.lower()
    else:
        letters = set(string.ascii_letters + string.digits)
        good = good and all(piece and set(piece) <= letters for piece in text.split("-"))
        good = good and (set(text) != {"0", "-"} or not guid_of_zeros(text))
    problem = kind.problem(text)
    _judge(good, None if problem is Rule.ID_HYPHEN else problem)
    assert raw is not None
    return raw


def unseen(character: str) -> bool:
    return character.isspace() or 0x200B <= ord(character) <= 0x200D or ord(character) == 0x2060


def stands_for_nothing(text: str) -> bool:
    """Whether it is a word for a missing value, or a truth value."""
    text = text.strip(" ")
    bare = text.lower()
    for pair in ("<>", "()", "[]", "{}"):
        if bare[:1] == pair[0] and bare[-1:] == pair[1]:
            return bare[1:-1] == "null" or bare == "<na>"
    if bare.startswith("#"):
        return bare[1:] in {"n/a", "null!", "ref!", "value!", "name?", "num!", "div/0!"}
    words = {"null", "none", "nan", "nat", "n/a", "undefined", "true", "false", "\\n"}
    return bare in words or text == "NA"


def rounded(text: str) -> bool:
    """Whether it is a number as spreadsheets show long ones."""
    text = text.strip(" ")
    mantissa, found, exponent = text.replace("e", "E").partition("E")
    mantissa = mantissa[1:] if mantissa[:1] in {"+", "-"} else mantissa
    if not found or not mantissa or mantissa[0] not in DIGITS:
        return False
    fraction = mantissa[1:]
    if fraction:
        if fraction[0] not in {".", ","} or not set(fraction[1:]) <= DIGITS:
            return False
        if not 1 <= len(fraction) - 1 <= 20:
            return False
    elif exponent[:1] != "+":
        return False
    power = exponent[1:] if exponent[:1] in {"+", "-"} else exponent
    return 1 <= len(power) <= 3 and set(power) <= DIGITS


def guid(text: str, digits: set[str]) -> bool:
    pieces = text.split("-")
    return (
        [len(piece) for piece in pieces] == [8, 4, 4, 4, 12]
        and set("".join(pieces)) <= digits
        and set("".join(pieces)) != {"0"}
    )


def guid_of_zeros(text: str) -> bool:
    return [len(piece) for piece in text.split("-")] == [8, 4, 4, 4, 12]


def checked_linked_id(raw: bytes | None, kind: IdKind) -> bytes:
    """An ID in an ID sync file, when it is good."""
    good = checked_id(raw, kind)
    for place in range(len(good) - 2):
        if (
            good[place : place + 1] == b"%"
            and set(good[place + 1 : place + 3].decode("utf-8", "replace")) <= LOWER | UPPER
        ):
            raise Aside(Rule.ID_URL_ENCODED)
    return good


def is_address(text: str) -> bool:
    """Whether all of a text is an e-mail address, as those that are to be hashed."""
    text = text.strip()
    sign = "@" if "@" in text else "%40"
    local, found, domain = text.rpartition(sign)
    host, _, top = domain.rpartition(".")
    forbidden = set('@"<>,;')
    return bool(
        found
        and local
        and host
        and len(top) >= 2
        and top[-1] not in DIGITS
        and "%" not in domain
        and not any(letter in forbidden or letter.isspace() for letter in local + domain)
    )


def personal(text: str) -> bool:
    text = unescaped(unescaped(text))
    return any(
        email(text, place) for place, character in enumerate(text) if character == "@"
    ) or any(phone(text, place) for place, character in enumerate(text) if character == "+")


def unescaped(text: str) -> str:
    """Each run of percent escapes as the text that it stands for."""
    result, place = "", 0
    while place < len(text):
        run = b""
        while text[place : place + 1] == "%" and set(text[place + 1 : place + 3]) <= HEX:
            if len(text) < place + 3:
                break
            run += bytes([int(text[place + 1 : place + 3], 16)])
            place += 3
        if run:
            result += run.decode("utf-8", "replace")
        else:
            result += text[place]
            place += 1
    return result


def email(text: str, at: int) -> bool:
    """Whether the at sign is that of an address."""
    start = at
    if text[at - 1 : at] == '"' and '"' in text[: at - 1]:
        start = text.rindex('"', 0, at - 1)
        local = text[start + 1 : at - 1]
    else:
        while start and in_name(text[start - 1], "!#$&'*=?^_`{|}~+.-"):
            start -= 1
        local = text[start:at]
    if text[start - 1 : start] == "@" or not any(in_name(c, "") for c in local):
        return False
    end = at + 1
    while end < len(text) and in_name(text[end], "._-"):
        end += 1
    labels = text[at + 1 : end].split(".")
    for place in reversed(range(1, len(labels))):
        if not all(0 < len(label) <= 63 and label[0] != "-" for label in labels[:place]):
            continue
        top, behind = labels[place], labels[place + 1 : place + 2]
        if behind and behind[0] and behind[0][0] in ALPHANUMERIC:
            continue
        letters = 2 <= len(top) <= 63 and not set(top) & (DIGITS | set("_-"))
        if letters or (top.startswith("xn--") and top != "xn--" and is_ascii_name(top)):
            return right_domain(labels[:place], top.lower())
    return False


def in_name(character: str, more: str) -> bool:
    return character in ALPHANUMERIC or character >= "\u00a1" or character in more


def is_ascii_name(text: str) -> bool:
    return all(character in ALPHANUMERIC or character == "-" for character in text)


def right_domain(labels: list[str], top: str) -> bool:
    numbers = all(set(label.removesuffix("x")) <= DIGITS for label in labels)
    if numbers:
        return top in {"com", "net", "org", "de", "jp", "cn", "uk", "ro"}
    return top not in {"png", "jpg", "webp", "svg"}


def phone(text: str, plus: int) -> bool:
    """Whether the plus sign is that of a phone number."""
    if text[plus - 1 : plus] and text[plus - 1] in ALPHANUMERIC | set("_/+"):
        return False
    place = plus + 1
    while text[place : place + 1] and text[place] in " (" and place < plus + 3:
        place += 1
    ends: list[int] = []
    digits = ""
    gap = 0
    while place < len(text) and gap <= 3 and len(ends) < 16:
        if text[place] in DIGITS:
            digits += text[place]
            ends.append(place + 1)
            gap = 0
        elif ends and text[place] in SEPARATORS:
            gap += 1
        else:
            break
        place += 1
    if not digits or digits[0] == "0" or AMOUNT.match(text, plus) or PLACE.match(text, plus):
        return False
    for count in range(len(ends), 7, -1):
        rest = text[ends[count - 1] :]
        if ends_here(rest) or (
            (extension := EXTENSION.match(rest)) and ends_here(rest[extension.end() :])
        ):
            digits = digits[:count]
            if digits[0] in "17":
                return len(digits) == 11 and digits[1] in (
                    "23456789" if digits[0] == "1" else "3456789"
                )
            return len(digits) >= 9 and digits[:2] not in {"28", "83", "89"} and assigned(digits)
    return False


def ends_here(rest: str) -> bool:
    return not rest or rest[0] not in ALPHANUMERIC | set("_+/")


def assigned(digits: str) -> bool:
    """Whether digits begin with a country's code; those of two digits leave no other with them."""
    three = {"21", "22", "23", "24", "25", "26", "29", "35", "37", "38", "42", "50", "59", "67",
             "68", "69", "80", "85", "87", "88", "96", "97", "99"}  # fmt: skip
    two = {"20", "27", "30", "31", "32", "33", "34", "36", "39", "40", "41", "43", "44", "45",
           "46", "47", "48", "49", "51", "52", "53", "54", "55", "56", "57", "58", "60", "61",
           "62", "63", "64", "65", "66", "81", "82", "84", "86", "90", "91", "92", "93", "94",
           "95", "98"}  # fmt: skip
    return digits[:2] in two | three


def trait_items(raw: bytes | None, prefix: str, separator: str = ",") -> list[str]:
    """Items of a column with traits that something stands between."""
    items = _split(raw, separator)
    return _prefixed(items, prefix, lambda item: set(item) <= DIGITS, trait_problem)


def json_traits(raw: bytes | None, prefix: str) -> list[str]:
    """Items of a column with JSON."""
    text = decoded(raw or b"")
    if not text.strip(" \t\r\n"):
        return []
    plain = text.removeprefix("[").removesuffix("]").replace(", ", ",").split(",")
    if text[0] == "[" and text[-1:] == "]" and all(item and set(item) <= DIGITS for item in plain):
        # Zeros at the start are no JSON, and no harm.
        return [prefix + item for item in plain]
    try:
        value = json.loads(text, parse_int=lambda digits: digits)
    except (ValueError, RecursionError):
        raise Aside(Rule.TRAIT_NOT_NUMERIC) from None
    found: list[str] = []
    for item in value if isinstance(value, list) else [value]:
        if item is None or (isinstance(item, str) and not item.strip(" ")):
            continue
        if not isinstance(item, str) or not set(item.strip(" ")) <= DIGITS:
            raise Aside(Rule.TRAIT_NOT_NUMERIC)
        found.append(prefix + item.strip(" "))
    return found


def ic_items(raw: bytes | None) -> list[str]:
    return _prefixed(_split(raw), "ic=", _good_code, ic_problem)


def listed_items(
    values: Sequence[bytes | None] | None, prefix: str, problem: Callable[[str], Rule | None]
) -> list[str]:
    """Items of a column with lists: what stands in a list is one item, comma or not."""
    texts = [decoded(value or b"").strip(" ") for value in values or ()]
    good = (lambda item: set(item) <= DIGITS) if problem is trait_problem else _good_code
    return _prefixed([text for text in texts if text], prefix, good, problem)


def _split(raw: bytes | None, separator: str = ",") -> list[str]:
    text = decoded(raw or b"")
    braced = len(text) >= 2 and text[0] == "{" and text[-1] == "}"
    items = [item.strip(" ") for item in (text[1:-1] if braced else text).split(separator)]
    return [item for item in items if item and not (braced and item.upper() == "NULL")]


def _prefixed(
    items: list[str],
    prefix: str,
    good: Callable[[str], bool],
    problem: Callable[[str], Rule | None],
) -> list[str]:
    for item in items:
        _judge(good(item), problem(item))
    return [prefix + item for item in items]


def _good_code(text: str) -> bool:
    return not (personal(text) or set(text) & (CONTROLS | set(',"=')))


def signal_items(raw: bytes | None, key: str) -> list[str]:
    if not raw:
        return []
    text = decoded(raw)
    wrong = personal(text) or set(text) & (CONTROLS | set(',"'))
    _judge(not wrong and text not in {"nan", "NaN", "inf", "-inf"}, value_problem(text))
    return [f'"{key}"="{text}"']


def data_line(user_id: bytes, items: list[str], *, deletions: bool = False) -> bytes:
    if not items and not deletions:
        raise Aside(Rule.NO_ITEMS)
    return user_id + b"\t" + ",".join(items).encode()


def checked_hashed_email(raw: bytes) -> bytes:
    text = decoded(raw)
    if not (len(text) == 64 and set(text) <= LOWER):
        raise Aside(DPUUID.problem(text) or Rule.HASHED_EMAIL_FORM)
    return raw
