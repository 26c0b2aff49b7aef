"""``airflow-am``: Audience Manager's files and receipts on the command line, without Airflow.

======== =====================================================
exit     meaning
======== =====================================================
0        done, and nothing is wrong
1        done, and something is wrong with files or receipts
2        wrong use; one sentence on standard error says which
130, 141 interrupted; the reader of the output went away
======== =====================================================

Importing this package is cheap: each command imports what it needs when it is used.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from airflow_am_provider.audience_manager.errors import AudienceManagerError, ConfigurationError
from airflow_am_provider.cli.arguments import WrongUse, parse

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    :param argv: the arguments without the program's name; those of the process by default.
    :return: the exit code.
    """
    try:
        run = parse(sys.argv[1:] if argv is None else argv)
        code = run() if run else 0
        # Here rather than at exit, where a reader that went away would show as a traceback.
        sys.stdout.flush()
    except WrongUse as error:
        return _failed(2, error)
    except ConfigurationError as error:
        return _failed(2, f"airflow-am: {error}")
    except AudienceManagerError as error:
        return _failed(1, f"airflow-am: {error}")
    except BrokenPipeError:
        # The interpreter flushes once more when it ends, and must not find the pipe again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except OSError as error:
        # A full disk, a file taken away meanwhile: said in one sentence as well.
        where = f"{error.filename}: " if error.filename else ""
        return _failed(2, f"airflow-am: {where}{error.strerror or error}")
    except KeyboardInterrupt:
        return 130
    return code


def _failed(code: int, sentence: object) -> int:
    print(sentence, file=sys.stderr)
    return code
