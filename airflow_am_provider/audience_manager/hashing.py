"""Hashed e-mail addresses, as ``c2c_id`` files hold them.

Page: features/destinations/people-based-destinations-prerequisites.md and
people-based-destinations-workflow-combined.md: trim, lower-case, SHA-256, lower-case
hexadecimal, no salt.
"""

from __future__ import annotations

import hashlib
import re

HASHED_EMAIL_PATTERN = r"[0-9a-f]{64}"
_HASHED_EMAIL = re.compile(HASHED_EMAIL_PATTERN)


def hash_email(address: str) -> str:
    """Hash an e-mail address.

    >>> hash_email(" JohnDoe@example.com ")
    '55e79200c1635b37ad31a378c39feb12f120f116625093a19bc32fff15041149'
    """
    return hashlib.sha256(address.strip().lower().encode()).hexdigest()


def is_hashed_email(value: str) -> bool:
    """Whether a value has the form of a hashed e-mail.

    >>> is_hashed_email("55e79200c1635b37ad31a378c39feb12f120f116625093a19bc32fff15041149")
    True
    >>> is_hashed_email("johndoe@example.com")
    False
    """
    return _HASHED_EMAIL.fullmatch(value) is not None
