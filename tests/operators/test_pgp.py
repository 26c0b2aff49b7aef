"""Deliveries that only the owner of the connection's key can read, from rows to profiles."""

from __future__ import annotations

import gzip
import logging
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from airflow_am_provider.airflow_compat import AirflowFailException
from airflow_am_provider.audience_manager.errors import ConfigurationError, DataError
from airflow_am_provider.deliveries.manifest import Manifest
from airflow_am_provider.hooks.audience_manager import AudienceManagerHook
from airflow_am_provider.operators.data_file import FormatDataFileOperator
from airflow_am_provider.operators.id_sync import IdSyncExtractOperator
from airflow_am_provider.operators.snapshot_diff import SnapshotDiffOperator
from airflow_am_provider.operators.suppression_removal import SuppressionRemovalOperator
from airflow_am_provider.sandbox.account import Account
from airflow_am_provider.sandbox.profiles import Profiles
from airflow_am_provider.sandbox.service import Sandbox, SandboxConfig
from airflow_am_provider.suppression.removals import DataUpload
from airflow_am_provider.suppression.sent_data import still_there
from tests.hooks.test_delivery_verbs import clear, sent_files
from tests.operators.test_format import context
from tests.pgp_keys import expired_pair, needs_gpg, pair, pair_of_2013, written

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator

    from airflow_am_provider.storage import LocalFolder
    from demo.local.s3 import S3
    from tests.connections import Connect


pytestmark = pytest.mark.filterwarnings("ignore")

USERS = [f"customer-{number:04d}" for number in range(500)]
SOURCE = "id,traits\n" + "".join(f"{user},24\n" for user in USERS)
NO_GPG = (
    "pgp_public_key: gpg is not on this machine, and it does the encryption; install GnuPG 2.2.8 "
    "or newer (package gnupg) on every worker"
)
TEXT = "".join(f"{user}\td_sid=24\n" for user in USERS).encode()


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "rows.csv"
    path.write_text(SOURCE)
    return path


@pytest.fixture
def pgp_conn_id(bucket_connection: Connect) -> str:
    return bucket_connection(pgp_public_key=pair().public, pgp_fingerprint=pair().fingerprint)


def formatted(source: Path, conn_id: str, **arguments: Any) -> dict[str, Any]:
    operator = FormatDataFileOperator(
        task_id="format",
        source=str(source),
        id_column="id",
        traits_column="traits",
        audience_manager_conn_id=conn_id,
        **{"dpid": 478, **arguments},
    )
    return operator.execute(context())


@needs_gpg
def test_a_key_in_the_connection_encrypts_and_nothing_readable_is_in_staging(
    source: Path, pgp_conn_id: str, staging: LocalFolder
) -> None:
    manifest = formatted(source, pgp_conn_id, part_bytes=102_401)
    names = [part["file_name"] for part in manifest["parts"]]
    assert all(name.endswith(".sync.pgp") for name in names)
    messages = [staging.read_bytes(part["path"]) or b"" for part in manifest["parts"]]
    assert b"".join(map(pair().decrypted, messages)) == TEXT
    for entry in staging.list():
        content = staging.read_bytes(entry.path) or b""
        assert b"customer-" not in content
        assert not content.startswith(b"\x1f\x8b")


@needs_gpg
def test_a_retry_goes_on_with_the_staged_parts_and_a_resend_sends_their_bytes(
    source: Path, pgp_conn_id: str, staging: LocalFolder, s3: S3, bucket: str
) -> None:
    first = formatted(source, pgp_conn_id)
    before = staging.read_bytes(first["parts"][0]["path"])
    again = formatted(source, pgp_conn_id)
    assert again["delivery_id"] == first["delivery_id"]
    assert again["parts"] == first["parts"]
    assert [entry.path for entry in staging.list() if entry.path.endswith(".pgp")] == [
        first["parts"][0]["path"]
    ]
    hook = AudienceManagerHook(pgp_conn_id)
    hook.upload(again)
    name = first["parts"][0]["file_name"]
    assert sent_files(s3, bucket) == {name: before}
    clear(s3, bucket)
    hook.resend(first["delivery_id"])
    assert sent_files(s3, bucket) == {name: before}


@needs_gpg
def test_parts_that_are_gone_are_made_anew_as_long_as_nothing_was_sent(
    source: Path, pgp_conn_id: str, staging: LocalFolder
) -> None:
    first = formatted(source, pgp_conn_id)
    staging.delete(first["parts"][0]["path"])
    again = formatted(source, pgp_conn_id)
    assert again["delivery_id"] == first["delivery_id"]
    assert again["parts"][0]["file_name"] == first["parts"][0]["file_name"]
    message = staging.read_bytes(again["parts"][0]["path"])
    assert pair().decrypted(message or b"") == TEXT


