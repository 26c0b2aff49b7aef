"""Directories on other hosts that files are dropped into: what FTP and SFTP share."""

from __future__ import annotations

from airflow_am_provider.storage.drops.drop import UNFINISHED as UNFINISHED
from airflow_am_provider.storage.drops.drop import Drop as Drop
from airflow_am_provider.storage.drops.drop import Published as Published
from airflow_am_provider.storage.drops.session import Broken as Broken
from airflow_am_provider.storage.drops.session import Refused as Refused
from airflow_am_provider.storage.drops.session import Session as Session
from airflow_am_provider.storage.drops.session import Unreached as Unreached
