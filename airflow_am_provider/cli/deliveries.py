"""Which files to look at: those named, and those of the deliveries found on the way.

Staged parts are called ``00001.gz``; the manifest of their delivery knows the names that
they are sent under, and which files beside them are never sent.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from airflow_am_provider.audience_manager.errors import AudienceManagerError, ConfigurationError
from airflow_am_provider.audience_manager.names import printable
from airflow_am_provider.cli.sources import Place, Source, place_of
from airflow_am_provider.deliveries.layout import MANIFEST_FILE, is_never_sent
from airflow_am_provider.deliveries.manifest import Manifest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

# The folders of a staging location (docs/manifest.md).
_STAGED: Final = "deliveries/"
_BESIDE: Final = ("targets/", "target-details/", "snapshots/", ".decisions.lock")


@dataclass(frozen=True, kw_only=True, slots=True)
class _Delivery:
    """A manifest and where it was found.

    :param path: the manifest's own path.
    :param root: what the paths within it are relative to; empty or with a slash at its end.
    """

    path: str
    root: str
    manifest: Manifest

    def sources(self, place: Place) -> Iterator[Source]:
        for part in self.manifest.parts:
            yield replace(place.at(self._whole(part.path)), file_name=part.file_name)

    def has(self, path: str) -> bool:
        """Whether a file belongs to the delivery, or to the staging location around it."""
        own = [self.path, *(self._whole(part.path) for part in self.manifest.parts)]
        if self.manifest.rejects is not None:
            own.append(self._whole(self.manifest.rejects))
        if not self.path.startswith(self.root + _STAGED):
            return _absolute(path) in map(_absolute, own)
        return path.startswith(tuple(self.root + one for one in (_STAGED, *_BESIDE)))

    def _whole(self, path: str) -> str:
        """Paths are whole already in what ``airflow-am format --json`` prints."""
        return path if path.startswith("/") else self.root + path


def find_sources(paths: Iterable[str]) -> list[Source]:
    """The files at paths, in order; folders and prefixes are looked through.

    :param paths: files, directories, manifests, ``s3://bucket/key`` or ``s3://bucket/prefix``.
    :raises ConfigurationError: when there is no such file.
    """
    found: list[Source] = []
    for path in paths:
        found += _behind(path, place_of(path))
    return found


def _behind(path: str, place: Place) -> list[Source]:
    below = place.below(path)
    files = [place.at(path)] if below is None else below
    deliveries = [delivery for file in files if (delivery := _delivery(file)) is not None]
    sent = [source for delivery in deliveries for source in delivery.sources(place)]
    # The manifest that was printed may lie beside the one that was stored.
    found = list({_absolute(source.path): source for source in sent}.values())
    found += [
        file
        for file in files
        if not any(delivery.has(file.path) for delivery in deliveries)
        and not (below is not None and is_never_sent(file.file_name))
    ]
    if not found:
        raise ConfigurationError(f"{printable(path)!r}: there is no file to look at")
    return found


def _absolute(path: str) -> str:
    return path if "://" in path else str(Path(path).absolute())


def _delivery(file: Source) -> _Delivery | None:
    if not file.file_name.endswith(MANIFEST_FILE):
        return None
    with file.open() as stream:
        try:
            manifest = Manifest.from_json(stream.read())
        except AudienceManagerError:
            return None
    in_staging = f"{manifest.location}/{MANIFEST_FILE}"
    if file.path.endswith(in_staging):
        root = file.path.removesuffix(in_staging)
    else:
        root = file.path.removesuffix(file.file_name)
    return _Delivery(path=file.path, root=root, manifest=manifest)
