"""Imported once by the fork server: does what each fork would have to do anew, or half of its time.

Without it each attempt reads a megabyte of S3's description, and Airflow's AWS hook looks through
the files of all modules to tell AWS which operator calls.
"""

import functools
import json
import os
from typing import Any

from airflow.providers.amazon.aws.hooks.base_aws import AwsBaseHook
from botocore.loaders import JSONFileLoader

_load_file = JSONFileLoader.load_file


@functools.cache
def _loaded(path: str) -> Any:
    return _load_file(JSONFileLoader(), path)


JSONFileLoader.load_file = lambda _, path: _loaded(path)
os.environ["AIRFLOW_CONN_WARM"] = json.dumps(
    {"conn_type": "aws", "login": "nobody", "password": "nothing", "extra": {"region_name": "eu"}}
)
AwsBaseHook(aws_conn_id="warm", client_type="s3").get_conn()
del os.environ["AIRFLOW_CONN_WARM"]
