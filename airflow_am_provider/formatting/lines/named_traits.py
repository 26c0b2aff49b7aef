"""Which traits a delivery names: each number once, however many rows have it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from airflow_am_provider.audience_manager.items import ADD_PREFIX, REMOVE_PREFIX

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from airflow_am_provider.audience_manager.file_kinds import DataFileKind
    from airflow_am_provider.formatting.lines.pieces import Piece


def contents_document(
    kind: DataFileKind,
    traits: Iterable[int],
    removed_traits: Iterable[int] = (),
    signal_keys: Collection[str] = (),
) -> dict[str, Any]:
    """What a delivery says, without its users, as plain JSON.

    :param kind: of which data sources it is.
    :param traits: the traits that it gives.
    :param removed_traits: the traits that it takes away.
    :param signal_keys: the keys of its signals.
    """
    return {
        "dpid": kind.dpid,
        "target_dpid": kind.target_dpid or kind.dpid,
        "traits": sorted(set(traits)),
        "removed_traits": sorted(set(removed_traits)),
        "signal_keys": sorted(set(signal_keys)),
    }


class NamedTraits:
    """Collects the numbers of traits from the items of lines. It holds no user and no row.

    >>> from airflow_am_provider.formatting.lines.pieces import Piece
    >>> named = NamedTraits()
    >>> named.add([Piece("d_sid=", pa.array([b"24,d_sid=7", None, b"24"]), ""),
    ...            Piece("d_unsid=", pa.array([b"5", b"5", None]), ""),
    ...            Piece('"colour"=', pa.array([b"d_sid=9"]), "")])
    >>> sorted(named.traits), sorted(named.removed_traits)
    ([7, 24], [5])
    """

    def __init__(self) -> None:
        self.traits: set[int] = set()
        self.removed_traits: set[int] = set()

    def add(self, pieces: list[Piece]) -> None:
        """Collect those of some lines.

        :param pieces: their items. Those of columns of traits have their prefix before the text;
            all others are passed over.
        """
        for piece in pieces:
            if piece.before == ADD_PREFIX:
                self.traits.update(_numbers(piece))
            elif piece.before == REMOVE_PREFIX:
                self.removed_traits.update(_numbers(piece))


def _numbers(piece: Piece) -> Iterable[int]:
    items = pc.split_pattern(_texts(piece.text), f",{piece.before}".encode()).flatten()
    return map(int, pc.unique(items).drop_null().to_pylist())


def _texts(text: pa.Array) -> pa.Array:
    """The different texts where they are known already; else all of them."""
    if pa.types.is_dictionary(text.type):
        return text.dictionary.take(pc.unique(text.indices).drop_null())
    return text.drop_null()
