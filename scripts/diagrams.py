#!/usr/bin/env python3
"""Draws the diagrams of docs/ as pictures for the site, which loads no script from elsewhere.

GitHub draws them by itself. Run it after a change of a diagram, where chromium is installed and an
npm registry can be reached.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

from scripts.site_hooks import DIAGRAM, ROOT, picture_of

MERMAID = "mermaid@11.17.2"
DOCS = ROOT / "docs"

_DRAW = """async text => {
    mermaid.initialize({startOnLoad: false, htmlLabels: false, flowchart: {htmlLabels: false}});
    return (await mermaid.render("diagram", text)).svg;
}"""


def mermaid(folder: Path) -> str:
    """The library, in one file."""
    subprocess.run(
        ["npm", "pack", "--silent", MERMAID], cwd=folder, check=True, stdout=subprocess.DEVNULL
    )
    with tarfile.open(next(folder.glob("*.tgz"))) as archive:
        library = archive.extractfile("package/dist/mermaid.min.js")
        assert library
        return library.read().decode()


def main() -> int:
    texts = {
        picture_of(found["text"]): found["text"]
        for path in sorted(DOCS.rglob("*.md"))
        for found in DIAGRAM.finditer(path.read_text())
    }
    folder = DOCS / "images" / "diagrams"
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.glob("*.svg"):
        if f"images/diagrams/{path.name}" not in texts:
            path.unlink()
    with tempfile.TemporaryDirectory() as scratch, sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        tab = browser.new_page()
        tab.add_script_tag(content=mermaid(Path(scratch)))
        for name, text in texts.items():
            (DOCS / name).write_text(tab.evaluate(_DRAW, text) + "\n")
        browser.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
