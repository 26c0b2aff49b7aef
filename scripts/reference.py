#!/usr/bin/env python3
"""Writes the tables of parameters and options into docs/, from docstrings and argparse.

And ``.airflow-registry.yaml``, which lists public classes for Airflow's registry of providers.

A page says where by ``<!-- reference: NAME -->``. What stands from there to
``<!-- end of reference -->`` is replaced. ``--check`` writes nothing, and fails when a page is not
up to date.
"""

from __future__ import annotations

import argparse
import inspect
import re
import sys
import tomllib
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from airflow_am_provider.cli import (
    check,
    delivery_records,
    format_arguments,
    outbound,
    receipt,
)
from airflow_am_provider.get_provider_info import get_provider_info
from airflow_am_provider.operators.clean_staging import CleanStagingOperator
from airflow_am_provider.operators.combine_partitions import CombinePartitionsOperator
from airflow_am_provider.operators.data_file import FormatDataFileOperator
from airflow_am_provider.operators.event_feed import EventFeedExtractOperator
from airflow_am_provider.operators.guard import GuardOperator
from airflow_am_provider.operators.id_sync import IdSyncExtractOperator
from airflow_am_provider.operators.outbound_load import OutboundLoadOperator
from airflow_am_provider.operators.preflight import PreflightOperator
from airflow_am_provider.operators.snapshot_diff import SnapshotDiffOperator
from airflow_am_provider.operators.suppression_removal import SuppressionRemovalOperator
from airflow_am_provider.operators.upload import UploadOperator
from airflow_am_provider.operators.upload_parts import UploadPartsOperator
from airflow_am_provider.sandbox import command
from airflow_am_provider.sensors.outbound_files import OutboundFilesSensor
from airflow_am_provider.sensors.receipt import DeliveryReceiptSensor
from airflow_am_provider.sensors.replay import ReplayNewerSensor
from airflow_am_provider.task_groups import deliver

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

ROOT = Path(__file__).parents[1]
PACKAGE = "airflow_am_provider"

_BLOCK = re.compile(
    r"(?P<begin>^<!-- reference: (?P<name>[^>]+) -->\n).*?(?P<end>^<!-- end of reference -->$)",
    re.M | re.S,
)
_PARAM = re.compile(r"^ *:param (\w+):(.*?)(?=^ *:|^\s*$|\Z)", re.M | re.S)
_ROLE = re.compile(r":class:`~[\w.]+\.(\w+)`")
_PAGE = re.compile(r"`docs/((\w+)\.md(#[\w-]+)?)`")
_MARK = " (templated)"

# The default of these is a setting of Airflow's.
_SETTINGS = {"deferrable": "[operators] default_deferrable"}


class WrongWords(Exception):
    """A docstring and its signature, or the words for one thing in two places, differ."""


@dataclass(frozen=True)
class Parameter:
    """One parameter, as docstring and signature have it."""

    name: str
    meaning: str
    default: object
    is_templated: bool

    @property
    def shown_default(self) -> str:
        if self.default is inspect.Parameter.empty:
            return "required"
        return f"`{_SETTINGS.get(self.name, repr(self.default))}`"


def words_of(docstring: str) -> dict[str, str]:
    """The texts of ``:param:``, by name, each on one line."""
    # A role that begins a line begins no field.
    text = re.sub(r"\n\s*:(?=class:)", " :", docstring)
    return {name: " ".join(meaning.split()) for name, meaning in _PARAM.findall(text)}


def parameters_of(owner: type) -> dict[str, Parameter]:
    """All parameters of an operator, its own first, then those of its bases."""
    found: dict[str, Parameter] = {}
    for base in owner.__mro__:
        if base.__module__.startswith(PACKAGE) and "__init__" in vars(base):
            own = _own_parameters(base, set(getattr(owner, "template_fields", ())))
            found |= {name: one for name, one in own.items() if name not in found}
    return found


