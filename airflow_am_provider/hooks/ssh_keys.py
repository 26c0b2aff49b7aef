"""What is wrong with an SSH key that cannot be read, in words that show nothing of it."""

from __future__ import annotations

from typing import Any


def unreadable(extra: dict[str, Any]) -> str:
    """Which key of a connection's extra cannot be read, and what it should be.

    :param extra: with ``private_key``, ``private_key_passphrase`` and ``host_key`` as Airflow's
        hook has them.
    """
    private_key = extra.get("private_key")
    problem = key_problem(private_key, extra.get("private_key_passphrase")) if private_key else None
    if problem is not None:
        return problem
    if str(extra.get("host_key", "")).strip().upper().startswith(("SHA256:", "MD5:")):
        return (
            "host_key: is a fingerprint; host_key is the whole key, which Test shows without a "
            "host_key"
        )
    if "host_key" in extra:
        return "host_key: cannot be read; it is like 'ssh-ed25519 AAAA…'"
    return "the extra: cannot be read"


def key_problem(private_key: str, passphrase: str | None, field: str = "private_key") -> str | None:
    """Why a private key cannot be read; None where it can.

    :param private_key: its text.
    :param passphrase: what it is encrypted by.
    :param field: where it stands.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import (
        load_pem_private_key,
        load_ssh_private_key,
    )

    if "\n" not in private_key.strip() and "-----BEGIN" in private_key:
        # Some readers take such a key, others say nothing of use.
        return f"{field}: cannot be read: its line breaks are lost; in JSON each is \\n"
    text = private_key.strip().encode()
    load = load_ssh_private_key if b"OPENSSH PRIVATE KEY" in text else load_pem_private_key

    def failure(password: bytes | None) -> Exception | None:
        try:
            load(text, password)
        except (TypeError, ValueError, UnsupportedAlgorithm) as error:
            return error
        return None

    without = failure(None)
    if _asks_for_password(without):
        if not passphrase:
            return f"private_key_passphrase: missing, and {field} has one"
        if failure(passphrase.encode()) is not None:
            return f"private_key_passphrase: is not that of {field}"
        return None
    if without is not None:
        return f"{field}: cannot be read; it is a whole OpenSSH or PEM key with its line breaks"
    return None


def _asks_for_password(error: Exception | None) -> bool:
    """Whether a key was not read since it is encrypted; older versions raise another error."""
    return isinstance(error, TypeError) or "password" in str(error or "").lower()
