"""A line to a server that can be made to fall silent at a chosen word."""

import re
import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field

from demo.local.processes import HOST

_BLOCK_BYTES = 1 << 16


@dataclass(kw_only=True)
class Silence:
    """Where a connection falls silent for good; it holds one connection, the first that fits.

    :param request: what the client says, as a pattern of bytes; it is not passed on, unless there
        is an answer to wait for.
    :param answer: what the server says to that; the client never hears it.
    """

    request: bytes
    answer: bytes | None = None
    has_fallen: threading.Event = field(default_factory=threading.Event)
    _held: "_Link | None" = None

    @property
    def client_port(self) -> int:
        """The client's end of the connection that has fallen silent."""
        assert self._held is not None
        return self._held.client_port

    def holds(self, link: "_Link", request: bytes) -> bool:
        """Whether what a client says begins the silence."""
        if self._held is None and re.search(self.request, request):
            self._held = link
            if self.answer is None:
                self.has_fallen.set()
                return True
        return False

    def swallows(self, link: "_Link", answer: bytes) -> bool:
        """Whether what a server says is the answer that never arrives."""
        if self._held is link and self.answer is not None and re.search(self.answer, answer):
            self.has_fallen.set()
        return self._held is link and self.has_fallen.is_set()


class Relay:
    """A running relay: clients connect to its port.

    :param port: where it listens.
    """

    def __init__(self, port: int) -> None:
        self.port = port
        self.silences: list[Silence] = []

    def fall_silent(self, request: bytes, *, answer: bytes | None = None) -> Silence:
        """Wait for a word; see :class:`Silence`."""
        self.silences.append(Silence(request=request, answer=answer))
        return self.silences[-1]


@contextmanager
def relay_to(port: int) -> Iterator[Relay]:
    """Relay to a server on this machine until the block is left."""
    with socket.create_server((HOST, 0)) as listener:
        relay = Relay(listener.getsockname()[1])
        threading.Thread(target=_accept, args=(listener, relay, port), daemon=True).start()
        yield relay


def _accept(listener: socket.socket, relay: Relay, port: int) -> None:
    with suppress(OSError):  # the listener is closed in the end
        while True:
            client, _ = listener.accept()
            link = _Link(client, socket.create_connection((HOST, port)), relay)
            threading.Thread(target=link.requests, daemon=True).start()
            threading.Thread(target=link.answers, daemon=True).start()


class _Link:
    """One client's connection."""

    def __init__(self, client: socket.socket, server: socket.socket, relay: Relay) -> None:
        self.client_port: int = client.getpeername()[1]
        self._client = client
        self._server = server
        self._relay = relay

    def requests(self) -> None:
        """Pass on what the client says, until it leaves."""
        is_silent = False
        with closing(self._client), closing(self._server), suppress(OSError):
            while said := self._client.recv(_BLOCK_BYTES):
                for silence in self._relay.silences:
                    is_silent = silence.holds(self, said) or is_silent
                if not is_silent:
                    self._server.sendall(said)
            self._server.shutdown(socket.SHUT_RDWR)

    def answers(self) -> None:
        """Pass on what the server says, until it leaves; of a silent one not even that is heard."""
        with suppress(OSError):
            while said := self._server.recv(_BLOCK_BYTES):
                for silence in self._relay.silences:
                    if silence.swallows(self, said):
                        return
                self._client.sendall(said)
        # Also after a reset: nobody waits for a server that is gone.
        with suppress(OSError):
            self._client.shutdown(socket.SHUT_RDWR)