def _own_parameters(owner: type, templated: Collection[str]) -> dict[str, Parameter]:
    signature = inspect.signature(owner.__init__).parameters.values()
    defaults = {one.name: one.default for one in signature if one.kind is one.KEYWORD_ONLY}
    words = words_of(owner.__doc__ or "")
    if missing := defaults.keys() ^ (words.keys() - {"kwargs"}):
        raise WrongWords(f"{owner.__name__}: signature or docstring lacks {sorted(missing)}")
    found = {}
    for name, default in defaults.items():
        meaning = words[name].removesuffix(_MARK)
        if (meaning != words[name]) != (name in templated):
            raise WrongWords(f"{owner.__name__}, {name}: '(templated)' says what is not so")
        found[name] = Parameter(name, meaning, default, name in templated)
    return found


def markdown(text: str) -> str:
    """What reST says, in Markdown, for the cell of a table."""
    text = _ROLE.sub(lambda found: f"[`{found[1]}`](operators.md#{found[1].lower()})", text)
    text = _PAGE.sub(r"[\2](\1)", text.replace("``", "`"))
    return re.sub(r"(?<!\\)\|", r"\|", text)


def parameter_table(parameters: Sequence[Parameter]) -> Iterator[str]:
    yield "| parameter | default | template | meaning |"
    yield "| --- | --- | --- | --- |"
    for one in parameters:
        template = "yes" if one.is_templated else "no"
        yield f"| `{one.name}` | {one.shown_default} | {template} | {markdown(one.meaning)} |"


def operator_table(
    owner: type, *, without: Collection[str] = (), prefix: str = ""
) -> Callable[[], Iterator[str]]:
    return lambda: parameter_table(
        [one for name, one in parameters_of(owner).items() if name not in without]
        if not prefix
        else [one for name, one in parameters_of(owner).items() if name.startswith(prefix)]
    )


def task_group_table() -> Iterator[str]:
    words = words_of(deliver.__doc__ or "")
    signature = inspect.signature(deliver).parameters.values()
    if [one.name for one in signature] != list(words):
        raise WrongWords("deliver: signature and docstring differ")
    yield "| parameter | default | meaning |"
    yield "| --- | --- | --- |"
    for one in signature:
        name = f"**{one.name}" if one.kind is one.VAR_KEYWORD else one.name
        default = "" if one.kind is one.VAR_KEYWORD else f"`{one.default!r}`"
        yield f"| `{name}` | {default} | {markdown(words[one.name])} |"


def source_table() -> Iterator[str]:
    """What all operators that format take. They have to say it in the same words."""
    owners = (FormatDataFileOperator, IdSyncExtractOperator, SnapshotDiffOperator)
    first, *others = (parameters_of(owner) for owner in owners)
    for name in _SHARED:
        for other in others:
            if name in other and other[name] != first[name]:
                raise WrongWords(f"{name}: two operators say different things of it")
    return parameter_table([first[name] for name in first if name in _SOURCE])


_SUPPRESSION = {
    name for name in parameters_of(SuppressionRemovalOperator) if name.startswith("suppression_")
}
_SHARED = set(parameters_of(FormatDataFileOperator)) & set(parameters_of(IdSyncExtractOperator))
_SOURCE = _SHARED - _SUPPRESSION


# An option that is the same thing as a parameter uses its sentences. Each has its parser, its
# operator, and the parameter where the two names differ.
_SAME_AS = {
    "format data": (FormatDataFileOperator, {}),
    "format id-sync": (IdSyncExtractOperator, {}),
    "deliveries clean": (CleanStagingOperator, {"dry_run": "only_report"}),
}


