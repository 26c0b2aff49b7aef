"""The documentation: complete, true to the code, and without a broken link."""

import inspect
import json
import re
import sys
from dataclasses import fields
from importlib import import_module
from itertools import pairwise
from pkgutil import walk_packages
from runpy import run_path

import airflow.sdk
import pytest

import airflow_am_provider
from airflow_am_provider.audience_manager.environments import ENVIRONMENTS
from airflow_am_provider.audience_manager.errors import AudienceManagerError
from airflow_am_provider.audience_manager.identifiers import ID_KINDS
from airflow_am_provider.audience_manager.lines import WARNINGS
from airflow_am_provider.audience_manager.receipts.reconciliation import Verdict
from airflow_am_provider.audience_manager.receipts.text import COUNT_LABELS
from airflow_am_provider.audience_manager.receipts.thresholds import LIMITED_COUNTS
from airflow_am_provider.audience_manager.rules import RULES
from airflow_am_provider.cli import arguments
from airflow_am_provider.cli.arguments import WrongUse, parse
from airflow_am_provider.deliveries.signs import AcknowledgedBy
from airflow_am_provider.hooks.audience_manager import AudienceManagerHook
from airflow_am_provider.hooks.settings import CONNECTION_FIELDS, ConnectionSettings
from airflow_am_provider.sandbox.behaviour import Behaviour
from airflow_am_provider.sandbox.events import Kind
from tests.docs_pages import (
    DOCS,
    PAGES,
    ROOT,
    Console,
    anchors,
    blocks,
    codes,
    first_codes,
    links,
    page,
    rows,
    section,
    sentences,
    stripped,
)


def test_every_operator_and_sensor_has_a_section():
    rooms = [airflow_am_provider.__name__ + room for room in (".operators", ".sensors")]
    found = {
        name
        for room in rooms
        for module in walk_packages(import_module(room).__path__, f"{room}.")
        for name, owner in vars(import_module(module.name)).items()
        if inspect.isclass(owner)
        and owner.__module__ == module.name
        and name.endswith(("Operator", "Sensor"))
    }
    assert found - {"PollingSensor"} == set(first_codes(page("operators.md"), "class")) - {
        "deliver"
    }


def test_every_kind_of_id_stands_there():
    kinds = rows(page("operators.md"), "`id_kind`")
    told = {
        name: dpid.strip()
        for row in kinds
        for name, dpid in zip(codes(row["`id_kind`"]), row["data source"].split(","), strict=True)
    }
    assert told == {
        name: "yours" if kind.dpid is None else str(kind.dpid) for name, kind in ID_KINDS.items()
    }


def test_every_field_of_the_connection_stands_there():
    told = {
        codes(row["field"])[0]: row
        for row in rows(page("connection.md"), "field")
        if codes(row["field"])
    }
    of_the_form = {name: row for name, row in told.items() if name in CONNECTION_FIELDS}
    assert list(of_the_form) == list(CONNECTION_FIELDS)
    for name, row in of_the_form.items():
        schema = CONNECTION_FIELDS[name]["schema"]
        assert codes(row["default"]) == ([schema["default"]] if "default" in schema else []), name
        if "enum" in schema:
            assert codes(row["type"]) == schema["enum"], name


def test_hosts_and_buckets_are_adobes():
    told = {codes(row["environment"])[0]: row for row in rows(page("connection.md"), "environment")}
    for name, environment in ENVIRONMENTS.items():
        assert codes(told[name]["bucket"]) == [environment.bucket]
        hosts = [host for host in (environment.sftp_host, environment.ftp_host) if host]
        assert codes(told[name]["SFTP host"]) == hosts


def test_examples_of_connections_are_good():
    examples = [block for block in blocks(page("connection.md")) if block.mark == "connection"]
    assert [
        ConnectionSettings.parse(json.loads(block.text), "am").environment for block in examples
    ] == ["beta", "production", "production", "custom"]


def test_every_command_stands_there():
    commands = [name for name, *_ in arguments._COMMANDS]
    assert first_codes(page("cli.md"), "command") == [f"airflow-am {name}" for name in commands]


