"""Which deliveries Audience Manager has acknowledged, by what lies beside their manifests."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from airflow_am_provider.audience_manager.companions import RECONCILIATION_FILE
from airflow_am_provider.audience_manager.errors import DataError
from airflow_am_provider.audience_manager.reconciliation import Verdict

if TYPE_CHECKING:
    from airflow_am_provider.formatting.storage import Storage


class ReconciledDeliveries:
    """What ``reconciliation.json`` says of data deliveries.

    :param staging: the staging location.
    """

    def __init__(self, staging: Storage) -> None:
        self._staging = staging

    def is_acknowledged(self, delivery_id: str) -> bool:
        """Whether all files of a delivery are acknowledged, and no record of them is missing.

        :raises DataError: when the file is damaged.
        """
        path = f"deliveries/data/{delivery_id}/{RECONCILIATION_FILE}"
        content = self._staging.read_bytes(path)
        if content is None:
            return False
        try:
            document = json.loads(content)
            return document["acknowledged"] is True and document["verdict"] != Verdict.DISCREPANT
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(
                f"{self._staging.url}/{path}: not a reconciliation: {error}; delete it and clear "
                f"the receipt's task"
            ) from None
