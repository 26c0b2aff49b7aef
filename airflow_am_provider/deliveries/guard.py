"""Compares a staged delivery with those before it, and says so for logs and for people."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_am_provider.audience_manager.errors import ConfigurationError, DataError
from airflow_am_provider.audience_manager.names import DataFileName, Encoding
from airflow_am_provider.deliveries.connection import MAKE_ANEW
from airflow_am_provider.deliveries.guard_limits import breaches, figures
from airflow_am_provider.deliveries.record import DeliveryRecord
from airflow_am_provider.deliveries.target.decide import KEPT_PREVIOUS
from airflow_am_provider.deliveries.target.state import DeliveryState

if TYPE_CHECKING:
    from airflow_am_provider.deliveries.guard_limits import GuardLimits
    from airflow_am_provider.deliveries.manifest import Manifest
    from airflow_am_provider.deliveries.targets import Targets


@dataclass(frozen=True, kw_only=True, slots=True)
class GuardReport:
    """What was found.

    :param manifest: the delivery.
    :param breaches: which limits it breaks, in sentences with figures; none when all is well.
    :param figures: name, value of this delivery, values of the earlier ones, the last one first.
    :param earlier: the manifests that it was compared with, the last one first.
    """

    manifest: Manifest
    breaches: tuple[str, ...]
    figures: tuple[tuple[str, str, str], ...]
    earlier: tuple[Manifest, ...] = ()

    @property
    def title(self) -> str:
        """The delivery, on one line, of which Airflow's list of questions shows the beginning."""
        kind = self.manifest.file_name.kind.packed(Encoding.PLAIN)
        return f"{kind} is unlike those before (delivery {self.manifest.delivery_id})"

    @property
    def lines(self) -> list[str]:
        """For the log."""
        return [
            *(f"{name}: {now}; before: {before}" for name, now, before in self.figures),
            *(f"Over its limit: {breach}" for breach in self.breaches),
        ]

    @property
    def markdown(self) -> str:
        """For a person who is asked."""
        manifest = self.manifest
        to_do = (
            f"To {manifest.destination}, window: {manifest.window}. Nothing was sent yet. "
            f"*Approve* sends it as it is; *Reject* abandons it."
        )
        return "\n".join(
            [
                *(f"- {breach}" for breach in self.breaches),
                "",
                "| | this delivery | those before, the last one first |",
                "| --- | --- | --- |",
                *(f"| {name} | {now} | {before} |" for name, now, before in self.figures),
                "",
                to_do,
            ]
        )


def compare(targets: Targets, manifest: Manifest, limits: GuardLimits, count: int) -> GuardReport:
    """Compare a delivery with the last comparable ones that were sent.

    :param targets: of the staging location.
    :param manifest: the delivery; it has parts.
    :param limits: how much it may differ.
    :param count: with how many, at most.
    :raises ConfigurationError: when the manifest is of another staging location, or ``count`` is
        below 1.
    """
    if not 1 <= count <= KEPT_PREVIOUS:
        raise ConfigurationError(f"compared_with: {count} is none of 1 to {KEPT_PREVIOUS}")
    staging = targets.staging
    if manifest.staging != staging.url:
        raise ConfigurationError(
            f"manifest {manifest.delivery_id} was staged at {manifest.staging}, but the connection "
            f"has the staging location {staging.url}. {MAKE_ANEW}"
        )
    earlier = previous_deliveries(targets, manifest, count)
    return GuardReport(
        manifest=manifest,
        breaches=tuple(breaches(manifest, earlier, limits)),
        figures=tuple(figures(manifest, earlier)),
        earlier=tuple(earlier),
    )


def previous_deliveries(targets: Targets, manifest: Manifest, count: int) -> list[Manifest]:
    """The last deliveries of a task to the same target, of the same data source and mode.

    Those that were not sent whole, were abandoned or failed, or were cleaned away are left out.

    :param targets: of the staging location.
    :param manifest: the delivery that is compared with them.
    :param count: how many at most.
    :return: their manifests, the last one first.
    """
    name = manifest.file_name
    mode = name.mode if isinstance(name, DataFileName) else None
    target = targets.of(manifest)
    state = target.state()
    found: list[Manifest] = []
    for delivery_id in reversed(state.previous.get(manifest.series, ())):
        if len(found) == count:
            break
        entry = target.find(delivery_id, state)
        if entry is None or entry.delivery_id == manifest.delivery_id:
            continue
        # What somebody gave up or found wrong is no measure.
        is_measure = entry.state not in (DeliveryState.ABANDONED, DeliveryState.FAILED)
        if not is_measure or (entry.name, entry.mode) != (name.kind.stem, mode):
            continue
        with suppress(DataError):  # cleaned away
            found.append(DeliveryRecord(entry, target, targets.staging).manifest)
    return found
