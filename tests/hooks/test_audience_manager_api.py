"""The REST API's hook, over HTTP against the sandbox's API."""

import asyncio
import json
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from airflow_am_provider.audience_manager.errors import ConfigurationError, TransientError
from airflow_am_provider.hooks import api_line
from airflow_am_provider.hooks.audience_manager_api import AudienceManagerApiHook
from airflow_am_provider.sandbox.rest import ApiSource, ApiTrait, RestApi, RestConfig
from airflow_am_provider.sandbox.service import Sandbox, SandboxConfig
from tests.connections import Connect, api_document

SOURCES = tuple(ApiSource(dpid=dpid, name=f"CRM {dpid}") for dpid in range(400, 425))
TRAITS = tuple(ApiTrait(sid=sid, dpid=400 + sid % 2, ttl_days=sid) for sid in range(1, 30))


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api_line, "_FIRST_PAUSE_S", 0.001)
    monkeypatch.setattr(api_line, "_TOKENS", api_line._Tokens())


@pytest.fixture
def hook_of(api_connection: Connect) -> Callable[..., AudienceManagerApiHook]:
    def make(api: RestApi, **changes: object) -> AudienceManagerApiHook:
        return AudienceManagerApiHook(api_connection(api, **changes))

    return make


def config(**changes: object) -> RestConfig:
    return RestConfig(client_secret="planted-secret", sources=SOURCES, traits=TRAITS, **changes)


@pytest.mark.parametrize("seed", [None, *range(4)])
def test_lists_are_whole_with_pages_or_without(
    seed: int | None, hook_of: Callable[..., AudienceManagerApiHook]
) -> None:
    with RestApi(config(seed=seed)) as api:
        hook = hook_of(api)
        assert [source.dpid for source in hook.data_sources()] == list(range(400, 425))
        odd = hook.traits([401])
        assert [trait.sid for trait in odd] == list(range(1, 30, 2))
        assert {trait.ttl_days for trait in odd} == set(range(1, 30, 2))
        assert [t.sid for t in asyncio.run(hook.traits_async([400]))] == list(range(2, 30, 2))
        assert hook.data_source(999) is None
        assert hook.trait(3).dpid == 401


def test_a_token_is_used_again_and_renewed_when_it_was_revoked(
    hook_of: Callable[..., AudienceManagerApiHook],
) -> None:
    with RestApi(config()) as api:
        hook = hook_of(api)
        hook.data_source(400)
        hook.data_source(401)
        assert api.requests.count("POST /ims/token/v3") == 1
        api.revoke_all()
        assert hook.data_source(402).name == "CRM 402"
        assert api.requests.count("POST /ims/token/v3") == 2


def test_a_token_is_renewed_before_it_ends(
    hook_of: Callable[..., AudienceManagerApiHook],
) -> None:
    with RestApi(config(token_s=200)) as api:
        hook = hook_of(api)
        hook.data_source(400)
        hook.data_source(400)
        # It would end within the five minutes that a call may take.
        assert api.requests.count("POST /ims/token/v3") == 2


def test_a_revoked_credential(
    hook_of: Callable[..., AudienceManagerApiHook], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with RestApi(config()) as api:
        hook = hook_of(api, password="planted-other")
        with pytest.raises(ConfigurationError) as caught:
            hook.data_sources()
        good = hook_of(api)
        good.data_sources()
    assert str(caught.value) == (
        f"connection {hook.audience_manager_api_conn_id!r}: 127.0.0.1 gives no token: HTTP 401, "
        f"invalid_client. Check login (client ID), password (client secret) and scope; the "
        f"credential may have been revoked (api/rest-api-main/aam-api-getting-started.md)"
    )
    said = caplog.text + str(caught.value) + repr(good._line.__dict__)
    assert "planted" not in said
    tokens = [token for token, _ in api_line._TOKENS._tokens.values()]
    assert tokens
    assert all(token not in said for token in tokens)


@contextmanager
def answering(status: int, headers: dict[str, str], asked: list[str]) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self._say(200, {}, {"access_token": "t", "expires_in": 86400})

        def do_GET(self) -> None:
            asked.append(self.path)
            self._say(status, headers, {})

        def _say(self, code: int, more: dict[str, str], document: object) -> None:
            raw = json.dumps(document).encode()
            self.send_response(code)
            for name, value in more.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    ("status", "error", "words", "times"),
    [
        (503, TransientError, "127.0.0.1/datasources/1 answers HTTP 503, 5 times", 5),
        (429, TransientError, "HTTP 429", 5),
        (403, ConfigurationError, "put it into a group", 1),
        (400, ConfigurationError, "refuses \\(HTTP 400\\)", 1),
        (401, ConfigurationError, "refuses a new token", 2),
    ],
)
def test_what_is_asked_again(
    status: int, error: type[Exception], words: str, times: int, connect: Connect
) -> None:
    asked: list[str] = []
    with answering(status, {"Retry-After": "0"}, asked) as url:
        hook = AudienceManagerApiHook(
            connect(
                {
                    "conn_type": "audience_manager_api",
                    "host": url,
                    "login": "c",
                    "password": "s",
                    "extra": {"scope": "openid", "token_url": f"{url}/token"},
                }
            )
        )
        with pytest.raises(error, match=words):
            hook.data_source(1)
    assert len(asked) == times