def parsers() -> dict[str, argparse.ArgumentParser]:
    """Every command that has options, by the words that call it."""
    found = {}
    for name, module in (
        ("check", check),
        ("format", format_arguments),
        ("receipt", receipt),
        ("deliveries", delivery_records),
        ("outbound", outbound),
        ("sandbox", command),
    ):
        parser = argparse.ArgumentParser(prog=f"airflow-am {name}")
        module.add_arguments(parser)
        found[name] = parser
        for action in parser._actions:
            if isinstance(action, argparse._SubParsersAction):
                found |= {f"{name} {kind}": sub for kind, sub in action.choices.items()}
    return found


def options_of(name: str) -> dict[str, argparse.Action]:
    """Options and positional arguments of a command, without ``--help`` and subcommands."""
    return {
        action.option_strings[-1] if action.option_strings else str(action.metavar): action
        for action in parsers()[name]._actions
        if not isinstance(action, argparse._HelpAction | argparse._SubParsersAction)
    }


def help_of(command: str, action: argparse.Action) -> str:
    """The help without its default, in the words of the operator's parameter if there is one."""
    if not action.help:
        raise WrongWords(f"airflow-am {command}: {action.dest} has no help")
    text = re.sub(r" \(default: .*\)$", "", action.help.replace("%%", "%"))
    owner, names = _SAME_AS.get(command, (None, {}))
    parameter = names.get(action.dest, action.dest)
    if owner and parameter in (told := parameters_of(owner)):
        words = told[parameter].meaning.replace("`", "")
        # An option is called --target-dpid where the parameter is called target_dpid.
        as_parameters = re.sub(r"--([\w-]+)", lambda one: one[1].replace("-", "_"), text)
        for sentence in sentences_of(as_parameters):
            if sentence not in sentences_of(words):
                raise WrongWords(
                    f"airflow-am {command}, {action.dest}: {sentence!r} is no sentence of "
                    f"{owner.__name__}'s {parameter}: {words!r}"
                )
    return text


def sentences_of(text: str) -> list[str]:
    return re.split(r"(?<=\.) (?=[A-Z0-9])", text)


def option_cell(name: str, action: argparse.Action) -> str:
    if action.choices or action.nargs == 0 or not action.option_strings:
        return f"`{name}`"
    return f"`{name} {action.metavar or action.dest.upper()}`"


def meaning_of(command: str, action: argparse.Action) -> str:
    """The help as Markdown, with the values that an option may have."""
    choices = [str(one) for one in action.choices or ()]
    text = in_code(help_of(command, action), choices)
    if all(f"`{one}`" in text for one in choices):
        return text
    return f"{text} One of {', '.join(f'`{one}`' for one in choices)}."


def option_default(action: argparse.Action) -> str:
    if action.required:
        return "required"
    shown = isinstance(action.default, str | int | float) and action.nargs != 0
    return f"`{action.default}`" if shown and action.default != argparse.SUPPRESS else ""


def in_code(text: str, values: Collection[str] = ()) -> str:
    """Help is plain text: what is typed as it stands becomes code in Markdown."""
    url, path, name = r"[a-z][\w-]*:/[^\s,;()]*[\w/]", r"[-.][-.a-z]+\w", r"[A-Z_]*_\w+…?|\w+_\w+"
    words = "".join(rf"|{re.escape(value)}" for value in values)
    typed = re.compile(rf"(?<![\w`/-])(?:{url}|{path}|{name}|[*?]{words})(?![\w`])")
    return typed.sub(lambda found: f"`{found[0]}`", text).replace("|", r"\|")


def option_table(*names: str, without: Collection[str] = ()) -> Callable[[], Iterator[str]]:
    def table() -> Iterator[str]:
        yield "| argument | default | meaning |"
        yield "| --- | --- | --- |"
        seen = set(without)
        for name in names:
            for option, action in options_of(name).items():
                if option not in seen:
                    seen.add(option)
                    cells = (
                        option_cell(option, action),
                        option_default(action),
                        meaning_of(name, action),
                    )
                    yield f"| {' | '.join(cells)} |"

    return table


def common_options() -> Iterator[str]:
    both = options_of("format data").keys() & options_of("format id-sync").keys()
    return option_table("format data", without=options_of("format data").keys() - both)()


