"""``python -m airflow_am_provider.cli``, for where the console script is not on the path."""

import sys

from airflow_am_provider.cli import main

sys.exit(main())