def test_a_server_that_asks_for_an_hour_is_not_waited_for(connect: Connect) -> None:
    asked: list[str] = []
    with answering(429, {"Retry-After": "3600"}, asked) as url:
        extra = {"scope": "openid", "token_url": f"{url}/token"}
        document = {"conn_type": "audience_manager_api", "host": url, "login": "c"}
        hook = AudienceManagerApiHook(connect({**document, "password": "s", "extra": extra}))
        with pytest.raises(TransientError) as caught:
            hook.data_source(1)
    assert str(caught.value).endswith(
        "127.0.0.1/datasources/1 asks to come again in 3,600 seconds (HTTP 429), and 120 are "
        "waited for at most"
    )
    assert len(asked) == 1


def api_by(connect: Connect, url: str, token_url: str) -> AudienceManagerApiHook:
    extra = {"scope": "openid", "token_url": token_url}
    document = {"conn_type": "audience_manager_api", "host": url, "login": "c"}
    return AudienceManagerApiHook(connect({**document, "password": "s", "extra": extra}))


def test_who_does_not_answer_is_named(connect: Connect) -> None:
    gone = "http://127.0.0.1:1"
    with pytest.raises(TransientError) as caught:
        api_by(connect, "https://localhost:1/v1/", f"{gone}/ims/token/v3").data_source(1)
    assert "no answer from 127.0.0.1/ims/token/v3 (ConnectError), 5 times; check host and" in str(
        caught.value
    )
    with answering(200, {}, []) as url, pytest.raises(TransientError) as caught:
        api_by(connect, f"{gone}/v1/", f"{url}/token").data_source(1)
    assert "no answer from 127.0.0.1/v1/datasources/1 (ConnectError)" in str(caught.value)


@pytest.mark.parametrize(
    ("url", "token_url", "field"),
    [
        ("http://aam.adobe.io/v1/", "https://localhost/token", "host: 'http://aam.adobe.io/v1/'"),
        ("https://localhost/", "http://ims.example/t", "token_url: 'http://ims.example/t'"),
        ("ftp://aam.adobe.io/", "https://localhost/token", "host: 'ftp://aam.adobe.io/'"),
    ],
)
def test_no_secret_goes_over_a_readable_line(
    connect: Connect, url: str, token_url: str, field: str
) -> None:
    with pytest.raises(ConfigurationError, match=f"{field} is no URL that begins with https://"):
        api_by(connect, url, token_url).data_source(1)


def test_what_is_missing_is_named(connect: Connect) -> None:
    conn_id = connect({"conn_type": "audience_manager_api", "login": "c", "extra": {}})
    with pytest.raises(ConfigurationError, match=r"password \(client secret\), scope: missing"):
        AudienceManagerApiHook(conn_id).data_sources()


@pytest.mark.parametrize("seed", [None, *range(4)])
def test_the_history_of_files_that_the_sandbox_took(
    seed: int | None, tmp_path: Path, hook_of: Callable[..., AudienceManagerApiHook]
) -> None:
    inbox = tmp_path / "in"
    inbox.mkdir()
    name = "ftp_dpm_478_1366545717.sync"
    (inbox / name).write_text("a\td_sid=1\nb d_sid=1\n")
    database = tmp_path / "sandbox.db"
    with Sandbox(SandboxConfig(database=database, inboxes=(str(inbox),))) as sandbox:
        sandbox.run_once(at_once=True)
    with RestApi(config(seed=seed, database=database)) as api:
        (file,) = hook_of(api).inbound_history(478)
        assert hook_of(api).inbound_history(479) == []
    assert file.file_name == name
    assert file.counts["records_received"] == 2
    assert file.counts["format_errors"] == 1
    assert file.counts["stored_records"] == 0
    assert file.not_understood == ("jobId",)


def test_the_test_button(hook_of: Callable[..., AudienceManagerApiHook]) -> None:
    with RestApi(config()) as api:
        hook = hook_of(api)
        assert hook.test_connection() == (
            True,
            "The API answers, and shows 25 data sources",
        )
        # As in an API server, whose process keeps the token that the secret was good for.
        api.config = replace(api.config, client_secret="planted-new")
        assert "gives no token" in hook.test_connection()[1]
        holds, said = hook_of(api, password="planted-other").test_connection()
        assert not holds
        assert "gives no token" in said


def test_the_example_of_its_page(monkeypatch: pytest.MonkeyPatch) -> None:
    page = (Path(__file__).parents[2] / "docs" / "api.md").read_text()
    example = page.partition("```python\n")[2].partition("```")[0]
    with RestApi(config()) as api:
        document = json.dumps(api_document(api))
        monkeypatch.setenv("AIRFLOW_CONN_AUDIENCE_MANAGER_API_DEFAULT", document)
        names: dict[str, object] = {}
        exec(example.replace("478", "401"), names)
    assert names["ttl_days"] == {sid: sid for sid in range(1, 30, 2)}
