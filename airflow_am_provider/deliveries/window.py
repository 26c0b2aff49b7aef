"""The stretch of time that a delivery's data is about.

In documents it is two texts, ``window_start`` and ``window_end``; everywhere else it is one value.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

_START: Final = "window_start"
_END: Final = "window_end"


@dataclass(frozen=True, kw_only=True, slots=True)
class Window:
    """From when to when.

    :param start: first moment of the data, in UTC; None when open.
    :param end: first moment after the data, in UTC; None when open.

    >>> print(Window.parse("2026-03-01T00:00:00+00:00", None))
    2026-03-01T00:00:00+00:00 to …
    >>> print(Window())
    no window
    """

    start: datetime | None = None
    end: datetime | None = None

    @property
    def is_given(self) -> bool:
        """Whether it says anything."""
        return self.start is not None or self.end is not None

    @property
    def texts(self) -> tuple[str | None, str | None]:
        """Start and end in ISO 8601, one text for one moment."""
        return _text(self.start), _text(self.end)

    @classmethod
    def parse(cls, start: str | None, end: str | None) -> Window:
        """Read both in ISO 8601, as :attr:`texts` gave them; without a zone they are in UTC.

        :raises ValueError: when one is no moment.
        """
        return cls(start=_moment(start), end=_moment(end))

    def to_json(self) -> dict[str, str | None]:
        """The two fields of a document."""
        return dict(zip((_START, _END), self.texts, strict=True))

    def __str__(self) -> str:
        if not self.is_given:
            return "no window"
        start, end = self.texts
        return f"{start or '…'} to {end or '…'}"


NO_WINDOW: Final = Window()


def with_texts(value: Any) -> dict[str, Any]:
    """A dataclass with a field ``window`` as plain JSON, with two texts in that field's place."""
    document: dict[str, Any] = {}
    for name, field in asdict(value).items():
        document |= value.window.to_json() if name == "window" else {name: field}
    return document


def with_window(document: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a dataclass that :func:`with_texts` wrote.

    :raises ValueError: when its window is none.
    """
    fields = dict(document)
    return {"window": Window.parse(fields.pop(_START, None), fields.pop(_END, None)), **fields}


def _moment(text: str | None) -> datetime | None:
    if text is None:
        return None
    moment = datetime.fromisoformat(text)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _text(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()
