"""The few words that say how files are made, for tasks and for the command line."""

from __future__ import annotations

from enum import StrEnum

from airflow_am_provider.audience_manager.names import Encoding


class OnEmpty(StrEnum):
    """What may become of a run that has nothing to send."""

    SKIP = "skip"
    FAIL = "fail"


class Compression(StrEnum):
    """How parts are packed (inbound-file-compression.md, inbound-file-encryption.md)."""

    GZIP = "gzip"
    NONE = "none"
    PGP = "pgp"
    GPG = "gpg"

    @property
    def encoding(self) -> Encoding:
        """Adobe's word for it."""
        return {
            Compression.GZIP: Encoding.GZIP,
            Compression.NONE: Encoding.PLAIN,
            Compression.PGP: Encoding.PGP,
            Compression.GPG: Encoding.GPG,
        }[self]
