"""How the lines of an account's files are made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_am_provider.audience_manager.errors import ConfigurationError
from airflow_am_provider.outbound.segment_lines import read_lines, spaces_in
from airflow_am_provider.outbound.template_lines import more_fields, read_template_lines

if TYPE_CHECKING:
    import pyarrow as pa

    from airflow_am_provider.audience_manager.outbound.line_templates import LineTemplate
    from airflow_am_provider.outbound.segment_lines import SegmentLines


@dataclass(frozen=True, kw_only=True)
class Layout:
    """How lines are made: Adobe's basic layout, or a template of the account's own.

    :param header_lines: how many lines at the begin of each file are none of data.
    :param separator_spaces: of the basic layout (outbound-file-name-contents.md): how many spaces
        stand between fields; None to see it from the lines.
    :param template: in Adobe's macros (outbound-template-macros.md); None for the basic layout.
    :param max_set_aside: how many lines of a batch may break the layout: a whole number is a count,
        a fraction a share of its lines.
    :raises ConfigurationError: when one of them can be none, or they contradict each other.
    """

    header_lines: int = 0
    separator_spaces: int | None = None
    template: LineTemplate | None = None
    max_set_aside: float = 1.0

    def __post_init__(self) -> None:
        if self.header_lines < 0:
            raise ConfigurationError(
                f"header_lines: {self.header_lines} is less than none; 0 is for files that begin "
                f"with data"
            )
        if self.separator_spaces is not None and self.separator_spaces < 1:
            raise ConfigurationError(
                f"separator_spaces: {self.separator_spaces}; one or more stand between fields "
                f"(outbound-file-name-contents.md); give None to see it from the lines"
            )
        if self.template is not None and self.separator_spaces is not None:
            raise ConfigurationError(
                "separator_spaces: it is of the basic layout, and line_template is another one"
            )

    @property
    def more(self) -> list[pa.Field]:
        """The columns that lines have beyond those of all rows."""
        return [] if self.template is None else more_fields(self.template)

    def read(self, block: bytes, spaces: int | None) -> SegmentLines:
        """Read a block of whole lines.

        :param spaces: how many stand between fields; None where nothing has shown it yet.
        """
        if self.template is None:
            return read_lines(block, spaces)
        return read_template_lines(block, self.template)

    def spaces_in(self, block: bytes, known: int | None) -> int | None:
        """How many spaces stand between fields, as far as it is known with this block.

        :param known: what blocks before have shown.
        """
        if self.template is not None:
            return None
        return self.separator_spaces or known or spaces_in(block)


BASIC = Layout()
