"""What a user gets who installs the package."""

import importlib
import json
import re
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from importlib import metadata, util
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

import airflow_am_provider
from airflow_am_provider.audience_manager.receipts.mail import SENDER
from airflow_am_provider.get_provider_info import get_provider_info
from airflow_am_provider.hooks.asset_events import asset_uri
from tests.test_public import TOLD

ROOT = Path(__file__).parent.parent


def schema_of_airflow(name: str) -> dict[str, Any]:
    """Read one of the JSON schemas that the installed Airflow ships."""
    spec = util.find_spec("airflow")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    for folder in spec.submodule_search_locations:
        if (file := Path(folder) / name).exists():
            schema: dict[str, Any] = json.loads(file.read_text())
            return schema
    raise FileNotFoundError(name)


def connection_types() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = get_provider_info()["connection-types"]
    return found


def test_provider_information_follows_airflows_schema() -> None:
    jsonschema.validate(get_provider_info(), schema_of_airflow("provider_info.schema.json"))


def test_connection_form_follows_airflows_schema() -> None:
    # The schema of the information itself says nothing about form fields; the one that Airflow's
    # own providers are written against does.
    schema = schema_of_airflow("provider.yaml.schema.json")["properties"]["connection-types"]
    jsonschema.validate(connection_types(), schema)


def test_defaults_of_the_connection_form_are_among_its_choices() -> None:
    for described in connection_types():
        for name, field in described["conn-fields"].items():
            schema = field["schema"]
            if "enum" in schema:
                assert schema["default"] in schema["enum"], name


def test_receipts_come_from_adobes_address_by_default() -> None:
    # Written out in the form's metadata, which every Airflow process loads, to keep that light.
    fields = connection_types()[0]["conn-fields"]
    assert fields["receipts_sender"]["schema"]["default"] == SENDER


@pytest.mark.parametrize("room", ["operators", "sensors", "hooks", "triggers"])
def test_the_provider_information_lists_each_public_module(room: str) -> None:
    (listed,) = get_provider_info()[room]
    prefix, ending = f"airflow_am_provider.{room}.", room.removesuffix("s").capitalize()
    public = {name.rpartition(".")[0] for name in public_names(prefix, ending)}
    assert set(listed["python-modules"]) == public


def test_whatever_the_provider_information_names_is_there() -> None:
    names = set(names_in(get_provider_info()))
    assert len(names) > 25
    for name in names:
        try:
            importlib.import_module(name)
        except ModuleNotFoundError:
            module, _, attribute = name.rpartition(".")
            assert callable(getattr(importlib.import_module(module), attribute)), name


def test_the_provider_information_lists_every_notifier_link_and_function_for_assets() -> None:
    info = get_provider_info()
    assert info["notifications"] == public_names("airflow_am_provider.notifications.")
    assert sorted(info["extra-links"]) == public_names("airflow_am_provider.links")
    (assets,) = info["asset-uris"]
    functions = [assets["handler"], assets["factory"], assets["to_openlineage_converter"]]
    assert sorted(functions) == public_names("airflow_am_provider.hooks.asset_uris")
    assert assets["schemes"] == [asset_uri("production/acme", "478").partition(":")[0]]


def test_connection_types_are_those_of_the_hooks() -> None:
    listed = {described["hook-class-name"]: described for described in connection_types()}
    hooks = public_names("airflow_am_provider.hooks.", "Hook")
    assert sorted(listed) == hooks
    for name, described in listed.items():
        module, _, attribute = name.rpartition(".")
        hook = getattr(importlib.import_module(module), attribute)
        assert (hook.conn_type, hook.hook_name) == (
            described["connection-type"],
            described["hook-name"],
        )


def test_the_plugin_is_found_once() -> None:
    # By its entry point. One that stood in the information as well would be loaded twice where
    # providers are not loaded lazily, and Airflow warns of that.
    assert "plugins" not in get_provider_info()


def test_links_of_tasks_are_the_plugins_too() -> None:
    # The API server shows only those that it knows.
    plugin = importlib.import_module("airflow_am_provider.plugins.audience_manager")
    links = plugin.AudienceManagerPlugin.operator_extra_links
    classes = {f"{type(link).__module__}.{type(link).__name__}" for link in links}
    assert classes == set(get_provider_info()["extra-links"])


def test_the_registry_file_lists_what_is_public() -> None:
    # Its texts are those of docstrings: see tests/test_reference.py.
    listed = yaml.safe_load((ROOT / ".airflow-registry.yaml").read_text())
    sections = {name: entries for name, entries in listed.items() if isinstance(entries, list)}
    assert listed.keys() - sections.keys() == {
        "package-name", "display-name", "description", "docs-url", "source-url"
    }  # fmt: skip
    for entries in sections.values():
        assert all(entry.keys() == {"module", "description"} for entry in entries)
    modules = {name: {entry["module"] for entry in found} for name, found in sections.items()}
    info = get_provider_info()
    for section in ("operators", "sensors", "hooks", "triggers"):
        (known,) = info[section]
        assert {name.rpartition(".")[0] for name in modules[section]} == set(
            known["python-modules"]
        )
    assert modules["notifications"] == set(info["notifications"])
    assert modules["other"] == {"airflow_am_provider.task_groups.deliver"}


