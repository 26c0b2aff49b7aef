"""A target as its callers use it, in memory: document, records and the facts beside them.

``perform`` does what ``Target.decide`` and its callers do, save for storage: it looks up what a
command needs of what is done with, decides, writes records down and drops what has one.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from airflow_am_provider.deliveries.target import commands
from airflow_am_provider.deliveries.target.commands import Command, OnOlder
from airflow_am_provider.deliveries.target.decide import decide
from airflow_am_provider.deliveries.target.events import Event, Outcome, Refused
from airflow_am_provider.deliveries.target.state import PROCESSED_WELL, DeliveryEntry, TargetState
from tests.target_model.facts import Fact, Sent

if TYPE_CHECKING:
    from collections.abc import Mapping

AT = "2026-11-28T00:00:00+00:00"
Answer = Event | Refused
Words = tuple[bool | None, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class World:
    """All there is of one target.

    :param state: its document.
    :param records: what is done with, as it was then, by ID.
    :param versions: by subject, its newest version that is done with, and that of them which left.
    :param facts: what really happened, by ID.
    :param empty: windows that had nothing to send: start and end.
    :param moment: counts what happened.
    """

    state: TargetState = field(default_factory=TargetState)
    records: Mapping[str, DeliveryEntry] = field(default_factory=dict)
    versions: Mapping[str, tuple[DeliveryEntry, DeliveryEntry | None]] = field(default_factory=dict)
    facts: Mapping[str, Fact] = field(default_factory=dict)
    empty: frozenset[tuple[str, str]] = frozenset()
    moment: int = 0

    def find(self, delivery_id: str) -> DeliveryEntry | None:
        return self.state.find(delivery_id) or self.records.get(delivery_id)

    def closed(self, delivery_id: str) -> DeliveryEntry | None:
        return None if self.state.find(delivery_id) is not None else self.records.get(delivery_id)

    def done_with(self) -> dict[str, DeliveryEntry]:
        """All that is done with, each as it was last."""
        known = {**self.records, **{one.delivery_id: one for one in self.state.done}}
        return {one: entry for one, entry in known.items() if one not in self.state.entries}


def filled(world: World, command: Command) -> Command:
    """A command with what its caller looks up."""
    match command:
        case commands.Stage(extract=None):
            latest, left = world.versions.get(command.subject, (None, None))
            known = world.closed(command.content_id) if latest is None else None
            return replace(command, latest=latest, latest_left=left, known=known)
        case commands.Enqueue() | commands.Begin() | commands.Acknowledge() | commands.End():
            return replace(command, closed=world.closed(command.delivery_id))
        case commands.Reopen() | commands.Resend():
            entry = world.find(command.delivery_id)
            left = world.versions.get(entry.subject, (None, None))[1] if entry else None
            return replace(command, closed=world.closed(command.delivery_id), latest_left=left)
    return command


def answer_to(state: TargetState, command: Command) -> tuple[TargetState, Answer]:
    """Decide; a refusal leaves the state as it is."""
    try:
        return decide(state, command)
    except Refused as refusal:
        return state, refusal


def perform(
    world: World, command: Command, *, page: int = 1, words: Words = ()
) -> tuple[World, Answer]:
    """Decide and write back.

    :param command: with all that its caller looks up.
    :param page: how much is done with when it leaves the document.
    :param words: what a difference says of each trait.
    """
    state, answer = answer_to(world.state, command)
    after = world
    if state is not world.state:
        after = written_down(world)
        state = replace(state, written_down=world.state.sequence)
        full = [one for one in state.done if one.decided <= state.written_down]
        if len(full) >= page:
            left = tuple(one for one in state.done if one not in full)
            state = replace(state, done=left, history="page")
        after = replace(after, state=state)
    begins = world.state.watermarks.get(getattr(command, "watermark", None) or "", "")
    return _noted(after, command, answer, words, begins), answer


def written_down(world: World) -> World:
    """The same with records of what the document says is done with and has none yet."""
    records, versions = dict(world.records), dict(world.versions)
    for entry in world.state.done:
        if entry.decided <= world.state.written_down:
            continue
        known = records.get(entry.delivery_id)
        if known is None or known.decided < entry.decided:
            records[entry.delivery_id] = entry
        latest, left = versions.get(entry.subject, (None, None))
        latest = _higher(latest, entry)
        if entry.may_have_left:
            left = _higher(left, entry)
        versions[entry.subject] = (latest, left)
    return replace(world, records=records, versions=versions)


def _higher(known: DeliveryEntry | None, entry: DeliveryEntry) -> DeliveryEntry:
    if known is None or (entry.version, entry.decided) > (known.version, known.decided):
        return entry
    return known


def _noted(world: World, command: Command, answer: Answer, words: Words, begins: str) -> World:
    """The facts after a command; what the world outside did is a fact whatever was decided."""
    now = world.moment + 1
    if isinstance(command, commands.NoteEmptyWindow):
        if isinstance(answer, Refused):
            return world
        return replace(world, moment=now, empty=world.empty | {(begins, command.end)})
    if isinstance(command, commands.Stage):
        fact = None if isinstance(answer, Refused) else _staged(world, command, answer, now, words)
    else:
        known = world.facts.get(command.delivery_id)
        fact = known and _changed(known, command, answer, now)
    if fact is None or fact == world.facts.get(fact.delivery_id):
        return world
    return replace(world, moment=now, facts={**world.facts, fact.delivery_id: fact})


def _staged(
    world: World, command: commands.Stage, event: Event, now: int, words: Words
) -> Fact | None:
    entry = event.entry
    if entry is None:
        return None
    known = world.facts.get(entry.delivery_id)
    if known is not None:
        newest = max(one.said for one in world.facts.values() if one.subject == known.subject)
        return known if known.said == newest else replace(known, said=now)
    return Fact(
        delivery_id=entry.delivery_id,
        subject=command.subject,
        series=command.series,
        name=command.name,
        mode=command.mode,
        removes=command.removes,
        start=command.window.texts[0],
        end=command.window.texts[1],
        watermark=command.watermark,
        content=str(command.figures["content"]),
        staged=now,
        said=now,
        names=(entry.timestamp,),
        words=words,
        number=0 if command.extract is None else command.extract.follows + 1,
    )


def _changed(fact: Fact, command: Command, answer: Answer, now: int) -> Fact:
    refused = isinstance(answer, Refused)
    match command:
        case commands.Complete():
            sendings = [
                replace(one, whole=one.whole or now) if one.number == command.sending else one
                for one in fact.sendings
            ]
            return replace(fact, sendings=tuple(sendings))
        case commands.Acknowledge():
            well = command.state in PROCESSED_WELL
            sendings = [
                replace(one, processed=now, well=well)
                if one.number <= command.sending and one.processed is None
                else one
                for one in fact.sendings
            ]
            return replace(fact, sendings=tuple(sendings))
        case commands.Enqueue() if not refused and answer.outcome is not Outcome.SUPERSEDED:
            return replace(fact, allowed=fact.allowed or command.on_older is not OnOlder.REFUSE)
        case commands.Resend() if not refused:
            again = answer.outcome is not Outcome.DONE
            allowed = command.force or (again and fact.allowed)
            return replace(fact, allowed=allowed, ended=False)
        case commands.Reopen() if not refused:
            return replace(fact, ended=False)
        case commands.Begin() if not refused and answer.outcome is Outcome.DONE:
            begun = Sent(
                number=answer.entry.sending.number,
                begun=now,
                allowed=fact.allowed,
                in_order=command.in_order,
            )
            return replace(fact, sendings=(*fact.sendings, begun))
        case commands.Rename() if not refused and answer.entry.timestamp not in fact.names:
            return replace(fact, names=(*fact.names, answer.entry.timestamp))
        case commands.End() if not refused:
            sendings = [
                one if one.processed is not None else replace(one, given_up=True)
                for one in fact.sendings
            ]
            return replace(fact, sendings=tuple(sendings), ended=True)
    return fact
