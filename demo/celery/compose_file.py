"""``docker-compose.yaml`` as a container engine reads it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Final

import yaml

from demo.local.processes import REPOSITORY

PATH: Final = REPOSITORY / "docker-compose.yaml"
_VARIABLE = re.compile(r"\$(?:(\$)|\{(\w+)(?::-([^}]*))?\}|(\w+))")


@dataclass(frozen=True)
class Service:
    """A service of the file, with variables at their defaults."""

    name: str
    definition: dict[str, Any] = field(repr=False)

    @property
    def command(self) -> list[str]:
        """What its container runs; Airflow's image runs a command ``airflow …`` as it is."""
        return [*self.definition.get("entrypoint", ()), *self.definition.get("command", ())]

    @property
    def environment(self) -> dict[str, str]:
        """Its environment variables."""
        return dict(self.definition.get("environment", {}))

    @property
    def health_command(self) -> list[str]:
        """The command that tells whether it is well; empty if there is none."""
        kind, *command = self.definition.get("healthcheck", {}).get("test", ["CMD"])
        assert kind == "CMD"
        return list(command)

    @property
    def is_one_shot(self) -> bool:
        """Whether it ends by itself."""
        return bool(self.definition["restart"] == "no")

    @property
    def mounts(self) -> dict[str, str]:
        """What is mounted into it, a volume or a path of the host, and where."""
        return dict(mount.split(":", 1) for mount in self.definition.get("volumes", ()))

    @property
    def needs(self) -> dict[str, str]:
        """The services that have to be there before it, each with its condition."""
        needs = self.definition.get("depends_on", {})
        return {name: need["condition"] for name, need in needs.items()}


def read() -> dict[str, Any]:
    """The file with its anchors resolved, and its variables as they stand."""
    document: dict[str, Any] = yaml.safe_load(PATH.read_text())
    return document


def services() -> dict[str, Service]:
    """All services by name.

    :raises KeyError: for a variable that has no default
    """
    definitions = _interpolated(read()["services"])
    return {name: Service(name, definition) for name, definition in definitions.items()}


def _interpolated(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _interpolated(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_interpolated(part) for part in value]
    return _VARIABLE.sub(_default, value) if isinstance(value, str) else value


def _default(variable: re.Match[str]) -> str:
    dollar, name, default, bare = variable.groups()
    if dollar:
        return "$"
    if default is None:
        raise KeyError(name or bare)
    return str(default)