def names_in(value: Any) -> Iterator[str]:
    """Modules, classes and functions of this package that a document names."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for part in value:
            yield from names_in(part)
    elif re.fullmatch(r"airflow_am_provider(\.\w+)+", str(value)):
        yield value


def public_names(prefix: str, ending: str = "") -> list[str]:
    """What docs/reference.md lists of the modules that begin so, as ``module.name``."""
    return sorted(
        f"{module}.{name}"
        for module, names in TOLD.items()
        if module.startswith(prefix)
        for name in names
        if name.endswith(ending)
    )


def test_what_an_index_shows_is_what_the_readme_says() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    readme = (ROOT / "README.md").read_text()
    kind = "Programming Language :: Python :: 3."
    minors = [int(name.removeprefix(kind)) for name in project["classifiers"] if kind in name]
    assert minors == list(range(minors[0], minors[-1] + 1))
    assert project["requires-python"] == f">=3.{minors[0]}"
    assert f"Python 3.{minors[0]} to 3.{minors[-1]}" in readme
    # The others are for those who work on the package.
    extras = project["optional-dependencies"].keys()
    extras -= {"local", "compose", "bench", "page", "ui", "docs", "dev"}
    assert all(f"`{extra}`" in readme for extra in extras)
    assert all(url.startswith("https://") for url in project["urls"].values())


def test_version_is_the_same_everywhere() -> None:
    version = airflow_am_provider.__version__
    assert metadata.version("airflow-am-provider") == version
    assert get_provider_info()["versions"] == [version]
    newest = re.search(r"^## \[(.+?)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert newest is not None
    assert newest[1] == version


@pytest.mark.parametrize(
    "pins", sorted((ROOT / "constraints" / "published").glob("*.txt")), ids=lambda file: file.stem
)
def test_pins_that_airflow_was_published_with_are_allowed(pins: Path) -> None:
    # That they fit together as well is seen by scripts/check-pins.sh, which needs an index.
    pinned = [Requirement(line) for line in pins.read_text().splitlines() if line[0] != "#"]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = {
        requirement.name: requirement.specifier
        for text in project["dependencies"] + project["optional-dependencies"]["postgres"]
        if not (requirement := Requirement(text)).marker
    }
    assert {pin.name for pin in pinned} >= wanted.keys() - {"isal"}
    for pin in pinned:
        (only,) = pin.specifier
        allowed = wanted.get(pin.name, SpecifierSet())
        assert allowed.contains(only.version, prereleases=True), f"{pin} is refused"


@pytest.mark.parametrize(
    "pins",
    [ROOT / "constraints.txt", *sorted((ROOT / "constraints").glob("*.txt"))],
    ids=lambda file: file.stem,
)
def test_every_dependency_of_every_extra_is_pinned(pins: Path) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = [text for texts in project["optional-dependencies"].values() for text in texts]
    wanted = {Requirement(text).name for text in [*project["dependencies"], *extras]}
    pinned = {line.partition("==")[0] for line in pins.read_text().splitlines()}
    assert wanted - {"airflow-am-provider"} - pinned == set(), "run scripts/constraints.sh"


@pytest.mark.parametrize(
    ("group", "name"),
    [("apache_airflow_provider", "provider_info"), ("airflow.plugins", "audience_manager")],
)
def test_entry_point_loads(group: str, name: str) -> None:
    (entry_point,) = metadata.distribution("airflow-am-provider").entry_points.select(
        group=group, name=name
    )
    assert callable(entry_point.load())


def test_airflow_finds_the_provider() -> None:
    providers_manager = importlib.import_module("airflow.providers_manager").ProvidersManager()
    found = providers_manager.providers["airflow-am-provider"]
    assert found.version == airflow_am_provider.__version__


@pytest.mark.slow
def test_wheel_holds_the_package_and_nothing_else(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", tmp_path, ROOT],
        check=True,
        capture_output=True,
    )
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        files = set(archive.namelist())
        (metadata_file,) = (name for name in files if name.endswith(".dist-info/METADATA"))
        shown = archive.read(metadata_file).decode()

    # An index shows the README away from the repository.
    links = re.findall(r"\]\(([^)]+)\)", shown)
    assert len(links) > 20
    assert [link for link in links if not link.startswith("https://")] == []
    information = f"airflow_am_provider-{airflow_am_provider.__version__}.dist-info"
    assert {name.partition("/")[0] for name in files} == {"airflow_am_provider", information}
    assert f"{information}/licenses/LICENSE" in files
    package = ROOT / "airflow_am_provider"
    modules = {str(file.relative_to(ROOT)) for file in package.rglob("*.py")}
    page = {
        str(file.relative_to(ROOT))
        for file in (package / "plugins" / "page" / "assets").rglob("*")
        if file.is_file()
    }
    examples = {
        f"airflow_am_provider/example_dags/{file.name}" for file in (ROOT / "dags").glob("*.py")
    }
    expected = modules | page | examples | {"airflow_am_provider/py.typed"}
    assert {name for name in files if not name.startswith(information)} == expected
