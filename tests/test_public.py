"""What is public: the list of the documentation is that of the code, in both directions."""

import re
from importlib import import_module
from pkgutil import walk_packages

import airflow_am_provider
from tests.docs_pages import PAGES, ROOT, codes, page, rows

TOLD = {
    codes(row["import from"])[0]: codes(row["what"])
    for row in rows(page("reference.md"), "import from")
}


def _modules() -> list[str]:
    """All modules, save the plugin, which is Airflow's to load, and what runs when imported."""
    found = walk_packages(airflow_am_provider.__path__, "airflow_am_provider.")
    names = [module.name for module in found]
    return ["airflow_am_provider"] + [
        name for name in names if ".plugins" not in name and not name.endswith("__main__")
    ]


def test_the_list_is_that_of_the_code():
    public = {
        name: sorted(module.__all__)
        for name in _modules()
        if hasattr(module := import_module(name), "__all__")
    }
    assert public == {name: sorted(names) for name, names in TOLD.items()}


def test_all_that_is_listed_is_there():
    for name, names in TOLD.items():
        module = import_module(name)
        for one in names:
            assert hasattr(module, one), (name, one)


def test_no_public_module_is_marked_as_internal():
    assert not [name for name in TOLD if any(part[0] == "_" for part in name.split("."))]


def test_a_module_without_an_underscore_in_a_folder_of_operators_is_public():
    folders = ("operators", "sensors", "notifications")
    prefixes = tuple(f"airflow_am_provider.{folder}." for folder in folders)
    found = {name for name in _modules() if name.startswith(prefixes)}
    assert {name for name in found if name.rpartition(".")[2][0] != "_"} <= TOLD.keys()


def test_a_star_brings_what_is_public_and_nothing_else():
    for name in TOLD.keys() - {"airflow_am_provider"}:
        space: dict[str, object] = {}
        exec(f"from {name} import *", space)
        assert space.keys() - {"__builtins__"} == set(TOLD[name]), name


def test_example_dags_and_pages_import_only_what_is_public():
    texts = [path.read_text() for path in (*ROOT.glob("dags/*.py"), *PAGES)]
    imported = re.findall(
        r"^ *from (airflow_am_provider[\w.]*) import ([\w, ]+)", "\n".join(texts), re.M
    )
    assert len(imported) > 10
    for module, names in imported:
        assert set(names.split(", ")) <= set(TOLD.get(module, ())), (module, names)
