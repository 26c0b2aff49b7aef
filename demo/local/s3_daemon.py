"""The process behind :mod:`demo.local.s3`: moto, whose conditional writes take turns.

``python -m demo.local.s3_daemon HOST PORT``

moto looks whether a condition holds, then writes: of two requests at once, both may be told that
they were first. S3 lets one of them win, and the package decides by that.
"""

import io
import os
import sys
from collections.abc import Iterable
from threading import Lock
from typing import TYPE_CHECKING, Any, BinaryIO

from moto.moto_server.werkzeug_app import (
    DomainDispatcherApplication,
    MotoRequestHandler,
    create_backend_app,
)
from werkzeug.serving import BaseWSGIServer, make_server

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

_CONDITIONS = ("HTTP_IF_MATCH", "HTTP_IF_NONE_MATCH")
_WRITES = ("PUT", "POST", "DELETE")


class ConditionsKept:
    """Lets writes that carry a condition take turns.

    :param app: the server, which answers a request completely before it returns.
    """

    def __init__(self, app: "WSGIApplication") -> None:
        self._app = app
        self._turn = Lock()

    def __call__(
        self, environ: "WSGIEnvironment", start_response: "StartResponse"
    ) -> Iterable[bytes]:
        """Answer a request."""
        has_condition = any(condition in environ for condition in _CONDITIONS)
        if not has_condition or environ["REQUEST_METHOD"] not in _WRITES:
            return self._app(environ, start_response)
        # Read before the turn: a client whose line falls silent must not hold up the others.
        environ["wsgi.input"] = io.BytesIO(_body(environ))
        with self._turn:
            return self._app(environ, start_response)


def make_s3_server(host: str, port: int) -> BaseWSGIServer:
    """A server that listens; ``serve_forever`` lets it answer."""
    app: Any = DomainDispatcherApplication(create_backend_app)
    return make_server(
        host, port, ConditionsKept(app), threaded=True, request_handler=MotoRequestHandler
    )


def _body(environ: "WSGIEnvironment") -> bytes:
    stream: BinaryIO = environ["wsgi.input"]
    if "CONTENT_LENGTH" in environ:
        return stream.read(int(environ["CONTENT_LENGTH"] or 0))
    # Sent in chunks; the server's own reader knows where they end.
    return stream.read() if environ.get("wsgi.input_terminated") else b""


def main(arguments: list[str]) -> None:
    """Serve until ended by a signal."""
    host, port = arguments
    # moto has answers that name its own address.
    os.environ.setdefault("MOTO_PORT", port)
    make_s3_server(host, int(port)).serve_forever()


if __name__ == "__main__":
    main(sys.argv[1:])
