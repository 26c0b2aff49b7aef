"""How a task packs its files: by its own parameter, or as the connection suggests."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_am_provider.audience_manager.errors import ConfigurationError
from airflow_am_provider.formatting.choices import Compression

if TYPE_CHECKING:
    from airflow_am_provider.audience_manager.file_kinds import Encoding
    from airflow_am_provider.formatting.openpgp import Recipient
    from airflow_am_provider.hooks.audience_manager import AudienceManagerHook


def packing_of(
    hook: AudienceManagerHook, compression: object = None
) -> tuple[Encoding, Recipient | None]:
    """How files are packed, and who can read them where they are encrypted.

    :param hook: whose connection has the public key.
    :param compression: the parameter; without it, files are encrypted if there is a key.
    :raises ConfigurationError: when it is none of the four, or the key is missing or refused.
    """
    if compression in (None, "", "None"):
        compression = "pgp" if hook.settings.pgp_public_key else "gzip"
    names = [one.value for one in Compression]
    if compression not in names:
        raise ConfigurationError(
            f"compression: {compression!r} is none of {', '.join(map(repr, names))}; a file "
            f"is packed by gzip or by PGP, never by both (inbound-file-encryption.md)"
        )
    encoding = Compression(str(compression)).encoding
    if not encoding.is_encrypted:
        return encoding, None
    recipient = hook.pgp_recipient()
    if recipient is None:
        raise ConfigurationError(
            f"compression: {compression!r} needs the recipient's public key, and the connection "
            f"{hook.audience_manager_conn_id!r} has none; fill in pgp_public_key and "
            f"pgp_fingerprint (inbound-file-encryption.md)"
        )
    return encoding, recipient
