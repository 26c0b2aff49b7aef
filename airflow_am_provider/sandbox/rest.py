"""The sandbox's REST API: tokens, data sources, traits, and what became of files.

Where Adobe's pages promise nothing it takes the worse reading, at random by its seed: lists come
with pages or without, the history's fields are spelled in several ways and wrapped in something,
some answers say to come again, and a token may end before its time.
"""

from __future__ import annotations

import json
import random
import secrets
import threading
import time
from dataclasses import asdict, dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Final, Self
from urllib.parse import parse_qs, urlsplit

from airflow_am_provider.sandbox.database import connect
from airflow_am_provider.sandbox.ledger import FileEntry, Ledger, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from airflow_am_provider.sandbox.account import Account

__all__ = ["ApiDestination", "ApiSource", "ApiTrait", "RestApi", "RestConfig"]

#: Where the command finds the client's secret.
SECRET_VARIABLE: Final = "AIRFLOW_AM_SANDBOX_API_SECRET"  # noqa: S105  # a name, no password
_TOKEN_PATH: Final = "/ims/token/v3"  # noqa: S105  # a path
_API_PATH: Final = "/v1/"
_DEFAULT_PAGE_SIZE: Final = 10
_SPELLINGS: Final = (
    lambda name: "".join(word.capitalize() if place else word
                         for place, word in enumerate(name.split("_"))),
    lambda name: name,
    lambda name: name.replace("_", " ").capitalize(),
)  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class ApiTrait:
    """A trait as the API tells of it.

    :param sid: its number.
    :param dpid: the data source it belongs to.
    :param kind: ``ON_BOARDED_TRAIT`` or another.
    :param status: ``ACTIVE`` or another.
    :param ttl_days: after how many days it ends; 0 for never.
    :param age_s: how long ago it was made, seconds.
    :param rule: of a rule-based trait, its expression.
    """

    sid: int
    dpid: int
    kind: str = "ON_BOARDED_TRAIT"
    status: str = "ACTIVE"
    ttl_days: int = 120
    age_s: float = 86_400.0
    rule: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class ApiSource:
    """A data source as the API tells of it.

    :param dpid: its number.
    :param name: its name.
    :param status: ``ACTIVE`` or another.
    :param id_type: ``CROSS_DEVICE``, ``COOKIE`` or ``DEVICE``.
    :param inbound: whether *Inbound* is ticked.
    """

    dpid: int
    name: str = "CRM"
    status: str = "ACTIVE"
    id_type: str = "CROSS_DEVICE"
    inbound: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class ApiDestination:
    """A destination as the API tells of it.

    :param destination_id: its number.
    :param segments: the segments that are mapped to it, with their names.
    :param sent: the names of files that were sent to it, with the moment, seconds since 1970, and
        whether that went well.
    """

    destination_id: int
    segments: tuple[tuple[int, str], ...] = ()
    sent: tuple[tuple[str, float, bool], ...] = ()


@dataclass(frozen=True, kw_only=True)
class RestConfig:
    """What the API knows, and how it behaves.

    :param client_id: the one client.
    :param client_secret: its secret.
    :param sources: the data sources it shows.
    :param traits: the traits it shows.
    :param destinations: the destinations it shows, which it does not draw from the sandbox.
    :param database: the sandbox's, for the history; None: no history.
    :param token_s: how long a token lasts, seconds.
    :param seed: draws all that Adobe leaves open. None: pages where asked for, one spelling, and
        no trouble.
    """

    client_id: str = "client"
    client_secret: str = field(default="secret", repr=False)
    sources: tuple[ApiSource, ...] = ()
    traits: tuple[ApiTrait, ...] = ()
    destinations: tuple[ApiDestination, ...] = ()
    database: Path | None = None
    token_s: int = 86_400
    seed: int | None = None

    @classmethod
    def of(cls, account: Account, **more: Any) -> RestConfig:
        """What the API shows of the account that a sandbox serves: one truth for both.

        :param account: the data sources and traits that it names. What it has without naming it,
            as every trait of a data source, is in no list.
        :param more: the other settings.
        """
        dpids = sorted({*(account.data_sources or ()), *account.cross_device, *account.traits})
        return cls(
            sources=tuple(
                ApiSource(
                    dpid=dpid,
                    id_type="CROSS_DEVICE" if dpid in account.cross_device else "COOKIE",
                )
                for dpid in dpids
            ),
            traits=tuple(
                ApiTrait(sid=int(trait), dpid=dpid, ttl_days=account.ttl_days_of(trait))
                for dpid, traits in account.traits.items()
                for trait in sorted(traits, key=int)
            ),
            **more,
        )


