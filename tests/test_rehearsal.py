"""The rehearsal of an account by SFTP, PGP and OAuth: its page's commands against its servers."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import asyncssh
import pytest
from airflow.cli.cli_parser import get_parser

from airflow_am_provider.cli import main as airflow_am
from airflow_am_provider.hooks.audience_manager import AudienceManagerHook
from demo.command import as_shell
from demo.rehearse import Rehearsal, rehearsal
from tests.docs_pages import blocks, codes, page, rows
from tests.pgp_keys import needs_gpg

PAGE = page("how-to/rehearse.md")
COMMANDS = [block.text for block in blocks(PAGE) if block.language == "bash"]
# What the page asks of Airflow is written down: starting it a dozen times would take a minute.
AIRFLOW = """
airflow() {
    if [ "$1 $2" = "config get-value" ]; then echo "$PWD/dags"; return; fi
    python -c 'import json, sys; print(json.dumps(sys.argv[1:]))' "$@" >> asked.jsonl
}
airflow-am() { :; }
"""

pytestmark = [
    needs_gpg,
    pytest.mark.skipif(shutil.which("ssh-keyscan") is None, reason="no openssh-client"),
]


@pytest.fixture(scope="module")
def other_side(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rehearsal]:
    with rehearsal(tmp_path_factory.mktemp("rehearsal")) as running:
        yield running


@pytest.fixture(scope="module")
def here(other_side: Rehearsal, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a user who has run all commands of the page, and what they said."""
    folder = tmp_path_factory.mktemp("user")
    answers = folder / "answers.sh"
    answers.write_text(as_shell(other_side.answers))
    script = AIRFLOW + "\n".join(COMMANDS)
    script = script.replace("path/to/the/clone/.rehearsal/answers.sh", str(answers))
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=folder,
        env=os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    (folder / "said").write_text(done.stdout)
    return folder


@pytest.fixture
def account(
    here: Path, other_side: Rehearsal, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., str]:
    """Make the page's connections, with other fields in the extra of one; gives what to use."""
    parser = get_parser()
    asked = [json.loads(line) for line in (here / "asked.jsonl").read_text().splitlines()]
    parsed = [parser.parse_args(words) for words in asked]
    added = [one for one in parsed if hasattr(one, "conn_extra")]
    assert len(added) == 3
    for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"):
        monkeypatch.setenv(name, other_side.answers[name])

    def make(**other: dict[str, str]) -> str:
        for one in added:
            extra = json.loads(one.conn_extra) | other.get(one.conn_id, {})
            document = {"conn_type": one.conn_type, "host": one.conn_host, "extra": extra}
            document |= {"port": one.conn_port and int(one.conn_port), "login": one.conn_login}
            monkeypatch.setenv(f"AIRFLOW_CONN_{one.conn_id.upper()}", json.dumps(document))
        return added[-1].conn_id

    return make


def what_a_test_says(conn_id: str) -> tuple[bool, str]:
    return AudienceManagerHook(conn_id).test_connection()


def test_fingerprints_are_those_that_were_told(here: Path, other_side: Rehearsal) -> None:
    of_the_host, of_the_key = (
        other_side.answers[name] for name in ("SFTP_FINGERPRINT", "PGP_FINGERPRINT")
    )
    assert of_the_host.startswith("SHA256:")
    said = (here / "said").read_text().splitlines()
    assert said[:4] == [of_the_host, of_the_host, of_the_key, of_the_key]


def test_the_account_is_good(account: Callable[..., str]) -> None:
    good, said = what_a_test_says(account())
    assert good, said


def another_key() -> str:
    key = asyncssh.generate_private_key("ssh-ed25519").export_public_key()
    return str(key.decode().strip())


#: Of the table on the page, row by row.
CHANGES: list[dict[str, dict[str, str]]] = [
    {"rehearsal_mailbox": {"client_secret": "another"}},
    {"rehearsal_mailbox": {"tenant_id": "another"}},
    {"rehearsal_sftp": {"host_key": another_key()}},
    {},
    {"audience_manager_rehearsal": {"pgp_fingerprint": "A" * 40}},
]


@pytest.mark.parametrize(
    ("change", "row"),
    zip(CHANGES, rows(PAGE, "change"), strict=True),
    ids=["secret", "tenant", "host key", "no key sent", "PGP key"],
)
def test_what_goes_wrong_is_told_as_the_page_says(
    change: dict[str, dict[str, str]],
    row: dict[str, str],
    account: Callable[..., str],
    other_side: Rehearsal,
) -> None:
    assert all(name in codes(row["change"]) for fields in change.values() for name in fields)
    key = other_side.sftp.root.parent / "user_key.pub"
    kept = key.read_bytes()
    if not change:
        key.unlink()
    try:
        good, said = what_a_test_says(account(**change))
    finally:
        key.write_bytes(kept)
    assert not good
    (words,) = codes(row["the test says"])
    assert all(piece.strip() in said for piece in words.split("…")), said


def test_the_dag_delivers_and_reads_the_receipts(
    here: Path, other_side: Rehearsal, account: Callable[..., str], capsys: Any
) -> None:
    conn_id = account()
    code = (here / "dags" / "rehearse_audience_manager.py").read_text()
    names: dict[str, Any] = {}
    exec(code.replace("schedule=None)", "schedule=None) as dag"), names)
    dag = names["dag"]
    context: Any = {"dag_run": SimpleNamespace(dag_id=dag.dag_id), "run_id": "manual__1"}
    for formats, waits in (("extract_ids", "receipt_ids"), ("format", "receipt")):
        manifest = dag.get_task(f"deliver.{formats}").execute(context)
        sent = AudienceManagerHook(conn_id).upload(manifest)
        assert sent is not None
        sensor = dag.get_task(f"deliver.{waits}")
        sensor.delivery = sent
        deadline = time.monotonic() + 30
        while not (done := sensor.poke(context)):
            assert time.monotonic() < deadline
            time.sleep(0.2)
        assert done.xcom_value["verdict"] == "reconciled"
    names = [path.name for path in (other_side.sftp.root / "inbound").iterdir()]
    assert len(names) == 2
    assert all(name.endswith(".processed.pgp") for name in names)
    database = str(other_side.sandbox.profiles)
    airflow_am(["sandbox", "profile", "--database", database, "--dpid", "478", "--id", "bob"])
    assert "traits                 24, 25" in capsys.readouterr().out
