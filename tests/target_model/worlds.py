"""The small worlds that are looked through, and how deep."""

from __future__ import annotations

from airflow_am_provider.audience_manager.names import Mode
from tests.target_model.settings import BOTH_DAYS, DAY_1, DAY_2, Setting, Task

CHANGES = Task(series="changes", removes=True, windows=(DAY_1,))
CHANGES_OF_DAYS = Task(series="changes", removes=True, contents="A")
ADDED = Task(series="added", windows=(DAY_1,))
WHOLE = Task(series="whole", mode=Mode.OVERWRITE, windows=(DAY_1,), contents="A")
WHOLE_OF_DAYS = Task(series="whole", mode=Mode.OVERWRITE, contents="A")
EXTRACT = Task(series="extract", removes=True, windows=(None,), is_difference=True)


def _setting(name: str, *tasks: Task, staged: int, asked: str, attempts: bool = False) -> Setting:
    words = frozenset(word.replace("-", " ") for word in asked.split())
    return Setting(name=name, tasks=tasks, most_staged=staged, asked=words, attempts=attempts)


#: One decision after the other: each command at each point.
DECISIONS = (
    (
        5,
        _setting(
            "all commands, one window, two versions",
            CHANGES,
            staged=3,
            asked="abandon guard reopen resend force rename pick-up replay send not-in-order "
            "over-a-limit format-again",
        ),
    ),
    (
        5,
        _setting(
            "all commands, .sync and .overwrite",
            CHANGES_OF_DAYS,
            WHOLE,
            staged=2,
            asked="abandon resend rename replay not-in-order",
        ),
    ),
    (6, _setting("two days, removals", CHANGES_OF_DAYS, staged=2, asked="abandon resend guard")),
    (6, _setting("adding, two versions", ADDED, staged=3, asked="abandon resend format-again")),
    (6, _setting("differences", EXTRACT, staged=4, asked="abandon resend reopen over-a-limit")),
)
#: One attempt of a task after the other, each of which may die: longer stories.
ATTEMPTS = (
    (
        5,
        _setting(
            "one window, A/B/A",
            CHANGES,
            staged=3,
            asked="abandon resend die format-again",
            attempts=True,
        ),
    ),
    (
        4,
        _setting(
            "two days, two versions",
            Task(series="changes", removes=True),
            staged=4,
            asked="resend die replay",
            attempts=True,
        ),
    ),
    (
        4,
        _setting(
            ".sync, .overwrite and add-only",
            CHANGES_OF_DAYS,
            WHOLE_OF_DAYS,
            Task(series="added", windows=(DAY_1,), contents="A"),
            staged=3,
            asked="abandon resend die",
            attempts=True,
        ),
    ),
    (
        5,
        _setting(
            "differences, abandoned and resent",
            EXTRACT,
            staged=4,
            asked="abandon resend guard reopen over-a-limit",
            attempts=True,
        ),
    ),
    (
        4,
        _setting(
            "differences, assumed after a fixed wait",
            EXTRACT,
            staged=3,
            asked="abandon resend fixed-wait over-a-limit",
            attempts=True,
        ),
    ),
    (
        5,
        _setting(
            "differences and .overwrite",
            EXTRACT,
            Task(series="whole", mode=Mode.OVERWRITE, windows=(None,), contents="A"),
            staged=4,
            asked="abandon die",
            attempts=True,
        ),
    ),
    (
        6,
        _setting(
            "watermark, overlapping windows",
            Task(
                series="changes",
                removes=True,
                windows=(DAY_1, DAY_2, BOTH_DAYS),
                contents="A",
                watermark="w",
            ),
            staged=3,
            asked="abandon empty die",
            attempts=True,
        ),
    ),
    (
        4,
        _setting(
            "mapped tasks",
            Task(series="mapped", removes=True, windows=(DAY_1,), mapped=2),
            staged=4,
            asked="abandon resend die",
            attempts=True,
        ),
    ),
)
#: Two writers, interleaved at reading, deciding and writing back.
WRITERS = (
    (10, _setting("two writers, two versions", CHANGES, staged=2, asked="abandon resend")),
    (9, _setting("two writers, differences", EXTRACT, staged=3, asked="abandon reopen resend")),
    (
        9,
        _setting(
            "two writers, .sync and .overwrite",
            Task(series="changes", removes=True, windows=(DAY_1,), contents="A"),
            WHOLE,
            staged=2,
            asked="abandon",
        ),
    ),
)
