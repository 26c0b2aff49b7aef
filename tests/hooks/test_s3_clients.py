"""What an AWS connection that does not work is said to lack: each cause by its own words."""

import json
import traceback
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest

from airflow_am_provider.audience_manager.errors import (
    AudienceManagerError,
    ConfigurationError,
    TransientError,
)
from airflow_am_provider.hooks.audience_manager import AudienceManagerHook
from tests.connections import Connect

NOBODY = "http://127.0.0.1:9"
ONE_TRY = {"config_kwargs": {"retries": {"max_attempts": 0}}, "region_name": "us-east-1"}
ROLE = "arn:aws:iam::123456789012:role/planted-role"


def refused(
    connect: Connect, audience_manager: Connect, extra: dict[str, Any], **aws: str
) -> tuple[AudienceManagerError, str]:
    """The error of the first write to staging, and what it calls the connection."""
    document = {"conn_type": "aws", "login": "planted-key", "password": "planted-secret", **aws}
    aws_id = connect({**document, "extra": {**ONE_TRY, **extra}})
    conn_id = audience_manager(
        partner_name="acme", staging_location="s3://crm/am", staging_aws_conn_id=aws_id
    )
    with pytest.raises(AudienceManagerError) as caught:
        AudienceManagerHook(conn_id).staging().write_bytes("probe", b"")
    assert "planted" not in str(caught.value)
    assert len(traceback.format_exception(caught.value)) < 40
    return caught.value, f"connection {aws_id!r} (staging_aws_conn_id of {conn_id!r})"


def test_a_wrong_endpoint(connect: Connect, audience_manager: Connect) -> None:
    error, who = refused(connect, audience_manager, {"endpoint_url": NOBODY})
    assert isinstance(error, TransientError)
    assert str(error) == (
        f"cannot write 's3://crm/am/probe' with {who}: no answer from {NOBODY} "
        f"(EndpointConnectionError); is endpoint_url in its extra right, and does the server there "
        f"run?"
    )


@pytest.mark.parametrize(
    "url", ["s3.acme.example:9000", "planted:planted@host", "http://", "s3://crm"]
)
def test_an_endpoint_that_is_no_url(connect: Connect, audience_manager: Connect, url: str) -> None:
    error, who = refused(connect, audience_manager, {"endpoint_url": url})
    assert isinstance(error, ConfigurationError)
    assert str(error) == (
        f"{who}: endpoint_url: {url.rpartition('@')[2]!r} is no URL of a server; http://host:port "
        f"or https://host is expected"
    )


def test_no_way_to_amazon(
    connect: Connect, audience_manager: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://planted:planted@127.0.0.1:9")
    error, who = refused(connect, audience_manager, {})
    assert isinstance(error, TransientError)
    assert str(error) == (
        f"cannot write 's3://crm/am/probe' with {who}: the proxy {NOBODY} does not answer or lets "
        f"nothing through (ProxyConnectionError); check HTTPS_PROXY and NO_PROXY"
    )


def test_no_name_server_for_amazon(
    connect: Connect, audience_manager: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A region that nobody has, so that no test ever speaks with Amazon.
    monkeypatch.setenv("NO_PROXY", "*")
    error, who = refused(connect, audience_manager, {"region_name": "nowhere-test-1"})
    assert isinstance(error, TransientError)
    assert str(error) == (
        f"cannot write 's3://crm/am/probe' with {who}: no answer from "
        f"https://crm.s3.nowhere-test-1.amazonaws.com (EndpointConnectionError); is there a way to "
        f"it from here (network, name server, proxy, firewall)?"
    )


def test_sts_out_of_reach(connect: Connect, audience_manager: Connect) -> None:
    role = {"role_arn": ROLE, "service_config": {"sts": {"endpoint_url": NOBODY}}}
    error, who = refused(connect, audience_manager, role)
    assert isinstance(error, TransientError)
    assert str(error) == (
        f"cannot use {who}: no answer from {NOBODY} (EndpointConnectionError), which is asked for "
        f"the keys of a role first (STS); is there a way to it?"
    )


def test_sts_refuses(connect: Connect, audience_manager: Connect) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Refusing) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        role = {"role_arn": ROLE, "service_config": {"sts": {"endpoint_url": url}}}
        error, who = refused(connect, audience_manager, role)
        server.shutdown()
    assert isinstance(error, ConfigurationError)
    assert str(error) == (
        f"cannot use {who}: STS, asked for keys by AssumeRole, answered AccessDenied: check the "
        f"keys and the role_arn of {who}, and whether these keys may take that role"
    )


@pytest.mark.parametrize(
    ("extra", "said"),
    [
        ({"region_name": "planet mars"}, "InvalidRegionError, region_name 'planet mars'; check "),
        ({"profile_name": "nobody"}, "ProfileNotFound, profile 'nobody'; check "),
        ({"config_kwargs": {"planted": 1}}, "TypeError; check its extra: config_kwargs, "),
        (
            {
                "role_arn": ROLE,
                "assume_role_method": "assume_role_with_saml",
                "assume_role_with_saml": {"principal_arn": "planted"},
            },
            "check its extra: assume_role_method, assume_role_with_saml, config_kwargs, ",
        ),
    ],
)
def test_settings_that_make_no_client(
    connect: Connect, audience_manager: Connect, extra: dict[str, Any], said: str
) -> None:
    error, who = refused(
        connect,
        audience_manager,
        extra,
        **({"login": "", "password": ""} if "profile_name" in extra else {}),
    )
    assert isinstance(error, ConfigurationError)
    assert str(error).startswith(f"cannot use {who}: ")
    assert said in str(error)


def test_no_keys(
    connect: Connect, audience_manager: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    error, who = refused(connect, audience_manager, {"endpoint_url": NOBODY}, login="", password="")
    assert isinstance(error, ConfigurationError)
    assert str(error) == (
        f"cannot write 's3://crm/am/probe' with {who}: there are no keys and no role; fill in its "
        f"login and password, or the role_arn in its extra"
    )


def test_the_test_of_a_connection_says_each_in_a_sentence(
    connect: Connect, audience_manager: Connect
) -> None:
    role = {"role_arn": ROLE, "service_config": {"sts": {"endpoint_url": NOBODY}}}
    aws = connect({"conn_type": "aws", "login": "x", "password": "y", "extra": {**ONE_TRY, **role}})
    conn_id = audience_manager(partner_name="acme", staging_location="s3://crm/am", aws_conn_id=aws)
    holds, said = AudienceManagerHook(conn_id).test_connection()
    assert not holds
    # Staging, decisions and destination.
    assert said.count("(STS); is there a way to it? ") == 3
    assert json.dumps(said).count("\\n") == 0


class _Refusing(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = b"""<ErrorResponse><Error><Type>Sender</Type><Code>AccessDenied</Code>
            <Message>User planted is not authorized</Message></Error></ErrorResponse>"""
        self.send_response(403)
        self.send_header("Content-Type", "text/xml")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""
