"""A plain file of lines by each road, encrypted, and by the programs that others would take."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from airflow_am_provider.audience_manager.names import Encoding
from airflow_am_provider.operators.upload import UploadOperator
from benchmarks.readings import Outcome
from benchmarks.sides.commands import just_written, run_commands
from benchmarks.sides.product import (
    formatting,
    load_what_execute_imports,
    new_run_id,
    run_context,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.readings import Stopwatch

_CONNECTION: Final = "roads"
_PIECE_BYTES: Final = 1 << 20


def stage(
    stopwatch: Stopwatch,
    *,
    url: str,
    staging: str,
    part_bytes: int,
    kept_as: str,
) -> Outcome:
    """Stage the rows as one plain file, and keep that under a name of its own."""
    _connect({"transport": "s3", "bucket": "output", "partner_name": "acme"}, None, staging)
    with stopwatch:
        manifest = _staged(url, part_bytes)
    (part,) = manifest["parts"]
    (Path(staging) / part["path"]).rename(kept_as)
    return Outcome(rows=1, bytes=part["bytes"])


def send(
    stopwatch: Stopwatch,
    *,
    fields: dict[str, str],
    account: dict[str, object] | None,
    url: str,
    staging: str,
    part_bytes: int,
) -> Outcome:
    """Send a staged delivery of one plain file, with its checksum looked at on the way.

    :param fields: what the connection says of the road.
    :param account: the Airflow connection of the host; None for a bucket.
    """
    _connect(fields, account, staging)
    # In another process, whose memory is not counted here. What was sent once is not sent again.
    manifest = _staged_elsewhere(url, part_bytes)
    load_what_execute_imports()
    if fields["transport"] == "sftp":
        from airflow.providers.sftp.hooks.sftp import SFTPHook  # noqa: F401  # loaded before the clock runs

        import airflow_am_provider.storage.drops.sftp  # noqa: F401  # loaded before the clock runs
    sending = UploadOperator(
        task_id="upload", manifest=manifest, audience_manager_conn_id=_CONNECTION
    )
    with stopwatch:
        sending.execute(run_context(new_run_id()))
    (part,) = manifest["parts"]
    (Path(staging) / part["path"]).unlink()
    return Outcome(rows=1, bytes=part["bytes"])


def run_tool(stopwatch: Stopwatch, *, command: Sequence[str], script: str, file: str) -> Outcome:
    """Send the file by a program that reads its commands from its standard input."""
    with just_written(file):
        run_commands(stopwatch, [command], given=script)
    return Outcome(rows=1, bytes=Path(file).stat().st_size)


def encrypt(stopwatch: Stopwatch, *, file: str, folder: str) -> Outcome:
    """Encrypt the file as a part is encrypted."""
    from airflow_am_provider.formatting.openpgp import Recipient
    from airflow_am_provider.formatting.parts import packing

    key, fingerprint = _key()
    recipient = Recipient.pinned(key, fingerprint)
    target = Path(folder) / "encrypted"
    with (
        stopwatch,
        Path(file).open("rb") as text,
        target.open("wb") as message,
        packing(Encoding.PGP, recipient) as packer,
    ):
        while piece := text.read(_PIECE_BYTES):
            message.write(packer.compress(memoryview(piece)))
        message.write(packer.flush())
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    stopwatch.add(cpu_seconds=used.ru_utime + used.ru_stime, peak_mb=used.ru_maxrss * 1024 / 1e6)
    target.unlink()
    return Outcome(rows=1, bytes=Path(file).stat().st_size)


def encrypt_by_gpg(stopwatch: Stopwatch, *, file: str, folder: str) -> Outcome:
    """Encrypt the file by gpg from disk to disk, compressed alike."""
    target = Path(folder) / "encrypted"
    with tempfile.TemporaryDirectory(prefix="gpg-") as home:
        key = Path(home) / "recipient"
        key.write_bytes(_key()[0])
        command = ["gpg", "--homedir", home, "--no-options", "--batch", "--no-autostart"]
        command += ["--recipient-file", str(key), "--trust-model", "always"]
        command += ["--cipher-algo", "AES", "--compress-level", "1"]
        command += ["--personal-compress-preferences", "ZIP ZLIB"]
        command += ["--output", str(target), "--encrypt", file]
        run_commands(stopwatch, [command])
    target.unlink()
    return Outcome(rows=1, bytes=Path(file).stat().st_size)


def _key() -> tuple[bytes, str]:
    """A recipient's public key with its fingerprint."""
    from pysequoia import Tsk

    public = Tsk.generate(user_id="Made for a benchmark").extract_certificate()
    return str(public).encode(), public.fingerprint.upper()


def _connect(fields: dict[str, str], account: dict[str, object] | None, staging: str) -> None:
    if account is not None:
        os.environ["AIRFLOW_CONN_ROAD_ACCOUNT"] = json.dumps(account)
        fields = {**fields, "ftp_conn_id": "road_account"}
    extra = {"environment": "custom", "staging_location": staging, **fields}
    document = {"conn_type": "audience_manager", "extra": extra}
    os.environ[f"AIRFLOW_CONN_{_CONNECTION.upper()}"] = json.dumps(document)


def _staged(url: str, part_bytes: int) -> dict[str, Any]:
    load_what_execute_imports("aws_default")
    operator = formatting(
        "traits",
        source=url,
        compression="none",
        part_bytes=part_bytes,
        audience_manager_conn_id=_CONNECTION,
    )
    found: dict[str, Any] = operator.execute(run_context(new_run_id()))
    return found


def _staged_elsewhere(url: str, part_bytes: int) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.sides.roads", url, str(part_bytes)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    manifest: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return manifest


if __name__ == "__main__":
    print(json.dumps(_staged(sys.argv[1], int(sys.argv[2]))))