def own_options(kind: str, other: str) -> Callable[[], Iterator[str]]:
    return lambda: option_table(kind, without=options_of(other).keys())()


def delivery_options() -> Iterator[str]:
    """Options of all actions of ``airflow-am deliveries``, and which actions have them."""
    actions = [name for name in parsers() if name.startswith("deliveries ")]
    yield "| argument | of | default | meaning |"
    yield "| --- | --- | --- | --- |"
    found: dict[str, list[str]] = {}
    for name in actions:
        for option in options_of(name):
            found.setdefault(option, []).append(name)
    for option, names in found.items():
        action = options_of(names[0])[option]
        of = "all" if len(names) == len(actions) else ", ".join(f"`{n.split()[1]}`" for n in names)
        meaning = meaning_of(names[0], action)
        yield f"| {option_cell(option, action)} | {of} | {option_default(action)} | {meaning} |"


# Their parameters have tables of their own, in operators.md.
_IN_OPERATORS = ("operators", "sensors", "notifications", "task_groups", "links", "triggers")


def public_names() -> Iterator[str]:
    """Each public class and function with its public methods, by module, from the docstrings."""
    text = (ROOT / "docs" / "reference.md").read_text()
    for name in dict.fromkeys(re.findall(r"^\| `(airflow_am_provider\.[\w.]+)` \|", text, re.M)):
        if name.split(".")[1] in _IN_OPERATORS or name.endswith("get_provider_info"):
            continue
        yield f"### {name.removeprefix(f'{PACKAGE}.')}"
        yield ""
        yield "| name | what it is or does |"
        yield "| --- | --- |"
        module = import_module(name)
        for public in sorted(module.__all__):
            yield from _rows_of(public, getattr(module, public))
        yield ""


def _rows_of(name: str, owner: object) -> Iterator[str]:
    yield f"| `{name}{_call(owner) if not inspect.isclass(owner) else ''}` | {_first(owner)} |"
    if inspect.isclass(owner):
        for member, value in vars(owner).items():
            method = value.__func__ if isinstance(value, classmethod | staticmethod) else value
            is_fact = isinstance(method, property | cached_property)
            if member[0] != "_" and (is_fact or inspect.isfunction(method)):
                call = "" if is_fact else _call(method)
                yield f"| `{name}.{member}{call}` | {_first(method)} |"


def _call(function: object) -> str:
    names = inspect.signature(function).parameters if callable(function) else ()
    return f"({', '.join(name for name in names if name not in ('self', 'cls'))})"


def _first(owner: object) -> str:
    """The first paragraph of a docstring, without the full stop that a cell has none of."""
    told = inspect.getdoc(owner)
    if not told:
        raise WrongWords(f"{owner}: no docstring")
    text = re.sub(r":(?:class|meth|func|attr|exc|data):`~?(?:[\w]+\.)*(\w+)`", r"``\1``", told)
    return markdown(" ".join(text.split("\n\n")[0].split())).removesuffix(".")