@pytest.mark.parametrize("name", ["cli.md", "sandbox.md", "how-to/ci.md"])
def test_what_the_console_shows_is_what_is_printed(name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    console = Console(tmp_path, capsys)
    examples = [block for block in blocks(page(name)) if block.language == "console"]
    assert examples
    for example in examples:
        console.run(example.text)
    for block in blocks(page(name)):
        if block.language == "python" and name == "sandbox.md":
            exec(compile(block.text, name, "exec"), {})


def test_commands_of_the_readme_are_right_use():
    text = (ROOT / "README.md").read_text()
    commands = re.findall(r"^airflow-am ([^#\n]+)", text, re.M)
    assert commands
    for words in commands:
        assert parse(words.split()) is not None, words


def test_events_and_behaviours_of_the_sandbox_stand_there():
    assert set(first_codes(page("sandbox.md"), "event")) == set(Kind)
    told = {codes(row["name"])[0]: row["default"] for row in rows(page("sandbox.md"), "name")}
    assert told == {item.name: str(item.default).lower() for item in fields(Behaviour)}


def test_the_table_of_rules_is_the_one_of_the_code():
    told = [list(row.values()) for row in rows(page("rules.md"), "code")]
    assert told == [
        [
            f"`{rule}`",
            text.sentence,
            text.page if text.page != "docs/choices.md" else "[docs/choices.md](choices.md)",
            "warning" if rule in WARNINGS else "error",
            "no" if text.loses_nothing else "yes",
        ]
        for rule, text in RULES.items()
    ]


def test_every_error_stands_there_with_its_bases():
    for module in walk_packages(airflow_am_provider.__path__, "airflow_am_provider."):
        # The plugin is Airflow's to load.
        if ".plugins" not in module.name and not module.name.endswith("__main__"):
            import_module(module.name)
    ours, todo = {WrongUse}, [AudienceManagerError]
    while todo:
        error = todo.pop()
        ours.add(error)
        todo += error.__subclasses__()
    told = {
        codes(row["error"])[0]: codes(row["is a"])
        for row in rows(section(page("rules.md"), "## Errors"), "error")
    }
    assert told == {
        error.__name__: [base.__name__ for base in error.__bases__]
        for error in ours
        if error.__module__ in sys.modules and error.__module__.startswith("airflow_am_provider")
    }


def test_verdicts_limits_and_signs_stand_there():
    text = page("receipts.md")
    assert first_codes(section(text, "## Verdicts"), "verdict") == list(Verdict)
    assert set(first_codes(section(text, "## At 3 a.m."), "verdict")) == set(Verdict)
    told = rows(section(text, "## Limits"), "count")
    assert {codes(row["count"])[0]: row["Adobe's label"] for row in told} == {
        name: COUNT_LABELS[name] for name in LIMITED_COUNTS
    }
    assert set(AcknowledgedBy) <= set(codes(section(text, "## Signs")))


def test_messages_of_the_runbook_are_those_of_the_code():
    known = sentences()
    messages = first_codes(section(page("receipts.md"), "## At 3 a.m."), "message")
    assert len(messages) > 25
    for message in messages:
        # Some messages are put together from two strings.
        for piece in filter(None, (piece.strip(" :;,.") for piece in message.split("…"))):
            assert any(piece in sentence for sentence in known), message


def test_the_graph_of_the_readme_is_that_of_the_daily_example():
    (graph,) = (
        one for one in blocks((ROOT / "README.md").read_text()) if one.language == "mermaid"
    )
    drawn = set()
    for line in graph.text.splitlines()[1:]:
        drawn.update(pairwise(map(str.strip, line.split("-->"))))
    daily = run_path(str(ROOT / "dags" / "audience_manager_daily.py"))["dag"]
    assert drawn == {
        (task.task_id, after) for task in daily.tasks for after in task.downstream_task_ids
    }


def test_snippets_are_cut_from_the_example_dags():
    snippets = [
        (path, block)
        for path in PAGES
        for block in blocks(path.read_text())
        if block.mark.startswith("from ")
    ]
    assert len(snippets) > 5
    for path, block in snippets:
        source = "\n".join(stripped((ROOT / block.mark.removeprefix("from ")).read_text()))
        assert f"\n{chr(10).join(stripped(block.text))}\n" in f"\n{source}\n", (path, block.text)


def test_python_in_pages_of_operators_is_cut_from_the_example_dags():
    unmarked = [
        (path.name, block.text)
        for path in PAGES
        for block in blocks(path.read_text())
        if block.language == "python" and not block.mark
    ]
    # All are run: the README's, the API's second and those of alerts here, the API's first by the
    # tests of its hook, the one about the acknowledgement in test_how_to, that of CI at the end of
    # test_first_try, the last with the examples of its page.
    assert [name for name, _ in unmarked] == [
        *("README.md", "api.md", "api.md", "acknowledged.md", "ci.md"),
        *("monitoring.md", "monitoring.md", "sandbox.md"),
    ]
    # Deadline alerts came with Airflow 3.2.
    alerts = unmarked[5:7] if hasattr(airflow.sdk, "DeadlineAlert") else unmarked[5:6]
    for name, text in (unmarked[0], unmarked[2], *alerts):
        exec(compile(text, name, "exec"), {})


def test_urls_in_the_page_of_the_api_are_what_the_code_gives():
    (_, urls) = (one.text for one in blocks(page("api.md")) if one.language == "python")
    names: dict[str, object] = {}
    exec(compile(urls.partition("\n\n")[0], "api.md", "exec"), names)
    calls = re.findall(r"^(\w+\(.*\))\n# (.*)$", urls, re.MULTILINE)
    assert len(calls) == 2
    for call, told in calls:
        assert repr(eval(call, names)) == told


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_leads_somewhere(path):
    for target in links(path):
        if "://" in target or target.startswith("mailto:"):
            continue
        file, _, anchor = target.partition("#")
        place = (path.parent / file).resolve() if file else path
        assert place.exists(), target
        if anchor:
            assert anchor in anchors(place.read_text()), target


def test_every_page_is_in_the_table_of_contents():
    told = {(DOCS / target.partition("#")[0]).resolve() for target in links(DOCS / "index.md")}
    told |= {
        DOCS / "index.md",
        *(DOCS / "decisions").glob("0*.md"),
    }  # these have a list of their own
    assert set(DOCS.rglob("*.md")) <= told


def test_every_decision_is_in_their_list():
    folder = DOCS / "decisions"
    told = [folder / target for target in links(folder / "README.md")]
    assert told == sorted(folder.glob("0*.md"))


def test_the_connection_type_is_named():
    for word in (AudienceManagerHook.conn_type, AudienceManagerHook.hook_name):
        assert word in page("connection.md")


def test_each_way_in_which_deliveries_were_lost_has_its_tests():
    table = section(page("promise.md"), "## How deliveries were once lost")
    ways = rows(table, "what was seen")
    assert len(ways) == 12
    for way in ways:
        assert codes(way["tests"])
        for name in codes(way["tests"]):
            file, _, function = name.partition("::")
            code = (ROOT / "tests" / file).read_text()
            assert re.search(rf"^\s*(async )?def {function}\(", code, re.MULTILINE), name
