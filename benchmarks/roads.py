"""Each road beside the program that anybody would take for it, and PGP beside gpg."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from benchmarks.comparison import (
    Comparison,
    Figure,
    Side,
    processor_time,
    times_faster,
)
from benchmarks.running import run_side
from benchmarks.world import OUTPUT_BUCKET
from demo.local.ftp import ftp_server, ftps_server
from demo.local.openssh import openssh_server
from demo.local.openssh import why_not as why_no_openssh

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.world import World

# All in one file, so that the roads are what is measured, and no beginning of files.
_PART_BYTES: Final = 4_900_000_000


@dataclass(frozen=True, kw_only=True)
class Tool:
    """Another program for a road.

    :param name: of the program, and of its side.
    :param target: how many times as fast this package has to be at least.
    """

    name: str
    side: Side
    target: float


def roads(world: World, rows: int) -> Comparison:
    """One file of lines by each road, and encrypted."""
    file = _file_of_lines(world, rows)
    sides: dict[str, Side] = {}
    figures: list[Figure] = []
    for name, (side, tools) in {
        "S3": _s3(world, file, rows),
        "SFTP": _sftp(world, file, rows),
        "FTPS": _ftp(world, file, rows, encrypted=True),
        "FTP": _ftp(world, file, rows, encrypted=False),
        "PGP": _pgp(world, file),
    }.items():
        sides[name] = side
        for tool in tools:
            other = f"{name} by {tool.name}"
            sides[other] = tool.side
            figures += [
                times_faster(f"{name}: speed over {tool.name}'s", name, other, tool.target),
                processor_time(f"{name}: processor over its", name, other),
            ]
        figures.append(
            Figure(
                title=f"{name}: peak memory",
                sides=(name,),
                compute=lambda reading: reading.peak_mb,
                unit="MB",
                at_most=512,
            )
        )
    return Comparison(
        name="roads",
        title="One plain file from staging on disk by each road, beside other programs",
        sides=sides,
        figures=figures,
        same_bytes=[list(sides)],
        notes="The product reads, hashes and sends; the others send. PGP: both compress alike.",
    )


def _file_of_lines(world: World, rows: int) -> Path:
    """The one part of a delivery, as it is sent plain."""
    path = world.directory / f"lines-{rows}"
    if not path.exists():
        run_side(
            Side(place="roads:stage", arguments={"kept_as": str(path), **_source(world, rows)}),
            world,
        )
    return path


def _source(world: World, rows: int) -> dict[str, Any]:
    return {
        "url": world.parquet("traits", rows),
        "staging": str(world.directory / "staging-roads"),
        "part_bytes": _PART_BYTES,
    }


def _sent(
    world: World, rows: int, fields: dict[str, str], account: dict[str, object] | None = None
) -> Side:
    """The product: from staging on disk by the connection's road."""
    arguments = {"fields": fields, "account": account, **_source(world, rows)}
    return Side(place="roads:send", arguments=arguments)


def _s3(world: World, file: Path, rows: int) -> tuple[Side, list[Tool]]:
    aws = shutil.which("aws") or ""
    arguments = {
        "aws": aws,
        "endpoint": world.s3.endpoint_url,
        "keys": [world.s3.access_key, world.s3.secret_key],
        "files": [str(file)],
        "without_start": True,
    }
    missing = "" if aws else "the AWS CLI (awscli) is not on the path"
    tool = Side(place="aws_cli:copy_files", arguments=arguments, missing=missing)
    fields = {"transport": "s3", "bucket": OUTPUT_BUCKET, "partner_name": "acme"}
    return _sent(world, rows, fields), [Tool(name="aws s3 cp", side=tool, target=1)]


def _sftp(world: World, file: Path, rows: int) -> tuple[Side, list[Tool]]:
    missing = why_no_openssh()
    if missing:
        skipped = Side(place="roads:send", missing=missing)
        return skipped, []
    server = world.stack.enter_context(openssh_server(world.directory / "openssh"))
    world.emptied.append(server.root)
    login = ["-i", str(server.key), "-o", f"UserKnownHostsFile={server.known_hosts}"]
    login += ["-o", "BatchMode=yes", "-F", "none"]
    address = f"{server.user}@{server.host}"
    target = server.root / "by-tool"
    fields = {"transport": "sftp", "ftp_directory": str(server.root)}
    connect = " ".join(["ssh", "-a", "-x", *login])
    return _sent(world, rows, fields, server.airflow_connection()), [
        _tool(
            ["sftp", "-q", "-b", "-", "-P", str(server.port), *login, address],
            f"put {file} {target}\n",
            file,
            0.8,
        ),
        _tool(
            ["lftp"],
            f"set cmd:fail-exit yes; set sftp:connect-program {json.dumps(connect)}\n"
            f"open -u {server.user}, -p {server.port} sftp://{server.host}\n"
            f"put {file} -o {target}\n",
            file,
            0.8,
        ),
    ]


def _ftp(world: World, file: Path, rows: int, *, encrypted: bool) -> tuple[Side, list[Tool]]:
    protocol = "ftps" if encrypted else "ftp"
    run = ftps_server if encrypted else ftp_server
    server = world.stack.enter_context(run(world.directory / protocol))
    world.emptied.append(server.root)
    tls = "set ftp:ssl-force yes; set ftp:ssl-protect-data yes; " if encrypted else ""
    if encrypted:
        authority = world.directory / "ftps-authority.pem"
        authority.write_text(server.certificate)
        tls += f"set ssl:ca-file {authority}; set ssl:check-hostname no"
    tool = _tool(
        ["lftp"],
        f"set cmd:fail-exit yes; {tls}\n"
        f"open -u {server.user},{server.password} -p {server.port} {server.host}\n"
        f"put {file} -o by-tool\n",
        file,
        0.8 if encrypted else 1,
    )
    fields = {"transport": protocol, "ftp_directory": "/"}
    return _sent(world, rows, fields, server.airflow_connection()), [tool]


def _tool(command: list[str], script: str, file: Path, target: float) -> Tool:
    """A program that takes what it is to do on its standard input."""
    name = command[0]
    arguments = {"command": command, "script": script, "file": str(file)}
    missing = "" if shutil.which(name) else f"{name} is not on the path"
    side = Side(place="roads:run_tool", arguments=arguments, missing=missing)
    return Tool(name=name, side=side, target=target)


def _pgp(world: World, file: Path) -> tuple[Side, list[Tool]]:
    missing = "" if shutil.which("gpg") else "gpg is not on the path"
    arguments = {"file": str(file), "folder": str(world.directory)}
    side = Side(place="roads:encrypt", arguments=arguments, missing=missing)
    other = Side(place="roads:encrypt_by_gpg", arguments=arguments, missing=missing)
    return side, [Tool(name="gpg", side=other, target=0.8)]
