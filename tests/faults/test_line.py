"""The lines of the fault suite pass on every end, so that no worker waits for what nobody says."""

import socket
import struct
import threading
from contextlib import suppress

import pytest

from demo.local.processes import HOST
from tests.faults.line import Line, relay


@pytest.mark.parametrize("said", [b"", b"FATAL"])
@pytest.mark.parametrize("reset", [True, False])
def test_a_server_that_is_gone_is_gone_for_the_client(said: bytes, *, reset: bool) -> None:
    with socket.create_server((HOST, 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(100)
                connection.sendall(said)
                if reset:
                    # As a session that is terminated while it has not read all that it was told.
                    linger = struct.pack("ii", 1, 0)
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)

        threading.Thread(target=serve).start()
        with (
            relay(Line("crm"), server.getsockname()[1]) as line,
            socket.create_connection((HOST, line.port), timeout=5) as client,
        ):
            client.sendall(b"BEGIN")
            heard = b""
            with suppress(ConnectionResetError):
                while answer := client.recv(100):
                    heard += answer
    assert heard in (b"", said)
