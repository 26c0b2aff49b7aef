"""The documentation as a site: no warning, nothing loaded from elsewhere, no dead link."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import unquote, urlsplit

import pytest

from tests.browsers import chromium
from tests.docs_pages import DOCS, ROOT

pytest.importorskip("mkdocs", reason="the extra docs is not installed")

REPOSITORY = "https://github.com/airflow-am-provider/airflow-am-provider/"

# What a browser fetches by itself when it shows a page.
FETCHED = {
    "script": "src", "img": "src", "iframe": "src", "source": "src", "video": "src", "audio": "src",
    "embed": "src", "object": "data", "link": "href", "form": "action",
}  # fmt: skip

_NO_PROSE = {"pre", "code", "script", "style", "h1", "h2", "h3", "h4"}


@dataclass
class Html(HTMLParser):
    """What a page fetches, links to, and can be linked to by; and its prose."""

    text: str
    fetched: list[str] = field(default_factory=list)
    links: list[str] = field(default_factory=list)
    anchors: set[str] = field(default_factory=set)
    classes: set[str] = field(default_factory=set)
    cells_without_label: int = 0
    prose: str = ""

    def __post_init__(self) -> None:
        super().__init__()
        self._in_code = 0
        self._in_article = 0
        self.feed(self.text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        self._in_code += tag in _NO_PROSE
        self._in_article += tag == "article"
        self.anchors.add(values.get("id", ""))
        self.classes.update(
            values.get("class", "").split(), values.get("data-md-component", "").split()
        )
        if tag in FETCHED:
            self.fetched.append(values.get(FETCHED[tag], ""))
        if tag == "a":
            self.links.append(values.get("href", ""))
        self.cells_without_label += tag == "td" and "data-label" not in values

    def handle_endtag(self, tag: str) -> None:
        self._in_code -= tag in _NO_PROSE
        self._in_article -= tag == "article"

    def handle_data(self, data: str) -> None:
        if self._in_article and not self._in_code:
            self.prose += data


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    built = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", folder],
        cwd=ROOT,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
    )
    assert built.returncode == 0, built.stderr
    assert built.stderr == ""
    return folder


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, Html]:
    found = {path: Html(path.read_text()) for path in site.rglob("*.html")}
    assert len(found) > len(list(DOCS.rglob("*.md")))  # and the page that says that there is none
    return found


def elsewhere(url: str) -> bool:
    return bool(urlsplit(url).netloc)


def test_nothing_is_loaded_from_elsewhere(site: Path, pages: dict[Path, Html]) -> None:
    for path, page in pages.items():
        assert not [url for url in page.fetched if elsewhere(url)], path
        # For these the theme's script asks GitHub for stars, and unpkg.com for what draws diagrams.
        assert not page.classes & {"source", "mermaid"}, path
    for path in site.rglob("*.css"):
        urls = re.findall(r"(?:url\(|@import\s+)[\"']?([^\"')\s]+)", path.read_text())
        assert not [url for url in urls if elsewhere(url)], path
    for path in site.rglob("*.svg"):
        assert not re.search(
            r"(?:href|src)=\"https?:|@import|url\(['\"]?https?:", path.read_text()
        ), path


def test_no_link_is_dead(site: Path, pages: dict[Path, Html]) -> None:
    for path, page in pages.items():
        if path.name == "404.html":  # is shown under any address, and its links begin at the top
            continue
        for link in filter(None, page.links):
            url = urlsplit(link)
            if link.startswith(REPOSITORY) and "/main/" in link:
                assert (ROOT / unquote(url.path.partition("/main/")[2])).exists(), (path, link)
            elif not url.scheme:
                target = (path.parent / unquote(url.path)).resolve() if url.path else path
                target = target / "index.html" if target.is_dir() else target
                assert target.exists(), (path, link)
                if target in pages and url.fragment:
                    assert unquote(url.fragment) in pages[target].anchors, (path, link)


def markdown_that_was_left(prose: str) -> Iterator[str]:
    for found in re.finditer(r"^ *(?:- |\d+\. |\|).*|```.*|\*\*\w.*|\]\(.*|<!--.*", prose, re.M):
        yield found[0]


def test_markdown_means_the_same_here_as_on_github(pages: dict[Path, Html]) -> None:
    for path, page in pages.items():
        assert not list(markdown_that_was_left(page.prose)), path


def test_each_cell_of_a_table_knows_its_header(pages: dict[Path, Html]) -> None:
    assert not {path.name for path, page in pages.items() if page.cells_without_label}


def test_a_phone_shows_pages_whole_and_asks_nobody_else(site: Path) -> None:
    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None: ...

    with (
        ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(site))) as server,
        chromium() as browser,
    ):
        Thread(target=server.serve_forever, daemon=True).start()
        own = f"http://127.0.0.1:{server.server_port}/"
        tab = browser.new_page(viewport={"width": 390, "height": 844})
        asked: list[str] = []
        tab.on("request", lambda request: asked.append(request.url))
        for name in ("index", "connection", "receipts", "architecture", "how-to/adobe", "runbook"):
            tab.goto(f"{own}{name}.html")
            assert tab.evaluate("document.documentElement.scrollWidth") <= 390, name
            # A row is a card: its cells stand one below the other.
            assert tab.evaluate("getComputedStyle(document.querySelector('td')).display") == "block"
        tab.fill("[data-md-component=search-query]", "fingerprint", force=True)
        tab.wait_for_selector(".md-search-result__item", state="attached")
        assert asked
        assert [url for url in asked if not url.startswith((own, "data:", "blob:"))] == []
        server.shutdown()
