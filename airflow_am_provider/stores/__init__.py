"""Folders to read from and write to: a local directory, an S3 prefix, an FTP directory."""

from __future__ import annotations

from airflow_am_provider.stores.entry import Entry, Folder
from airflow_am_provider.stores.ftp import FtpDrop
from airflow_am_provider.stores.local import LocalFolder
from airflow_am_provider.stores.s3 import S3Folder

__all__ = ["Entry", "Folder", "FtpDrop", "LocalFolder", "S3Folder"]
