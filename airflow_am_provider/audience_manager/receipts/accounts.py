"""Whether receipts account for every record of a delivery's files.

Pages: inbound-receipt-message.md, reporting/onboarding-status-report.md. Adobe's distributor may
cut a file into pieces, and nothing tells how many there are. So the count of records is the only
sign that all of them are there. Files that stand in one receipt have one count in common; so files
are taken together as far as receipts link them, and each such group is held against its own lines:
a sum over all of a delivery would let a file that was read twice hide another one's loss.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_am_provider.audience_manager.receipts.exact_cover import has_exact_cover

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from airflow_am_provider.audience_manager.receipts.listed_names import SentNames
    from airflow_am_provider.audience_manager.receipts.receipt import Receipt


@dataclass(frozen=True, kw_only=True, slots=True)
class Listing:
    """One receipt, seen from one delivery.

    :param names: the delivery's names and pieces of them that it lists.
    :param files: the files that these mean, as they were sent.
    :param in_pieces: those of them that are listed by a piece's number.
    :param is_shared: whether it lists other deliveries' files too.
    :param received: its count of records received, or None when it has none.
    """

    names: frozenset[tuple[str, int | None]]
    files: frozenset[str]
    in_pieces: frozenset[str]
    is_shared: bool
    received: int | None

    @classmethod
    def of(cls, sent: SentNames, receipt: Receipt) -> Listing:
        """Read what a receipt lists of a delivery."""
        matches = [sent.match(name) for name in set(receipt.files)]
        own = [match for match in matches if match is not None]
        return cls(
            names=frozenset((match.name, match.piece) for match in own),
            files=frozenset(match.name for match in own),
            in_pieces=frozenset(match.name for match in own if match.piece is not None),
            is_shared=len(own) < len(matches),
            received=receipt.records_received,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Account:
    """Files that receipts link, held against the records that these receipts count.

    :param files: the files.
    :param listings: the receipts.
    :param lines: lines of each file.
    """

    files: frozenset[str]
    listings: tuple[Listing, ...]
    lines: Mapping[str, int]

    @property
    def is_shared(self) -> bool:
        """Whether other deliveries' records are among those that were received."""
        return any(listing.is_shared for listing in self.listings)

    @property
    def is_counted(self) -> bool:
        """Whether each receipt says how many records it is about."""
        return all(listing.received is not None for listing in self.listings)

    @property
    def sent(self) -> int:
        """Lines of all files."""
        return sum(self.lines[name] for name in self.files)

    @property
    def received(self) -> int:
        """Records received by all receipts that have such a count."""
        return sum(listing.received or 0 for listing in self.listings)

    @property
    def in_pieces(self) -> frozenset[str]:
        """Files that are listed by numbers of the distributor's."""
        return frozenset().union(*(listing.in_pieces for listing in self.listings))

    @property
    def outstanding(self) -> frozenset[str]:
        """Files that are listed in pieces which are not shown to be all there.

        Where other deliveries' records are among those received, or a receipt does not count them,
        nothing can show it.
        """
        is_all = not self.is_shared and self.is_counted and self._accounted >= self.sent
        return frozenset() if is_all else self.in_pieces

    def contradictions(self) -> Iterator[Contradiction]:
        """Where records received and lines sent do not fit, whatever is still to come."""
        if not self.is_counted or self.outstanding:
            return
        if self._is_repeated_whole or self._is_repeated_in_pieces:
            return
        if not self.is_shared and self.received != self.sent:
            yield Contradiction(files=self.files, received=self.received, sent=self.sent)
            return
        times = Counter(name for listing in self.listings for name in listing.files)
        for listing in self.listings:
            received = listing.received or 0
            alone = [name for name in listing.files if times[name] == 1]
            elsewhere = [name for name in listing.files if times[name] > 1]
            # A file that other receipts list as well has at least one record in each of them.
            least = sum(self.lines[name] for name in alone) + len(elsewhere)
            most = sum(self.lines[name] for name in alone)
            most += sum(max(self.lines[name] - times[name] + 1, 1) for name in elsewhere)
            if received < least:
                yield Contradiction(
                    files=listing.files, received=received, sent=least, is_bound=bool(elsewhere),
                    is_shared=listing.is_shared,
                )  # fmt: skip
            elif received > most and not self.is_shared:
                yield Contradiction(
                    files=listing.files, received=received, sent=most, is_bound=bool(elsewhere)
                )

    @property
    def _is_repeated_whole(self) -> bool:
        """Whether each receipt alone counts every line of each file that it lists.

        Then files that several receipts list were read several times, and no line is missing: two
        attempts sent the same bytes, and the next look at the folder came between them.
        """
        return all(
            not listing.is_shared
            and not listing.in_pieces
            and listing.received == sum(self.lines[name] for name in listing.files)
            for listing in self.listings
        )

    @property
    def _is_repeated_in_pieces(self) -> bool:
        """Whether some receipts show every line by names of their own, and others repeat these.

        No repeat is among what shows the lines, so none hides a loss. Names alone tell: had a
        second reading other numbers, it could not be told from lines of another file.
        """
        names = frozenset().union(*(listing.names for listing in self.listings))
        whole = {name for name, piece in names if piece is None}
        if self.is_shared or not self.in_pieces or whole & self.in_pieces:
            return False
        for listing in self.listings:
            most = sum(self.lines[name] for name in listing.files)
            received = listing.received or 0
            if received > most or (not listing.in_pieces and received != most):
                return False
        counts = [(listing.names, listing.received or 0) for listing in self.listings]
        return has_exact_cover(names, counts, self.sent)

    @property
    def _accounted(self) -> int:
        """Records that are accounted for by different names; what comes twice counts once."""
        if self.is_counted and self._is_repeated_in_pieces:
            return self.sent
        seen: set[tuple[str, int | None]] = set()
        total = 0
        for listing in sorted(self.listings, key=lambda one: -(one.received or 0)):
            if seen.isdisjoint(listing.names):
                total += listing.received or 0
            seen |= listing.names
        return total


@dataclass(frozen=True, kw_only=True, slots=True)
class Contradiction:
    """Records received that do not fit to lines sent.

    :param files: the files that are meant.
    :param received: records received.
    :param sent: lines that were sent; where ``is_bound``, the least or most there can be.
    :param is_bound: whether other receipts list some of these files too.
    :param is_shared: whether others' records are among those received, so that more are wanting.
    """

    files: frozenset[str]
    received: int
    sent: int
    is_bound: bool = False
    is_shared: bool = False


def accounts_of(lines: Mapping[str, int], listings: Sequence[Listing]) -> list[Account]:
    """Group files as far as receipts link them.

    :param lines: lines of each file of a delivery.
    :param listings: the receipts that list any of them, copies left out.
    """
    groups: dict[str, set[str]] = {}
    for listing in listings:
        joined = set(listing.files).union(*(groups.get(name, ()) for name in listing.files))
        for name in joined:
            groups[name] = joined
    by_group: defaultdict[frozenset[str], list[Listing]] = defaultdict(list)
    whole = {name: frozenset(group) for name, group in groups.items()}
    for listing in listings:
        by_group[whole[min(listing.files)]].append(listing)
    found = [
        Account(files=files, listings=tuple(own), lines=lines) for files, own in by_group.items()
    ]
    return sorted(found, key=lambda one: min(one.files))
