"""How-tos, runbook, comparison: commands are right use, connections good, figures true."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path
from types import SimpleNamespace

import asyncssh
import pytest
from airflow.cli.cli_parser import get_parser
from airflow.sdk import Asset

from airflow_am_provider.cli.arguments import parse
from airflow_am_provider.deliveries.notices import TITLES
from airflow_am_provider.get_provider_info import get_provider_info
from airflow_am_provider.hooks.audience_manager_api import AudienceManagerApiHook
from airflow_am_provider.hooks.settings import ConnectionSettings
from tests.docs_pages import DOCS, PAGES, ROOT, blocks, codes, first_codes, page, rows, section
from tests.pgp_keys import needs_gpg, pair
from tests.test_public import TOLD

HOW_TOS = sorted((DOCS / "how-to").glob("*.md"))
_FENCED = re.compile(r"^ *```.*?^ *```$", re.M | re.S)
_SUBSTITUTION = re.compile(r'"\$\(.*?\)"', re.S)


def shell_commands(text: str, program: str) -> list[list[str]]:
    """The words of each command of a program, in the bash blocks of a page."""
    found = []
    for block in blocks(re.sub(r"^ {4}", "", text, flags=re.M)):
        if block.language == "bash":
            script = _SUBSTITUTION.sub("X", block.text).replace("\\\n", " ")
            commands = re.findall(
                rf"^(?:[A-Z_]+=\w+ )?{program} ((?:[^\n']|'[^']*')+)", script, re.M
            )
            found += [shlex.split(command, comments=True) for command in commands]
    return found


@pytest.mark.parametrize("path", HOW_TOS, ids=lambda path: path.stem)
def test_commands_of_airflow_are_such_as_it_has(path):
    parser = get_parser()
    for words in shell_commands(path.read_text(), "airflow"):
        parser.parse_args(words)


def run_here(commands: list[str], folder, **environment: str) -> str:
    """Run commands of a page in a folder, as a user's shell would."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", "\n".join(map(textwrap.dedent, commands))],
        cwd=folder,
        env=os.environ | {"PATH": path} | environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def bash_with(name: str, program: str) -> list[str]:
    """The bash blocks of a how-to that begin with a program, those in lists too."""
    found = re.findall(r"^( *)```bash\n(.*?)^\1```$", page(f"how-to/{name}.md"), re.M | re.S)
    return [block for _, block in found if block.lstrip().startswith(program)]


@needs_gpg
def test_the_key_is_looked_at_and_a_file_encrypted_as_the_page_says(tmp_path):
    (tmp_path / "adobe.asc").write_text(pair().public)
    (tmp_path / "customers.csv").write_text("customer_id,traits\nann,24\n")
    commands = bash_with("pgp", "gpg ") + bash_with("pgp", "airflow-am ")
    assert len(commands) == 2
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    said = run_here(commands, tmp_path, GNUPGHOME=str(home), FINGERPRINT=pair().fingerprint)
    assert pair().fingerprint.upper() in said.replace(" ", "")
    (sent,) = (tmp_path / "out").glob("*.pgp")
    assert pair().decrypted(sent.read_bytes()) == b"ann\td_sid=24\n"


@pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="ssh-keygen is not installed")
def test_the_key_for_sftp_becomes_the_extra_of_the_connection(tmp_path):
    (made,) = bash_with("sftp", "ssh-keygen ")
    (connections,) = bash_with("sftp", "airflow ")
    (extra,) = re.findall(r'"\$\((python -c .*?)\)"$', connections, re.M | re.S)
    said = json.loads(run_here([made, extra], tmp_path).splitlines()[-1])
    key = asyncssh.import_private_key(said["private_key"])
    assert key.get_algorithm() == "ssh-ed25519"


def test_connections_of_the_how_tos_are_good():
    # Those of the rehearsal are made, and tested, by a test of its own.
    found = [
        json.loads(words[words.index("--conn-extra") + 1])
        for path in HOW_TOS
        if path.stem != "rehearse"
        for words in shell_commands(path.read_text(), "airflow")
        if words[:2] == ["connections", "add"] and "audience_manager" in words
    ]
    assert [ConnectionSettings.parse(extra, "am").transport for extra in found] == ["s3", "sftp"]


