"""What the file of a difference says of two traits of one user, by docs/operators.md.

*The base is the snapshot of the last delivery that is acknowledged. A delivery that came after it
may have been processed or not, so its snapshot is compared too: a trait that one of them lacks is
added, a trait that one of them has and the extract has not is removed.*
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from airflow_am_provider.deliveries.target.commands import NewExtract
from airflow_am_provider.deliveries.target.snapshots import STRAGGLERS_LAST, Basis, basis
from airflow_am_provider.snapshots.comparison import Base, fits

if TYPE_CHECKING:
    from tests.target_model.facts import Sent
    from tests.target_model.world import Words, World

TRAITS = "12"


def compare(world: World, series: str, content: str) -> tuple[Words, NewExtract]:
    """Compare an extract with what the document says may be in force.

    :param content: the traits that the user has, such as ``12``.
    :return: what the file says of each trait, and the snapshot.
    """
    found = basis(world.state, series)
    words: list[bool | None] = []
    for trait in TRAITS:
        has = trait in content
        words.append(has if any(state is not has for state in _states(found, trait)) else None)
    said = "".join(_SAID[word] for word in words)
    new = NewExtract(
        series=series,
        follows=found.series.last_number,
        path=f"{content}/{said}/{world.moment}",
        compared=found.sequence,
    )
    return tuple(words), new


_SAID = {True: "+", False: "-", None: "."}


def _states(found: Basis, trait: str) -> list[bool]:
    """Whether the user has a trait, in each state that Audience Manager may be in."""
    series = found.series
    known = series.acknowledged
    first = Base(path=None)
    if known is not None:
        first = Base(path=known.path, is_open=known.number <= series.open_until)
    bases = [first, *(Base(path=one.path) for one in series.in_force)]
    nothing = [Base(path=None)] if found.overwritten else []
    if not fits([*nothing, *bases]):
        kept = [Base(path=first.path)] if len(bases) > 1 else []
        bases = [*kept, replace(bases[-1], is_open=True)]
    return [state for base in (*nothing, *bases) for state in _of(base, trait)]


def _of(base: Base, trait: str) -> list[bool]:
    if base.path is None:
        return [False]
    content, said, _ = base.path.split("/")
    has = trait in content
    was_said = said[TRAITS.index(trait)] != "."
    return [has, not has] if base.is_open and was_said else [has]


def possible(world: World, series: str, trait: str, *, since: int | None = None) -> set[bool]:
    """Whether the user may have a trait at Audience Manager, by the facts.

    What was sent may have been processed or not, in any order that was not ruled out. What is open
    may be sent before the next one.

    :param since: leave out what began after this moment, and what was not sent.
    """
    at = TRAITS.index(trait)
    spoken: list[tuple[Sent | None, bool]] = []
    known = sorted(
        fact.number
        for fact in world.facts.values()
        if fact.series == series and any(one.well for one in fact.sendings)
    )
    for fact in world.facts.values():
        later = [number for number in known if number > fact.number]
        if (
            fact.words
            and fact.series == series
            and later
            and later[-1] > later[0] + STRAGGLERS_LAST
        ):
            # What was given up is reckoned with for some extracts.
            continue
        word = fact.words[at] if fact.series == series and fact.words else None
        if fact.mode == "overwrite":
            word = False
        if word is None:
            continue
        spoken += [(one, word) for one in fact.sendings if since is None or one.begun < since]
        if since is None and fact.words and not fact.has_left and not fact.ended:
            spoken.append((None, word))
    sure = [one for one, _ in spoken if one is not None and one.well]
    words = set() if sure else {False}
    for one, word in spoken:
        if one is None or not any(
            one.processed is not None and one.processed < other.begun for other in sure
        ):
            words.add(word)
    return words
