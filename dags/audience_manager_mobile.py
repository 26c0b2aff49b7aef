"""### Mobile devices to Audience Manager

Advertising IDs of Android (GAID) and iOS (IDFA) devices belong to data sources of the platforms,
so the data source whose traits are set is named as the target. One kind of ID goes into one
file, so there is one delivery for each platform.

Goes by the connection `audience_manager_ftp`; whether files travel over S3 or FTP is a matter of
the connection alone.

Needs the connections `crm` (any database) and `audience_manager_ftp`.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow.sdk import DAG, Param
from airflow.timetables.interval import CronDataIntervalTimetable

from airflow_am_provider.task_groups import deliver

# Adobe's data sources of the platforms (features/global-data-sources.md).
PLATFORMS = {"gaid": 20914, "idfa": 20915}

with DAG(
    dag_id="audience_manager_mobile",
    description="Each day's app users by advertising ID, over FTP",
    doc_md=__doc__,
    schedule=CronDataIntervalTimetable("0 0 * * *", timezone="UTC"),
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    default_args={"retries": 2, "retry_delay": timedelta(minutes=5)},
    params={
        "target_dpid": Param(
            21,
            type="integer",
            minimum=1,
            title="Target data source",
            description="DPID of the data source whose traits the devices get.",
        ),
    },
    tags=["audience-manager", "example"],
) as dag:
    for platform, platform_dpid in PLATFORMS.items():
        deliver(
            group_id=platform,
            audience_manager_conn_id="audience_manager_ftp",
            conn_id="crm",
            sql="""
                SELECT device_id, traits
                FROM app_devices
                WHERE platform = %(platform)s
                  AND used_at >= %(window_start)s AND used_at < %(window_end)s
                ORDER BY device_id
            """,
            parameters={"platform": platform},
            dpid=platform_dpid,
            target_dpid="{{ params.target_dpid }}",
            id_column="device_id",
            traits_column="traits",
            receipt={"deferrable": True},
        )