TABLES: dict[str, Callable[[], Iterator[str]]] = {
    "public names": public_names,
    "source, staging and limits": source_table,
    "suppression": operator_table(SuppressionRemovalOperator, prefix="suppression_"),
    "deliver": task_group_table,
    **{
        owner.__name__: operator_table(owner, without=_SHARED)
        for owner in (FormatDataFileOperator, SnapshotDiffOperator, IdSyncExtractOperator)
    },
    **{
        owner.__name__: operator_table(owner)
        for owner in (
            CombinePartitionsOperator,
            GuardOperator,
            PreflightOperator,
            UploadOperator,
            CleanStagingOperator,
            OutboundFilesSensor,
            OutboundLoadOperator,
            EventFeedExtractOperator,
            DeliveryReceiptSensor,
            ReplayNewerSensor,
        )
    },
    "SuppressionRemovalOperator": operator_table(SuppressionRemovalOperator, without=_SUPPRESSION),
    "UploadPartsOperator": operator_table(
        UploadPartsOperator, without=set(parameters_of(UploadOperator))
    ),
    "airflow-am check": option_table("check"),
    "airflow-am format": common_options,
    "airflow-am format data": own_options("format data", "format id-sync"),
    "airflow-am format id-sync": own_options("format id-sync", "format data"),
    "airflow-am receipt": option_table("receipt"),
    "airflow-am deliveries": delivery_options,
    "airflow-am outbound": option_table("outbound check", "outbound list", "outbound show"),
    "airflow-am sandbox": option_table("sandbox"),
    "airflow-am sandbox profile": option_table("sandbox profile"),
    "airflow-am sandbox segments": option_table("sandbox segments"),
    "airflow-am sandbox feed": option_table("sandbox feed"),
}


REGISTRY = ROOT / ".airflow-registry.yaml"
_REGISTRY_HEAD = """\
# What Apache Airflow's registry of providers may list of this package; made by `make docs`.
# The form is the one that astronomer-cosmos has under the same name. It goes into no wheel.
# As of November 2026 the registry lists Airflow's own providers, and nothing public says that it
# reads others' files yet.

"""
#: Sections of the registry file: the modules, and how their classes' names end.
_REGISTRY_SECTIONS = {
    "operators": ("operators.", "Operator"),
    "sensors": ("sensors.", "Sensor"),
    "hooks": ("hooks.", "Hook"),
    "triggers": ("triggers.", "Trigger"),
    "notifications": ("notifications.", ""),
    "other": ("task_groups", ""),
}


def registry_file() -> str:
    """Public classes, each with the first sentence of its docstring."""
    info = get_provider_info()
    urls = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["urls"]
    told: dict[str, object] = {
        "package-name": info["package-name"],
        "display-name": info["name"],
        "description": info["description"],
        "docs-url": urls["Documentation"],
        "source-url": urls["Source"],
    }
    rows = re.findall(
        rf"^\| `({PACKAGE}\.[\w.]+)` \| ([^|]+) \|",
        (ROOT / "docs" / "reference.md").read_text(),
        re.M,
    )
    for section, (modules, ending) in _REGISTRY_SECTIONS.items():
        told[section] = [
            {
                "module": f"{module}.{name}",
                "description": _first(getattr(import_module(module), name)).replace("`", "") + ".",
            }
            for module, names in sorted(rows)
            if module.startswith(f"{PACKAGE}.{modules}")
            for name in re.findall(r"`(\w+)`", names)
            if name.endswith(ending)
        ]
    return _REGISTRY_HEAD + yaml.safe_dump(told, sort_keys=False, allow_unicode=True, width=1000)


def generated(page: str) -> str:
    """The page with its tables as the code says them."""
    return _BLOCK.sub(
        lambda found: "".join(
            (found["begin"], *(f"{line}\n" for line in TABLES[found["name"]]()), found["end"])
        ),
        page,
    )


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="only say which pages differ")
    parser.add_argument("--docs", type=Path, default=ROOT / "docs", help="folder of the pages")
    args = parser.parse_args(arguments)
    pages = {path: path.read_text() for path in sorted(args.docs.glob("*.md"))}
    stale = {path: new for path, old in pages.items() if (new := generated(old)) != old}
    if args.docs == ROOT / "docs" and (new := registry_file()) != REGISTRY.read_text():
        stale[REGISTRY] = new
    told = {found["name"] for text in pages.values() for found in _BLOCK.finditer(text)}
    for path, text in stale.items():
        print(f"{path.name}: {'differs from the code; run make docs' if args.check else 'written'}")
        if not args.check:
            path.write_text(text)
    for name in sorted(TABLES.keys() - told):
        print(f"{name}: no page has this table")
    return 1 if TABLES.keys() - told or (args.check and stale) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