def test_commands_of_airflow_am_are_right_use():
    found = []
    for path in (*HOW_TOS, DOCS / "runbook.md"):
        text = path.read_text()
        found += shell_commands(text, "airflow-am")
        # In a sentence: those that are whole, since they have an option.
        found += [
            shlex.split(code.removeprefix("airflow-am "))
            for code in codes(_FENCED.sub("", text))
            if code.startswith("airflow-am ") and " --" in code and "[" not in code
        ]
    assert len(found) > 5
    for words in found:
        assert parse(words) is not None, words


def test_the_dag_after_an_acknowledgement_reads_what_the_event_has(capsys):
    (example,) = (
        block.text for block in blocks(page("how-to/acknowledged.md")) if block.language == "python"
    )
    names: dict[str, object] = {}
    exec(compile(example, "acknowledged.md", "exec"), names)
    told = {
        name
        for row in rows(page("how-to/acknowledged.md"), "in `extra`")
        for name in codes(row["in `extra`"])
    }
    event = SimpleNamespace(extra=dict.fromkeys(told, "as told"))
    asset = Asset("audience-manager://production/acme/478")
    names["tell"].function(triggering_asset_events={asset: [event]})
    assert capsys.readouterr().out == f"{asset.uri} as told as told as told\n"


def test_what_an_event_has_is_what_the_page_says():
    from airflow_am_provider.hooks.asset_events import _FACTS

    assert set(_FACTS) == set(first_codes(page("how-to/acknowledged.md"), "in `extra`"))


def test_the_runbook_begins_at_every_task_and_leads_to_every_group_of_messages():
    runbook = page("runbook.md")
    starts = {
        name
        for module, names in TOLD.items()
        if module.split(".")[1:2] in (["operators"], ["sensors"], ["notifications"])
        for name in names
    }
    assert starts <= set(codes(runbook))
    groups = re.findall(r"^### (.+)$", section(page("receipts.md"), "## At 3 a.m."), re.M)
    assert len(groups) == 4
    for group in groups:
        assert f"receipts.md#{group.lower().replace(' ', '-')}" in runbook


def test_each_topic_of_an_alert_leads_where_the_alert_does():
    topics = rows(page("runbook.md"), "topic")
    told = {codes(row["topic"])[0]: row["where to go on"] for row in topics}
    assert told.keys() == TITLES.keys()
    for topic, (_, target) in TITLES.items():
        assert f"({target})" in told[topic], topic


def test_figures_of_the_comparison_are_those_that_were_measured():
    measured = page("performance.md")
    figures = [
        row[kind]
        for row in rows(page("comparison.md"), "comparison")
        for kind in ("traits", "signals")
    ]
    assert len(figures) == 10
    for figure in (*figures, "4.14", "4.3"):
        assert re.search(rf"(?<![\d.]){re.escape(figure)}(?![\d.]\d)", measured), figure


def test_every_method_of_the_api_hook_stands_there():
    told = set(first_codes(page("api.md"), "method")) | set(
        re.findall(r"`(\w+_async)`", page("api.md"))
    )
    methods = {
        name
        for name, method in vars(AudienceManagerApiHook).items()
        if callable(method) and name[0] != "_" and name != "test_connection"
    }
    assert methods == {name.partition("(")[0] for name in told}


def test_every_setting_and_every_extra_stands_there():
    texts = "\n".join(path.read_text() for path in PAGES)
    for section_of_it in get_provider_info()["config"].values():
        for option in section_of_it["options"]:
            assert f"`{option}`" in texts, option


def test_pages_about_managed_airflow_say_what_was_tried():
    for name in ("amazon-mwaa", "google-composer", "astronomer"):
        assert "**Not tried.**" in page(f"how-to/{name}.md")
    published = sorted((ROOT / "constraints" / "published").glob("*.txt"))
    releases = [path.stem.removeprefix("airflow-") for path in published]
    assert f"{', '.join(releases[:-1])} and {releases[-1]}" in page("how-to/amazon-mwaa.md")
