"""What must hold of every decision about a target.

Written from docs/promise.md and the order table of docs/operators.md, not from the code.

Each invariant stands under the sentence that it is taken from. It looks at one step: the world
before, what was asked, what was answered, the world after. It returns what is wrong, or None.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import combinations

from airflow_am_provider.audience_manager.names import Mode
from airflow_am_provider.deliveries.target import commands
from airflow_am_provider.deliveries.target.commands import Command, OnOlder
from airflow_am_provider.deliveries.target.events import Outcome, Refused, RefusedFor
from airflow_am_provider.deliveries.target.state import PROCESSED_WELL, DeliveryState
from tests.target_model.differences import TRAITS, possible
from tests.target_model.facts import Fact, Sent, conflict, must_not_follow, precedes
from tests.target_model.world import Answer, World, answer_to, filled, written_down

_GIVEN_UP = (DeliveryState.ABANDONED, DeliveryState.FAILED)


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """One decision: what was, what was asked (as filled in by its caller), what came of it."""

    before: World
    command: Command
    answer: Answer
    after: World

    @property
    def fact(self) -> Fact | None:
        return self.after.facts.get(getattr(self.command, "delivery_id", ""))

    @property
    def refused_for(self) -> RefusedFor | None:
        return self.answer.why if isinstance(self.answer, Refused) else None

    @property
    def begun(self) -> tuple[Fact, Sent] | None:
        """The delivery and the sending that this step began, if it did."""
        fact = self.fact
        was = self.before.facts.get(getattr(self.command, "delivery_id", ""))
        if fact is None or was is None or len(fact.sendings) == len(was.sendings):
            return None
        return fact, fact.sendings[-1]


Invariant = Callable[[Step], str | None]
INVARIANTS: list[Invariant] = []


def invariant(check: Invariant) -> Invariant:
    INVARIANTS.append(check)
    return check


# "Two deliveries never share a name", and a ``.processed`` marker does not say which mode it was.


@invariant
def names_are_never_shared(step: Step) -> str | None:
    for one, other in combinations(step.after.facts.values(), 2):
        shared = set(one.names) & set(other.names)
        if one.name == other.name and shared:
            return f"{one.delivery_id} and {other.delivery_id} share {one.name}_{shared}"
    return None


# "A `.sync` and an `.overwrite` never share a stem, whatever the staging place": what is staged
# elsewhere is not seen here, so a second itself says which mode may have it.


@invariant
def a_second_belongs_to_one_mode_whoever_gives_the_name(step: Step) -> str | None:
    for fact in step.after.facts.values():
        wanted = {Mode.SYNC: 1, Mode.OVERWRITE: 0}.get(fact.mode)
        wrong = [one for one in fact.names if wanted is not None and one % 2 != wanted]
        if wrong:
            return f"{fact.delivery_id}, a {fact.mode}, has {wrong}: seconds of the other mode"
    return None


# "A retried or cleared format task makes no second file": what is staged is what was read.


@invariant
def what_is_staged_is_what_was_read(step: Step) -> str | None:
    if not isinstance(step.command, commands.Stage) or isinstance(step.answer, Refused):
        return None
    entry = step.answer.entry
    if entry is None or entry.content_id != step.command.content_id:
        return f"asked for {step.command.content_id}, got {entry}"
    known = step.before.facts.get(entry.delivery_id)
    if step.answer.outcome is Outcome.DONE and known is not None:
        return f"{entry.delivery_id} is said to be new, and is there already"
    return None


# "What the source says last is sent": of a window's versions the newest is never superseded.


@invariant
def what_was_read_last_is_never_superseded(step: Step) -> str | None:
    newest: dict[str, Fact] = {}
    for fact in step.after.facts.values():
        if fact.subject not in newest or newest[fact.subject].said < fact.said:
            newest[fact.subject] = fact
    for fact in newest.values():
        entry = step.after.find(fact.delivery_id)
        if entry is None:
            return f"{fact.delivery_id} is not known any more"
        if entry.state is DeliveryState.SUPERSEDED:
            return f"{fact.delivery_id} was read last and is superseded"
    return None


# Versions of a window: "each has its number".


@invariant
def each_version_has_its_own_number(step: Step) -> str | None:
    numbers: dict[tuple[str, int], str] = {}
    for fact in step.after.facts.values():
        entry = step.after.find(fact.delivery_id)
        if entry is not None:
            other = numbers.setdefault((fact.subject, entry.version), fact.delivery_id)
            if other != fact.delivery_id:
                return f"{other} and {fact.delivery_id} are version {entry.version} both"
    return None


# "A limit that was gone over makes all of it be said again", and so does what a person gave up: a
# new extract is never taken for a delivery that is done with.


@invariant
def a_new_extract_can_be_sent(step: Step) -> str | None:
    command, answer = step.command, step.answer
    if not isinstance(command, commands.Stage) or isinstance(answer, Refused):
        return None
    entry = answer.entry
    if command.extract is not None and entry.delivery_id not in step.after.state.entries:
        return f"a new extract is said to be {entry.delivery_id}, which is {entry.state}"
    return None


# "What is superseded is never sent after what superseded it, by replay, resend, clear or retry."


@invariant
def an_older_version_never_begins_after_a_newer_one(step: Step) -> str | None:
    if step.begun is None:
        return None
    fact, sending = step.begun
    if sending.allowed:
        return None
    for other in step.before.facts.values():
        # Where a user has said that nothing waits for its turn, nothing does.
        waited = any(one.in_order for one in other.sendings)
        if other.subject == fact.subject and waited and fact.said < other.said:
            return f"version {fact.delivery_id} begins after {other.delivery_id}, which is newer"
    return None


# "Superseding happens within one series only, and never takes back what may have left."


@invariant
def only_unsent_versions_of_one_subject_are_superseded(step: Step) -> str | None:
    asked = getattr(step.command, "delivery_id", None)
    if isinstance(step.command, commands.Stage) and not isinstance(step.answer, Refused):
        asked = step.answer.entry.delivery_id
    for fact in step.after.facts.values():
        was, entry = step.before.find(fact.delivery_id), step.after.find(fact.delivery_id)
        if entry is None or entry.state is not DeliveryState.SUPERSEDED:
            continue
        if was is not None and was.state is DeliveryState.SUPERSEDED:
            continue
        if fact.has_left:
            return f"{fact.delivery_id} may have left and is superseded"
        if fact.subject != step.after.facts[asked].subject:
            return f"{fact.delivery_id} is superseded by {asked}, which is about something else"
    return None


# "It waits for what must be processed before it"; "``.sync`` and ``.overwrite`` of one target are
# never on their way together".


@invariant
def what_conflicts_is_never_on_its_way_together(step: Step) -> str | None:
    if step.begun is None or not step.begun[1].in_order:
        return None
    fact = step.begun[0]
    for other in step.before.facts.values():
        waited_for = all(one.in_order for one in other.sendings)
        if conflict(fact, other) and other.is_on_its_way and waited_for:
            return f"{fact.delivery_id} begins while {other.delivery_id} is on its way"
    return None


# "Old data never overwrites newer": at every moment, each order in which Audience Manager may
# process what was begun ends with the newest data. What a person gave up after it left may come at
# any time, and so may what a person said may be old, or need not wait: nothing is promised there.


@invariant
def old_data_is_never_the_last_word(step: Step) -> str | None:
    if step.begun is None:
        return None
    return _older_last_word(step.after, lambda sending: sending.allowed or not sending.in_order)


def _older_last_word(world: World, waived: Callable[[Sent], bool]) -> str | None:
    """The last sending of a delivery that may have the last word over newer data."""
    left = [fact for fact in world.facts.values() if fact.has_left]
    for late in left:
        sending = late.sendings[-1]
        if waived(sending) or sending.given_up:
            continue
        for newer in left:
            if not must_not_follow(late, newer, sending) or _has_newer_version(newer, left):
                continue
            again = [one for one in newer.sendings if precedes(sending, one)]
            if not again and not any(not one.in_order for one in newer.sendings):
                return f"{late.delivery_id} may be processed after {newer.delivery_id}"
    return None


def _has_newer_version(fact: Fact, left: list[Fact]) -> bool:
    return any(one.subject == fact.subject and fact.said < one.said for one in left)


# "Or newer data is sent again, when it comes late": after a whole replay each user and trait has
# what the newest data says.


def newest_is_last_after_replay(world: World) -> str | None:
    return _older_last_word(world, lambda sending: not sending.in_order)


# "``resend`` and ``abandon`` are never refused because of what has not begun."


@invariant
def resend_and_abandon_look_at_what_has_begun_alone(step: Step) -> str | None:
    if step.refused_for is None or step.fact is None:
        return None
    fact = step.fact
    if isinstance(step.command, commands.Resend):
        if step.command.force and fact.has_left:
            return f"forced resend of {fact.delivery_id} is refused: {step.answer}"
        others = [one for one in step.before.facts.values() if one.delivery_id != fact.delivery_id]
        newer = [one for one in others if one.has_left and _may_forbid(fact, one)]
        if fact.has_left and not newer:
            return f"resend of {fact.delivery_id} is refused, and nothing newer left: {step.answer}"
    if isinstance(step.command, commands.End):
        processed = fact.has_left and fact.sendings[-1].processed is not None
        entry = step.before.find(fact.delivery_id)
        ended = entry is not None and entry.state in (*_GIVEN_UP, DeliveryState.SUPERSEDED)
        if not processed and not ended:
            return f"giving up {fact.delivery_id} is refused: {step.answer}"
    return None


def _may_forbid(fact: Fact, other: Fact) -> bool:
    if other.subject == fact.subject:
        return fact.said < other.said
    again = Sent(number=2, begun=0)
    return must_not_follow(fact, other, again)


# "It is refused when it comes late", and only then: nobody is refused for what was never sent.


@invariant
def only_late_data_is_refused_a_place(step: Step) -> str | None:
    if not isinstance(step.command, commands.Enqueue) or step.refused_for is None:
        return None
    fact = step.fact
    if fact is None or step.refused_for in (RefusedFor.UNKNOWN, RefusedFor.ENDED):
        return None
    others = [one for one in step.before.facts.values() if one.has_left]
    if step.refused_for is RefusedFor.TOO_OLD:
        first = Sent(number=1, begun=0)
        if step.command.on_older is not OnOlder.REFUSE:
            return f"{fact.delivery_id} may be old, and is refused as such"
        if not any(must_not_follow(fact, one, first) for one in others):
            return f"{fact.delivery_id} is refused, and nothing newer left: {step.answer}"
        return None
    if any(one.subject == fact.subject and fact.said < one.said for one in others):
        return None
    entry = step.before.find(fact.delivery_id)
    if entry is not None and entry.state in (DeliveryState.STAGED, DeliveryState.QUEUED):
        return f"{fact.delivery_id} gets no place: {step.answer}"
    return None


# "A lost receipt has one documented way out that always works": whatever is on its way is given up,
# or is sent again and acknowledged; then everything in the queue goes.


def a_lost_receipt_has_a_way_out(
    world: World, run: Callable[[World, Command], World]
) -> str | None:
    on_their_way = [one for one, fact in world.facts.items() if fact.is_on_its_way]
    given_up = world
    for delivery_id in on_their_way:
        end = commands.End(
            delivery_id=delivery_id, at="", state=DeliveryState.ABANDONED, reason="lost"
        )
        given_up = run(given_up, end)
    again = world
    for delivery_id in on_their_way:
        again = run(again, commands.Resend(delivery_id=delivery_id, at=""))
    for how, start in (("given up", given_up), ("sent again", again)):
        stuck = _all_sent(start, run).state.queue
        # What is on its way, and may not be sent again as newer data left, is what stands there.
        if stuck and (how == "given up" or not _is_awaited(start)):
            return f"what was lost is {how}, and {stuck} cannot go"
    return None


def _is_awaited(world: World) -> bool:
    return any(entry.is_on_its_way for entry in world.state.entries.values())


def _all_sent(world: World, run: Callable[[World, Command], World]) -> World:
    """Each attempt that can go goes, and is acknowledged, until none can."""
    went = True
    while world.state.queue and went:
        went = False
        for delivery_id in world.state.queue:
            begin = commands.Begin(delivery_id=delivery_id, url="u", day="d", at="")
            after = run(world, begin)
            went = went or after is not world
            world = _processed(after, delivery_id, run)
    return world


def _processed(world: World, delivery_id: str, run: Callable[[World, Command], World]) -> World:
    fact = world.facts[delivery_id]
    if not fact.is_on_its_way:
        return world
    number = fact.sendings[-1].number
    world = run(world, commands.Complete(delivery_id=delivery_id, sending=number, at=""))
    return run(
        world,
        commands.Acknowledge(
            delivery_id=delivery_id, sending=number, at="", state=DeliveryState.ACKNOWLEDGED
        ),
    )


# "No growth with history": what is done with long ago changes no decision, so it need not be kept.


@invariant
def pruned_history_decides_like_all_of_it(step: Step) -> str | None:
    left = [one for one in step.before.done_with().values() if one.may_have_left]
    whole = replace(step.before.state, landmarks=tuple(left))
    state, answer = answer_to(whole, step.command)
    pruned, _ = answer_to(step.before.state, step.command)
    if _told(answer) != _told(step.answer):
        return f"with all of history: {answer}; without: {step.answer}"
    if replace(state, landmarks=()) != replace(pruned, landmarks=()):
        return "with all of history the state is another one"
    return None


def _told(answer: Answer) -> object:
    if isinstance(answer, Refused):
        return answer.why
    return answer.outcome, answer.entry, {one.delivery_id for one in answer.superseded}


# "One step whoever else is at it": what another one has written down meanwhile changes no answer.


@invariant
def a_record_that_came_meanwhile_changes_nothing(step: Step) -> str | None:
    command = filled(written_down(step.before), step.command)
    if command == step.command:
        return None
    state, answer = answer_to(step.before.state, command)
    plain, _ = answer_to(step.before.state, step.command)
    if _told(answer) != _told(step.answer) or state != plain:
        return f"with the record: {answer}; without: {step.answer}"
    return None


# "A retried or cleared upload sends only what is missing": an answer that got lost is no matter.


@invariant
def asking_again_changes_nothing(step: Step) -> str | None:
    if isinstance(step.answer, Refused):
        return None
    again = filled(step.after, step.command)
    state, answer = answer_to(step.after.state, again)
    if isinstance(answer, Refused):
        # A difference is made anew: another attempt is told so, and stages nothing.
        if isinstance(step.command, commands.Stage) and answer.why is RefusedFor.MEANWHILE:
            return None
        # Another version has taken its place: for callers both mean the same.
        if step.answer.outcome is Outcome.SUPERSEDED and answer.why is RefusedFor.SUPERSEDED:
            return None
        return f"asked again, it is refused: {answer}"
    if state != step.after.state:
        return f"asked again, the state changes once more: {answer}"
    mine, other = step.answer.entry, answer.entry
    if (mine and mine.delivery_id) != (other and other.delivery_id):
        return f"asked again, it is {other}"
    return None


# "The watermark is where the last window ends whose delivery was sent; no run moves it ahead."


@invariant
def the_watermark_passes_no_window_that_was_not_sent(step: Step) -> str | None:
    for name, mark in step.after.state.watermarks.items():
        if mark < step.before.state.watermarks.get(name, ""):
            return f"{name} goes back to {mark}"
        done = set(step.after.empty)
        for fact in step.after.facts.values():
            if fact.watermark == name and fact.was_sent_whole:
                done.add((fact.start or "", fact.end or ""))
        reached = min((start for start, _ in done), default="")
        for start, end in sorted(done):
            if start <= reached:
                reached = max(reached, end)
        if mark > reached:
            return f"{name} is at {mark}, and all was sent or empty up to {reached} alone"
    return None


# "It is compared with the last acknowledged extract and with each that was delivered after it: from
# every state that Audience Manager may be in, the same lines lead to the extract."


@invariant
def a_difference_is_right_from_every_possible_state(step: Step) -> str | None:
    command = step.command
    if not isinstance(command, commands.Stage) or command.extract is None:
        return None
    if isinstance(step.answer, Refused) or step.answer.outcome is not Outcome.DONE:
        return None
    fact = step.after.facts[step.answer.entry.delivery_id]
    for trait, word in zip(TRAITS, fact.words, strict=True):
        has = trait in fact.content
        states = possible(step.before, fact.series, trait)
        if word is None and states != {has}:
            return f"{fact.delivery_id} says nothing of trait {trait}, which may be {states}"
    return None


@invariant
def after_a_difference_the_extract_holds(step: Step) -> str | None:
    command, fact = step.command, step.fact
    if not isinstance(command, commands.Acknowledge) or fact is None or not fact.words:
        return None
    sending = fact.sendings[-1]
    last = max(
        (one for one in step.after.facts.values() if one.series == fact.series and one.has_left),
        key=lambda one: one.number,
    )
    cleared = any(
        one.mode == "overwrite" and any(sent.begun > fact.staged for sent in one.sendings)
        for one in step.after.facts.values()
    )
    if command.state not in PROCESSED_WELL or last is not fact or cleared:
        return None
    if command.sending != sending.number or not sending.in_order:
        return None
    for trait, word in zip(TRAITS, fact.words, strict=True):
        has = trait in fact.content
        states = possible(step.after, fact.series, trait, since=sending.begun)
        if word is None and states != {has}:
            return f"after {fact.delivery_id} trait {trait} may be {states}"
    return None


def broken(step: Step) -> dict[str, str]:
    """What a step breaks, by name of the invariant."""
    found = {check.__name__: check(step) for check in INVARIANTS}
    return {name: what for name, what in found.items() if what is not None}
