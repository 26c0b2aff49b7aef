"""Encrypted files for a sandbox that has the secret key: by Sequoia, not by what encrypts them."""

from __future__ import annotations

import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from airflow_am_provider.audience_manager.errors import ConfigurationError
from airflow_am_provider.audience_manager.rules import Rule
from airflow_am_provider.sandbox.contents import refused

if TYPE_CHECKING:
    from collections.abc import Iterator


class Decryption:
    """Decrypts files; their text lies in a file of the user's own while it is read.

    :param secret_key: the file of the key, without a passphrase.
    :raises ConfigurationError: when it cannot be read or does not decrypt, or pysequoia is missing.
    """

    def __init__(self, secret_key: Path) -> None:
        try:
            from pysequoia import Tsk, decrypt_file
        except ImportError:
            raise ConfigurationError("--pgp-secret-key: needs pip install pysequoia") from None
        try:
            self._decryptor = Tsk.from_bytes(secret_key.read_bytes()).decryptor()
        except OSError as error:
            raise ConfigurationError(f"--pgp-secret-key: {error.strerror}: {secret_key}") from None
        except (RuntimeError, ValueError):
            # Sequoia's own texts are pages long.
            raise ConfigurationError(
                f"--pgp-secret-key: {secret_key} is no secret key that decrypts: it has to be "
                f"without a passphrase, and not signed with SHA-1"
            ) from None
        self._decrypt_file = decrypt_file

    @contextmanager
    def opened(self, stream: BinaryIO) -> Iterator[BinaryIO]:
        """The text of an encrypted file.

        :raises DataError: when it is encrypted to another key, or damaged.
        """
        with tempfile.TemporaryDirectory(prefix="airflow-am-sandbox-") as folder:
            encrypted, text = Path(folder) / "encrypted", Path(folder) / "text"
            with encrypted.open("wb") as file:
                shutil.copyfileobj(stream, file)
            try:
                self._decrypt_file(str(encrypted), str(text), decryptor=self._decryptor)
            except (RuntimeError, ValueError):
                raise refused(
                    Rule.ENCRYPTED, "it is damaged, or for another key than the sandbox's"
                ) from None
            with text.open("rb") as file:
                yield file
