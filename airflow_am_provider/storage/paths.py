"""Relative paths inside a folder: none leaves it, whoever chose the name."""

from __future__ import annotations

from typing import Final

from airflow_am_provider.audience_manager.errors import ConfigurationError
from airflow_am_provider.audience_manager.names import printable

# An S3 key has at most 1,024 bytes, and the longest of common file systems' names 255.
MAX_PATH_BYTES: Final = 1_024
MAX_NAME_BYTES: Final = 255


def checked_path(path: str) -> str:
    r"""Give back a path that stays inside its folder, or refuse it.

    :param path: names joined by ``/``.
    :raises ConfigurationError: for an empty or absolute path, ``.`` and ``..``, backslashes,
        characters that do not print, and names that are too long.

    >>> checked_path("deliveries/data/1/manifest.json")
    'deliveries/data/1/manifest.json'
    >>> is_safe_path("../secrets"), is_safe_path("/etc/passwd"), is_safe_path("a\r\nDELE b")
    (False, False, False)
    """
    names = path.split("/")
    if (
        not path.isprintable()
        or "\\" in path
        or any(name in {"", ".", ".."} for name in names)
        or not _fits(path, MAX_PATH_BYTES)
        or not all(_fits(name, MAX_NAME_BYTES) for name in names)
    ):
        raise ConfigurationError(
            f"path {printable(path)!r}: names joined by '/' are expected, inside the folder, "
            f"without '.', '..', backslashes or control characters, of at most "
            f"{MAX_PATH_BYTES} bytes"
        )
    return path


def is_safe_path(path: str) -> bool:
    """Whether :func:`checked_path` takes a path: for names that a listing gives."""
    try:
        checked_path(path)
    except ConfigurationError:
        return False
    return True


def _fits(text: str, most_bytes: int) -> bool:
    try:
        return len(text.encode()) <= most_bytes
    except UnicodeEncodeError:  # a lone surrogate, as Python reads undecodable file names
        return False
