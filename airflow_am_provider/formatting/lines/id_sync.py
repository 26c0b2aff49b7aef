"""Which lines an ID sync file has: a row each, or a person each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_am_provider.audience_manager.names import IdSyncPrefix
from airflow_am_provider.formatting.lines.hashed_email_lines import HashedEmailLineWriter
from airflow_am_provider.formatting.lines.id_sync_lines import IdSyncLineWriter

if TYPE_CHECKING:
    from airflow_am_provider.formatting.lines.id_sync_lines import IdSyncSpec


def id_sync_writer(spec: IdSyncSpec) -> IdSyncLineWriter | HashedEmailLineWriter:
    """What writes the lines of an ID sync file.

    :param spec: what the file is to hold.
    """
    if spec.prefix is IdSyncPrefix.C2C_ID:
        return HashedEmailLineWriter(spec)
    return IdSyncLineWriter(spec)
