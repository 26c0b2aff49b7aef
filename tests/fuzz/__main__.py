"""Gives hostile inputs to all that reads what others wrote: ``make fuzz N=1000000 SEED=0``."""

import argparse
import sys
import time
from concurrent.futures import ProcessPoolExecutor, as_completed

from tests.fuzz.running import Tally, grow, run
from tests.fuzz.targets import TARGETS

_AT_A_TIME = 5_000
_SIDES = 2
_LENGTHS = (1_000, 10_000, 100_000)


def main() -> int:
    """Try them; 0 when all is well."""
    parser = argparse.ArgumentParser(prog="make fuzz", description=__doc__)
    parser.add_argument("-n", type=int, default=100_000, help="how many inputs (N=)")
    parser.add_argument("--seed", type=int, default=0, help="the first one's number (SEED=)")
    asked = parser.parse_args()
    begun = time.monotonic()
    end = asked.seed + asked.n
    total = {name: Tally() for name in TARGETS}
    with ProcessPoolExecutor(_SIDES) as pool:
        drawn = [
            pool.submit(run, range(start, min(start + _AT_A_TIME, end)))
            for start in range(asked.seed, end, _AT_A_TIME)
        ]
        growing = pool.submit(grow, _LENGTHS)
        for number, done in enumerate(as_completed(drawn), start=1):
            _add(total, done.result())
            if number % 5 == 0 or number == len(drawn):
                failed = sum(len(tally.failures) for tally in total.values())
                tried = sum(tally.count for tally in total.values())
                print(f"{tried:,} of {asked.n:,}, {failed} failed", flush=True)
        _print("drawn", total)
        grown = growing.result()
        _print(f"growing to {_LENGTHS[-1]:,}", grown)
    print(f"{time.monotonic() - begun:.0f} s in all")
    failures = [said for tally in (*total.values(), *grown.values()) for said in tally.failures]
    for said in failures[:20]:
        print(said[:2_000])
    return int(bool(failures))


def _add(total: dict[str, Tally], found: dict[str, Tally]) -> None:
    for name, tally in found.items():
        total[name].count += tally.count
        total[name].seconds += tally.seconds
        total[name].slowest = max(total[name].slowest, tally.slowest)
        total[name].failures += tally.failures


def _print(title: str, tallies: dict[str, Tally]) -> None:
    print(f"{title:26} {'inputs':>9} {'s':>7} {'failed':>6}  slowest")
    for name, tally in tallies.items():
        seconds, what = tally.slowest
        print(
            f"{name:26} {tally.count:9,} {tally.seconds:7.1f} {len(tally.failures):6}  "
            f"{seconds * 1_000:.1f} ms ({what[:80]})"
        )


if __name__ == "__main__":
    sys.exit(main())
