"""A line to an S3 server that knows its words: it can answer in the server's place."""

import http.client
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

from demo.local.processes import HOST
from tests.faults.line import Line, break_off
from tests.faults.schedule import DROPS_SOME, REFUSES
from tests.faults.trouble import Fault

_PER_HOP = frozenset(("connection", "content-length", "keep-alive", "transfer-encoding"))


class Answer(NamedTuple):
    """What a server said."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes
    length: str


@contextmanager
def s3_line(line: Line, port: int) -> Iterator[Line]:
    """Pass on requests to an S3 server on this machine.

    :param port: the server's.
    """
    handler = type("_Handler", (_Handler,), {"line": line, "server_port": port})
    with _Server((HOST, 0), handler) as server:
        line.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield line
        finally:
            server.shutdown()
            thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, *_: Any) -> None:
        """Say nothing: clients that leave are what this is about."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    line: Line
    server_port: int

    def _serve(self) -> None:
        fault = self.line.next()
        size = int(self.headers.get("Content-Length") or 0)
        if fault is not None and not fault.after and fault.what in ("cut", "kill"):
            self.rfile.read(min(fault.keep, size))
            self._break(fault)
            return
        body = self.rfile.read(size)
        if not self._keeps_conditions():
            self._say(_NO_SUCH_REQUEST)
            return
        if fault is not None and not fault.after:
            self.line.note(fault)
            self._say(_refusal(fault))
            return
        answer = self._ask(body)
        if fault is None:
            self.line.asked.append(f"{self.command} {self.path.lstrip('/')}")
            self._say(answer)
        elif fault.what == "answer":
            self.line.note(fault)
            self._say(_refusal(fault))
        elif fault.what == "kill":
            self._break(fault)
        else:
            self._say(answer, keep=fault.keep)
            self._break(fault)

    do_GET = do_PUT = do_HEAD = do_POST = do_DELETE = _serve  # noqa: N815  # so it looks for them

    def _keeps_conditions(self) -> bool:
        """Pass over conditions where this is such a store; False where it knows none."""
        does = self.line.conditions.get(self.path.lstrip("/").partition("/")[0])
        if does is None or self.command not in ("PUT", "POST"):
            return True
        dropped = ("If-Match",) if does == DROPS_SOME else ("If-Match", "If-None-Match")
        found = [name for name in dropped if name in self.headers]
        if found and does == REFUSES:
            return False
        for name in found:
            del self.headers[name]
        return True

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def _ask(self, body: bytes) -> Answer:
        server = http.client.HTTPConnection(HOST, self.server_port, timeout=30)
        try:
            server.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                if name.lower() not in ("connection", "expect"):
                    server.putheader(name, value)
            server.endheaders(body or None)
            answer = server.getresponse()
            content = answer.read()
            headers = [
                (name, value) for name, value in answer.getheaders() if name.lower() not in _PER_HOP
            ]
            length = answer.getheader("Content-Length") if self.command == "HEAD" else None
            return Answer(answer.status, headers, content, length or str(len(content)))
        finally:
            server.close()

    def _say(self, answer: Answer, *, keep: int | None = None) -> None:
        self.send_response_only(answer.status)
        for name, value in answer.headers:
            self.send_header(name, value)
        self.send_header("Content-Length", answer.length)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body[:keep])
        self.wfile.flush()

    def _break(self, fault: Fault) -> None:
        self.line.note(fault)
        if fault.what == "kill":
            self.line.kill()
        self.close_connection = True
        with suppress(OSError):
            if fault.what == "cut" and fault.after:
                # What was passed on arrives; a break without a farewell may swallow it.
                self.connection.shutdown(2)
            else:
                break_off(self.connection)


def _refusal(fault: Fault) -> Answer:
    return _error(fault.status, fault.code)


def _error(status: int, code: str) -> Answer:
    body = (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{code}</Code>'
        f"<Message>on request</Message><RequestId>0</RequestId></Error>"
    ).encode()
    return Answer(status, [("Content-Type", "application/xml")], body, str(len(body)))


_NO_SUCH_REQUEST = _error(501, "NotImplemented")
