#!/usr/bin/env python3
"""Writes constraints/published/airflow-*.txt: the pins that Airflow's releases came with.

Airflow's own files are made by installing Airflow with all its providers, each package as new as
it was on that day. This does the same: the index as it stood then, all providers, one run for each
Python. What this package and its dependencies need is kept, with a marker where Pythons differ.

    .venv/bin/python scripts/published_pins.py [RELEASE ...]

Run it for a new release of Airflow, or when the dependencies in pyproject.toml change. It takes
some minutes.
"""

import re
import subprocess
import sys
import tempfile
import textwrap
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "constraints" / "published"
UV = ROOT / ".venv" / "bin" / "uv"
PLAIN = ("--no-header", "--no-annotate", "--no-emit-index-url")
# Each is on the index before or after the pins of its release were made, so it is never held back.
AIRFLOW_ITSELF = ("apache-airflow", "apache-airflow-core", "apache-airflow-task-sdk")
PIN = re.compile(r"^([a-z0-9-]+)==([^\s;]+)$", re.MULTILINE)


@dataclass(frozen=True)
class Release:
    """When the pins of a release were made, and what is known of them beyond the date."""

    released: str
    #: Providers as new as then.
    providers: str
    #: Everything else as new as then; since May 2026 Airflow waits four days before it takes it.
    others: str
    pythons: tuple[str, ...] = ("3.11", "3.12", "3.13")
    #: Read in a copy of the published file, where the date alone gives another version.
    known: tuple[str, ...] = ()
    #: How far a reader may trust the result, for the head of the file.
    checked: str = ""


LIKE_3_1_6 = (
    "Not compared with the published file. The same method gives that of 3.1.6 on Python 3.12 but"
    " for one pin in 666, which is not needed here."
)
RELEASES = {
    "3.1.0": Release(
        released="2025-09-26",
        providers="2025-09-23T20:00:00Z",
        others="2025-09-23T20:00:00Z",
        checked=LIKE_3_1_6,
    ),
    "3.1.8": Release(
        released="2026-03-12",
        providers="2026-03-10T18:00:00Z",
        others="2026-03-10T18:00:00Z",
        checked=LIKE_3_1_6,
    ),
    "3.2.2": Release(
        released="2026-05-30",
        providers="2026-05-26T15:20:00Z",
        others="2026-05-22T15:20:00Z",
        pythons=("3.11", "3.12", "3.13", "3.14"),
        known=("starlette==1.1.0",),
        checked="Compared with a copy of the published file for Python 3.14, which has the same"
        " pins. That of starlette was read there.",
    ),
    "3.3.2": Release(
        released="2026-09-18",
        providers="2026-09-17T08:00:00Z",
        others="2026-09-13T08:00:00Z",
        pythons=("3.11", "3.12", "3.13", "3.14"),
        # A resolver can also choose an older one, and with it other versions of what it needs.
        known=("apache-airflow-providers-google>=22.3",),
        checked="Not compared with the published file. The same method gives that of 3.3.1 on"
        " Python 3.12 but for eight pins.",
    ),
}


def compile_pins(requirements: str, *arguments: str) -> dict[str, str]:
    """Resolve requirements with uv, and return the version of each package."""
    done = subprocess.run(
        [UV, "pip", "compile", "--quiet", *PLAIN, *arguments, "-"],
        input=requirements,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return dict(PIN.findall(done.stdout))


def with_options(version: str, release: Release) -> tuple[str, list[str]]:
    """Requirements that stand for all of a release, and the options that turn the index back."""
    options = [f"--exclude-newer-package={name}={release.released}" for name in AIRFLOW_ITSELF]
    every = f"apache-airflow[all]=={version}\n"
    found = compile_pins(
        every,
        f"--python-version={release.pythons[0]}",
        f"--exclude-newer={release.providers}",
        *options,
    )
    providers = [name for name in found if name.startswith("apache-airflow-providers-")]
    options.append(f"--exclude-newer={release.others}")
    known = [requirement.partition("=")[0].rstrip(">") for requirement in release.known]
    later = sorted({*providers, *known})
    options += [f"--exclude-newer-package={name}={release.providers}" for name in later]
    # Named one by one, so that the resolver gives up the newest of something else first.
    return every + "\n".join([*providers, *release.known]), options


def needed(pins: dict[str, str], python: str) -> dict[str, str]:
    """Those of the pins that this package comes to need under them."""
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as constraints:
        constraints.write("".join(f"{name}=={version}\n" for name, version in pins.items()))
        constraints.flush()
        package = f"airflow-am-provider[oauth,postgres,sftp] @ {ROOT.as_uri()}\n"
        closure = compile_pins(
            package, f"--python-version={python}", f"--constraint={constraints.name}"
        )
    return {name: version for name, version in pins.items() if name in closure}


def merge(of_pythons: dict[str, dict[str, str]]) -> list[str]:
    """One line a pin; with a marker where it is not the same on every Python."""
    lines = []
    for name in sorted({name for pins in of_pythons.values() for name in pins}):
        # A Python that does not need the package does not mind its pin.
        versions = {python: pins[name] for python, pins in of_pythons.items() if name in pins}
        if len(set(versions.values())) == 1:
            lines.append(f"{name}=={next(iter(versions.values()))}")
            continue
        for version in dict.fromkeys(versions.values()):
            pythons = [python for python, pinned in versions.items() if pinned == version]
            marker = " or ".join(f'python_version == "{python}"' for python in pythons)
            lines.append(f"{name}=={version} ; {marker}")
    return lines


def head(version: str) -> list[str]:
    """What a reader has to know first, as comments."""
    release = RELEASES[version]
    text = (
        f"What Airflow {version} pins of the packages that this one and its dependencies need, on"
        f" Python {', '.join(release.pythons)}. Worked out by scripts/published_pins.py: providers"
        f" as of {release.providers[:10]}, other packages as of {release.others[:10]}."
        f" {release.checked}"
    )
    return textwrap.wrap(text, 98, initial_indent="# ", subsequent_indent="# ")


def write(version: str) -> None:
    release = RELEASES[version]
    requirements, options = with_options(version, release)
    of_pythons = {}
    for python in release.pythons:
        pins = compile_pins(requirements, f"--python-version={python}", *options)
        of_pythons[python] = needed(pins, python)
        print(f"Airflow {version}, Python {python}: {len(of_pythons[python])} pins", flush=True)
    FOLDER.mkdir(parents=True, exist_ok=True)
    file = FOLDER / f"airflow-{version}.txt"
    file.write_text("\n".join([*head(version), *merge(of_pythons)]) + "\n")


if __name__ == "__main__":
    for wanted in sys.argv[1:] or RELEASES:
        write(wanted)
