"""``make demo`` and ``make serve``, as far as no server is started."""

from __future__ import annotations

import fcntl
import os
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

ROOT = Path(__file__).parent.parent


def refusal(*arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "demo", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert done.stdout == ""
    return done.stderr


def test_a_port_that_is_taken_is_said_in_one_sentence_before_anything_starts() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert refusal("--serve", "--port", str(port)) == (
            f"Port {port} of this machine is in use: end what listens there, or name another one, "
            f"as in make serve PORT={port + 1}.\n"
        )


def test_a_second_demo_in_the_same_folder_does_not_delete_the_first_ones_data() -> None:
    folder = os.open(ROOT / "demo", os.O_RDONLY)
    try:
        # Whoever runs these tests beside a make serve of theirs holds it already.
        with suppress(BlockingIOError):
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        assert refusal() == (
            "Another make demo or make serve runs in this folder: end that one first.\n"
        )
    finally:
        os.close(folder)
