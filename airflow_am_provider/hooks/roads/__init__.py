"""Roads: what the field ``transport`` of a connection chooses, a module each.

A new one is a module with a class like :class:`~airflow_am_provider.hooks.roads.road.Road`, and a
line here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from airflow_am_provider.hooks.roads.ftp import FtpRoad
from airflow_am_provider.hooks.roads.ftps import FtpsRoad
from airflow_am_provider.hooks.roads.s3 import S3Road
from airflow_am_provider.hooks.roads.sftp import SftpRoad

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_am_provider.hooks.roads.road import Hook, Road

_ROADS: Final[dict[str, Callable[[Hook], Road]]] = {
    "s3": S3Road,
    "sftp": SftpRoad,
    "ftps": FtpsRoad,
    "ftp": FtpRoad,
}


def road_of(hook: Hook) -> Road:
    """The road that a connection chooses."""
    return _ROADS[hook.settings.transport](hook)
