"""Who has which trait: the questions a test asks.

Traits and signals are kept under the ID they were sent for, so what a person has depends on
that person's files alone and not on the order in which other people's IDs were synchronised.
ID synchronisation keeps links from a master ID to others; the devices of an ID are found by
following them back. Mappings do not expire here, and Adobe's first-in-first-out limits of
mappings (features/administration/usage-limits.md) are not modelled.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final, Self

from airflow_am_provider.audience_manager.identifiers import ID_KINDS
from airflow_am_provider.sandbox.database import connect

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# AAM UUIDs (0) and the platforms' data sources; numbers from code, never from a file.
DEVICE_DPIDS: Final = ",".join(
    str(kind.dpid) for kind in ID_KINDS.values() if kind.dpid is not None
)
_DEVICES: Final = f"""
    WITH RECURSIVE above (key) AS (
        SELECT key FROM ids WHERE dpid = ? AND id = ?
        UNION SELECT master FROM links JOIN above ON links.other = above.key)
    SELECT ids.key, ids.dpid, ids.id FROM ids JOIN above USING (key)
    WHERE ids.dpid IN ({DEVICE_DPIDS})
"""  # noqa: S608  # no value is in the text
_BELOW: Final = """
    WITH RECURSIVE below (key) AS (
        SELECT value FROM json_each(?)
        UNION SELECT other FROM links JOIN below ON links.master = below.key)
    SELECT key FROM below
"""
# Every statement is sorted, so that two sandboxes with equal profiles give equal dumps.
_DUMP: Final = (
    """SELECT 'link', a.dpid, a.id, b.dpid, b.id FROM links
    JOIN ids a ON a.key = links.master JOIN ids b ON b.key = links.other ORDER BY 2, 3, 4, 5""",
    """SELECT 'hashed_email', ids.dpid, ids.id, h.dpid, h.hash FROM hashed_emails h
    JOIN ids ON ids.key = h.user ORDER BY 2, 3, 4, 5""",
    """SELECT 'trait', ids.dpid, ids.id, t.dpid, t.trait FROM traits t
    JOIN ids ON ids.key = t.user ORDER BY 2, 3, 4, 5""",
    """SELECT 'signal', ids.dpid, ids.id, s.dpid, s.key, s.value FROM signals s
    JOIN ids ON ids.key = s.user ORDER BY 2, 3, 4, 5, 6""",
)


class Profiles:
    """The profiles in a sandbox's database; may be asked while the sandbox runs.

    :param path: the database; made when there is none.

    >>> with Profiles(":memory:") as profiles:
    ...     profiles.has_trait(478, "ann", 24)
    False
    """

    def __init__(self, path: str | Path) -> None:
        self._connection = connect(path)

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def has_trait(self, dpid: int, user_id: str, trait: int | str, *, linked: bool = False) -> bool:
        """Whether a user has a trait.

        :param dpid: the data source of the user's ID.
        :param user_id: the ID, byte for byte.
        :param trait: the trait's ID.
        :param linked: see :meth:`traits`.
        """
        return str(trait) in self.traits(dpid, user_id, linked=linked)

    def traits(
        self, dpid: int, user_id: str, *, target_dpid: int | None = None, linked: bool = False
    ) -> frozenset[str]:
        """The traits of a user.

        :param dpid: the data source of the user's ID.
        :param user_id: the ID, byte for byte.
        :param target_dpid: only the traits of this data source.
        :param linked: also what was sent for other IDs that share a device with this one, as a
            segment on the device would see it.
        """
        rows = self._connection.execute(
            """SELECT trait FROM traits WHERE user IN (SELECT value FROM json_each(:users))
            AND (:dpid IS NULL OR dpid = :dpid)""",
            {"users": self._users(dpid, user_id, linked=linked), "dpid": target_dpid},
        )
        return frozenset(trait for (trait,) in rows)

    def signals(
        self, dpid: int, user_id: str, *, target_dpid: int | None = None, linked: bool = False
    ) -> frozenset[tuple[str, str]]:
        """Keys and values of a user's signals, ic codes under the key ``ic``; as :meth:`traits`."""
        rows = self._connection.execute(
            """SELECT key, value FROM signals WHERE user IN (SELECT value FROM json_each(:users))
            AND (:dpid IS NULL OR dpid = :dpid)""",
            {"users": self._users(dpid, user_id, linked=linked), "dpid": target_dpid},
        )
        return frozenset((key, value) for key, value in rows)

    def mapped(self, dpid: int, user_id: str) -> frozenset[tuple[int, str]]:
        """The devices of an ID: data source and ID of each, 0 standing for AAM UUIDs."""
        rows = self._connection.execute(_DEVICES, (dpid, user_id))
        return frozenset((device_dpid, device) for _, device_dpid, device in rows)

    def hashed_emails(self, dpid: int, user_id: str) -> frozenset[str]:
        """The hashed e-mail addresses that ``c2c_id`` files gave to a CRM ID."""
        rows = self._connection.execute(
            """SELECT hash FROM hashed_emails JOIN ids ON ids.key = user
            WHERE ids.dpid = ? AND ids.id = ?""",
            (dpid, user_id),
        )
        return frozenset(hashed for (hashed,) in rows)

    def dump(self) -> Iterator[tuple[str, ...]]:
        """Everything that is known of users, in one order whatever the order of files was.

        Rows are ``('link', master's DPID, master's ID, DPID, ID)``, ``('hashed_email', DPID, ID,
        e-mail's DPID, hash)``, ``('trait', DPID, ID, target DPID, trait)`` and ``('signal', DPID,
        ID, target DPID, key, value)``.
        """
        for statement in _DUMP:
            for row in self._connection.execute(statement):
                yield tuple(map(str, row))

    def digest(self) -> str:
        """SHA-256 of :meth:`dump`, in hexadecimal: equal for equal profiles."""
        digest = hashlib.sha256()
        for row in self.dump():
            # No field can hold a tab or newline: the contract forbids both.
            digest.update("\t".join(row).encode() + b"\n")
        return digest.hexdigest()

    def _users(self, dpid: int, user_id: str, *, linked: bool) -> str:
        """The keys of a user, as a JSON list."""
        own = "SELECT json_group_array(key) FROM ids WHERE dpid = ? AND id = ?"
        keys: str = self._connection.execute(own, (dpid, user_id)).fetchone()[0]
        if not linked:
            return keys
        devices = self._connection.execute(_DEVICES, (dpid, user_id)).fetchall()
        start = str([key for key, _, _ in devices])
        below = self._connection.execute(_BELOW, (start,)).fetchall()
        # Without a device there is nothing but the ID itself.
        return str([key for (key,) in below]) if devices else keys
