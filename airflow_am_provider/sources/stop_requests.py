"""Asking a database server to stop a query, while other threads of the process go on.

psycopg2, and psycopg's ``cancel``, keep Python's lock until the server has answered: one that never
does stops the whole process, and with it whatever could end the waiting.
"""

from __future__ import annotations

import ctypes
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

_MESSAGE_BYTES = 256


def stop_request(connection: Any, timeout_s: float) -> Callable[[], object]:
    """What asks the server to stop what runs on a connection.

    :param connection: of a driver with ``cancel``; it must be open now, and may be closed later.
    :param timeout_s: after which an answer is no longer waited for, where the driver can do that.
    """
    if hasattr(connection, "cancel_safe"):
        return lambda: connection.cancel_safe(timeout=timeout_s)
    address = getattr(connection, "pgconn_ptr", None)
    library = _libpq() if address else None
    if library is None:
        cancel: Callable[[], object] = connection.cancel
        return cancel
    request = library.PQgetCancel(address)

    def ask() -> None:
        library.PQcancel(request, ctypes.create_string_buffer(_MESSAGE_BYTES), _MESSAGE_BYTES)
        library.PQfreeCancel(request)

    return ask


@cache
def _libpq() -> Any:
    """The libpq that psycopg2 uses, if its functions can be called: ctypes lets the lock go."""
    from importlib.util import find_spec

    extension = find_spec("psycopg2._psycopg")
    if extension is None or extension.origin is None:
        return None
    try:
        library = ctypes.CDLL(extension.origin)
        library.PQgetCancel.argtypes = [ctypes.c_void_p]
        library.PQgetCancel.restype = ctypes.c_void_p
        library.PQcancel.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int]
        library.PQfreeCancel.argtypes = [ctypes.c_void_p]
    except (AttributeError, OSError):  # linked in a way that hides them
        return None
    return library
