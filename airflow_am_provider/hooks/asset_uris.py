"""URIs of the assets ``audience-manager://…``, as Airflow and OpenLineage take them.

>>> from urllib.parse import urlsplit
>>> sanitize_uri(urlsplit("audience-manager://production/acme/478")).path
'/acme/478'
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk import Asset

if TYPE_CHECKING:
    from urllib.parse import SplitResult

    from openlineage.client.generated.base import Dataset

__all__ = ["convert_asset_to_openlineage", "create_asset", "sanitize_uri"]


def create_asset(*, destination: str, target: str, extra: dict[str, Any] | None = None) -> Asset:
    """The asset of a target, whose events are its acknowledged deliveries.

    :param destination: the connection's, such as ``production/acme``; ``outbound`` for what comes
        back.
    :param target: DPID whose traits are set, an ID sync's pair such as ``adobe_id_0_478``, or the
        number of a destination that segments come back from.
    :param extra: anything about the asset.
    """
    from airflow_am_provider.hooks.asset_events import asset_uri

    return Asset(uri=asset_uri(destination, target), extra=extra or {})


def sanitize_uri(uri: SplitResult) -> SplitResult:
    """Check a URI, for Airflow.

    :param uri: ``audience-manager://ENVIRONMENT/PARTNER/TARGET`` or
        ``audience-manager://outbound/DESTINATION``, without a slash at its end.
    :raises ValueError: when it names no target.
    """
    if not uri.netloc or not uri.path.strip("/"):
        raise ValueError(
            f"{uri.geturl()!r}: a URI such as audience-manager://production/acme/478 is expected: "
            f"the environment, the partner name and the data source whose traits are set"
        )
    return uri


def convert_asset_to_openlineage(asset: Asset, lineage_context: object) -> Dataset:
    """The dataset of an asset: its last part is the name, what is before it the namespace.

    :param asset: one of :func:`create_asset`.
    :param lineage_context: whatever asks.
    """
    # Only OpenLineage asks, so it is there.
    from openlineage.client.generated.base import Dataset

    namespace, _, name = str(asset.uri).rpartition("/")
    return Dataset(namespace=namespace, name=name)
