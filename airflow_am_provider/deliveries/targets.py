"""The targets of a staging location: where their documents lie, and which one a delivery is of."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_am_provider.audience_manager.errors import ConfigurationError
from airflow_am_provider.deliveries.target.homes.folder import FolderHome
from airflow_am_provider.deliveries.target.homes.object_storage import ObjectStorageHome
from airflow_am_provider.deliveries.target.names import target_of
from airflow_am_provider.deliveries.target.target import Target, all_targets
from airflow_am_provider.storage.local import LocalFolder
from airflow_am_provider.storage.s3.folder import S3Folder

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_am_provider.deliveries.manifest import Manifest
    from airflow_am_provider.deliveries.target.homes import Home
    from airflow_am_provider.storage.folder import Folder


class Targets:
    """The targets of one staging location.

    :param staging: the staging location: parts, manifests, rejects.
    :param home: where decisions are kept; by default beside the files.
    :raises ConfigurationError: when there is no home, and staging is none.

    Example::

        targets = AudienceManagerHook().targets()
        for target in targets.all():
            print(target.title, len(target.state().queue))
    """

    def __init__(self, staging: Folder, home: Home | None = None) -> None:
        self.staging = staging
        self.home = home_of(staging) if home is None else home

    def of(self, manifest: Manifest) -> Target:
        """The target of a delivery; it has parts."""
        return self.named(manifest.destination, target_of(manifest.file_name.kind))

    def named(self, destination: str, name: str) -> Target:
        """A target by where its deliveries go, and whose traits they set."""
        return Target(self.home, destination, name)

    def all(self) -> Iterator[Target]:
        """All that anything was staged for."""
        return all_targets(self.home)


def home_of(staging: Folder) -> Home:
    """Where decisions are kept when nothing else is said: beside the files.

    :raises ConfigurationError: when the folder is of a kind that keeps none.
    """
    if isinstance(staging, LocalFolder):
        return FolderHome(staging)
    if isinstance(staging, S3Folder):
        return ObjectStorageHome(staging)
    raise ConfigurationError(
        f"{staging.url}: keeps no decisions; give the connection a state_conn_id, an Airflow "
        f"connection to an SQL database"
    )
