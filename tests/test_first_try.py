"""The first try in one's own Airflow: each command is run as it stands on its page."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from demo.local.processes import free_port
from tests.docs_pages import blocks, page

pytestmark = pytest.mark.slow


def test_the_first_try_in_ones_own_airflow_goes_as_its_page_says(tmp_path: Path) -> None:
    commands = [block.text for block in blocks(page("try.md")) if block.language == "bash"]
    assert len(commands) == 5
    # What is installed here already is not asked for from an index.
    script = "\n".join(commands).replace("pip install", ": pip install")
    # The page about CI goes on from there, in Python.
    (in_python,) = (
        block.text for block in blocks(page("how-to/ci.md")) if block.language == "python"
    )
    script += f"\necho and in CI:\npython - <<'PYTHON'\n{in_python}PYTHON\n"
    script = script.replace(":5000", f":{(port := free_port())}").replace("-p 5000", f"-p {port}")
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("AWS_")},
        "AIRFLOW_HOME": str(tmp_path / "airflow"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    with subprocess.Popen(
        ["bash", "-euo", "pipefail", "-c", f"airflow db migrate\n{script}\necho all done"],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as shell:
        try:
            # To its end and no further: the servers in the background hold other files.
            said, _ = shell.communicate(timeout=900)
        finally:
            os.killpg(shell.pid, signal.SIGKILL)
    assert said.rstrip().endswith("all done"), said
    of_the_page, _, _ = said.partition("and in CI:")
    told = of_the_page[of_the_page.rindex("delivery  ") :]
    ids, data = (line.split() for line in told.splitlines()[1:3])
    # A marker is enough for an ID sync; its receipt may be there first.
    assert ids[1].startswith("adobe_id_"), told
    assert {"acknowledged", "reconciled"} & set(ids), told
    assert data[1] == "478", told
    assert "reconciled" in data, told
    assert "2 in all, 0 outstanding" in told
    assert "traits                 24, 25" in told
