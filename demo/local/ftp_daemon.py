"""The process behind :mod:`demo.local.ftp`: pyftpdlib with faults on request.

``python -m demo.local.ftp_daemon PORT USER PASSWORD ROOT FAULTS [CERTIFICATE]``
"""

import json
import logging
import sys
from pathlib import Path
from typing import Any

from pyftpdlib.authorizers import DummyAuthorizer
from pyftpdlib.handlers import DTPHandler, FTPHandler
from pyftpdlib.servers import FTPServer

from demo.local.processes import HOST

_logger = logging.getLogger("pyftpdlib")
_ALL_PERMISSIONS = "elradfmwMT"


class _Faults:
    """What the file of :meth:`demo.local.ftp.FtpServer.cut_uploads` asks for."""

    path: Path

    @classmethod
    def take(cls) -> dict[str, Any] | None:
        """The fault for an upload that begins now; counts it as used."""
        if not cls.path.exists():
            return None
        fault: dict[str, Any] = json.loads(cls.path.read_text())
        if fault["times"] < 1:
            return None
        cls.path.write_text(json.dumps({**fault, "times": fault["times"] - 1}))
        return fault


class _CuttingDataChannel(DTPHandler):  # type: ignore[misc]  # pyftpdlib has no types
    fault: dict[str, Any] | None = None

    def enable_receiving(self, transfer_type: str, command: str) -> None:
        self.fault = _Faults.take()
        super().enable_receiving(transfer_type, command)

    def recv(self, buffer_size: int) -> bytes:
        """Read no more than the fault allows, so that the file ends at the very byte."""
        if self.fault is not None:
            buffer_size = min(buffer_size, self.fault["after_bytes"] - self.tot_bytes_received)
            if buffer_size <= 0:
                self.cut()
                return b""
        data: bytes = super().recv(buffer_size)
        return data

    def cut(self) -> None:
        assert self.fault is not None
        # A line that is lost ends without TLS's goodbye.
        self._error = self.cmd_channel._error = True  # noqa: SLF001  # pyftpdlib has no other way
        if self.fault["control_too"]:
            self.cmd_channel.close()
        else:
            self._resp = ("426 Data connection cut on request.", _logger.info)
            self.close()


class _Handler(FTPHandler):  # type: ignore[misc]  # pyftpdlib has no types
    dtp_handler = _CuttingDataChannel


def serve(
    host: str,
    port: int,
    *,
    user: str,
    password: str,
    root: Path,
    faults: Path,
    handler: type[FTPHandler] = _Handler,
) -> None:
    """Serve until ended by a signal."""
    logging.basicConfig(level=logging.INFO, stream=sys.stderr)
    _Faults.path = faults
    authorizer = DummyAuthorizer()
    authorizer.add_user(user, password, str(root), perm=_ALL_PERMISSIONS)
    handler.authorizer = authorizer
    FTPServer((host, port), handler).serve_forever()


def _encrypted(certificate: str) -> type[FTPHandler]:
    """A handler that takes nothing but TLS."""
    from OpenSSL import SSL
    from pyftpdlib.handlers import TLS_DTPHandler, TLS_FTPHandler

    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    context.use_certificate_chain_file(certificate)
    context.use_privatekey_file(certificate)
    # Without a name sessions are never taken up.
    context.set_session_id(b"local")
    channel = type("_EncryptedDataChannel", (_CuttingDataChannel, TLS_DTPHandler), {})
    demands = {"tls_control_required": True, "tls_data_required": True}
    members = {"ssl_context": context, "dtp_handler": channel, **demands}
    return type("_Encrypted", (TLS_FTPHandler,), members)


def main(arguments: list[str]) -> None:
    """Serve on localhost."""
    port, user, password, root, faults, *certificate = arguments
    handler = _encrypted(certificate[0]) if certificate else _Handler
    paths = {"root": Path(root), "faults": Path(faults)}
    serve(HOST, int(port), user=user, password=password, handler=handler, **paths)


if __name__ == "__main__":
    main(sys.argv[1:])
