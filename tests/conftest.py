"""Keeps every test process in an Airflow home of its own.

Airflow reads its settings when it is first imported, so they are set here at import time, before
any test module is collected. Each xdist worker imports this file and gets its own folder.
"""

import atexit
import os
import shutil
import tempfile
from importlib.util import find_spec

from hypothesis import settings

from tests.quicker import let_the_disk_take_its_time, read_once

_airflow_home = tempfile.mkdtemp(prefix="airflow-am-tests-")
atexit.register(shutil.rmtree, _airflow_home, ignore_errors=True)

os.environ["AIRFLOW_HOME"] = _airflow_home
os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"

# A busy machine is slow and not wrong; nor does a run depend on what one before it found.
settings.register_profile("airflow-am", deadline=None, database=None)
settings.load_profile("airflow-am")

read_once()
let_the_disk_take_its_time()

pytest_plugins = ["tests.connections", "tests.local_servers", "tests.system.local_airflow"]
# Airflow reads these.
collect_ignore = ["system/dags"]
# Its examples are looked for, which loads it: the extra "page" is not in every environment.
if find_spec("playwright") is None:
    collect_ignore.append("system/airflow_in_browser.py")
