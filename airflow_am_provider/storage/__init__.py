"""Folders to read from and write to: a local one, an S3 prefix, a directory on another host."""

from __future__ import annotations

from airflow_am_provider.storage.drops.drop import Drop as Drop
from airflow_am_provider.storage.folder import Folder as Folder
from airflow_am_provider.storage.folder import ListedFile as ListedFile
from airflow_am_provider.storage.local import LocalFolder as LocalFolder
from airflow_am_provider.storage.s3.folder import S3Folder as S3Folder
