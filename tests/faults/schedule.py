"""A delivery job, and all that goes wrong in it."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from tests.faults.trouble import Place, Trouble

VARIANTS: Final = 4
PARTITIONS: Final = 2
MAPPED: Final = 2
WINDOWS: Final = 2
HISTORY: Final = 1_000

# What the store of staging does with conditions for a write: it passes over all of them or over
# some, or says that it knows no such thing.
DROPS, DROPS_SOME, REFUSES = "drops conditions", "drops If-Match", "answers 501 to conditions"


@dataclass(frozen=True, kw_only=True)
class Run:
    """One run of a DAG.

    :param kind: ``daily`` (ID sync, then data) or ``full`` (an .overwrite of everything).
    :param window: the day that it is about, from 0; for ``full`` the day up to which it knows.
    :param twin: whether a second run of the same goes on at the same time.
    :param replays: whether newer data is sent again after it, should it come late.
    :param dag: its DAG; by default one for each kind.
    :param customers: whose traits it delivers: those of the job, or of so many variants further.
        Of those no ID sync is sent, and nobody else says anything.
    :param share: which of the mapped tasks of its DAG it is; None where none is mapped.
    :param place: from which of two staging places it goes: 0, or 1 by another connection.
    """

    kind: str
    window: int
    twin: bool = False
    replays: bool = False
    dag: str = ""
    customers: int = 0
    share: int | None = None
    place: int = 0

    @property
    def dag_id(self) -> str:
        """The DAG."""
        return self.dag or self.kind

    @property
    def tasks(self) -> tuple[str, ...]:
        """Its tasks in their order."""
        data: tuple[str, ...] = ("format", "upload", "receipt")
        has_ids = self.kind != "full" and not self.customers
        ids = tuple(f"{task}_ids" for task in data) if has_ids else ()
        return (*ids, *data, "replay") if self.replays else (*ids, *data)

    def __str__(self) -> str:
        said = f"{self.kind} {self.window}"
        said += f" of {self.dag}" if self.dag else ""
        said += "" if self.share is None else f", mapped task {self.share}"
        said += ", from the other staging place" if self.place else ""
        return said + (" twice at once" if self.twin else "")


@dataclass(frozen=True, kw_only=True)
class Correction:
    """Rows of a window that are mended at their source while the window is delivered.

    :param run: the number of the run.
    :param when: before the ``retry`` of its format task, before its tasks are cleared (``clear``)
        after an upload that failed, or before the ``replay`` that follows its receipt.
    :param window: which window's rows; by default the run's. Of another one, its run is cleared.
    """

    run: int
    when: str
    window: int | None = None

    def __str__(self) -> str:
        whose = "" if self.window is None else "newer " if self.window else "older "
        return f"{whose}rows corrected before the {self.when}"


@dataclass(frozen=True, kw_only=True)
class ThereAndBack:
    """Rows that are corrected, and the correction taken back; the run is cleared each time.

    :param run: the number of the run.
    :param after: how far the run came with the first rows, and with the corrected ones: ``format``
        or ``receipt`` was its last task.
    """

    run: int
    after: tuple[str, str]

    def __str__(self) -> str:
        return f"rows corrected and put back, after {' and '.join(self.after)}"


@dataclass(frozen=True, kw_only=True)
class LostReceipt:
    """No receipt of a run's data comes, while the next run waits for it.

    :param run: the number of the run.
    :param way: what the user does then, ``resend`` or ``abandon``.
    """

    run: int
    way: str

    def __str__(self) -> str:
        return f"receipt lost, successor waits, then {self.way}"


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """A delivery job and everything that goes wrong in it; see the fields of the connection.

    :param piece_bytes: of what is sent to S3 in pieces; 0 for the package's own.
    :param is_copied: whether S3 may copy parts from staging, or they are sent from here.
    :param is_windowless: whether runs have no intervals, so that deliveries have no windows.
    :param is_frozen: whether all of staging sees one and the same second.
    :param conditions: what the staging store does with conditions; empty where it keeps them.
    :param in_sql: whether decisions are kept in an SQL database from the start.
    :param is_old: whether the target has a history of finished deliveries before the start.
    :param beside: runs that go on at once for the same target, before all others or after them.
    """

    seed: int
    variant: int
    transport: str
    staging: str
    mail: str
    acknowledged_by: str
    deferrable: bool
    partitions: bool
    retries: int
    s3_attempts: int
    clears: str
    behaviour: str
    loses: str
    order: str
    runs: tuple[Run, ...]
    troubles: dict[Place, Trouble] = field(default_factory=dict)
    piece_bytes: int = 0
    is_copied: bool = True
    correction: Correction | None = None
    there_and_back: ThereAndBack | None = None
    lost: LostReceipt | None = None
    is_windowless: bool = False
    is_frozen: bool = False
    conditions: str = ""
    in_sql: bool = False
    is_old: bool = False
    beside: tuple[Run, ...] = ()
    is_beside_first: bool = False

    @property
    def all_runs(self) -> tuple[Run, ...]:
        """All of them by their number; those beside come last."""
        return (*self.runs, *self.beside)

    @property
    def has_own_customers(self) -> bool:
        """Whether rows change during the job, so that it needs a table for itself."""
        return self.correction is not None or self.there_and_back is not None

    @property
    def chains(self) -> tuple[tuple[tuple[int, int, Run], ...], ...]:
        """What runs one after the other, and in each of these what runs at once: chain, number."""
        steps: list[tuple[tuple[int, int, Run], ...]]
        if self.order == "overlapping":
            steps = [tuple((number, number, run) for number, run in enumerate(self.runs))]
        else:
            steps = [
                tuple((chain, number, run) for chain in range(1 + run.twin))
                for number, run in enumerate(self.runs)
            ]
            if self.lost is not None:
                # What waits for the receipt is there already.
                first = self.lost.run
                steps[first : first + 2] = [(*steps[first], *steps[first + 1])]
        if self.beside:
            beside = tuple(
                (0, len(self.runs) + number, run) for number, run in enumerate(self.beside)
            )
            steps.insert(0 if self.is_beside_first else len(steps), beside)
        return tuple(steps)

    def trouble(self, place: Place) -> Trouble:
        """What befalls an attempt."""
        return self.troubles.get(place, Trouble())

    def kinds(self) -> list[str]:
        """What kinds of trouble there are, each once."""
        found = {kind for trouble in self.troubles.values() for kind in trouble.kinds()}
        found |= {"two runs at once"} if any(run.twin for run in self.runs) else set()
        found |= {f"receipts {self.behaviour}"} if self.behaviour else set()
        found |= {"receipts lost"} if self.loses else set()
        found |= {f"runs {self.order}"} if self.order != "forward" else set()
        found |= {"pieces"} if self.piece_bytes else set()
        found |= {str(one) for one in (self.correction, self.there_and_back, self.lost) if one}
        found |= set(self._circumstances())
        return sorted(found)

    def _circumstances(self) -> Iterator[str]:
        if self.is_windowless:
            yield "no windows"
        if self.is_frozen:
            yield "all staged in one second"
        if self.conditions:
            yield f"store {self.conditions}"
        if self.in_sql:
            yield "decisions in SQL"
        if self.is_old:
            yield f"{HISTORY:,} deliveries before"
        if self.beside:
            yield "DAGs at once"
        if {run.kind for run in self.beside} == {"daily", "full"}:
            yield "both modes at once"
        if any(run.share is not None for run in self.beside):
            yield "mapped tasks"
        if any(run.place for run in self.beside):
            yield "two staging places"

    def __str__(self) -> str:
        head = (
            f"seed {self.seed}: customers {self.variant}, over {self.transport}, staging on "
            f"{self.staging}, receipts by {self.mail}, acknowledged by {self.acknowledged_by}, "
            f"{'deferred' if self.deferrable else 'poked'}, "
            f"{'partitions, ' if self.partitions else ''}{self.retries} retries, "
            f"{self.s3_attempts} tries of each S3 request, the user clears {self.clears}; "
            f"runs {self.order}: {', '.join(map(str, self.runs))}; "
            f"receipts: {self.behaviour or 'as usual'}"
            f"{f', lost: {self.loses}' if self.loses else ''}"
        )
        if self.piece_bytes:
            head += f"; pieces of {self.piece_bytes:,} bytes"
            head += "" if self.is_copied else ", not copied by S3"
        for one in (self.correction, self.there_and_back, self.lost):
            head += f"; run {one.run}: {one}" if one else ""
        for said in self._circumstances():
            head += f"; {said}"
        if self.beside:
            when = "before" if self.is_beside_first else "after"
            head += f"; {when} all others, at once: {'; '.join(map(str, self.beside))}"
        lines = [
            f"  chain {chain}, run {run}, {task}, attempt {attempt}: {trouble}"
            for (chain, run, task, attempt), trouble in sorted(self.troubles.items())
        ]
        return "\n".join([head, *lines])
