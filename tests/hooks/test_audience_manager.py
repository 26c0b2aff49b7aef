"""The hook against real servers."""

from importlib import import_module
from pathlib import Path
from types import ModuleType
from unittest import mock
from uuid import uuid4

import pytest

from airflow_am_provider.audience_manager.errors import ConfigurationError
from airflow_am_provider.get_provider_info import get_provider_info
from airflow_am_provider.hooks.audience_manager import AudienceManagerHook
from demo.local.ftp import FtpServer
from demo.local.imap import ImapServer
from demo.local.s3 import S3
from tests.connections import Connect


def test_a_connection_of_which_everything_holds(
    bucket_connection: Connect,
    imap_server: ImapServer,
    bucket: str,
    connect: Connect,
) -> None:
    conn_id = bucket_connection(
        staging_location=f"s3://{bucket}/staging",
        receipts_imap_conn_id=(mailbox := connect(imap_server.airflow_connection())),
        receipts_location=f"s3://{bucket}/mail",
    )
    hook = AudienceManagerHook(conn_id)
    holds, message = hook.test_connection()
    assert message == (
        f"note Receipts: receipts_authserv_id is empty, so a header that a forger wrote would be "
        f"believed; fill in the name of your mail server. "
        f"note Receipts: receipts_partner_id is empty, so receipts of any partner count; fill in "
        f"the number that yours greet. "
        f"ok Staging: s3://{bucket}/staging can be written, read and deleted from. "
        f"ok Decisions: s3://{bucket}/staging lets one of two win that decide at once. "
        f"ok Destination: s3://{bucket}/acme is there. "
        f"ok Receipts: the mailbox {mailbox!r} takes the login and opens for reading. "
        f"ok Receipts: s3://{bucket}/mail can be listed."
    )
    assert holds
    assert list(hook.open_folder(f"s3://{bucket}").list()) == []
    assert hook.destination_name == f"custom/s3://{bucket}/acme"


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"staging_encryption": "AES256"}, ("AES256", None)),
        (
            {"staging_encryption": "aws:kms", "staging_kms_key_id": "alias/staging"},
            ("aws:kms", "alias/staging"),
        ),
        ({"staging_encryption": "aws:kms"}, ("aws:kms", None)),
        ({}, (None, None)),
    ],
)
def test_everything_written_to_staging_is_encrypted_as_the_connection_asks(
    bucket_connection: Connect,
    s3: S3,
    bucket: str,
    fields: dict[str, str],
    expected: tuple[str | None, str | None],
) -> None:
    hook = AudienceManagerHook(
        bucket_connection(
            staging_location=f"s3://{bucket}/staging",
            **fields,
        )
    )
    staging = hook.staging()
    with staging.open_write("small") as file:
        file.write(b"small")
    with staging.open_write("in-pieces") as file:
        file.write(bytes(17 << 20))
    staging.write_bytes("bytes", b"bytes")
    client = s3.client()
    heads = {
        name: client.head_object(Bucket=bucket, Key=f"staging/{name}")
        for name in ("small", "in-pieces", "bytes")
    }
    assert heads["in-pieces"]["ETag"].endswith('-3"')  # it went as three pieces
    for name, head in heads.items():
        found = head.get("ServerSideEncryption"), head.get("SSEKMSKeyId")
        assert found == expected, name
    holds, message = hook.test_connection()
    assert holds
    said = f", and encrypts with {expected[0]}. " if expected[0] else "deleted from. "
    assert said in message


def test_the_suppression_list_is_proved_too(bucket_connection: Connect, tmp_path: Path) -> None:
    optouts = tmp_path / "optouts.csv"
    hook = AudienceManagerHook(
        bucket_connection(
            staging_location=str(tmp_path),
            suppression_source=str(optouts),
        )
    )
    holds, message = hook.test_connection()
    assert not holds
    assert f"Suppression: cannot read '{optouts}'" in message
    optouts.write_text("id\nplanted-id\n")
    holds, message = hook.test_connection()
    assert holds
    assert "Suppression: the list can be read" in message
    assert "planted-id" not in message


def test_an_ftp_connection(
    ftp_server: FtpServer, tmp_path: Path, connect: Connect, audience_manager: Connect
) -> None:
    directory = ftp_server.root / uuid4().hex
    directory.mkdir()
    conn_id = audience_manager(
        environment="custom",
        transport="ftp",
        ftp_conn_id=connect(ftp_server.airflow_connection()),
        ftp_directory=f"/{directory.name}",
        staging_location=str(tmp_path),
    )
    holds, message = AudienceManagerHook(conn_id).test_connection()
    assert message == (
        f"note Receipts: none are read, since neither a mailbox nor a folder is named. "
        f"ok Staging: {tmp_path} can be written, read and deleted from. "
        f"ok Decisions: {tmp_path} lets one of two win that decide at once. "
        f"ok Destination: ftp://127.0.0.1/{directory.name} takes the login and has the directory; "
        f"over plain FTP the password and the users' IDs are readable."
    )
    assert holds
    assert list(directory.iterdir()) == []


