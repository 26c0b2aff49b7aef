"""Where the sandbox sends segment files and event feeds, and in which steps they arrive there.

Adobe puts them into a bucket or onto an SFTP host, in an order that no page promises: a file may
appear before it is whole, under an ending such as ``.tmp``, before its control file or after it.
"""

from __future__ import annotations

import base64
import hashlib
import io
import os
import random
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol
from urllib.parse import unquote, urlsplit

from airflow_am_provider.audience_manager.errors import ConfigurationError, TransientError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

PASSWORD_VARIABLE: Final = "AIRFLOW_AM_SANDBOX_SFTP_PASSWORD"  # noqa: S105  # a name, no password
HOST_KEY_VARIABLE: Final = "AIRFLOW_AM_SANDBOX_SFTP_HOST_KEY"

_TMP: Final = ".tmp"
_TIMEOUT_S: Final = 30.0
_SFTP_PORT: Final = 22


class Outbox(Protocol):
    """A place that files are sent to."""

    def put(self, path: str, content: bytes, part_bytes: int | None = None) -> None:
        """Write a file; one that is there is replaced.

        :param path: relative to the place.
        :param part_bytes: for S3: upload in parts of this size, which its ETag shows.
        """
        ...

    def rename(self, path: str, name: str) -> None:
        """Give a file another name; a file of that name is replaced."""
        ...


@dataclass(frozen=True, kw_only=True)
class Write:
    """A file to be sent.

    :param path: relative to the place.
    :param content: what is in it.
    :param part_bytes: as for :meth:`Outbox.put`.
    """

    path: str
    content: bytes
    part_bytes: int | None = None

    @property
    def etag(self) -> str:
        """The ETag that S3 gives to it: its MD5, or the MD5 of its parts' with their number."""
        if self.part_bytes is None:
            return hashlib.md5(self.content, usedforsecurity=False).hexdigest()
        digests = [
            hashlib.md5(part, usedforsecurity=False).digest()
            for part in parts_of(self.content, self.part_bytes)
        ]
        whole = hashlib.md5(b"".join(digests), usedforsecurity=False)
        return f"{whole.hexdigest()}-{len(digests)}"


def parts_of(content: bytes, part_bytes: int) -> list[bytes]:
    """A file's parts; of an empty one there is one.

    >>> parts_of(b"abc", 2), parts_of(b"", 2)
    ([b'ab', b'c'], [b''])
    """
    starts = range(0, max(len(content), 1), part_bytes)
    return [content[at : at + part_bytes] for at in starts]


@dataclass(frozen=True, kw_only=True)
class Arrival:
    """How files appear, which Adobe's pages leave open.

    :param order: a seed for the order in which they do.
    :param begins_half: whether they appear under their names before they are whole.
    :param is_renamed: whether they first have the ending ``.tmp``.
    :param pause_s: seconds between two steps, so that what waits for files sees each of them.
    """

    order: int = 0
    begins_half: bool = False
    is_renamed: bool = False
    pause_s: float = 0.0


def send(outbox: Outbox, writes: Sequence[Write], arrival: Arrival) -> None:
    """Send files, a step at a time.

    :raises TransientError: when the place cannot be reached.
    """
    shuffled = list(writes)
    random.Random(arrival.order).shuffle(shuffled)  # noqa: S311  # an order, not a secret
    for write in shuffled:
        half = write.content[: len(write.content) // 2]
        if arrival.is_renamed:
            outbox.put(f"{write.path}{_TMP}", half)
            time.sleep(arrival.pause_s)
            outbox.put(f"{write.path}{_TMP}", write.content, write.part_bytes)
            outbox.rename(f"{write.path}{_TMP}", write.path)
        else:
            if arrival.begins_half:
                outbox.put(write.path, half)
                time.sleep(arrival.pause_s)
            outbox.put(write.path, write.content, write.part_bytes)
        time.sleep(arrival.pause_s)


@contextmanager
def open_outbox(place: str) -> Iterator[Outbox]:
    """Open a place that files are sent to.

    :param place: ``s3://BUCKET/PREFIX``, ``sftp://USER@HOST:PORT/DIRECTORY`` or a folder, which is
        made.
    :raises ConfigurationError: when it is none of these, or what the login needs is missing.
    :raises TransientError: when the host cannot be reached.
    """
    if place.startswith("s3://"):
        import boto3

        bucket, _, prefix = place.removeprefix("s3://").partition("/")
        yield Bucket(boto3.client("s3"), bucket, prefix.rstrip("/"))
    elif place.startswith("sftp://"):
        with _sftp(place) as client:
            yield _Directory(client, unquote(urlsplit(place).path))
    elif "://" in place:
        raise ConfigurationError(
            f"--into {place.partition('://')[0]}://…: s3://BUCKET/PREFIX, "
            f"sftp://USER@HOST:PORT/DIRECTORY or the path of a folder is needed"
        )
    else:
        yield _Folder(Path(place))


class _Folder:
    def __init__(self, path: Path) -> None:
        self._path = path
        path.mkdir(parents=True, exist_ok=True)

    def put(self, path: str, content: bytes, part_bytes: int | None = None) -> None:
        del part_bytes
        target = self._path / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)

    def rename(self, path: str, name: str) -> None:
        (self._path / path).replace(self._path / name)