@needs_gpg
def test_plain_gzip_and_pgp_give_the_same_profiles(
    source: Path, pgp_conn_id: str, staging: LocalFolder, tmp_path: Path
) -> None:
    known = []
    for compression, ending in (("none", "sync"), ("gzip", "gz"), ("pgp", "pgp"), ("gpg", "gpg")):
        inbox = tmp_path / compression
        inbox.mkdir()
        manifest = formatted(source, pgp_conn_id, compression=compression)
        (part,) = manifest["parts"]
        assert part["file_name"].endswith(f".{ending}")
        (inbox / part["file_name"]).write_bytes(staging.read_bytes(part["path"]) or b"")
        config = SandboxConfig(
            database=tmp_path / f"{compression}.db",
            inboxes=(str(inbox),),
            account=Account(cross_device=frozenset([478])),
            pgp_secret_key=written(tmp_path / "secret", pair().secret),
        )
        with Sandbox(config) as sandbox:
            sandbox.run_once(at_once=True)
            (entry,) = sandbox.ledger.files()
        with Profiles(config.database) as profiles:
            traits = [profiles.traits(478, user) for user in USERS]
            known.append((entry.sha256, entry.totals, traits))
    assert known == [known[0]] * 4
    assert known[0][2] == [{"24"}] * len(USERS)


@needs_gpg
def test_differences_are_encrypted_as_well(
    source: Path, pgp_conn_id: str, staging: LocalFolder
) -> None:
    run = context()
    run["dag_run"].run_after = datetime(2026, 11, 24, tzinfo=UTC)
    manifest = SnapshotDiffOperator(
        task_id="diff",
        snapshot="customers",
        source=str(source),
        dpid=478,
        id_column="id",
        traits_column="traits",
        audience_manager_conn_id=pgp_conn_id,
    ).execute(run)
    (part,) = manifest["parts"]
    assert part["file_name"].endswith(".sync.pgp")
    lines = pair().decrypted(staging.read_bytes(part["path"]) or b"").splitlines(keepends=True)
    assert sorted(lines) == TEXT.splitlines(keepends=True)


@needs_gpg
def test_the_key_may_lie_in_a_file_or_a_bucket(
    source: Path, conn_id: str, tmp_path: Path, s3: S3, bucket: str, audience_manager: Connect
) -> None:
    settings = AudienceManagerHook(conn_id).settings
    keys = pair_of_2013()
    s3.client().put_object(Bucket=bucket, Key="keys/adobe.asc", Body=keys.public.encode())
    for place in (
        str(written(tmp_path / "adobe.asc", keys.public)),
        f"s3://{bucket}/keys/adobe.asc",
    ):
        hook = AudienceManagerHook(
            audience_manager(
                environment="custom",
                bucket=bucket,
                partner_name="acme",
                aws_conn_id=settings.aws_conn_id,
                staging_location=settings.staging_location,
                pgp_public_key=place,
                pgp_fingerprint=keys.fingerprint,
            )
        )
        recipient = hook.pgp_recipient()
        assert recipient is not None
        assert recipient.fingerprint == keys.fingerprint
        told = hook.test_connection()[1]
        assert f"PGP: files are encrypted to the key {keys.fingerprint}." in told


@needs_gpg
def test_a_key_that_must_not_be_used_fails_before_a_row_is_read(
    tmp_path: Path, staging: LocalFolder, audience_manager: Connect
) -> None:
    keys = expired_pair()
    for key, fingerprint, said in (
        (keys.public, keys.fingerprint, "pgp_public_key: the key expired on 2020-06-02; "),
        (
            pair().public,
            keys.fingerprint,
            f"pgp_fingerprint: {keys.fingerprint}, but that of the key ",
        ),
        ("/nowhere/adobe.asc", keys.fingerprint, "pgp_public_key: there is no /nowhere/adobe.asc"),
    ):
        conn_id = audience_manager(
            partner_name="acme",
            staging_location=staging.url,
            pgp_public_key=key,
            pgp_fingerprint=fingerprint,
        )
        with pytest.raises(AirflowFailException) as caught:
            formatted(tmp_path / "missing.csv", conn_id)
        assert str(caught.value).startswith(f"connection '{conn_id}': {said}")
    assert not Path(staging.url).exists()


