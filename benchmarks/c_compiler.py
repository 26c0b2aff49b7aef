"""Compiles the loop in C that shows the limit."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

_SOURCE = Path(__file__).with_name("c_loop.c")


def compiled_loop(directory: Path) -> tuple[str, str]:
    """The path of the compiled library, or a sentence that says why there is none.

    :param directory: for the library.
    """
    compiler = shutil.which("gcc") or shutil.which("cc") or shutil.which("clang")
    if compiler is None:
        return "", "the loop in C needs a C compiler (gcc, cc or clang), and none was found"
    library = directory / "c_loop.so"
    command: list[str | Path] = [
        compiler,
        "-O3",
        "-march=native",
        "-shared",
        "-fPIC",
        "-o",
        library,
        _SOURCE,
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        return "", f"{compiler} did not compile the loop in C: {done.stderr.strip()[-300:]}"
    return str(library), ""
