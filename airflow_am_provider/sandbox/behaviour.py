"""How a sandbox behaves on the way back: promptly and well by default, or as told."""

from __future__ import annotations

import random
from dataclasses import dataclass, fields, replace
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Any, Final, get_type_hints

from airflow_am_provider.audience_manager.errors import ConfigurationError

# Stands where a setting's name does, and draws several of them.
_DRAWN: Final = "drawn"


class Body(StrEnum):
    """In which forms a mail carries its text."""

    BOTH = "both"
    PLAIN = "plain"
    HTML = "html"


class Reject(StrEnum):
    """What is refused of a file that would be good."""

    NOTHING = "nothing"
    FILE = "file"  # the file is not read; nothing comes back
    LINES = "lines"  # every line is a format error; the receipt says so


@dataclass(frozen=True, kw_only=True, slots=True)
class Behaviour:
    """What becomes of a file and of the answer to it. Times are seconds.

    :param quiet_s: a delivery is answered when no new part came for so long, since nothing tells
        how many parts it has.
    :param delay_s: how much later its receipt is sent.
    :param merge_within_s: files taken within so long of the first get one receipt together,
        whatever deliveries they are of. None: a receipt for each delivery.
    :param split_over: over how many receipts the parts of a delivery are spread.
    :param copies: how often each receipt is sent, under a Message-ID of its own each time.
    :param lose: no receipt ever comes.
    :param forged: how many false receipts for the same files come before each true one.
    :param reject: see :class:`Reject`.
    :param markers: whether ``.processed`` markers are set (on S3 and FTP).
    :param body: see :class:`Body`.
    :param pieces: into how many pieces Adobe's distributor cuts each file. Their numbers are large
        and have gaps (reporting/onboarding-status-report.md). With ``split_over`` the pieces are
        spread over mails, in any order.
    :param id_sync_receipts: whether ID syncs get receipts; Adobe's pages show none.
    :param stored_misses: whether records that are stored without a match are counted as *No
        Matching AAM ID* too, as those of mobile IDs and cross-device data sources are.
    :param seed: draws the numbers and the order of pieces.
    """

    quiet_s: float = 2.0
    delay_s: float = 0.0
    merge_within_s: float | None = None
    split_over: int = 1
    copies: int = 1
    lose: bool = False
    forged: int = 0
    reject: Reject = Reject.NOTHING
    markers: bool = True
    body: Body = Body.BOTH
    pieces: int = 1
    id_sync_receipts: bool = True
    stored_misses: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        for name, lowest in (("quiet_s", 0), ("delay_s", 0), ("split_over", 1), ("copies", 1),
                             ("pieces", 1), ("forged", 0), ("merge_within_s", 0)):  # fmt: skip
            value = getattr(self, name)
            if value is not None and not lowest <= value < float("inf"):
                raise ConfigurationError(f"behaviour {name}={value}: at least {lowest}")

    def drawn(self, seed: int) -> Behaviour:
        """One of the ways in which Audience Manager answers when all goes well, by a number.

        Nothing is lost or rejected, and every record is accounted for in the end.

        >>> Behaviour().drawn(7) == Behaviour().drawn(7) != Behaviour().drawn(8)
        True
        """
        chance = random.Random(seed)  # noqa: S311  # variety, not secrets
        merges = chance.random() < 0.2
        return replace(
            self,
            seed=seed,
            delay_s=chance.choice((0.0, 0.0, 0.4, 1.2)),
            # Nothing shows that all pieces are there when other deliveries share their receipt.
            merge_within_s=0.8 if merges else None,
            pieces=1 if merges else chance.choice((1, 1, 2, 3, 5)),
            split_over=1 if merges else chance.choice((1, 1, 2, 3, 5)),
            copies=chance.choice((1, 1, 2, 3)),
            forged=chance.choice((0, 0, 1, 2)),
            id_sync_receipts=chance.random() < 0.5,
            stored_misses=chance.random() < 0.8,
            body=chance.choice(list(Body)),
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Behaviours:
    """The behaviour for each file.

    :param usual: for files that no pattern matches.
    :param special: shell patterns for file names, each with its behaviour; the first that
        matches counts.
    """

    usual: Behaviour = Behaviour()
    special: tuple[tuple[str, Behaviour], ...] = ()

    def of(self, file_name: str) -> Behaviour:
        """The behaviour for a file."""
        for pattern, behaviour in self.special:
            if fnmatchcase(file_name, pattern):
                return behaviour
        return self.usual

    @classmethod
    def parse(cls, texts: list[str]) -> Behaviours:
        """Read settings, each ``NAME=VALUE,…`` or ``PATTERN:NAME=VALUE,…``.

        ``drawn=SEED`` stands for :meth:`Behaviour.drawn`; what follows it changes what was drawn.
        What is said without a pattern holds for all files, and under a pattern too unless said
        otherwise there.

        :raises ConfigurationError: when a name or value is not known.

        >>> behaviours = Behaviours.parse(["delay_s=5", "ftp_dpm_478_*:lose=true,body=html"])
        >>> behaviours.of("ftp_dpm_478_1366545717.sync").lose, behaviours.usual.delay_s
        (True, 5.0)
        """
        usual = Behaviour()
        special: list[tuple[str, str]] = []
        for text in texts:
            pattern, colon, settings = text.rpartition(":")
            if colon:
                special.append((pattern, settings))
            else:
                usual = _changed(usual, settings)
        return cls(
            usual=usual,
            special=tuple((pattern, _changed(usual, settings)) for pattern, settings in special),
        )


def _changed(behaviour: Behaviour, settings: str) -> Behaviour:
    hints = get_type_hints(Behaviour)
    changes: dict[str, Any] = {}
    for setting in settings.split(","):
        name, _, value = (part.strip() for part in setting.partition("="))
        if name == _DRAWN:
            behaviour = replace(behaviour, **changes).drawn(_whole(name, value))
            changes = {}
            continue
        if name not in hints:
            raise ConfigurationError(
                f"behaviour {name!r} is not known: one of "
                f"{', '.join(item.name for item in fields(Behaviour))}, {_DRAWN}"
            )
        changes[name] = _value(name, value, hints[name])
    return replace(behaviour, **changes)


def _whole(name: str, text: str) -> int:
    value: Any = _value(name, text, int)
    return int(value)


def _value(name: str, text: str, wanted: Any) -> object:
    try:
        if wanted is bool:
            return {"true": True, "false": False}[text]
        if wanted in (int, Body, Reject):
            return wanted(text)
        return None if text == "none" and wanted is not float else float(text)
    except (KeyError, ValueError):
        what = {bool: "true or false", int: "a whole number"}.get(wanted, "a number of seconds")
        if wanted in (Body, Reject):
            what = f"one of {', '.join(wanted)}"
        raise ConfigurationError(f"behaviour {name}={text!r}: {what} is needed") from None