class RestApi:
    """The API on a port of this machine; a context manager.

    :param config: what it knows.
    :param port: 0 for any that is free.

    Example::

        with RestApi(RestConfig(sources=(ApiSource(dpid=478),))) as api:
            print(api.url, api.token_url)
    """

    def __init__(self, config: RestConfig, port: int = 0) -> None:
        self.config = config
        self.requests: list[str] = []
        self._lock = threading.Lock()
        self._tokens: dict[str, float] = {}
        self._random = random.Random(config.seed)  # noqa: S311  # a drawing, no secret
        self._started_at = time.time()
        self._server = ThreadingHTTPServer(("127.0.0.1", port), _handler(self))
        self._server.daemon_threads = True

    @property
    def url(self) -> str:
        """The API's URL."""
        return f"http://127.0.0.1:{self._server.server_port}{_API_PATH}"

    @property
    def token_url(self) -> str:
        """The identity service's."""
        return f"http://127.0.0.1:{self._server.server_port}{_TOKEN_PATH}"

    def __enter__(self) -> Self:
        # The default of half a second would be waited for at the end.
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def revoke_all(self) -> None:
        """Take back every token that was given."""
        with self._lock:
            self._tokens.clear()

    def answer(
        self, method: str, target: str, headers: dict[str, str], body: str
    ) -> tuple[int, dict[str, str], object]:
        """Answer a request: status, headers and JSON."""
        parts = urlsplit(target)
        with self._lock:
            self.requests.append(f"{method} {parts.path}")
            if self._draws(0.1):
                return self._trouble()
            if parts.path == _TOKEN_PATH:
                return self._token(method, {k: v[0] for k, v in parse_qs(body).items()})
            if not parts.path.startswith(_API_PATH) or method != "GET":
                return HTTPStatus.NOT_FOUND, {}, {"error": "not_found"}
            token = headers.get("authorization", "").removeprefix("Bearer ")
            if self._tokens.get(token, 0) <= time.monotonic() or self._draws(0.03):
                self._tokens.pop(token, None)
                told = 'Bearer realm="oauth", error="invalid_token"'
                return HTTPStatus.UNAUTHORIZED, {"WWW-Authenticate": told}, {"error_code": "401013"}
            if headers.get("x-api-key") != self.config.client_id:
                return HTTPStatus.FORBIDDEN, {}, {"error_code": "403000"}
            found = self._resource(parts.path.removeprefix(_API_PATH).strip("/"), parts.query)
        return (HTTPStatus.NOT_FOUND, {}, {}) if found is None else (HTTPStatus.OK, {}, found)

    def _draws(self, share: float) -> bool:
        return self.config.seed is not None and self._random.random() < share

    def _trouble(self) -> tuple[int, dict[str, str], object]:
        status = self._random.choice((429, 500, 502, 503))
        after = {"Retry-After": "0"} if self._draws(0.5) else {}
        return status, after, {}

    def _token(self, method: str, form: dict[str, str]) -> tuple[int, dict[str, str], object]:
        expected = {
            "grant_type": "client_credentials",
            "client_id": self.config.client_id,
            "client_secret": self.config.client_secret,
        }
        if method != "POST" or any(form.get(name) != value for name, value in expected.items()):
            return HTTPStatus.UNAUTHORIZED, {}, {"error": "invalid_client"}
        if not form.get("scope"):
            return HTTPStatus.BAD_REQUEST, {}, {"error": "invalid_scope"}
        token = secrets.token_urlsafe(24)
        self._tokens[token] = time.monotonic() + self.config.token_s
        return HTTPStatus.OK, {}, {
            "access_token": token,
            "token_type": "bearer",
            "expires_in": self.config.token_s,
        }  # fmt: skip

    def _resource(self, path: str, query: str) -> object | None:
        asked = parse_qs(query)
        match path.split("/"):
            case ["users", "self"]:
                return {"username": "technical account"}
            case ["datasources"]:
                return self._list(map(_source, self.config.sources), asked)
            case ["datasources", dpid]:
                found = [one for one in self.config.sources if str(one.dpid) == dpid]
                return _source(found[0]) if found else None
            case ["datasources", dpid, "history", "inbound"]:
                return self._history(dpid)
            case ["traits"]:
                wanted = asked.get("dataSourceId")
                traits = [
                    self._trait(one, asked)
                    for one in self.config.traits
                    if wanted is None or str(one.dpid) in wanted
                ]
                return self._list(traits, asked)
            case ["destinations", number, *what]:
                to = [one for one in self.config.destinations if str(one.destination_id) == number]
                return self._of_destination(to[0], what, asked) if to else None
            case ["traits", sid]:
                of = [one for one in self.config.traits if str(one.sid) == sid]
                return self._trait(of[0], asked) if of else None
        return None

    def _of_destination(
        self, destination: ApiDestination, what: list[str], asked: dict[str, list[str]]
    ) -> object | None:
        if what == ["mappings"]:
            return self._list(
                (
                    {"sid": sid, "elementName": name, "elementStatus": "active"}
                    for sid, name in destination.segments
                ),
                asked,
            )
        if what != ["history", "outbound"] or not {"startDate", "endDate"} <= set(asked):
            return None
        start, end = (int(asked[name][0]) / 1000 for name in ("startDate", "endDate"))
        return [
            {
                "orderID": destination.destination_id,
                "dataFileName": name,
                "startTime": int(moment * 1000),
                "endTime": int(moment * 1000),
                "success": went_well,
            }
            for name, moment, went_well in destination.sent
            if start <= moment <= end
        ]

    def _list(self, entries: Iterable[object], asked: dict[str, list[str]]) -> object:
        every = list(entries)
        if not {"page", "pageSize"} & set(asked) or self._draws(0.3):
            return every
        page = int(asked.get("page", ["0"])[0])
        size = int(asked.get("pageSize", [str(_DEFAULT_PAGE_SIZE)])[0])
        if self.config.seed is not None:
            # A server may hand out less than was asked for.
            size = min(size, 1 + self.config.seed % 7)
        some = every[page * size : (page + 1) * size]
        return {"total": len(every), "page": page, "pageSize": size, "list": some}

    def _trait(self, trait: ApiTrait, asked: dict[str, list[str]]) -> dict[str, Any]:
        told: dict[str, Any] = {
            "sid": trait.sid,
            "name": f"Trait {trait.sid}",
            "traitType": trait.kind,
            "dataSourceId": trait.dpid,
            "status": trait.status,
            "createTime": int((self._started_at - trait.age_s) * 1000),
        }
        if asked.get("includeDetails") == ["true"]:
            told |= {"ttl": trait.ttl_days, "traitRule": trait.rule}
        return told

    def _history(self, dpid: str) -> object:
        if self.config.database is None:
            return []
        connection = connect(self.config.database)
        try:
            files = [
                file
                for file in Ledger(connection).files()
                if file.verdict is Verdict.TAKEN and _is_of(file, dpid)
            ]
        finally:
            connection.close()
        spelling = _SPELLINGS[0] if self.config.seed is None else self._random.choice(_SPELLINGS)
        told = [
            {"fileName": file.printed, "jobId": file.key}
            | {spelling(name): count for name, count in file.totals.to_json().items()}
            for file in files
        ]
        return {"report": {"files": told}} if self._draws(0.5) else told


def _is_of(file: FileEntry, dpid: str) -> bool:
    # The distributor's numbers may make a name that nobody could have sent.
    return file.name.startswith(f"ftp_dpm_{dpid}_")


def _source(source: ApiSource) -> dict[str, Any]:
    told = asdict(source)
    return {
        "dataSourceId": told["dpid"],
        "name": told["name"],
        "status": told["status"],
        "idType": told["id_type"],
        "inboundS2S": told["inbound"],
        "samplingEnabled": False,
    }


def _handler(api: RestApi) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._answer("GET")

        def do_POST(self) -> None:
            self._answer("POST")

        def _answer(self, method: str) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = self.rfile.read(length).decode()
            headers = {name.lower(): value for name, value in self.headers.items()}
            status, extra, document = api.answer(method, self.path, headers, body)
            raw = json.dumps(document).encode()
            self.send_response(status)
            for name, value in extra.items():
                self.send_header(name, value)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # its name there
            """Stay silent: what was asked stands in ``requests``."""

    return Handler
