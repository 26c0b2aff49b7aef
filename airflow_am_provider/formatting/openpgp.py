"""Files that only the recipient of a public key can read, by GnuPG (inbound-file-encryption.md).

``gpg`` runs as a process beside this one, takes text by a pipe, and gives back what it has
encrypted. It compresses first, so such a file is never packed by gzip as well. Each process has a
home of its own, which it keeps to itself: no key ring of the machine counts.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
import time
from collections import deque
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Final, Self

from airflow_am_provider.audience_manager.errors import ConfigurationError, TransientError
from airflow_am_provider.audience_manager.names import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

_PAGE: Final = "inbound-file-encryption.md"
_READ_BYTES: Final = 1 << 20
_FINGERPRINT = re.compile(r"[0-9A-F]{40}|[0-9A-F]{64}")
# What `gpg --with-colons` says of a key that must not be used: expired, revoked, disabled, invalid.
_UNUSABLE: Final = frozenset("erdi")
_ENCRYPT: Final = (
    # AES as in Adobe's own command. Level 1 takes a third of the time of the usual one.
    *("--cipher-algo", "AES", "--compress-level", "1"),
    # Fast ones, of those that the key takes; never bzip2.
    *("--personal-compress-preferences", "ZIP ZLIB"),
    # No files that outlive the process. Trust is ours to say: the fingerprint was compared.
    *("--no-random-seed-file", "--trust-model", "always", "--output", "-", "--encrypt"),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipient:
    """Who can read a file: the owner of a public key whose fingerprint was compared.

    :param key: the key as it was given, in ASCII armour or not.
    :param fingerprint: of its primary key, in upper-case hexadecimal digits.
    """

    key: bytes = field(repr=False)
    fingerprint: str

    @classmethod
    def pinned(
        cls,
        key: bytes,
        fingerprint: str | None,
        *,
        key_field: str = "pgp_public_key",
        fingerprint_field: str = "pgp_fingerprint",
        place: str | None = None,
    ) -> Recipient:
        """Read a public key, and see that it is the one that is meant.

        :param key: one public key, in ASCII armour or not.
        :param fingerprint: of its primary key: 40 or 64 hexadecimal digits.
        :param key_field: the field or option that gave the key, for messages.
        :param fingerprint_field: the field or option that gave the fingerprint, for messages.
        :param place: the file that the key was read from, for messages.
        :raises ConfigurationError: when there is no fingerprint, it is another key's, the key has
            expired or cannot be encrypted to, it is no public key, or GnuPG is missing.
        """
        wanted = parsed_fingerprint(fingerprint, fingerprint_field)
        rows = _listed(key, key_field)
        kinds = [row[0] for row in rows]
        if "sec" in kinds:
            raise ConfigurationError(
                f"{key_field}: a secret key, which its owner alone may have; give the public one, "
                f"and take this one out of where it stands"
            )
        if kinds.count("pub") != 1:
            raise ConfigurationError(
                f"{key_field}: {kinds.count('pub')} public keys; give the recipient's alone"
                if "pub" in kinds
                else f"{key_field}: not a public key: '-----BEGIN PGP PUBLIC KEY BLOCK-----' and "
                f"what follows, with its line ends, is expected ({_PAGE})"
            )
        found = next(row[9] for row in rows if row[0] == "fpr")
        if found != wanted:
            of = f"the key in {place}" if place else "the key"
            raise ConfigurationError(
                f"{fingerprint_field}: {wanted}, but that of {of} is {found}; nothing is "
                f"encrypted to another key than the one that was pinned. Compare both with what "
                f"the key's owner tells you; mend {fingerprint_field}, or put the right key there"
            )
        _check_usable(rows, key_field)
        return cls(key=key, fingerprint=found)


def parsed_fingerprint(fingerprint: str | None, asked_by: str) -> str:
    """A fingerprint without its spaces, in upper case.

    :raises ConfigurationError: when it is missing or none.

    >>> parsed_fingerprint("5ec1 ac49 4358 3f0c 9b5d  b448 94db 3832 8496 ce32", "f")
    '5EC1AC4943583F0C9B5DB44894DB38328496CE32'
    """
    if not fingerprint:
        raise ConfigurationError(
            f"{asked_by}: missing, and a public key counts only when it is pinned; compare the "
            f"fingerprint with the one that its owner tells you, and fill it in ({_PAGE})"
        )
    digits = "".join(fingerprint.split()).upper()
    if _FINGERPRINT.fullmatch(digits) is None:
        raise ConfigurationError(
            f"{asked_by}: {printable(fingerprint)!r} is not a fingerprint, which has 40 or 64 "
            f"hexadecimal digits; a shorter key ID can be forged"
        )
    return digits


class PgpPacker:
    """Encrypts one file; a context manager, after which no process is left.

    :param recipient: who can read it.
    :raises ConfigurationError: when GnuPG is missing.
    """

    def __init__(self, recipient: Recipient) -> None:
        self._recipient = recipient
        self._ready: deque[bytes] = deque()
        with ExitStack() as stack:
            home = Path(stack.enter_context(_home()))
            key = home / "recipient"
            key.write_bytes(recipient.key)
            self._said = stack.enter_context(tempfile.TemporaryFile())
            arguments = ["--recipient-file", str(key), *_ENCRYPT]
            try:
                self._gpg = subprocess.Popen(  # noqa: S603  # no shell, and no text of a user's
                    _command(home, arguments),
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=self._said,
                    env=_environment(),
                )
            except FileNotFoundError:
                raise _missing("pgp_public_key") from None
            stack.callback(self._end)
            self._reader = Thread(target=self._read, name="gpg-output", daemon=True)
            self._reader.start()
            self._stack = stack.pop_all()

    def compress(self, data: memoryview) -> bytes:
        """Take a piece of text; return what is encrypted by now.

        :raises ConfigurationError: when GnuPG refuses the key.
        :raises TransientError: when its process was killed.
        """
        assert self._gpg.stdin is not None
        try:
            self._gpg.stdin.write(data)
        except BrokenPipeError:
            self._check()
        return self._taken()

    def flush(self) -> bytes:
        """Return the rest; errors are those of :meth:`compress`."""
        assert self._gpg.stdin is not None
        with suppress(BrokenPipeError):
            self._gpg.stdin.close()
        self._reader.join()
        self._check()
        return self._taken()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _read(self) -> None:
        # gpg would stop taking text while nobody takes its output.
        assert self._gpg.stdout is not None
        while block := os.read(self._gpg.stdout.fileno(), _READ_BYTES):
            self._ready.append(block)

    def _taken(self) -> bytes:
        return b"".join(self._ready.popleft() for _ in range(len(self._ready)))

    def _check(self) -> None:
        status = self._gpg.wait()
        if status == 0:
            return
        if status < 0:
            raise TransientError(f"gpg was ended by signal {-status} while it encrypted")
        self._said.seek(0)
        raise ConfigurationError(
            f"gpg does not encrypt to the key {self._recipient.fingerprint}: "
            f"{_last_line(self._said.read())}"
        )

    def _end(self) -> None:
        assert self._gpg.stdin is not None
        assert self._gpg.stdout is not None
        self._gpg.kill()
        self._gpg.wait()
        self._reader.join()
        # What waits to be written has nobody to take it.
        with suppress(BrokenPipeError):
            self._gpg.stdin.close()
        self._gpg.stdout.close()


def recipients_of(start: bytes) -> list[str] | None:
    """The key IDs that a message is encrypted to; None where GnuPG is missing.

    :param start: the first bytes of the message, 64 KiB at most.
    """
    if shutil.which("gpg") is None:
        return None
    said = _run(["--list-only", "--status-fd", "1", "--decrypt"], start).stdout
    rows = [line.split() for line in said.decode("ascii", "replace").splitlines()]
    return [row[2] for row in rows if row[:2] == ["[GNUPG:]", "ENC_TO"]]


def _listed(key: bytes, key_field: str) -> list[list[str]]:
    """What GnuPG says of keys, without taking them in."""
    if shutil.which("gpg") is None:
        raise _missing(key_field)
    said = _run(["--with-colons", "--show-keys"], key).stdout
    rows = [line.split(":") for line in said.decode("utf-8", "replace").splitlines()]
    return [row + [""] * (12 - len(row)) for row in rows]


def _missing(key_field: str) -> ConfigurationError:
    return ConfigurationError(
        f"{key_field}: gpg is not on this machine, and it does the encryption; install GnuPG "
        f"2.2.8 or newer (package gnupg) on every worker"
    )


def _check_usable(rows: Sequence[list[str]], key_field: str) -> None:
    """Refuse a key that is over, as a whole or as far as it encrypts."""
    primary = next(row for row in rows if row[0] == "pub")
    encrypting = [row for row in rows if row[0] in ("pub", "sub") and "e" in row[11]]
    if _is_usable(primary) and any(map(_is_usable, encrypting)):
        return
    over = [row for row in (primary, *encrypting) if _is_over(row)]
    if over:
        day = time.strftime("%Y-%m-%d", time.gmtime(int(over[0][6])))
        raise ConfigurationError(
            f"{key_field}: the key expired on {day}; ask its owner for the key that holds now"
        )
    raise ConfigurationError(
        f"{key_field}: the key was revoked, or has no part that can be encrypted to; ask its owner "
        f"for the key that holds now"
    )


def _is_usable(row: Sequence[str]) -> bool:
    return not _is_over(row) and row[1] not in _UNUSABLE


def _is_over(row: Sequence[str]) -> bool:
    return row[6].isdigit() and int(row[6]) <= time.time()


def _home() -> tempfile.TemporaryDirectory[str]:
    # Made with mode 0700.
    return tempfile.TemporaryDirectory(prefix="airflow-am-gpg-")


def _command(home: Path, arguments: Sequence[str]) -> list[str]:
    own = ["--homedir", str(home), "--no-options", "--batch", "--no-tty", "--no-autostart"]
    return ["gpg", *own, *arguments]


def _run(arguments: Sequence[str], data: bytes) -> subprocess.CompletedProcess[bytes]:
    with _home() as home:
        return subprocess.run(  # noqa: S603  # no shell, and no text of a user's
            _command(Path(home), arguments),
            input=data,
            capture_output=True,
            env=_environment(),
            check=False,
        )


def _environment() -> dict[str, str]:
    # Its words are read.
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"}


def _last_line(said: bytes) -> str:
    lines = said.decode("utf-8", "replace").strip().splitlines()
    return printable(lines[-1]) if lines else "it says nothing"
