"""Imported once by the fork server: does what each fork would have to do anew, or half of its time.

Without it each attempt reads a megabyte of S3's description, and Airflow's AWS hook looks through
the files of all modules to tell AWS which operator calls.
"""

import json
import os

from airflow.providers.amazon.aws.hooks.base_aws import AwsBaseHook

from tests.quicker import read_once

read_once()
os.environ["AIRFLOW_CONN_WARM"] = json.dumps(
    {"conn_type": "aws", "login": "nobody", "password": "nothing", "extra": {"region_name": "eu"}}
)
AwsBaseHook(aws_conn_id="warm", client_type="s3").get_conn()
del os.environ["AIRFLOW_CONN_WARM"]
