"""Pairs of keys made for tests. By Sequoia, so that no gpg is needed, or in an old key's shape."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import pysequoia
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

#: Encrypting takes gpg; what decrypts in tests does not.
needs_gpg = pytest.mark.skipif(shutil.which("gpg") is None, reason="gpg is not installed")


@dataclass(frozen=True)
class Pair:
    """A public key, its fingerprint, and the secret key, all without a passphrase."""

    public: str
    secret: bytes
    fingerprint: str

    def decrypted(self, message: bytes) -> bytes:
        """By Sequoia, which is not what encrypts."""
        decryptor = pysequoia.Tsk.from_bytes(self.secret).decryptor()
        text = pysequoia.decrypt(message, decryptor).bytes
        assert text is not None
        return bytes(text)


@cache
def pair() -> Pair:
    """A key of today."""
    secret = pysequoia.Tsk.generate(user_id="Made for tests")
    public = secret.extract_certificate()
    return Pair(str(public), bytes(secret), public.fingerprint.upper())


@cache
def pair_of_2013() -> Pair:
    """One like Adobe's: RSA 4096, signed with SHA-1 in 2013.

    Sequoia takes no such signature, so the secret half is signed once more.
    """
    with gpg_home() as gpg:
        fingerprint = _generate(gpg, "rsa4096", "20130601T000000!", "never")
        public = gpg("--armor", "--export").decode()
        for subkeys in ([], ["*"]):
            gpg(*_UNASKED, "--quick-set-expire", fingerprint, "10y", *subkeys)
        return Pair(public, gpg(*_UNASKED, "--export-secret-keys"), fingerprint)


@cache
def expired_pair() -> Pair:
    """One that held on the first of June 2020."""
    with gpg_home() as gpg:
        fingerprint = _generate(gpg, "rsa2048", "20200601T000000!", "1d")
        return Pair(gpg("--armor", "--export").decode(), b"", fingerprint)


_UNASKED = ["--pinentry-mode", "loopback", "--passphrase", ""]


def _generate(gpg: Callable[..., bytes], kind: str, time: str, expires: str) -> str:
    at = ["--faked-system-time", time, "--cert-digest-algo", "SHA1", *_UNASKED]
    gpg(*at, "--quick-generate-key", "Made for tests", kind, "cert", expires)
    fingerprint = next(
        line.split(":")[9]
        for line in gpg("--with-colons", "--list-keys").decode().splitlines()
        if line.startswith("fpr")
    )
    gpg(*at, "--quick-add-key", fingerprint, kind, "encr", expires)
    return fingerprint


@contextmanager
def gpg_home() -> Iterator[Callable[..., bytes]]:
    """Runs gpg with a home of its own."""
    # The path of the agent's socket has room for a short one only.
    with tempfile.TemporaryDirectory(prefix="gpg-", dir="/tmp") as home:

        def gpg(*arguments: str, given: bytes = b"") -> bytes:
            command = ["gpg", "--homedir", home, "--batch", "--quiet", "--no-tty", *arguments]
            return subprocess.run(command, input=given, check=True, capture_output=True).stdout

        try:
            yield gpg
        finally:
            subprocess.run(["gpgconf", "--homedir", home, "--kill", "gpg-agent"], check=True)


def written(path: Path, content: str | bytes) -> Path:
    """A key as a file."""
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path
