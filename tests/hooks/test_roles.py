"""A role in another account: what STS is asked for, and which endpoint is asked."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import parse_qs, urlsplit

import pytest

from airflow_am_provider.hooks.audience_manager import AudienceManagerHook
from demo.local.s3 import S3
from tests.connections import Connect

ROLE = "arn:aws:iam::111122223333:role/acme-inbound"


@contextmanager
def sts_of(server: S3) -> Iterator[tuple[str, list[dict[str, list[str]]]]]:
    """The STS of that server, with what it was asked."""
    asked: list[dict[str, list[str]]] = []

    class Passing(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            asked.append(parse_qs(body.decode()))
            connection = HTTPConnection(urlsplit(server.endpoint_url).netloc, timeout=30)
            connection.request("POST", self.path, body, dict(self.headers))
            answer = connection.getresponse()
            content = answer.read()
            self.send_response(answer.status)
            self.send_header("Content-Type", "text/xml")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Passing) as http:
        Thread(target=http.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{http.server_port}", asked
        http.shutdown()


def role_of(server: S3, url: str) -> dict[str, object]:
    """A connection that takes a role from the STS there."""
    document = server.airflow_connection()
    extra = {
        **dict(document["extra"]),
        "role_arn": ROLE,
        "assume_role_kwargs": {"ExternalId": "acme-at-adobe", "DurationSeconds": 3600},
        "service_config": {"sts": {"endpoint_url": url}},
    }
    return {**document, "extra": extra}


def test_a_role_is_taken_with_its_external_id(
    s3: S3, bucket: str, connect: Connect, audience_manager: Connect
) -> None:
    with sts_of(s3) as (url, asked):
        aws = connect(role_of(s3, url))
        hook = AudienceManagerHook(
            audience_manager(
                environment="custom",
                bucket=bucket,
                partner_name="acme",
                aws_conn_id=aws,
                staging_location="/data",
            )
        )
        folder = hook.destination_bucket()
        folder.write_bytes("acme/probe", b"by the role's keys")
    said = asked[0]
    assert (said["Action"], said["RoleArn"]) == (["AssumeRole"], [ROLE])
    assert (said["ExternalId"], said["DurationSeconds"]) == (["acme-at-adobe"], ["3600"])
    # boto3 tells it nowhere else.
    used = folder.client._request_signer._credentials
    assert used.access_key != s3.access_key
    assert used.token
    assert folder.read_bytes("acme/probe") == b"by the role's keys"


def test_a_hook_asks_for_a_roles_keys_once(
    s3: S3, bucket: str, connect: Connect, audience_manager: Connect
) -> None:
    with sts_of(s3) as (url, asked):
        conn_id = audience_manager(
            environment="custom",
            bucket=bucket,
            partner_name="acme",
            aws_conn_id=connect(role_of(s3, url)),
            staging_location=f"s3://{bucket}/staging",
        )
        hook = AudienceManagerHook(conn_id)
        hook.staging().write_bytes("probe", b"")
        hook.targets().staging.write_bytes("probe", b"")
        hook.destination_bucket().write_bytes("acme/probe", b"")
    assert len(asked) == 1


def test_keys_that_were_changed_meanwhile_are_used(
    connect: Connect, audience_manager: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    document = {"conn_type": "aws", "login": "old-key", "password": "secret"}
    aws = connect(document)
    hook = AudienceManagerHook(
        audience_manager(partner_name="acme", aws_conn_id=aws, staging_location="/data")
    )
    before = hook.destination_bucket().client
    assert hook.destination_bucket().client is before
    monkeypatch.setenv(f"AIRFLOW_CONN_{aws.upper()}", json.dumps({**document, "login": "new-key"}))
    assert hook.destination_bucket().client._request_signer._credentials.access_key == "new-key"


def test_the_regions_own_endpoint_is_asked(connect: Connect, audience_manager: Connect) -> None:
    document = {"conn_type": "aws", "login": "key", "password": "secret"}
    aws = connect({**document, "extra": {"region_name": "eu-west-1"}})
    hook = AudienceManagerHook(
        audience_manager(partner_name="acme", aws_conn_id=aws, staging_location="/data")
    )
    client = hook.destination_bucket().client
    assert client.meta.region_name == "eu-west-1"
    assert client.meta.endpoint_url == "https://s3.eu-west-1.amazonaws.com"
