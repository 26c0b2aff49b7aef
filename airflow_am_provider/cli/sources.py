"""The files that are meant by paths on the command line: local ones, or objects on S3."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, BinaryIO, Final, Protocol

from airflow_am_provider.audience_manager.errors import ConfigurationError
from airflow_am_provider.audience_manager.names import printable
from airflow_am_provider.sources.file_kinds import (
    beginning_of,
    is_pattern,
    is_readable,
    matches,
    nothing_readable,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_am_provider.storage import Folder

S3: Final = "s3://"


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """One file to look at.

    :param path: where it lies, as the user would write it.
    :param file_name: the name it has, or will have, at Adobe.
    :param size: its size in bytes, as it lies there.
    :param open: opens it for reading from its start.
    """

    path: str
    file_name: str
    size: int
    open: Callable[[], BinaryIO]


class Place(Protocol):
    """Where paths lead to."""

    def at(self, path: str) -> Source:
        """The file of exactly that path.

        :raises ConfigurationError: when there is none.
        """
        ...

    def below(self, path: str) -> list[Source] | None:
        """The files in a folder or below a prefix, in order; None when it is a file itself."""
        ...

    def matching(self, parent: str, pattern: str) -> list[Source]:
        """The files in a folder whose names a pattern stands for, in order."""
        ...


def place_of(path: str) -> Place:
    """Where a path leads to.

    :raises ConfigurationError: when it is empty, or ``s3://`` without a bucket.
    """
    if not path:
        raise ConfigurationError("an empty path; a file, a folder or s3://bucket/key is expected")
    if not path.startswith(S3):
        return Disk()
    bucket = path.removeprefix(S3).partition("/")[0]
    if not bucket:
        raise ConfigurationError(f"{printable(path)!r}: s3://bucket/key is expected")
    return Bucket(bucket)


def tables_at(path: str) -> list[Source]:
    """The CSV and Parquet files that a path stands for, in the order of their names.

    :param path: a file; a folder; or a pattern with ``*`` and ``?`` in its last name.
    :raises ConfigurationError: when there is none.
    """
    place = place_of(path)
    parent, slash, name = path.rpartition("/")
    if is_pattern(parent):
        raise ConfigurationError(
            f"{printable(path)!r}: '*' and '?' may stand in the last name alone; name the folder, "
            f"whose files are read with those of the folders in it"
        )
    if is_pattern(name):
        found = place.matching(f"{parent}{slash}", name)
        tables = [source for source in found if is_readable(source.file_name)]
    else:
        below = place.below(f"{path.rstrip('/')}/")
        # A directory may be empty; of a prefix without objects nothing is there.
        is_folder = below or (below is not None and isinstance(place, Disk))
        if not is_folder and not path.endswith("/"):
            return [place.at(path)]
        start = PurePosixPath(path)
        tables = [
            source
            for source in below or ()
            if is_readable(PurePosixPath(source.path).relative_to(start).as_posix())
        ]
    if not tables:
        raise ConfigurationError(nothing_readable(printable(path)))
    return tables


class Disk:
    """Local files and directories."""

    def at(self, path: str) -> Source:
        """The file of exactly that path."""
        file = Path(path)
        try:
            size = file.stat().st_size
        except OSError as error:
            raise _no_file(path, error) from None
        return Source(path=path, file_name=file.name, size=size, open=partial(_open, path))

    def below(self, path: str) -> list[Source] | None:
        """The files of a directory and its directories; hidden ones are left out."""
        start = Path(path)
        if not start.is_dir():
            return None
        files = sorted(start.rglob("*"))
        return [
            self.at(str(file))
            for file in files
            if file.is_file() and not _is_hidden(file.relative_to(start).as_posix())
        ]

    def matching(self, parent: str, pattern: str) -> list[Source]:
        """The files of a directory that a pattern stands for."""
        start = Path(parent)
        try:
            files = sorted(start.iterdir())
        except OSError as error:
            raise _no_file(parent, error) from None
        return [
            self.at(str(file)) for file in files if matches(file.name, pattern) and file.is_file()
        ]


class Bucket:
    """Objects of an S3 bucket.

    :param name: the bucket's name.
    """

    def __init__(self, name: str) -> None:
        # Neither is needed for local files, and both take their time to import. Credentials,
        # region and AWS_ENDPOINT_URL are found as in every program that uses boto3.
        from airflow_am_provider.storage.s3.folder import S3Folder

        self._url = f"{S3}{name}/"
        self._folder = S3Folder(s3_client(name), name)

    def at(self, path: str) -> Source:
        """The object of exactly that key."""
        key = path.removeprefix(self._url)
        for entry in self._folder.list(key):
            if entry.path == key:
                return self._source(key, entry.size)
        raise ConfigurationError(f"{printable(path)!r}: there is no such object")

    def below(self, path: str) -> list[Source] | None:
        """The objects whose key starts with the path's; hidden ones are left out."""
        prefix = path.removeprefix(self._url) if path.startswith(self._url) else ""
        found = []
        for entry in self._folder.list(prefix):
            if entry.path == prefix:
                return None
            if not _is_hidden(entry.path.removeprefix(prefix)):
                found.append(self._source(entry.path, entry.size))
        return found

    def matching(self, parent: str, pattern: str) -> list[Source]:
        """The objects of a prefix that a pattern stands for."""
        prefix = parent.removeprefix(self._url)
        return [
            self._source(entry.path, entry.size)
            for entry in self._folder.list(f"{prefix}{beginning_of(pattern)}")
            if matches(entry.path.removeprefix(prefix), pattern)
        ]

    def _source(self, key: str, size: int) -> Source:
        return Source(
            path=f"{self._url}{key}",
            file_name=PurePosixPath(key).name,
            size=size,
            open=partial(self._folder.open_read, key),
        )


