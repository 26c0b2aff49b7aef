"""The compose file held against what it speaks of: the specification, Airflow, this project."""

import json
import re
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import distribution, version
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from airflow.configuration import conf
from airflow.models import Connection

from airflow_am_provider.cli.arguments import parse as parse_airflow_am
from airflow_am_provider.hooks.settings import ConnectionSettings
from demo import serve, world
from demo.celery.compose_file import Service, read, services
from demo.local.processes import HOST, REPOSITORY, accepts_connections, free_port, running
from demo.local.s3 import S3

SERVICES = services()
ALL = pytest.mark.parametrize("service", SERVICES.values(), ids=SERVICES.keys())
DOCKERFILE = (REPOSITORY / "compose" / "Dockerfile").read_text()
AIRFLOW = {name: found for name, found in SERVICES.items() if found.command[:1] == ["airflow"]}
CONNECTIONS: dict[str, dict[str, Any]] = {
    name.removeprefix("AIRFLOW_CONN_").lower(): json.loads(value)
    for name, value in AIRFLOW["worker-1"].environment.items()
    if name.startswith("AIRFLOW_CONN_")
}
# A tag that names a release, and none that moves, such as latest, 18 or 18-alpine.
PINNED = re.compile(r"[a-z0-9./-]+:[\w-]*\d+\.\d+[\w.-]*")


def problems(document: dict[str, Any]) -> list[str]:
    """What the compose specification's schema has against a file."""
    # Only read, never imported: the program wants a newer click than old Airflows have.
    package = distribution("check-jsonschema")
    vendored = package.locate_file("check_jsonschema/builtin_schemas/vendor/compose-spec.json")
    schema = json.loads(Path(str(vendored)).read_text())
    validator = jsonschema.validators.validator_for(schema)(schema)
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(document)]


def test_follows_the_compose_specification() -> None:
    assert problems(read()) == []


def test_a_misspelt_word_breaks_the_specification() -> None:
    document = read()
    document["services"]["redis"]["heathcheck"] = document["services"]["redis"].pop("healthcheck")
    (problem,) = problems(document)
    assert "heathcheck" in problem


def test_runs_all_parts_of_an_airflow_with_two_workers() -> None:
    commands = {name: service.command[1:3] for name, service in AIRFLOW.items()}
    assert commands == {
        "airflow-init": ["db", "migrate"],
        "api-server": ["api-server", "--host"],
        "scheduler": ["scheduler"],
        "dag-processor": ["dag-processor"],
        "triggerer": ["triggerer"],
        "worker-1": ["celery", "worker"],
        "worker-2": ["celery", "worker"],
    }
    assert {*SERVICES} - {*AIRFLOW} == {"postgres", "redis", "s3", "ftp", "imap", "sandbox", "crm"}


def test_images_are_pinned() -> None:
    images = [service.definition["image"] for service in SERVICES.values()]
    images += re.findall(r"^FROM (\S+)$", DOCKERFILE, re.MULTILINE)
    assert [image for image in images if not PINNED.fullmatch(image)] == []
    assert f"FROM apache/airflow:slim-{_pinned('apache-airflow')}-python3.12\n" in DOCKERFILE


def test_one_image_is_built_by_one_service() -> None:
    # Several builds of one name at a time are in each other's way.
    built = [service for service in SERVICES.values() if "build" in service.definition]
    assert [service.name for service in built] == ["airflow-init"]
    image = built[0].definition["image"]
    others = [s for s in SERVICES.values() if s.name not in {"postgres", "redis"}]
    assert {service.definition["image"] for service in others} == {image}


def test_celery_is_one_that_works() -> None:
    # Celery 5.7.0 broke CeleryExecutor; the image installs what the constraints say.
    assert (_pinned("celery"), _pinned("kombu")) == ("5.6.2", "5.6.2")


