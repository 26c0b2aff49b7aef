"""Completion in the shell: ``eval "$(register-python-argcomplete airflow-am)"``."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import argparse

# The shell asks by it: argcomplete's own name.
_ASKED: Final = "_ARGCOMPLETE"


def is_asked() -> bool:
    """Whether the shell wants to know how to go on, and runs no command."""
    return _ASKED in os.environ


def complete(parser: argparse.ArgumentParser) -> None:
    """Answer the shell, and leave the process.

    :param parser: knows all commands.
    """
    from argcomplete import autocomplete

    autocomplete(parser)
