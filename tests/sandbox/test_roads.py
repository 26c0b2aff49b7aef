"""One delivery by every road, plain and packed: Audience Manager ends with the same profiles."""

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest

from airflow_am_provider.hooks.audience_manager import AudienceManagerHook
from airflow_am_provider.operators.data_file import FormatDataFileOperator
from demo.local.s3 import S3
from tests.connections import Connect
from tests.pgp_keys import needs_gpg, pair, written
from tests.sandbox.conftest import Bench, T, uuid

USERS = [f"crm-{number:04}" for number in range(200)]
TRAITS = range(10_000_000, 10_000_100)


def has(number: int, trait: int) -> bool:
    return (trait * 7 + number) % 3 > 0


@pytest.fixture
def crm(tmp_path: Path) -> Path:
    """The rows: each user has some traits, and no longer has the others."""
    lines = ["customer,traits,removed,City"]
    for number, user in enumerate(USERS):
        yes = ";".join(str(trait) for trait in TRAITS if has(number, trait))
        no = ";".join(str(trait) for trait in TRAITS if not has(number, trait))
        lines.append(f"{user},{yes},{no},Köln {number}")
    path = tmp_path / "crm.csv"
    path.write_text("\n".join(lines))
    return path


@pytest.fixture
def road(
    request: pytest.FixtureRequest, s3: S3, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> tuple[dict[str, str], str]:
    """The fields of a connection, and where the sandbox finds what is sent through it."""
    transport = request.param.partition(",")[0]
    server: Any = s3 if transport == "s3" else request.getfixturevalue(f"{transport}_server")
    account = connect(server.airflow_connection())
    fields = {"environment": "custom", "transport": transport}
    if transport == "s3":
        for name, value in s3.environment.items():
            monkeypatch.setenv(name, value)
        bucket = f"roads-{uuid4().hex[:12]}"
        s3.create_bucket(bucket)
        fields |= {"bucket": bucket, "partner_name": "acme", "aws_conn_id": account}
        if request.param == "s3, with a prefix":
            return {**fields, "bucket_prefix": "inbound/eu"}, f"s3://{bucket}/inbound/eu/acme"
        return fields, f"s3://{bucket}"
    server.faults.unlink(missing_ok=True)
    folder = server.root / uuid4().hex
    folder.mkdir()
    fields |= {"ftp_conn_id": account, "ftp_directory": f"/{folder.name}"}
    return fields, f"ftp-folder:{folder}"


@pytest.mark.parametrize("compression", ["gzip", "none", pytest.param("pgp", marks=needs_gpg)])
@pytest.mark.parametrize("road", ["s3", "s3, with a prefix", "sftp", "ftps", "ftp"], indirect=True)
def test_every_road_and_packing_gives_the_same_profiles(
    bench: Bench,
    crm: Path,
    road: tuple[dict[str, str], str],
    compression: str,
    audience_manager: Connect,
    tmp_path: Path,
) -> None:
    fields, inbox = road
    if compression == "pgp":
        fields |= {"pgp_public_key": pair().public, "pgp_fingerprint": pair().fingerprint}
        bench.configure(pgp_secret_key=written(tmp_path / "secret", pair().secret))
    conn_id = audience_manager(staging_location=str(tmp_path / "staging"), **fields)
    # What was known before: everybody is synchronised, and has traits that are taken away now.
    ids = [f"{uuid(number)}\t{user}" for number, user in enumerate(USERS)]
    bench.take(f"adobe_id_0_478_{T}.sync", ids)
    bench.take(f"ftp_dpm_478_{T}.sync", [f"{user}\td_sid={TRAITS[0]}" for user in USERS])
    bench.configure(inboxes=(inbox,))
    format_data = FormatDataFileOperator(
        task_id="format",
        audience_manager_conn_id=conn_id,
        source=str(crm),
        dpid=478,
        id_column="customer",
        traits_column="traits",
        removed_traits_column="removed",
        traits_separator=";",
        signal_columns=["City"],
        compression=compression,
        part_bytes=110_000,
    )
    context: Any = {"dag_run": SimpleNamespace(dag_id="am"), "run_id": "manual__1"}
    manifest = format_data.execute(context)
    sent = AudienceManagerHook(conn_id).upload(manifest)
    bench.run(at_once=True)

    assert sent is not None
    names = set(sent["files"])
    endings = {"gzip": ".gz", "none": "", "pgp": ".pgp"}
    assert all(re.search(r"\.sync\.\d+(.*)", name)[1] == endings[compression] for name in names)
    assert len(names) > 1
    answered = {path.rpartition("/")[2] for one in bench.receipts() for path in one.paths}
    assert answered >= names
    # Worked out without what formats, sends and reads.
    known = list(bench.profiles().dump())
    assert [row for row in known if row[0] == "trait"] == [
        ("trait", "478", user, "478", str(trait))
        for number, user in enumerate(USERS)
        for trait in TRAITS
        if has(number, trait)
    ]
    assert [row for row in known if row[0] == "signal"] == [
        ("signal", "478", user, "478", "City", f"Köln {number}")
        for number, user in enumerate(USERS)
    ]
