"""How many examples property tests draw: a fifth of all, and all of them with ``AM_EXAMPLES=1``.

Each run draws others. ``make test-long`` draws all.
"""

import os

SHARE = float(os.environ.get("AM_EXAMPLES", "0.2"))


def examples(full: int) -> int:
    """So many of a full number."""
    return max(20, round(full * SHARE))
