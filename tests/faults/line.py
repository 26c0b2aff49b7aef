"""Lines between a worker and a server, on which faults befall one attempt after the other."""

import os
import signal
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field

from demo.local.processes import HOST
from tests.faults.trouble import Fault

_BLOCK_BYTES = 1 << 16


@dataclass
class Line:
    """Where faults are counted.

    :param name: which faults are its own.
    :param happened: how many of each kind came to pass.
    :param conditions: what becomes of conditions for writes to S3, by bucket.
    :param asked: what was asked and answered since the attempt began, such as ``PUT bucket/key``.
    """

    name: str
    port: int = 0
    happened: dict[str, int] = field(default_factory=dict)
    conditions: dict[str, str] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    _faults: tuple[Fault, ...] = ()
    _count: int = 0
    _pid: int = 0
    _attempt: int = 0
    _known: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def arm(self, faults: tuple[Fault, ...]) -> None:
        """Begin to count for another attempt."""
        with self._lock:
            self._faults = tuple(fault for fault in faults if fault.line == self.name)
            self._count = 0
            self.asked = []
            self._attempt += 1
            self._known.clear()

    def serves(self, pid: int) -> None:
        """Say which process makes the attempt."""
        self._pid = pid
        self._known.set()

    def next(self, amount: int = 1) -> Fault | None:
        """Count on, and tell what goes wrong now."""
        with self._lock:
            before, self._count = self._count, self._count + amount
            for fault in self._faults:
                if before < fault.at + (fault.times - 1) * amount and fault.at <= self._count:
                    return fault
        return None

    def note(self, fault: Fault) -> None:
        """Remember that a fault came to pass."""
        kind = f"{fault.line} {fault.code or fault.what}"
        with self._lock:
            self.happened[kind] = self.happened.get(kind, 0) + 1

    def kill(self) -> None:
        """End the worker as the kernel does when memory is short."""
        if self._known.wait(5):
            with suppress(ProcessLookupError):
                os.kill(self._pid, signal.SIGKILL)


@contextmanager
def relay(
    line: Line, port: int, *, terminate: Callable[[int], None] | None = None
) -> Iterator[Line]:
    """Pass on what a client says to a server on this machine, and the server's answers.

    Counts what the client says, for the CRM the bytes of the answers.

    :param port: the server's.
    :param terminate: ends the database session that comes from a port.
    """
    with socket.create_server((HOST, 0)) as listener:
        line.port = listener.getsockname()[1]

        def accept() -> None:
            with suppress(OSError):  # the listener is closed in the end
                while True:
                    client, _ = listener.accept()
                    try:
                        server = socket.create_connection((HOST, port))
                    except OSError:
                        client.close()
                        continue
                    link = _Link(line, client, server, terminate)
                    for side in (link.requests, link.answers):
                        threading.Thread(target=side, daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        try:
            yield line
        finally:
            # Closing alone would leave the thread waiting for ever.
            listener.shutdown(socket.SHUT_RDWR)


class _Link:
    """One client's connection."""

    def __init__(
        self,
        line: Line,
        client: socket.socket,
        server: socket.socket,
        terminate: Callable[[int], None] | None,
    ) -> None:
        self._line, self._client, self._server = line, client, server
        self._terminate = terminate
        self._awaited: Fault | None = None

    def requests(self) -> None:
        """Pass on what the client says until it leaves or the line breaks."""
        with closing(self._client), closing(self._server), suppress(OSError), self._ended():
            while said := self._client.recv(_BLOCK_BYTES):
                fault = None if self._line.name == "crm" else self._line.next()
                if fault is not None and not fault.after:
                    self._befall(fault)
                    return
                self._awaited = fault
                self._server.sendall(said)

    def answers(self) -> None:
        """Pass on what the server says until it leaves or the line breaks.

        A session that is terminated before it has read all may end with a reset: that is passed on
        as well, or the client would wait for ever.
        """
        with suppress(OSError), self._ended():
            while said := self._server.recv(_BLOCK_BYTES):
                fault = self._awaited
                if self._line.name == "crm":
                    fault = self._line.next(len(said))
                if fault is not None:
                    if fault.what == "terminate" and self._terminate is not None:
                        self._line.note(fault)
                        self._terminate(self._server.getsockname()[1])
                    else:
                        self._befall(fault)
                        return
                self._client.sendall(said)

    @contextmanager
    def _ended(self) -> Iterator[None]:
        """Tell both sides that the other one has gone, however the block ends."""
        try:
            yield
        finally:
            for side in (self._client, self._server):
                with suppress(OSError):
                    side.shutdown(socket.SHUT_RDWR)

    def _befall(self, fault: Fault) -> None:
        self._line.note(fault)
        if fault.what == "kill":
            self._line.kill()
        break_off(self._client)
        with suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)


def break_off(client: socket.socket) -> None:
    """Close a connection without a farewell."""
    with suppress(OSError):
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.shutdown(socket.SHUT_RDWR)
        client.close()