def operators(conn_id: str, source: str, suppression: str) -> list[BaseOperator]:
    """Each that encrypts."""
    shared: dict[str, Any] = {
        "audience_manager_conn_id": conn_id,
        "suppression_source": suppression,
    }
    rows: dict[str, Any] = {"source": source, "id_column": "id", "traits_column": "traits"}
    pairs: dict[str, Any] = {"source": source, "columns": ["uuid", "id"]}
    return [
        FormatDataFileOperator(task_id="format", dpid=478, **rows, **shared),
        SnapshotDiffOperator(task_id="diff", snapshot="customers", dpid=478, **rows, **shared),
        IdSyncExtractOperator(task_id="sync", master_dpid=0, dpids=[478], **pairs, **shared),
        SuppressionRemovalOperator(task_id="remove", dpid=478, **shared),
    ]


@pytest.mark.parametrize("place", range(4))
def test_without_gpg_each_task_fails_before_it_reads_anything(
    pgp_conn_id: str,
    staging: LocalFolder,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
    place: int,
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setenv("PATH", str(tmp_path))
    # Neither is there, so whatever is read first would be the one that is told of.
    rows, suppression = str(tmp_path / "rows.csv"), str(tmp_path / "suppression.csv")
    with pytest.raises(AirflowFailException) as caught:
        operators(pgp_conn_id, rows, suppression)[place].execute(context())
    assert str(caught.value) == f"connection '{pgp_conn_id}': {NO_GPG}"
    assert not Path(staging.url).exists()
    # Yet the log says for whom it was.
    said = capsys.readouterr().out + caplog.text
    assert f"Target: {'adobe_id_0_478' if place == 2 else 'ftp_dpm_478'}" in said


def test_without_gpg_the_test_of_the_connection_says_so_and_proves_the_rest(
    pgp_conn_id: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    holds, told = AudienceManagerHook(pgp_conn_id).test_connection()
    assert not holds
    assert told.startswith(f"FAILED PGP: connection '{pgp_conn_id}': {NO_GPG}. ")
    assert "ok Destination: s3://" in told


def test_without_gpg_files_that_are_not_encrypted_are_made_as_ever(
    source: Path, conn_id: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    (part,) = formatted(source, conn_id)["parts"]
    assert part["file_name"].endswith(".sync.gz")


@needs_gpg
def test_what_was_sent_encrypted_cannot_be_looked_through(
    source: Path, pgp_conn_id: str, staging: LocalFolder
) -> None:
    manifest = Manifest.from_json(formatted(source, pgp_conn_id))
    sendings = [DataUpload(manifest=manifest, is_whole=True)]
    with pytest.raises(DataError) as caught:
        still_there(staging, sendings)
    assert str(caught.value) == (
        f"1 of the deliveries that were sent are encrypted by PGP, such as {manifest.delivery_id}: "
        f"what they gave to whom cannot be read in staging, so nothing can be taken back. Have "
        f"SnapshotDiffOperator send the extract with this suppression list: it takes the traits of "
        f"users who are on it"
    )
    staging.delete(manifest.parts[0].path)
    assert still_there(staging, sendings) == []


@needs_gpg
def test_encrypted_partitions_of_an_overwrite_are_divided_by_user(
    source: Path, pgp_conn_id: str
) -> None:
    with pytest.raises(AirflowFailException) as caught:
        formatted(
            source, pgp_conn_id, mode="overwrite", partitions=2, partition=0, partition_by="files"
        )
    assert str(caught.value) == (
        "partition_by: an .overwrite has no user in two parts (faq/faq-inbound-data-ingestion.md), "
        "and in encrypted partitions that cannot be seen; leave partition_by out, so that rows are "
        "divided by user ID, or format all rows in one task"
    )


def test_gzip_stays_where_it_is_asked_for(source: Path, conn_id: str, staging: LocalFolder) -> None:
    manifest = formatted(source, conn_id)
    assert gzip.decompress(staging.read_bytes(manifest["parts"][0]["path"]) or b"") == TEXT
    assert AudienceManagerHook(conn_id).pgp_recipient() is None


def test_a_sandbox_refuses_a_key_that_does_not_decrypt(tmp_path: Path) -> None:
    for content in (b"no key", pair().public.encode()):
        config = SandboxConfig(
            database=tmp_path / "db", inboxes=(str(tmp_path),),
            pgp_secret_key=written(tmp_path / "key", content),
        )  # fmt: skip
        with pytest.raises(ConfigurationError, match="is no secret key that decrypts"):
            Sandbox(config)