def folder_at(location: str, *, asked_by: str, may_be_new: bool = False) -> Folder:
    """A folder, or a prefix of a bucket.

    :param location: a path, or ``s3://bucket/prefix``.
    :param asked_by: the argument that names it, for messages.
    :param may_be_new: whether a folder that is not there yet will do.
    :raises ConfigurationError: when it is none, or not there.
    """
    from airflow_am_provider.storage import LocalFolder, S3Folder

    if not location.startswith(S3):
        # Workers have no working directory of ours; whoever types a path has.
        folder = Path(location).absolute()
        if not location or not (may_be_new or folder.is_dir()):
            raise ConfigurationError(
                f"{asked_by}: {printable(location)!r}: there is no such folder"
            )
        return LocalFolder(folder)
    bucket, _, prefix = location.removeprefix(S3).partition("/")
    if not bucket:
        raise ConfigurationError(
            f"{asked_by}: {printable(location)!r}: s3://bucket/prefix is expected"
        )
    return S3Folder(s3_client(bucket), bucket, prefix.strip("/"))


def s3_client(bucket: str) -> Any:
    """A client by boto3's usual settings.

    :raises ConfigurationError: when they are wrong.
    """
    import boto3

    from airflow_am_provider.storage.s3.access import COMMAND_LINE, remember
    from airflow_am_provider.storage.s3.errors import s3_errors

    with s3_errors("reach", f"{S3}{bucket}", COMMAND_LINE):
        try:
            return remember(boto3.session.Session().client("s3"), COMMAND_LINE)
        except ValueError:
            # botocore's word for a URL that is none.
            raise ConfigurationError(
                f"cannot reach '{S3}{printable(bucket)}': {COMMAND_LINE.endpoint} is no URL; "
                f"http://host:port or https://host is expected"
            ) from None


def _open(path: str) -> BinaryIO:
    try:
        return Path(path).open("rb")
    except OSError as error:
        raise _no_file(path, error) from None


def _no_file(path: str, error: OSError) -> ConfigurationError:
    if isinstance(error, FileNotFoundError):
        return ConfigurationError(f"{printable(path)!r}: there is no such file or directory")
    return ConfigurationError(f"{printable(path)!r}: {error.strerror}")


def _is_hidden(path: str) -> bool:
    return any(part.startswith(".") for part in PurePosixPath(path).parts)
