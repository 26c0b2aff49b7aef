"""Several workers, against one, and against one task that does everything."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from benchmarks.comparison import Comparison, Figure, Side

if TYPE_CHECKING:
    from benchmarks.readings import Reading
    from benchmarks.world import World

_KIND: Final = "traits"
_PARTITIONS: Final = 4
_NOTES: Final = (
    "Workers are processes of one machine, without Airflow between them: what its scheduler takes "
    "to start a task comes on top. One task by itself reads, formats and packs at the same time, "
    "so several share what it would use; only those on a core each show what machines of one "
    "core would gain, and even these share their machine with the S3 server."
)


def workers(world: World, rows: int) -> Comparison:
    """Parquet files, each user in one of them; and a worker that is killed."""
    url = world.parquet_files(_KIND, rows, _PARTITIONS)
    by_files = {"source": url, "partition_by": "files"}
    sides = {
        "one task": Side(place="product:format_files", arguments={"kind": _KIND, "url": url}),
        "1 worker": _side(by_files, 1),
        "2 workers": _side(by_files, 2),
        "1 worker on a core": _side(by_files, 1, on_a_core_each=True),
        "2 workers on a core each": _side(by_files, 2, on_a_core_each=True),
        "2 workers, by hash": _side({"source": url}, 2),
        "2 workers, one killed": _side(
            by_files, 2, kill_after_rows=max(1, rows // _PARTITIONS // 2)
        ),
    }
    return Comparison(
        name="workers",
        title=f"Parquet in S3 to parts in S3 in {_PARTITIONS} partitions, by one worker and by two",
        sides=sides,
        figures=[
            _speed("two workers over one", "2 workers", "1 worker"),
            _speed("the same on a core each", "2 workers on a core each", "1 worker on a core"),
            _speed("two workers over one task", "2 workers", "one task"),
            _speed("by files over by hash", "2 workers", "2 workers, by hash"),
            Figure(
                title="time with one killed",
                sides=("2 workers, one killed", "2 workers"),
                compute=lambda killed, whole: killed.seconds / whole.seconds,
            ),
        ],
        same_bytes=[tuple(sides)],
        same_content=[[name for name in sides if "worker" in name and "hash" not in name]],
        notes=_NOTES,
    )


def workers_postgres(world: World, rows: int) -> Comparison:
    """A table that PostgreSQL divides by a hash of the user ID."""
    query = f"SELECT id, traits FROM {world.table(_KIND, rows)}"
    source = {"sql": query, "conn_id": "crm"}
    sides = {
        "one task": Side(place="product:format_query", arguments={"kind": _KIND, "query": query}),
        "1 worker": _side(source, 1),
        "2 workers": _side(source, 2),
    }
    return Comparison(
        name="workers_postgres",
        title=f"PostgreSQL to parts in S3 in {_PARTITIONS} partitions, by one worker and by two",
        sides=sides,
        figures=[
            _speed("two workers over one", "2 workers", "1 worker"),
            _speed("two workers over one task", "2 workers", "one task"),
            _speed("one worker over one task", "1 worker", "one task"),
        ],
        same_bytes=[tuple(sides)],
        same_content=[["1 worker", "2 workers"]],
        notes=f"{_NOTES} So do PostgreSQL's processes, which read the table once a partition.",
    )


def _side(source: dict[str, str], count: int, **more: Any) -> Side:
    return Side(
        place="workers:format_in_partitions",
        arguments={
            "kind": _KIND,
            "source": source,
            "partitions": _PARTITIONS,
            "workers": count,
            **more,
        },
    )


def _speed(title: str, side: str, other: str) -> Figure:
    def ratio(ours: Reading, theirs: Reading) -> float:
        return theirs.seconds / ours.seconds

    return Figure(title=title, sides=(side, other), compute=ratio)
