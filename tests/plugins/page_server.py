"""The page's files, made-up answers, and a window around it that frames it as Airflow does.

``python -m tests.plugins.page_server`` serves them on port 8181, for work on the browser side.
"""

from __future__ import annotations

import csv
import io
import json
import mimetypes
import sys
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote, urlsplit

from tests.plugins import page_charts, page_deliveries

if TYPE_CHECKING:
    from collections.abc import Iterator

ASSETS = Path(__file__).parents[2] / "airflow_am_provider" / "plugins" / "page" / "assets"
# As the server side says it, but stricter: no style in the page's text either.
POLICY = "default-src 'self'; frame-ancestors 'self'"
# Read from Airflow 3.3's own page.
SANDBOX = "allow-scripts allow-same-origin allow-forms allow-downloads"
OUTER = """<!doctype html><html lang="en" class="{mode}"><head><title>Airflow</title></head>
<body><iframe title="Audience Manager" sandbox="{sandbox}" src="/audience-manager/{search}"
style="width:100%;height:600px;border:0"></iframe></body></html>"""
Json = dict[str, Any]


class PageServer(ThreadingHTTPServer):
    """Serves the page.

    ``fails_with``: the status of every answer, or None; ``batches``: the outbound ones;
    ``is_indexed``: whether all is known; ``asked``: each path and query that was asked for.
    """

    daemon_threads = True

    def __init__(self, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.deliveries = page_deliveries.rows()
        self.fails_with: int | None = None
        self.batches: list[Json] = []
        self.is_indexed = True
        self.asked: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    @property
    def page(self) -> str:
        return f"{self.url}/audience-manager/"

    def matching(self, query: dict[str, str]) -> list[Json]:
        return [row for row in self.deliveries if _matches(row, query)]

    def answer(self, path: str, query: dict[str, str]) -> Json | None:
        if path == "deliveries":
            return self._page(query)
        if path.startswith("deliveries/"):
            wanted = unquote(path.removeprefix("deliveries/"))
            return next(
                (
                    page_deliveries.one(row)
                    for row in self.deliveries
                    if row["delivery_id"] == wanted
                ),
                None,
            )
        if path == "facets":
            return {
                "data_sources": sorted(
                    {row["target_data_source"] or row["data_source"] for row in self.deliveries}
                ),
                "environments": ["beta", "production"],
                "states": sorted({*page_deliveries.STATES, *page_deliveries.SPECIAL.values()}),
                "dags": sorted({row["dag_id"] for row in self.deliveries}),
            }
        if path == "outbound":
            found = [b for b in self.batches if query.get("state", b["state"]) == b["state"]]
            return {
                "batches": found,
                "total": len(found),
                "indexed_at": self.deliveries[0]["created_at"],
                "problems": [],
            }
        chart = page_charts.CHARTS.get(path)
        return (
            None
            if chart is None
            else chart(self.matching({"data_source": query.get("data_source", "")}), query)
        )

    def _page(self, query: dict[str, str]) -> Json:
        found = self.matching(query)
        start, limit = int(query.get("cursor", 0)), int(query.get("limit", 50))
        return {
            "deliveries": found[start : start + limit],
            "next_cursor": str(start + limit) if start + limit < len(found) else None,
            "total": len(found),
            "outstanding": sum(row["is_outstanding"] for row in found),
            "needs_attention": sum(row["needs_attention"] for row in found),
            "failed_runs_url": "/dag_runs?state=failed",
            "indexed_at": self.deliveries[0]["created_at"] if self.is_indexed else None,
            "problems": [] if self.is_indexed else ["The list is being read from staging"],
        }


def _matches(row: Json, query: dict[str, str]) -> bool:
    states = {
        state
        for one in query.get("state", "").split(",")
        for state in (page_deliveries.OUTSTANDING if one == "outstanding" else [one])
        if state
    }
    is_wanted = states & {row["state"], row["standing"]} or (
        "needs_attention" in states and row["needs_attention"]
    )
    if states and not is_wanted:
        return False
    if query.get("data_source", "") not in ("", row["target_data_source"], row["data_source"]):
        return False
    if query.get("backfill", "") not in ("", str(row["is_backfill"]).lower()):
        return False
    if not query.get("since", "") <= row["created_at"][:10] <= query.get("until", "9"):
        return False
    if query.get("day", "") not in row["created_at"]:
        return False
    if query.get("q", "") not in json.dumps(row):
        return False
    exact = ("environment", "dag_id", "run_id", "task_id", "map_index")
    return all(query.get(name, "") in ("", str(row[name])) for name in exact)


class _Handler(BaseHTTPRequestHandler):
    server: PageServer
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        query = dict(parse_qsl(parts.query))
        if not parts.path.startswith("/audience-manager/"):
            mode = query.pop("mode", "light")
            outer = OUTER.format(
                mode=mode, sandbox=SANDBOX, search=f"?{parts.query}" if query else ""
            )
            return self._send(200, outer.encode(), "text/html")
        path = parts.path.removeprefix("/audience-manager/")
        if path.startswith("api/"):
            return self._api(path.removeprefix("api/"), query)
        file = ASSETS / (path or "index.html")
        if not file.is_file():
            return self._send(404, b"", "text/plain")
        return self._send(
            200, file.read_bytes(), mimetypes.guess_type(file.name)[0] or "text/plain"
        )

    def _api(self, path: str, query: dict[str, str]) -> None:
        self.server.asked.append(self.path.removeprefix("/audience-manager/api/"))
        if self.server.fails_with is not None:
            return self._json(self.server.fails_with, {"detail": "The index is being built anew."})
        if path == "deliveries.csv":
            text = io.StringIO()
            writer = csv.DictWriter(
                text, fieldnames=["delivery_id", "state"], extrasaction="ignore"
            )
            writer.writeheader()
            writer.writerows(self.server.matching(query))
            return self._send(200, text.getvalue().encode(), "text/csv")
        answer = self.server.answer(path, query)
        if answer is None:
            return self._json(
                404, {"detail": "There is no such delivery, or you may not read its DAG."}
            )
        return self._json(200, answer)

    def _json(self, status: int, body: Json) -> None:
        self._send(status, json.dumps(body).encode(), "application/json")

    def _send(self, status: int, body: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Security-Policy", POLICY if b"<iframe" not in body else "")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def served(port: int = 0) -> Iterator[PageServer]:
    server = PageServer(port)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


if __name__ == "__main__":
    with served(int(sys.argv[1]) if len(sys.argv) > 1 else 8181) as page:
        print(page.page)
        threading.Event().wait()
