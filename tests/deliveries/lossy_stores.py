"""S3 servers that do not keep conditional writes: one ignores the condition, one refuses it."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from demo.local.processes import HOST, accepts_connections, free_port, running
from demo.local.s3 import S3

_SERVER = """
import sys
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import run_simple

host, port, refuses = sys.argv[1], int(sys.argv[2]), sys.argv[3] == "refuses"
moto = DomainDispatcherApplication(create_backend_app)
refusal = b"<Error><Code>NotImplemented</Code><Message>A header is not known.</Message></Error>"

def app(environ, start_response):
    if environ["REQUEST_METHOD"] not in ("PUT", "POST"):
        return moto(environ, start_response)
    conditions = [environ.pop(f"HTTP_IF_{name}", None) for name in ("MATCH", "NONE_MATCH")]
    if refuses and any(conditions):
        environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        start_response("501 Not Implemented", [("Content-Type", "application/xml")])
        return [refusal]
    return moto(environ, start_response)

run_simple(host, port, app, threaded=True)
"""


@contextmanager
def s3_without_conditions(directory: Path, how: str) -> Iterator[S3]:
    """Run such a server.

    :param directory: for its log.
    :param how: what it does to a condition: "ignores" or "refuses" it.
    """
    port = free_port()
    command = [sys.executable, "-c", _SERVER, HOST, str(port), how]
    with running("S3", command, log=directory / "s3.log") as process:
        process.wait_until(lambda: accepts_connections(port), timeout_s=30)
        yield S3(endpoint_url=f"http://{HOST}:{port}")
