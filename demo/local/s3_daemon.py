"""The process behind :mod:`demo.local.s3`: moto, whose conditional writes take turns.

``python -m demo.local.s3_daemon HOST PORT``

moto looks whether a condition holds, then writes: of two requests at once, both may be told that
they were first. S3 lets one of them win, and the package decides by that. In the same way an upload
in pieces is completed once, and about one that is over S3 says so, where moto breaks.
"""

import functools
import io
import os
import sys
from collections.abc import Callable, Iterable
from threading import Lock
from typing import TYPE_CHECKING, Any, BinaryIO

from moto.moto_server.werkzeug_app import (
    DomainDispatcherApplication,
    MotoRequestHandler,
    create_backend_app,
)
from moto.s3.exceptions import NoSuchUpload
from moto.s3.models import S3Backend
from werkzeug.serving import BaseWSGIServer, make_server

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

_CONDITIONS = ("HTTP_IF_MATCH", "HTTP_IF_NONE_MATCH")
_WRITES = ("PUT", "POST", "DELETE")
_COMPLETES = "uploadId="


class ConditionsKept:
    """Lets writes that carry a condition, and those that complete an upload, take turns.

    :param app: the server, which answers a request completely before it returns.
    """

    def __init__(self, app: "WSGIApplication") -> None:
        self._app = app
        self._turn = Lock()

    def __call__(
        self, environ: "WSGIEnvironment", start_response: "StartResponse"
    ) -> Iterable[bytes]:
        """Answer a request."""
        takes_turn = any(condition in environ for condition in _CONDITIONS)
        takes_turn |= environ["REQUEST_METHOD"] == "POST" and _COMPLETES in environ["QUERY_STRING"]
        if not takes_turn or environ["REQUEST_METHOD"] not in _WRITES:
            return self._app(environ, start_response)
        # Read before the turn: a client whose line falls silent must not hold up the others.
        environ["wsgi.input"] = io.BytesIO(_body(environ))
        with self._turn:
            return self._app(environ, start_response)


def make_s3_server(host: str, port: int) -> BaseWSGIServer:
    """A server that listens; ``serve_forever`` lets it answer."""
    for name in ("upload_part", "upload_part_copy", "complete_multipart_upload"):
        setattr(S3Backend, name, _of_uploads_that_are_there(getattr(S3Backend, name)))
    app: Any = DomainDispatcherApplication(create_backend_app)
    return make_server(
        host, port, ConditionsKept(app), threaded=True, request_handler=MotoRequestHandler
    )


def _of_uploads_that_are_there(method: Callable[..., Any]) -> Callable[..., Any]:
    """Say that there is no such upload, as S3 does; moto meets a ``KeyError``."""

    @functools.wraps(method)
    def checked(self: S3Backend, *args: Any, **kwargs: Any) -> Any:
        try:
            return method(self, *args, **kwargs)
        except KeyError as error:
            raise NoSuchUpload(upload_id=str(error.args[0])) from None

    return checked


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
