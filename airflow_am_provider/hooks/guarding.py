"""Compares a staged delivery with those before it, and says so for logs and for people."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_am_provider.audience_manager.errors import ConfigurationError
from airflow_am_provider.audience_manager.ordering import stem
from airflow_am_provider.formatting.guards import breaches, figures
from airflow_am_provider.hooks.connections import MAKE_ANEW
from airflow_am_provider.stores.comparable import comparable_deliveries

if TYPE_CHECKING:
    from airflow_am_provider.formatting.guards import GuardLimits
    from airflow_am_provider.formatting.manifest import Manifest
    from airflow_am_provider.stores import Folder


@dataclass(frozen=True, kw_only=True, slots=True)
class GuardReport:
    """What was found.

    :param manifest: the delivery.
    :param breaches: which limits it breaks, in sentences with figures; none when all is well.
    :param figures: name, value of this delivery, values of the earlier ones, the last one first.
    """

    manifest: Manifest
    breaches: tuple[str, ...]
    figures: tuple[tuple[str, str, str], ...]

    @property
    def title(self) -> str:
        """The delivery, on one line."""
        name = self.manifest.file_name
        mode = getattr(name, "mode", "sync")
        return f"Delivery {self.manifest.delivery_id}, {stem(name)}.{mode}, is unlike those before"

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
        window = (
            "no window"
            if manifest.window_start is None and manifest.window_end is None
            else f"{manifest.window_start or '…'} to {manifest.window_end or '…'}"
        )
        to_do = (
            f"To {manifest.destination}, window: {window}. Nothing was sent yet. *Approve* sends "
            f"it as it is; *Reject* abandons it."
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


def compare(staging: Folder, manifest: Manifest, limits: GuardLimits, count: int) -> GuardReport:
    """Compare a delivery with the last comparable ones that were sent.

    :param staging: the staging location.
    :param manifest: the delivery; it has parts.
    :param limits: how much it may differ.
    :param count: with how many, at most.
    :raises ConfigurationError: when the manifest is of another staging location, or ``count`` is
        below 1.
    """
    if count < 1:
        raise ConfigurationError(f"compared_with: {count}, but at least 1 is needed")
    if manifest.staging != staging.url:
        raise ConfigurationError(
            f"manifest {manifest.delivery_id} was staged at {manifest.staging}, but the connection "
            f"has the staging location {staging.url}. {MAKE_ANEW}"
        )
    earlier = comparable_deliveries(staging, manifest, count)
    return GuardReport(
        manifest=manifest,
        breaches=tuple(breaches(manifest, earlier, limits)),
        figures=tuple(figures(manifest, earlier)),
    )