def test_what_the_image_copies_reaches_its_builder() -> None:
    lines = re.findall(r"^COPY --chown=airflow:0 (.+) \S+$", DOCKERFILE, re.MULTILINE)
    copied = {source for line in lines for source in line.split()}
    ignored = (REPOSITORY / "compose" / "Dockerfile.dockerignore").read_text().splitlines()
    assert copied == {line[1:] for line in ignored if line.startswith("!")}
    assert [source for source in copied if not (REPOSITORY / source).exists()] == []


@ALL
def test_what_runs_on_tells_its_health_and_is_started_again(service: Service) -> None:
    if service.is_one_shot:
        assert service.health_command == []
    else:
        assert service.health_command
        assert service.definition["restart"] == "unless-stopped"


@ALL
def test_waits_for_services_in_a_way_they_answer(service: Service) -> None:
    for name, condition in service.needs.items():
        one_shot = SERVICES[name].is_one_shot
        wanted = "service_completed_successfully" if one_shot else "service_healthy"
        assert (name, condition) == (name, wanted)


@pytest.mark.parametrize("name", ["worker-1", "worker-2", "triggerer", "sandbox"])
def test_waits_for_every_service_it_speaks_to(name: str) -> None:
    service = SERVICES[name]
    hosts = set(re.findall(r"[/@]([a-z0-9-]+):\d", " ".join(_texts(service))))
    if service.name in AIRFLOW:
        hosts |= {connection["host"] for connection in CONNECTIONS.values() if "host" in connection}
    assert hosts & SERVICES.keys()
    assert hosts & SERVICES.keys() <= _needed(service)


def test_no_disk_is_shared_but_that_of_the_ftp_server_with_the_sandbox() -> None:
    users: dict[str, list[str]] = {}
    for service in SERVICES.values():
        for volume in service.mounts:
            users.setdefault(volume, []).append(service.name)
    assert users == {
        "postgres": ["postgres"],
        "adobe-ftp": ["ftp", "sandbox"],
        "adobe-profiles": ["sandbox"],
    }
    assert read()["volumes"].keys() == users.keys()


def test_only_the_ui_is_published_and_on_this_machine_only() -> None:
    published = {
        s.name: s.definition["ports"] for s in SERVICES.values() if "ports" in s.definition
    }
    assert published == {"api-server": ["127.0.0.1:8080:8080"]}


@pytest.mark.skipif(
    version("apache-airflow") != re.findall(r"slim-([\d.]+)-", DOCKERFILE)[0],
    reason="another Airflow than the image's",
)
@pytest.mark.parametrize("service", AIRFLOW.values(), ids=AIRFLOW.keys())
def test_airflow_knows_every_setting(service: Service) -> None:
    known = conf.configuration_description
    for name in service.environment:
        if name.startswith("AIRFLOW__"):
            section, key = name.lower().removeprefix("airflow__").split("__", 1)
            assert key in known.get(section, {}).get("options", {}), name


def test_the_parts_of_airflow_agree_on_their_settings() -> None:
    common = {**AIRFLOW["airflow-init"].environment}
    for service in AIRFLOW.values():
        more = {name: value for name, value in service.environment.items() if name not in common}
        assert {**common, **more} == service.environment
        assert more.keys() <= {"DUMB_INIT_SETSID"}
    assert len(common["AIRFLOW__API_AUTH__JWT_SECRET"]) >= 64


@pytest.mark.parametrize("conn_id", CONNECTIONS)
def test_connections_are_valid(conn_id: str) -> None:
    connection = Connection.from_json(json.dumps(CONNECTIONS[conn_id]), conn_id=conn_id)
    if connection.conn_type == "audience_manager":
        settings = ConnectionSettings.parse(connection.extra_dejson, conn_id)
        named = [settings.aws_conn_id, settings.ftp_conn_id, settings.receipts_imap_conn_id]
        assert {name for name in named if name} <= CONNECTIONS.keys()
        assert settings.staging_location == f"s3://{world.STAGING_BUCKET}/audience-manager"
        assert settings.partner_name == world.PARTNER
        if settings.transport == "s3":
            assert settings.destination_bucket == world.ADOBE_BUCKET
    elif connection.host is not None:
        assert f"--port {connection.port}" in _shell(SERVICES[connection.host]).replace("=", " ")


