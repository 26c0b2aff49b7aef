"""The folders of the package and the arrows between them, held by checks that fail."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "airflow_am_provider"

# What these import, every parsing of every DAG pays for, and every listing of connections. The
# other hooks read and write data, in `execute` only, and may be as heavy as that takes.
LOADED_BY_A_DAG_FILE = (
    "operators",
    "sensors",
    "task_groups",
    "triggers",
    "notifications",
    "links",
    "plugins/audience_manager",
    "plugins/page_mount",
    "hooks/audience_manager",
)

HEAVY = ("pyarrow", "numpy", "pandas", "boto3", "botocore", "isal", "duckdb", "polars")


def modules_of(folder: str) -> list[str]:
    """Name every module of a folder or a single module; none if there is no such folder."""
    files = [*(PACKAGE / folder).rglob("*.py"), *PACKAGE.glob(f"{folder}.py")]
    names = [".".join(file.relative_to(PACKAGE.parent).with_suffix("").parts) for file in files]
    return sorted(name.removesuffix(".__init__") for name in names)


def run_python(program: str, *arguments: str) -> str:
    """Run a program in a process of its own, which has imported nothing yet, return its output."""
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


# $1: "stdlib" to let nothing but the standard library in, or the name of a package to keep out.
IMPORT_WITH_A_BLOCK = """
import importlib, sys

keep_out = sys.argv[1]

class Block:
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        allowed = top == "airflow_am_provider" or top in sys.stdlib_module_names
        if top == keep_out or (keep_out == "stdlib" and not allowed):
            raise ModuleNotFoundError(f"{name} is not to be imported here", name=name)

sys.meta_path.insert(0, Block())
for name in sys.argv[2:]:
    importlib.import_module(name)
"""


def test_adobes_contract_needs_nothing_but_the_standard_library() -> None:
    modules = modules_of("audience_manager")
    assert modules
    run_python(IMPORT_WITH_A_BLOCK, "stdlib", *modules)


# Asks Airflow for the hook of a database; loaded when a query is run.
ASKS_AIRFLOW = "airflow_am_provider.sources.database_hook"

FEATURES = ("storage", "formatting", "deliveries", "sources", "snapshots", "suppression")


def test_features_work_without_airflow() -> None:
    modules = [module for folder in FEATURES for module in modules_of(folder)]
    assert ASKS_AIRFLOW in modules
    modules.remove(ASKS_AIRFLOW)
    run_python(IMPORT_WITH_A_BLOCK, "airflow", *modules)


def imports_of(path: Path, known: set[str]) -> set[str]:
    """The modules of this package that a module imports: in functions and for types as well."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in known else node.module for name in names}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return found & known


def circles(arrows: dict[str, set[str]]) -> list[list[str]]:
    """Modules that can be reached from themselves, together with those on the way."""

    def reached(start: str) -> set[str]:
        seen: set[str] = set()
        todo = [start]
        while todo:
            new = arrows[todo.pop()] - seen
            seen |= new
            todo += new
        return seen

    reach = {module: reached(module) for module in arrows}
    return sorted(
        {
            tuple(sorted(other for other in reach[module] if module in reach[other]))
            for module in arrows
            if module in reach[module]
        }
    )


def test_nothing_imports_in_a_circle_not_even_for_types() -> None:
    files = {module: file for file in PACKAGE.rglob("*.py") for module in [name_of(file)]}
    arrows = {module: imports_of(file, set(files)) for module, file in files.items()}
    assert circles(arrows) == []


def test_a_circle_is_seen() -> None:
    arrows = {"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": {"a"}}
    assert circles(arrows) == [("b", "c")]


def name_of(file: Path) -> str:
    dotted = ".".join(file.relative_to(PACKAGE.parent).with_suffix("").parts)
    return dotted.removesuffix(".__init__")


@pytest.mark.parametrize("keep_out", ["stdlib", "json"])
def test_the_block_of_these_tests_blocks(keep_out: str) -> None:
    with pytest.raises(AssertionError, match="is not to be imported here"):
        run_python(IMPORT_WITH_A_BLOCK, keep_out, "airflow_am_provider", "json", "pytest")


# Prints what each module was the first to bring in.
IMPORT_AND_WATCH = """
import importlib, json, sys, warnings

warnings.simplefilter("ignore")
heavy = json.loads(sys.argv[1])
import airflow.sdk

seen = {name for name in heavy if name in sys.modules}
guilty = {}
for module in sys.argv[2:]:
    importlib.import_module(module)
    if new := [name for name in heavy if name in sys.modules and name not in seen]:
        guilty[module] = new
        seen.update(new)
print(json.dumps(guilty))
"""


def test_what_a_dag_file_imports_is_light() -> None:
    modules = [module for folder in LOADED_BY_A_DAG_FILE for module in modules_of(folder)]
    output = run_python(IMPORT_AND_WATCH, json.dumps(HEAVY), *modules)
    assert json.loads(output.splitlines()[-1]) == {}


def test_the_plugin_leaves_the_page_to_the_api_server() -> None:
    watched = ["fastapi", "sqlite3", "airflow_am_provider.plugins.page"]
    output = run_python(
        IMPORT_AND_WATCH, json.dumps(watched), "airflow_am_provider.plugins.audience_manager"
    )
    assert json.loads(output.splitlines()[-1]) == {}


def test_arrows_between_the_folders() -> None:
    lint_imports = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run(
        [lint_imports, "--no-cache"],
        cwd=PACKAGE.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
