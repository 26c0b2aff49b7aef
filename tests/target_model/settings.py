"""Small worlds: which tasks there are, what they may read, and what may be asked at each point."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from airflow_am_provider.audience_manager.names import Mode
from airflow_am_provider.deliveries.target import commands
from airflow_am_provider.deliveries.target.commands import Command, OnOlder
from airflow_am_provider.deliveries.target.state import DeliveryState
from airflow_am_provider.deliveries.window import NO_WINDOW, Window
from tests.target_model.differences import compare
from tests.target_model.world import AT, Words, World

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.target_model.facts import Fact

Span = tuple[str, str]
_MIDNIGHT = "T00:00:00+00:00"
DAY_1: Span = (f"2026-11-01{_MIDNIGHT}", f"2026-11-02{_MIDNIGHT}")
DAY_2: Span = (f"2026-11-02{_MIDNIGHT}", f"2026-11-03{_MIDNIGHT}")
BOTH_DAYS: Span = (f"2026-11-01{_MIDNIGHT}", f"2026-11-03{_MIDNIGHT}")
#: A frozen second: whatever is staged, the clock gives each name the same one.
NOW = 1_790_000_000


@dataclass(frozen=True, kw_only=True)
class Task:
    """What formats deliveries again and again.

    :param series: its name.
    :param windows: the windows that its runs have; None for a run without.
    :param contents: what its rows may say.
    :param is_difference: whether it compares a full extract.
    :param mapped: so many mapped tasks it has.
    """

    series: str
    mode: Mode = Mode.SYNC
    removes: bool = False
    windows: tuple[Span | None, ...] = (DAY_1, DAY_2)
    contents: str = "AB"
    watermark: str | None = None
    is_difference: bool = False
    mapped: int = 1


@dataclass(frozen=True, kw_only=True)
class Setting:
    """A small world.

    :param most_staged: so many times something is formatted.
    :param most_sendings: so many sendings of a delivery.
    :param asked: what users and tasks ask for, beside what each delivery needs.
    :param attempts: whether a step is a whole attempt, such as an upload, and not one decision.
    """

    name: str
    tasks: tuple[Task, ...]
    most_staged: int = 3
    most_sendings: int = 2
    asked: frozenset[str] = frozenset()
    attempts: bool = False


class Asked(NamedTuple):
    """What somebody does: a command, or some one after the other until one is refused.

    :param words: what the file of a difference says.
    """

    label: str
    commands: tuple[Command, ...]
    words: Words = ()


def asked(setting: Setting, world: World) -> Iterator[Asked]:
    """All that may be asked now."""
    if sum(1 for _ in world.facts) < setting.most_staged:
        for task in setting.tasks:
            yield from _staging(task, world)
    elif "format again" in setting.asked:
        said = {_content(fact) for fact in world.facts.values()}
        for task in setting.tasks:
            for one in _staging(task, world):
                if one.commands[0].content_id in said:
                    yield one
    for fact in world.facts.values():
        yield from _attempts(setting, fact) if setting.attempts else _about(setting, fact)
    if "empty" in setting.asked:
        for task in setting.tasks:
            for window in task.windows:
                if task.watermark and window and _is_claimed(task, window, world):
                    empty = commands.NoteEmptyWindow(watermark=task.watermark, end=window[1])
                    yield Asked(f"empty {window[1][:10]}", (empty,))


def _content(fact: Fact) -> str:
    return content_id(
        fact.subject.split("/")[0], (fact.start, fact.end) if fact.start else None, fact.content
    )


def content_id(series: str, window: object, content: str) -> str:
    return f"{series}:{window[1][8:10] if window else ''}:{content}"


def _is_claimed(task: Task, window: Span, world: World) -> bool:
    """Whether a run may have the window: it begins where the watermark was."""
    assert task.watermark is not None
    mark = world.state.watermarks.get(task.watermark)
    first = min(one[0] for one in task.windows if one)
    return window[0] <= (mark or first)


def _staging(task: Task, world: World) -> Iterator[Asked]:
    for window in task.windows:
        if task.watermark and window and not _is_claimed(task, window, world):
            continue
        for content in task.contents:
            for mapped in range(task.mapped):
                yield stage(task, window, content, world, mapped=mapped)


def stage(task: Task, window: Span | None, content: str, world: World, *, mapped: int = 0) -> Asked:
    """Format rows, and tell the target."""
    words: Words = ()
    extract = None
    name = task.series if not mapped else f"{task.series}.{mapped}"
    what = label = content_id(name, window, content)
    # Where there is no window, each run has rows of its own.
    subject = f"{name}/{window[1][:10] if window else content}"
    if task.is_difference:
        content = {"A": "1", "B": "2", "C": ""}.get(content, content)
        words, extract = compare(world, task.series, content)
        said = extract.path.split("/")[1]
        what, label = f"{task.series}:{said}", f"{task.series}:{content}"
        subject = f"{task.series}#{extract.follows + 1}"
    command = commands.Stage(
        content_id=what,
        folder="deliveries/data",
        name="ftp_dpm_478",
        now=NOW,
        at=AT,
        mode=task.mode,
        removes=task.removes,
        series=task.series,
        subject=subject,
        window=Window.parse(*window) if window else NO_WINDOW,
        watermark=task.watermark,
        figures={"content": content},
        extract=extract,
    )
    return Asked(f"stage {label}", (command,), words)


def _about(setting: Setting, fact: Fact) -> Iterator[Asked]:
    """Single decisions about a delivery."""
    one, wanted = fact.delivery_id, setting.asked
    yield Asked(f"queue {one}", (_queue(one),))
    for older in (OnOlder.REPLAY, OnOlder.SEND):
        if older.value in wanted:
            yield Asked(f"queue {one} {older}", (_queue(one, older),))
    if len(fact.sendings) < setting.most_sendings or fact.is_on_its_way:
        yield Asked(f"begin {one}", (_begin(one),))
        if "not in order" in wanted:
            yield Asked(f"begin {one} at once", (_begin(one, in_order=False),))
    for sent in fact.sendings:
        if sent.whole is None:
            yield Asked(f"complete {one} {sent.number}", (_complete(one, sent.number),))
        if "pick up" in wanted and sent.whole:
            up = commands.PickUp(delivery_id=one, sending=sent.number, at=AT)
            yield Asked(f"pick up {one} {sent.number}", (up,))
    if "resend" in wanted:
        yield Asked(f"resend {one}", (_resend(one),))
    if "force" in wanted and fact.has_left:
        yield Asked(f"resend {one} by force", (_resend(one, force=True),))
    yield from _always(setting, fact)


def _attempts(setting: Setting, fact: Fact) -> Iterator[Asked]:
    """Whole attempts about a delivery, which may die once something has begun."""
    one, wanted = fact.delivery_id, setting.asked
    number = len(fact.sendings) + 1
    begin, more = _begin(one), number <= setting.most_sendings
    if more or fact.is_on_its_way:
        last = fact.sendings[-1].number if fact.is_on_its_way else number
        whole = _complete(one, last)
        yield Asked(f"upload {one}", (_queue(one), begin, whole))
        if "die" in wanted:
            yield Asked(f"upload {one} and die", (_queue(one), begin))
        for older in (OnOlder.REPLAY, OnOlder.SEND):
            if older.value in wanted:
                yield Asked(f"upload {one} {older}", (_queue(one, older), begin, whole))
        if "not in order" in wanted:
            at_once = (_queue(one), _begin(one, in_order=False), whole)
            yield Asked(f"upload {one} at once", at_once)
    if "resend" in wanted and more:
        yield Asked(f"resend {one}", (_resend(one), begin, _complete(one, number)))
    if "force" in wanted and fact.has_left and more:
        again = (_resend(one, force=True), begin, _complete(one, number))
        yield Asked(f"resend {one} by force", again)
    yield from _always(setting, fact)


def _always(setting: Setting, fact: Fact) -> Iterator[Asked]:
    """Receipts, and what users decide."""
    one, wanted = fact.delivery_id, setting.asked
    for sent in fact.sendings:
        # What a fixed wait has assumed may be told by a sign that comes later.
        if sent.processed is None or "fixed wait" in wanted:
            for state in (DeliveryState.ACKNOWLEDGED, DeliveryState.FAILED, DeliveryState.ASSUMED):
                if state is DeliveryState.FAILED and "over a limit" not in wanted:
                    continue
                if state is DeliveryState.ASSUMED and "fixed wait" not in wanted:
                    continue
                ack = commands.Acknowledge(delivery_id=one, sending=sent.number, at=AT, state=state)
                yield Asked(f"{state} {one} {sent.number}", (ack,))
    if "abandon" in wanted:
        state = DeliveryState.ABANDONED
        end = commands.End(delivery_id=one, at=AT, state=state, reason="-")
        yield Asked(f"abandon {one}", (end,))
    if "guard" in wanted and not fact.has_left:
        state = DeliveryState.FAILED
        end = commands.End(delivery_id=one, at=AT, state=state, reason="-")
        yield Asked(f"stop {one}", (end,))
    if "reopen" in wanted:
        yield Asked(f"reopen {one}", (commands.Reopen(delivery_id=one, at=AT),))
    if "rename" in wanted:
        rename = commands.Rename(delivery_id=one, timestamp=fact.names[-1], now=NOW)
        yield Asked(f"rename {one}", (rename,))


def _queue(one: str, older: OnOlder = OnOlder.REFUSE) -> Command:
    return commands.Enqueue(delivery_id=one, at=AT, on_older=older)


def _begin(one: str, *, in_order: bool = True) -> Command:
    return commands.Begin(delivery_id=one, url="u", day="d", at=AT, in_order=in_order)


def _complete(one: str, sending: int) -> Command:
    return commands.Complete(delivery_id=one, sending=sending, at=AT)


def _resend(one: str, *, force: bool = False) -> Command:
    return commands.Resend(delivery_id=one, at=AT, force=force)


def attempt(one: str, *, first: bool = False, again: bool = False) -> tuple[Command, ...]:
    """What an upload does with a delivery, or a sensor that sends newer data again.

    :param first: whether it gets its place in the queue first.
    :param again: whether it is sent once more, although newer data was sent.
    """
    before = [_queue(one)] * first + [_resend(one, force=True)] * again
    return (*before, _begin(one), *(_complete(one, number) for number in range(1, 9)))
