"""What the receiving mail server found out about a message's sender.

Pages: RFC 8601 (Authentication-Results), RFC 7489 (DMARC and alignment). The signatures
themselves are not verified here: that needs DNS and the message as it was on the wire, which the
mail server had. Its word stands in a header that anyone can write, so it counts only where the
server put it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


class Finding(StrEnum):
    """What the mail server says of the sender."""

    PASS = "pass"  # noqa: S105  # no password
    FAIL = "fail"
    UNPROVEN = "unproven"  # it looked, and neither vouches for the sender nor found a failure
    ABSENT = "absent"  # it wrote nothing


@dataclass(frozen=True, kw_only=True, slots=True)
class Judgement:
    """The mail server's finding and the result it follows from, such as ``dmarc=fail``."""

    finding: Finding
    reason: str


_PIECE = re.compile(r'"(?:[^"\\]|\\.)*"|\\.|[();]|[^"\\();]+|.', re.S)
_RESULT = re.compile(r"([a-z0-9-]{1,40})(?:/[0-9]{1,9})?=([a-z]{1,40})(?: |\Z)", re.I)
_PROPERTY = re.compile(r"([a-z]{1,20}\.[a-z-]{1,40})=(.*)", re.I)
# What is no reason to refuse a message that something else vouches for: relays add signatures of
# their own, and redirected mail comes from hosts that SPF does not know.
_FAILURES = {
    "dkim": frozenset(("fail", "permerror", "policy")),
    "spf": frozenset(("fail", "softfail", "permerror")),
}
# What refuses a message whatever else is said. Microsoft 365 weighs its findings into one,
# compauth (learn.microsoft.com: anti-spam message headers).
_FINAL = frozenset((("dmarc", "fail"), ("compauth", "fail")))
# What is told of a message that nothing vouches for: the first of these methods, in words of the
# RFC only. Another word may be a forger's.
_METHODS = ("dmarc", "dkim", "spf")
_NO_PASS = frozenset(("none", "neutral", "policy", "temperror", "permerror", "bestguesspass"))


def judge(results: Sequence[str], *, domain: str, authserv_id: str | None) -> Judgement:
    """Judge a sender's domain by the message's Authentication-Results headers.

    ``dmarc=fail`` and ``compauth=fail`` are failures whatever else is said. Otherwise
    ``dmarc=pass``, or ``dkim=pass`` by a signature aligned with the domain, is a pass. Without one
    a failed signature or ``spf=fail`` is a failure, and anything else (``dmarc=temperror``,
    ``dkim=none``) is unproven. A pass by SPF alone proves nothing: it is about the envelope.

    :param results: values of all such headers, the topmost first.
    :param domain: domain of the From header's address.
    :param authserv_id: the name under which the receiving server writes. Then all headers of that
        name count, as that server must remove those of others (RFC 8601, section 5). An empty one
        stands for servers that write none (Microsoft 365). None: the topmost header counts, which
        anybody may have written if the receiving server writes none.

    >>> found = judge(["mx.example.com; dkim=pass header.d=adobe.com"], domain="adobe.com",
    ...     authserv_id="mx.example.com")
    >>> found.finding.value, found.reason
    ('pass', 'dkim=pass')
    """
    passed = failed = ""
    refuted: list[str] = []
    headers = _trusted(results, authserv_id)
    said: dict[str, str] = {}
    for statements in headers:
        vouched = denied = ""
        if statements is None:
            return Judgement(finding=Finding.FAIL, reason="a header that cannot be read")
        for statement in statements:
            result = _RESULT.match(statement)
            if result is None:
                continue
            method, verdict = result[1].lower(), result[2].lower()
            if (method, verdict) in _FINAL:
                return Judgement(finding=Finding.FAIL, reason=f"{method}=fail")
            if verdict in _FAILURES.get(method, ()):
                if method == "dkim" and _names_signer(statement, domain.lower()):
                    denied = f"{method}={verdict}"
                failed = failed or f"{method}={verdict}"
            elif verdict == "pass" and _vouches(method, statement, domain.lower()):
                passed = vouched = f"{method}=pass"
            else:
                said.setdefault(method, verdict)
        if denied and not vouched:
            refuted.append(denied)
    if passed and refuted:
        # A server that wrote several headers does not contradict itself: one of them is a forger's.
        return Judgement(finding=Finding.FAIL, reason=refuted[0])
    if passed:
        return Judgement(finding=Finding.PASS, reason=passed)
    if failed:
        return Judgement(finding=Finding.FAIL, reason=failed)
    if headers:
        return Judgement(finding=Finding.UNPROVEN, reason=_unproven(said))
    return Judgement(finding=Finding.ABSENT, reason="nothing")


def _unproven(said: dict[str, str]) -> str:
    """Name what was found in place of a pass."""
    for method in _METHODS:
        if said.get(method) in _NO_PASS:
            return f"{method}={said[method]}"
    return "neither dkim nor dmarc of the sender's domain"


def _trusted(results: Sequence[str], authserv_id: str | None) -> list[list[str] | None]:
    """The statements of each header that counts; None for one that cannot be read."""
    if authserv_id:
        # The server removes such headers of others (RFC 8601, section 5), but perhaps not under a
        # disguise, quoted or after a comment.
        own = authserv_id.lower()
        read = (_read(value) for value in results if value.lstrip().lower().startswith(own))
        return [statements for name, statements in read if name == own]
    read = (_read(value) for value in results[:1])
    return [statements for name, statements in read if authserv_id is None or not name]


def _read(value: str) -> tuple[str, list[str] | None]:
    """Split a header into the server's name and its statements (None if they do not end).

    Comments are dropped, and quoted text is made one word, so that neither passes for a result.
    """
    statements, depth, ends = [""], 0, True
    for piece in _PIECE.findall(value):
        if piece == "(":
            depth += 1
        elif piece == ")" and depth:
            depth -= 1
        elif depth:
            continue
        elif piece == ";":
            statements.append("")
        elif piece == '"':
            ends = False
        else:
            quoted = len(piece) > 1 and piece.startswith('"')
            statements[-1] += "_".join(piece[1:-1].split()) if quoted else piece
    statements = [re.sub(" ?([=/.]) ?", r"\1", " ".join(text.split())) for text in statements]
    name = "" if _RESULT.match(statements[0]) else statements[0].split(" ")[0].lower()
    results = statements[1:] if name else statements
    return name, results if ends and not depth else None


def _vouches(method: str, statement: str, domain: str) -> bool:
    words = list(filter(None, map(_PROPERTY.fullmatch, statement.split(" "))))
    if method == "dmarc":
        named = [word[2].lower() for word in words if word[1].lower() == "header.from"]
        return all(name.rpartition("@")[2] == domain for name in named)
    if method == "dkim":
        # Some servers name the signer's identity, @adobe.com, in place of its domain. What the
        # forger chose may hold a blank and another property, so each of them must be aligned.
        signers = [
            word[2].lower().rpartition("@")[2]
            for word in words
            if word[1].lower() in ("header.d", "header.i")
        ]
        return bool(signers) and all(_is_aligned(signer, domain) for signer in signers)
    return False


def _names_signer(statement: str, domain: str) -> bool:
    """Whether a DKIM result is about a signature in the name of the sender's domain."""
    return _vouches("dkim", statement, domain)


def _is_aligned(signer: str, domain: str) -> bool:
    """Whether one domain is the other or below it; a name without a dot is nobody's domain."""
    return "." in signer and (
        signer == domain or signer.endswith(f".{domain}") or domain.endswith(f".{signer}")
    )