class Bucket:
    """A prefix of a bucket.

    :param client: boto3's.
    :param bucket: its name.
    :param prefix: without a slash at its end.
    """

    def __init__(self, client: Any, bucket: str, prefix: str = "") -> None:
        self._client = client
        self._bucket = bucket
        self._prefix = f"{prefix}/" if prefix else ""

    def put(self, path: str, content: bytes, part_bytes: int | None = None) -> None:
        """Write an object, in parts if their size is given."""
        where = {"Bucket": self._bucket, "Key": f"{self._prefix}{path}"}
        if part_bytes is None:
            self._client.put_object(**where, Body=content)
            return
        where |= {"UploadId": self._client.create_multipart_upload(**where)["UploadId"]}
        parts = []
        for number, body in enumerate(parts_of(content, part_bytes), start=1):
            made = self._client.upload_part(**where, PartNumber=number, Body=body)
            parts.append({"PartNumber": number, "ETag": made["ETag"]})
        self._client.complete_multipart_upload(**where, MultipartUpload={"Parts": parts})

    def rename(self, path: str, name: str) -> None:
        """Copy an object and delete the first: there is no other way."""
        there = {"Bucket": self._bucket, "Key": f"{self._prefix}{path}"}
        self._client.copy_object(Bucket=self._bucket, Key=f"{self._prefix}{name}", CopySource=there)
        self._client.delete_object(**there)


class _Directory:
    """A directory over SFTP."""

    def __init__(self, client: Any, directory: str) -> None:
        self._client = client
        self._directory = directory.rstrip("/")
        self._made: set[str] = set()

    def put(self, path: str, content: bytes, part_bytes: int | None = None) -> None:
        del part_bytes
        self._make(path.rpartition("/")[0])
        self._client.putfo(io.BytesIO(content), self._named(path))

    def rename(self, path: str, name: str) -> None:
        # As OpenSSH does it, over a file that has the name.
        self._client.posix_rename(self._named(path), self._named(name))

    def _named(self, path: str) -> str:
        return f"{self._directory}/{path}"

    def _make(self, folder: str) -> None:
        steps = [step for step in f"{self._directory}/{folder}".split("/") if step]
        for count in range(1, len(steps) + 1):
            path = f"/{'/'.join(steps[:count])}"
            if path not in self._made:
                with suppress(OSError):  # it is there
                    self._client.mkdir(path)
                self._made.add(path)


@contextmanager
def _sftp(place: str) -> Iterator[Any]:
    try:
        import paramiko
    except ImportError:
        raise ConfigurationError(
            "--into sftp://…: it needs pip install 'airflow-am-provider[sftp]'"
        ) from None
    user, host, port = _login(place)
    client = paramiko.SSHClient()
    client.set_missing_host_key_policy(paramiko.RejectPolicy())
    _trust(client, host if port == _SFTP_PORT else f"[{host}]:{port}")
    try:
        client.connect(
            host,
            port,
            user,
            os.environ.get(PASSWORD_VARIABLE),
            timeout=_TIMEOUT_S,
            banner_timeout=_TIMEOUT_S,
            auth_timeout=_TIMEOUT_S,
        )
        yield client.open_sftp()
    except (paramiko.AuthenticationException, paramiko.BadHostKeyException) as error:
        raise ConfigurationError(f"--into {place}: {error}") from None
    except (paramiko.SSHException, OSError) as error:
        raise TransientError(f"--into {place}: {error}") from None
    finally:
        client.close()


def _login(place: str) -> tuple[str, str, int]:
    parts = urlsplit(place)
    try:
        port = parts.port or _SFTP_PORT
    except ValueError:
        port = -1
    if parts.password is not None:
        # Not repeated here: whoever put it there has it in a shell history already.
        raise ConfigurationError(
            f"--into sftp://…: the password belongs in {PASSWORD_VARIABLE}, not in the URL"
        )
    if not parts.hostname or not parts.username or port == -1 or not parts.path.strip("/"):
        raise ConfigurationError(
            f"--into {place!r}: sftp://USER@HOST:PORT/DIRECTORY is needed, and the password in "
            f"{PASSWORD_VARIABLE} unless ssh has a key"
        )
    return unquote(parts.username), parts.hostname, port


def _trust(client: Any, name: str) -> None:
    """Let the client know the host's key: what the variable says, else known_hosts."""
    import paramiko

    line = os.environ.get(HOST_KEY_VARIABLE, "").split()
    if not line:
        client.load_system_host_keys()
        return
    try:
        kind, key = line[0], base64.b64decode(line[1], validate=True)
        client.get_host_keys().add(name, kind, paramiko.PKey.from_type_string(kind, key))
    except (IndexError, ValueError, paramiko.SSHException, paramiko.UnknownKeyType):
        raise ConfigurationError(
            f"{HOST_KEY_VARIABLE}: a public key such as 'ssh-ed25519 AAAA…' is needed"
        ) from None
