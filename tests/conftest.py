"""Keeps every test process in an Airflow home of its own.

Airflow reads its settings when it is first imported, so they are set here at import time, before
any test module is collected. Each xdist worker imports this file and gets its own folder.
"""

import atexit
import os
import shutil
import tempfile

_airflow_home = tempfile.mkdtemp(prefix="airflow-am-tests-")
atexit.register(shutil.rmtree, _airflow_home, ignore_errors=True)

os.environ["AIRFLOW_HOME"] = _airflow_home
os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"

pytest_plugins = ["tests.local_servers"]
