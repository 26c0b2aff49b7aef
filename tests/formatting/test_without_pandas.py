"""pandas is not loaded where it happens to be installed: that would cost every task a while."""

import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from airflow_am_provider.formatting.columns.arrow import text_scalar, to_arrow, to_numpy


def test_formatting_does_not_import_pandas(tmp_path: Path) -> None:
    # Any package of that name would be found by Arrow, and imported.
    (tmp_path / "pandas").mkdir()
    (tmp_path / "pandas" / "__init__.py").write_text("raise SystemExit('pandas was imported')")
    code = """
        import sys
        import pyarrow as pa
        from airflow_am_provider.formatting.lines.data_lines import DataFileSpec, DataLineWriter
        from airflow_am_provider.formatting.pipeline import FormatOptions, format_rows
        from airflow_am_provider.sources.tables import read_table
        from airflow_am_provider.storage import LocalFolder

        spec = DataFileSpec(
            dpid=478, id_column="id", traits_columns=("traits",), signal_columns={"city": "city"}
        )
        writer = DataLineWriter(spec)
        with open(sys.argv[1], "rb") as file:
            rows = read_table(file, "rows.csv", writer.columns)
            options = FormatOptions(max_set_aside=1)
            done = format_rows(rows, writer, LocalFolder(sys.argv[2]), "x", options)
        print(done.rows_written)
    """
    rows = tmp_path / "rows.csv"
    rows.write_text('id,traits,city\nann,"1,2",Bonn\nbob,,Köln\neve,3,\neve,3,\n,4,\n')
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), str(rows), str(tmp_path / "out")],
        capture_output=True,
        env={"PYTHONPATH": str(tmp_path)},
        text=True,
    )
    assert (done.stdout, done.stderr) == ("3\n", "")


@pytest.mark.parametrize(
    "values",
    [
        np.array([True, False, True] * 7),
        np.array([3, -1, 2], np.int64),
        np.array([3, -1], np.int32),
        np.array([], bool),
        np.arange(10)[::3],
    ],
    ids=str,
)
def test_arrays_are_the_same_on_both_sides(values: np.ndarray) -> None:
    array = to_arrow(values)
    array.validate(full=True)
    assert array.to_pylist() == values.tolist()
    assert to_numpy(array).tolist() == values.tolist()
    assert to_numpy(array[1:]).tolist() == values[1:].tolist()


def test_constants() -> None:
    assert [text_scalar(text) for text in (b"", b"\t")] == [
        pa.scalar(b"", pa.binary()),
        pa.scalar(b"\t", pa.binary()),
    ]
