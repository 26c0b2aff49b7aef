"""What a user gets who installs the package."""

import importlib
import json
import re
import subprocess
import sys
import tomllib
import zipfile
from importlib import metadata, util
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

import airflow_am_provider
from airflow_am_provider.audience_manager.receipts.mail import SENDER
from airflow_am_provider.get_provider_info import get_provider_info

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
    public = {
        match[1]
        for match in re.finditer(
            rf"^\| `(airflow_am_provider\.{room}\.[a-z_]+)` \| "
            r"`\w+(?:Operator|Sensor|Hook|Trigger)`",
            (ROOT / "docs" / "reference.md").read_text(),
            re.MULTILINE,
        )
    }
    assert set(listed["python-modules"]) == public


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
