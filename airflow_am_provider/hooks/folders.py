"""Folders by their URLs: a prefix of a bucket, or a directory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_am_provider.hooks.settings import split_location

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from airflow_am_provider.storage import Folder


def folder_of(
    url: str,
    client: Callable[[], Any],
    extra_args: Mapping[str, str] | None = None,
    *,
    setting: str = "",
    must_exist: bool = False,
) -> Folder:
    """The folder at a URL.

    :param url: ``s3://bucket/prefix``, ``file:///path`` or an absolute path.
    :param client: gives boto3's client, where it is a bucket's.
    :param extra_args: what objects on S3 are written with.
    :param setting: what names a directory, for messages.
    :param must_exist: whether a directory that is not there is an error when it is listed, as a
        bucket is.
    :raises ConfigurationError: when the URL is none of them.
    """
    from airflow_am_provider.storage import LocalFolder, S3Folder

    bucket, path = split_location(url)
    if bucket is None:
        return LocalFolder(path, setting=setting, must_exist=must_exist)
    return S3Folder(client(), bucket, path, extra_args=extra_args)