def test_each_part_that_fails_says_so_and_no_secret(
    ftp_server: FtpServer,
    imap_server: ImapServer,
    tmp_path: Path,
    connect: Connect,
    audience_manager: Connect,
) -> None:
    wrong = {"password": "planted-secret"}
    ftp = connect({**ftp_server.airflow_connection(), **wrong})
    imap = connect({**imap_server.airflow_connection(), **wrong})
    (tmp_path / "file").touch()
    conn_id = audience_manager(
        environment="custom",
        transport="ftp",
        ftp_conn_id=ftp,
        staging_location=f"{tmp_path}/file",
        receipts_imap_conn_id=imap,
    )
    holds, message = AudienceManagerHook(conn_id).test_connection()
    assert not holds
    assert "planted" not in message
    assert message.startswith("FAILED Staging: cannot write")
    assert (
        f"FAILED Destination: FTP connection {ftp!r}: 127.0.0.1 refuses the login; check login and "
        f"password." in message
    )
    assert (
        f"FAILED Receipts: mailbox {imap!r}: the server refuses the login; check login and "
        f"password." in message
    )


def test_a_wrong_field_is_the_whole_answer(audience_manager: Connect) -> None:
    conn_id = audience_manager(environment="prod")
    assert AudienceManagerHook(conn_id).test_connection() == (
        False,
        f"connection {conn_id!r}: environment: 'prod' is none of production, beta, custom",
    )


@pytest.mark.parametrize(
    ("environment", "transport", "known"),
    [
        ("beta", "ftp", "'sandbox-ftp-in.demdex.com'"),
        ("beta", "sftp", "'sandbox-ftp-in.demdex.com'"),
        ("production", "sftp", "'ftp-in-gtw.demdex.com' or 'ftp-in.demdex.com'"),
    ],
)
def test_another_host_than_adobes_is_refused_before_anything_is_sent(
    ftp_server: FtpServer,
    connect: Connect,
    audience_manager: Connect,
    environment: str,
    transport: str,
    known: str,
) -> None:
    ftp = connect(ftp_server.airflow_connection())
    conn_id = audience_manager(
        environment=environment, transport=transport, ftp_conn_id=ftp, staging_location="/data"
    )
    hook = AudienceManagerHook(conn_id)
    for use in (hook.destination, hook.drop):
        with pytest.raises(ConfigurationError) as caught:
            use()
        assert str(caught.value) == (
            f"connection {conn_id!r}: ftp_conn_id: {ftp!r} leads to '127.0.0.1', but "
            f"{transport.upper()} in the environment {environment} goes to {known} "
            f"(faq/faq-data-collection.md); nothing is sent there. Correct its host, or choose "
            f"the environment custom"
        )


@pytest.mark.parametrize("environment", ["production", "custom"])
def test_plain_ftp_to_adobe_is_refused_unless_somebody_insists(
    connect: Connect, audience_manager: Connect, environment: str
) -> None:
    fields = {
        "environment": environment,
        "transport": "ftp",
        "ftp_conn_id": connect({"conn_type": "ftp", "host": "ftp-in.demdex.com"}),
        "staging_location": "/data",
    }
    conn_id = audience_manager(**fields)
    hook = AudienceManagerHook(conn_id)
    for use in (hook.destination, hook.drop):
        with pytest.raises(ConfigurationError) as caught:
            use()
        assert str(caught.value) == (
            f"connection {conn_id!r}: transport: ftp to 'ftp-in.demdex.com' is refused: what Adobe "
            f"calls FTP is SFTP (faq/faq-data-collection.md), and plain FTP would send the "
            f"password and the users' IDs readable. Choose sftp, with an ftp_conn_id of the type "
            f"sftp; to insist, set allow_plain_ftp to yes"
        )
    insisting = AudienceManagerHook(audience_manager(**fields, allow_plain_ftp="yes"))
    assert insisting.destination().url == "ftp://ftp-in.demdex.com/"


@pytest.mark.parametrize("host", ["ftp-in-gtw.demdex.com", "FTP-in.demdex.com."])
def test_adobes_hosts_are_taken_by_sftp_however_they_are_written(
    connect: Connect, audience_manager: Connect, host: str
) -> None:
    sftp = connect({"conn_type": "sftp", "host": host})
    conn_id = audience_manager(
        environment="production", transport="sftp", ftp_conn_id=sftp, staging_location="/data"
    )
    hook = AudienceManagerHook(conn_id)
    assert hook.destination_url == f"sftp://{host.lower().rstrip('.')}/"