def test_every_connection_of_the_examples_is_there() -> None:
    dags = "".join(path.read_text() for path in (REPOSITORY / "dags").glob("*.py"))
    named = set(re.findall(r'conn_id="(\w+)"', dags)) | {"audience_manager_default"}
    assert named <= CONNECTIONS.keys()


def test_buckets_are_made_by_the_s3_server() -> None:
    made = set(re.findall(r"--bucket (\S+)", _shell(SERVICES["s3"])))
    environment = AIRFLOW["worker-1"].environment
    logs = environment["AIRFLOW__LOGGING__REMOTE_BASE_LOG_FOLDER"].split("/")[2]
    assert made == {world.ADOBE_BUCKET, world.STAGING_BUCKET, logs}


def test_commands_of_this_project_are_understood() -> None:
    understood = []
    for service in SERVICES.values():
        for command in (service.command, service.health_command):
            words = [word for word in command if word not in {"python", "-m"}]
            if words[:1] == ["demo.serve"]:
                serve.parse(words[1:])
            elif words[:1] in (["airflow-am"], ["airflow_am_provider.cli"]):
                assert parse_airflow_am(words[1:]) is not None
            else:
                continue
            understood.append(service.name)
    assert sorted(understood) == ["crm", *["ftp"] * 2, *["imap"] * 2, *["s3"] * 2, *["sandbox"] * 2]


@pytest.fixture
def served_s3(tmp_path: Path) -> Iterator[int]:
    port = free_port()
    command = [sys.executable, "-m", "demo.serve", "s3", "--port", str(port), "--bucket", "inbound"]
    with running("S3", command, log=tmp_path / "s3.log", stop_signal=signal.SIGTERM) as process:
        process.wait_until(lambda: accepts_connections(port), timeout_s=30)
        yield port


def test_the_s3_server_answers_to_the_name_it_has_there(
    served_s3: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolve = socket.getaddrinfo

    def resolve_s3(host: Any, *arguments: Any, **options: Any) -> Any:
        return resolve(HOST if host == "s3" else host, *arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", resolve_s3)
    client = S3(endpoint_url=f"http://s3:{served_s3}").client()
    client.get_waiter("bucket_exists").wait(
        Bucket="inbound", WaiterConfig={"Delay": 1, "MaxAttempts": 20}
    )
    client.put_object(Bucket="inbound", Key="acme/a", Body=b"data")
    (found,) = client.list_objects_v2(Bucket="inbound", Prefix="acme/")["Contents"]
    assert (found["Key"], found["Size"]) == ("acme/a", 4)
    assert [bucket["Name"] for bucket in client.list_buckets()["Buckets"]] == ["inbound"]


def test_a_server_that_is_not_there_is_not_well() -> None:
    for service in ("s3", "ftp", "imap"):
        command = SERVICES[service].health_command
        port = command[command.index("--port") + 1]
        command = [str(free_port()) if word == port else word for word in command]
        result = subprocess.run(
            [sys.executable, *command[1:]],
            env={"DEMO_PASSWORD": "any", "PYTHONPATH": str(REPOSITORY)},
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
        )
        assert result.returncode == 1
        assert "Connection refused" in result.stderr


def _pinned(package: str) -> str:
    constraints = (REPOSITORY / "constraints.txt").read_text()
    (found,) = re.findall(rf"^{package}==(\S+)$", constraints, re.MULTILINE)
    return str(found)


def _shell(service: Service) -> str:
    return shlex.join(service.command or service.health_command)


def _needed(service: Service) -> set[str]:
    """What is there before the service, directly or because others need it."""
    return set(service.needs).union(*(_needed(SERVICES[name]) for name in service.needs))


def _texts(service: Service) -> list[str]:
    return [*service.command, *service.environment.values()]
