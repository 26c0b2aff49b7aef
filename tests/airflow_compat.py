"""Names that only tests need and that Airflow moved between 3.1 and 3.2."""

from airflow.sdk.execution_time.timeout import timeout

try:
    from airflow.sdk.exceptions import AirflowTaskTimeout, TaskDeferred
except ImportError:  # Airflow 3.1
    from airflow.exceptions import AirflowTaskTimeout, TaskDeferred

__all__ = ["AirflowTaskTimeout", "TaskDeferred", "timeout"]
