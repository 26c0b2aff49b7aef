"""What MkDocs does besides for this site: links out of docs/, diagrams, and tables on a phone.

On GitHub the pages link to example DAGs and other files, and GitHub draws diagrams. On the site
such links lead to the repository, and a diagram is the picture that ``scripts/diagrams.py`` made of
it. A cell of a table knows its column's header, so that site.css can show a row as a card.
"""

from __future__ import annotations

import hashlib
import itertools
import posixpath
import re
from pathlib import Path
from typing import TYPE_CHECKING

from mkdocs.exceptions import PluginError

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
REPOSITORY = "https://github.com/airflow-am-provider/airflow-am-provider"

_LINK = re.compile(r"(?<=\]\()(?![a-z]+:|#)(?P<path>[^)\s#]+)(?P<anchor>#[^)\s]*)?(?=\))")
_TABLE = re.compile(r"<table>.*?</table>", re.S)
_HEADER = re.compile(r"<th[^>]*>(.*?)</th>", re.S)
_CELLS = re.compile(r"<td(?=[ >])")
_TAG = re.compile(r"<[^>]+>")
DIAGRAM = re.compile(r"^```mermaid\n(?P<text>.*?)^```$", re.M | re.S)


def picture_of(diagram: str) -> str:
    """The file of a diagram's picture, below docs/. Another text has another name."""
    return f"images/diagrams/{hashlib.sha256(diagram.encode()).hexdigest()[:12]}.svg"


def on_page_markdown(markdown: str, /, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """The page as MkDocs needs it."""
    folder = posixpath.dirname(page.file.src_uri)

    def out_of_docs(found: re.Match[str]) -> str:
        path = posixpath.normpath(posixpath.join("docs", folder, found["path"]))
        if path.startswith("docs/"):
            return found[0]
        if not (ROOT / path).exists():
            raise PluginError(f"{page.file.src_uri}: {found['path']} is not there")
        kind = "tree" if (ROOT / path).is_dir() else "blob"
        return f"{REPOSITORY}/{kind}/main/{path}{found['anchor'] or ''}"

    def picture(found: re.Match[str]) -> str:
        name = picture_of(found["text"])
        if files.get_file_from_path(name) is None:
            raise PluginError(
                f"{page.file.src_uri}: a diagram has no picture yet; run python scripts/diagrams.py"
            )
        return f"![Diagram]({posixpath.relpath(name, folder or '.')})"

    return DIAGRAM.sub(picture, _LINK.sub(out_of_docs, markdown))


def on_page_content(html: str, /, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """The page with the header of its column in each cell."""

    def with_labels(table: re.Match[str]) -> str:
        labels = [
            _TAG.sub("", header).replace('"', "&quot;") for header in _HEADER.findall(table[0])
        ]
        column = itertools.cycle(labels)
        return _CELLS.sub(lambda _: f'<td data-label="{next(column)}"', table[0])

    return _TABLE.sub(with_labels, html)
