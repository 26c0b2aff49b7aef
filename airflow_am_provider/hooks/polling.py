"""How often tasks look whether Audience Manager has answered."""

from __future__ import annotations

from typing import Final

from airflow_am_provider.airflow_compat import conf

#: Seconds between two looks; ``receipt_poke_interval_s`` in section ``[audience_manager]`` of
#: Airflow's configuration. Files are processed twice a day
#: (reference/reporting-file-transfer-timeframe.md).
POKE_INTERVAL_S: Final = conf.getfloat(
    "audience_manager", "receipt_poke_interval_s", fallback=300.0
)
