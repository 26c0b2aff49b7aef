"""A worker, ``python -m benchmarks.partition_worker CORE``: formats the partitions it is told.

Says that it is ready; then, for each line of JSON with an operator's arguments, formats that
partition and answers with a line of JSON. With ``dies_after_rows`` it ends as by kill -9 once that
many rows went through, in the middle of a part.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
import warnings
from math import inf
from typing import TYPE_CHECKING, Any

from airflow_am_provider.formatting.lines.data_lines import DataLineWriter
from airflow_am_provider.operators.data_file import FormatDataFileOperator
from benchmarks.readings import peak_mb
from benchmarks.sides.product import formatting, load_what_execute_imports, run_context

if TYPE_CHECKING:
    import pyarrow as pa

    from airflow_am_provider.formatting.lines.line_writer import FormattedBatch


class _Mortal(DataLineWriter):
    rows_left: float = inf

    def format(self, batch: pa.RecordBatch) -> FormattedBatch:
        formatted = super().format(batch)
        _Mortal.rows_left -= batch.num_rows
        if _Mortal.rows_left <= 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return formatted


class _MortalOperator(FormatDataFileOperator):
    def _line_writer(self) -> DataLineWriter:
        return _Mortal(super()._line_writer().spec)


def main(core: str) -> None:
    """Work until there is nothing more to do.

    :param core: the only one of the machine's that it uses, or ``any``.
    """
    warnings.simplefilter("ignore")
    if core != "any":
        os.sched_setaffinity(0, {sorted(os.sched_getaffinity(0))[int(core)]})
    load_what_execute_imports("crm", "aws_default")
    _say({"ready_after_cpu_s": time.process_time()})
    for line in sys.stdin:
        task: dict[str, Any] = json.loads(line)
        context = run_context(task.pop("run_id"))
        _Mortal.rows_left = task.pop("dies_after_rows", inf)
        operator = formatting(operator=_MortalOperator, **task)
        _say({"formatted": operator.execute(context), "peak_mb": peak_mb()})


def _say(what: dict[str, Any]) -> None:
    print(json.dumps(what), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
