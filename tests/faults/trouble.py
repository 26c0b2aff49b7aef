"""What can go wrong in one attempt of one task."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

MIDNIGHT: Final = "midnight"

# Chain (0, or 1 for what runs at the same time), number of the run, task, attempt from 1.
Place = tuple[int, int, str, int]


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One thing that goes wrong on a line.

    :param line: ``s3``, ``ftp``, ``crm`` or ``mail``.
    :param what: ``answer`` (S3 answers with an error), ``cut`` (the line breaks), ``kill`` (the
        worker is killed), ``terminate`` (the database ends the session).
    :param at: from which request on; for the CRM, after how many bytes of its answers.
    :param times: how many requests in a row.
    :param after: whether the server does what was asked before it goes wrong.
    :param status: of S3's answer.
    :param code: of S3's answer.
    :param keep: bytes of the request or of the answer that still pass.
    """

    line: str
    what: str
    at: int
    times: int = 1
    after: bool = False
    status: int = 0
    code: str = ""
    keep: int = 0

    def __str__(self) -> str:
        said = f"{self.line}: {self.what} {self.code}".strip()
        where = f"byte {self.at:,}" if self.line == "crm" else f"request {self.at}"
        passes = f", {self.keep:,} bytes pass" if self.what == "cut" and self.line == "s3" else ""
        when = "after the server did it" if self.after else "before the server hears of it"
        return f"{said} at {where}, {self.times} times, {when}{passes}"


@dataclass(frozen=True, kw_only=True)
class Trouble:
    """What befalls one attempt.

    :param faults: on its lines.
    :param clock_s: how far its worker's clock is off, in seconds; or just before midnight.
    :param free_bytes: what the staging disk has left; None for enough.
    :param kill_after_s: when its process is killed, whatever it does.
    :param kill_at_end: whether it is killed when all is done and nothing told yet.
    :param ftp_cut: at which byte an upload's data connection is cut, and how many uploads are.
    """

    faults: tuple[Fault, ...] = ()
    clock_s: int | str = 0
    free_bytes: int | None = None
    kill_after_s: float | None = None
    kill_at_end: bool = False
    ftp_cut: tuple[int, int] | None = None

    def kinds(self) -> Iterator[str]:
        """What kinds of trouble this is."""
        for fault in self.faults:
            yield f"{fault.line} {fault.code or fault.what}"
        if self.clock_s:
            yield "clock moved"
        if self.free_bytes is not None:
            yield "disk full"
        if self.kill_after_s is not None:
            yield "kill at any time"
        if self.kill_at_end:
            yield "kill before the result is told"
        if self.ftp_cut:
            yield "ftp data cut"

    def __str__(self) -> str:
        said = list(map(str, self.faults))
        if self.clock_s:
            said.append(f"clock {self.clock_s}")
        if self.free_bytes is not None:
            said.append(f"{self.free_bytes:,} bytes free in staging")
        if self.kill_after_s is not None:
            said.append(f"killed after {self.kill_after_s} s")
        if self.kill_at_end:
            said.append("killed when done, before it says so")
        if self.ftp_cut:
            said.append(f"{self.ftp_cut[1]} FTP uploads cut at byte {self.ftp_cut[0]:,}")
        return "; ".join(said)