def test_production_is_adobes_bucket(connect: Connect, audience_manager: Connect) -> None:
    aws = connect({"conn_type": "aws", "login": "x", "password": "y"})
    conn_id = audience_manager(
        environment="production", partner_name="acme", aws_conn_id=aws, staging_location="/data"
    )
    hook = AudienceManagerHook(conn_id)
    assert hook.destination().url == "s3://demdex-s2s-clients/acme"
    assert hook.destination_name == "production/acme"


def test_connections_that_are_not_there(audience_manager: Connect) -> None:
    with pytest.raises(ConfigurationError) as caught:
        _ = AudienceManagerHook("absent").settings
    assert str(caught.value) == (
        "audience_manager_conn_id: Airflow has no connection 'absent'; create it or name another"
    )
    conn_id = audience_manager(partner_name="acme", staging_location="s3://crm", aws_conn_id="none")
    with pytest.raises(ConfigurationError) as caught:
        AudienceManagerHook(conn_id).staging()
    assert str(caught.value) == (
        f"aws_conn_id of {conn_id!r}: Airflow has no connection 'none'; create it or name another"
    )


def test_folders_open_by_url(tmp_path: Path, audience_manager: Connect) -> None:
    hook = AudienceManagerHook(audience_manager(partner_name="acme", staging_location="/data"))
    (tmp_path / "a.csv").write_text("id\n")
    for url in (str(tmp_path), f"file://{tmp_path}"):
        assert hook.open_folder(url).read_bytes("a.csv") == b"id\n"
    for url in ("ftp://host/a", "relative", "s3://Bad_Bucket/x", "/a/../b"):
        with pytest.raises(ConfigurationError, match="is expected"):
            hook.open_folder(url)


def test_the_form_of_older_airflows_has_the_same_fields() -> None:
    class Field:
        def __init__(self, label: str, **rest: object) -> None:
            self.label, self.rest = label, rest

    modules = {}
    for name in ("wtforms", "wtforms.validators", "flask_babel", "flask_appbuilder.fieldwidgets"):
        modules[name] = ModuleType(name)
    vars(modules["wtforms"]).update(StringField=Field)
    vars(modules["wtforms.validators"]).update(any_of=tuple)
    vars(modules["flask_babel"]).update(lazy_gettext=str)
    vars(modules["flask_appbuilder.fieldwidgets"]).update(BS3TextFieldWidget=object)
    modules["flask_appbuilder"] = ModuleType("flask_appbuilder")
    with mock.patch.dict("sys.modules", modules):
        widgets = AudienceManagerHook.get_connection_form_widgets()
    described = get_provider_info()["connection-types"][0]
    assert list(widgets) == list(described["conn-fields"])
    assert widgets["transport"].rest["validators"] == [("s3", "sftp", "ftps", "ftp")]
    behaviour = AudienceManagerHook.get_ui_field_behaviour()
    assert behaviour["hidden_fields"] == described["ui-field-behaviour"]["hidden-fields"]


def test_the_metadata_names_this_hook() -> None:
    hooks = {}
    for described in get_provider_info()["connection-types"]:
        module, _, name = described["hook-class-name"].rpartition(".")
        hook = getattr(import_module(module), name)
        assert hook.conn_type == described["connection-type"]
        assert hook.hook_name == described["hook-name"]
        hooks[hook.conn_type] = hook
    assert hooks["audience_manager"] is AudienceManagerHook
    assert set(hooks) == {"audience_manager", "audience_manager_api"}


def test_what_the_test_button_says_names_no_random_id(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Airflow tests what stands in the form as a connection that it gives a random ID."""
    for conn_id, shown in (("x7Qp0aBc", "this connection"), ("crm_adobe", "'crm_adobe'")):
        monkeypatch.setenv(
            f"AIRFLOW_CONN_{conn_id.upper()}",
            f'{{"conn_type": "audience_manager", "extra": {{"staging_location": "{tmp_path}"}}}}',
        )
        holds, message = AudienceManagerHook(conn_id).test_connection()
        assert not holds
        assert shown in message
        assert conn_id in message or conn_id == "x7Qp0aBc"
        assert "x7Qp0aBc" not in message


def test_the_form_opens_on_what_must_be_filled_in_and_marks_it() -> None:
    (described,) = (
        one
        for one in get_provider_info()["connection-types"]
        if one["connection-type"] == "audience_manager"
    )
    fields = described["conn-fields"]
    assert list(fields)[:3] == ["environment", "staging_location", "partner_name"]
    # Airflow's form marks what may not be null.
    marked = [name for name, field in fields.items() if "null" not in field["schema"]["type"]]
    assert marked == ["staging_location"]
