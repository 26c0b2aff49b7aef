"""One side of a comparison: ``python -m benchmarks.side MODULE:FUNCTION ARGUMENTS_AS_JSON``.

Prints the reading as one line of JSON, the last one.
"""

from __future__ import annotations

import json
import sys
import warnings
from importlib import import_module

from benchmarks.readings import Stopwatch


def main(place: str, arguments: str) -> None:
    """Run a side."""
    # Operators warn when they are executed outside of a task; here they are, on purpose.
    warnings.simplefilter("ignore")
    module, _, function = place.partition(":")
    side = getattr(import_module(f"benchmarks.sides.{module}"), function)
    stopwatch = Stopwatch()
    outcome = side(stopwatch, **json.loads(arguments))
    print(json.dumps(stopwatch.reading(outcome).to_json()), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
