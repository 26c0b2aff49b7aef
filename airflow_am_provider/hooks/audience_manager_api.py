"""The hook of the connection type ``audience_manager_api``: Adobe's REST API.

Page: api/rest-api-main/aam-api-getting-started.md.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from airflow.sdk import BaseHook

from airflow_am_provider.audience_manager.api.answers import (
    DataSource,
    Mapping,
    OutboundTransfer,
    Trait,
)
from airflow_am_provider.audience_manager.api.inbound_history import InboundFile, read_history
from airflow_am_provider.audience_manager.api.paging import pages
from airflow_am_provider.audience_manager.errors import AudienceManagerError, ConfigurationError
from airflow_am_provider.audience_manager.names import printable
from airflow_am_provider.audience_manager.words import counted
from airflow_am_provider.get_provider_info import get_provider_info
from airflow_am_provider.hooks.connection_form import FormForAirflow31
from airflow_am_provider.hooks.connections import get_connection, without_transient

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from airflow_am_provider.hooks.api_line import ApiLine

__all__ = ["AudienceManagerApiHook"]

DEFAULT_API_URL: Final = "https://aam.adobe.io/v1/"
_FIELDS: Final = next(
    one["conn-fields"]
    for one in get_provider_info()["connection-types"]
    if one["connection-type"] == "audience_manager_api"
)


class AudienceManagerApiHook(FormForAirflow31, BaseHook):
    """Ask Audience Manager what it knows: data sources, traits, what became of files.

    The connection's fields: host (the API's URL, ``https://aam.adobe.io/v1/`` by default; beta has
    ``https://aam-beta.adobe.io/v1/``), login (client ID), password (client secret), and in its
    extra ``scope`` and ``token_url``. They are those of an *OAuth Server-to-Server* credential.
    A token is kept for all calls of a process, renewed before it ends, and never logged.

    What does not answer is asked again, five times in all, after as long as ``Retry-After`` says.
    Each method has a twin for triggers, which is awaited: ``data_sources_async`` and so on.

    :param audience_manager_api_conn_id: the connection.

    Example::

        hook = AudienceManagerApiHook("audience_manager_api_default")
        {source.dpid: source.name for source in hook.data_sources()}
    """

    conn_name_attr = "audience_manager_api_conn_id"
    default_conn_name = "audience_manager_api_default"
    conn_type = "audience_manager_api"
    hook_name = "Adobe Audience Manager API"

    def __init__(self, audience_manager_api_conn_id: str = default_conn_name) -> None:
        super().__init__()
        self.audience_manager_api_conn_id = audience_manager_api_conn_id

    def data_sources(self) -> list[DataSource]:
        """All data sources that the technical account may see.

        :raises ConfigurationError: when the connection is wrong, or the API refuses.
        :raises TransientError: when the API does not answer.
        """
        return [DataSource.from_json(one) for one in self._all("datasources/", {}, "dataSourceId")]

    def data_source(self, dpid: int) -> DataSource | None:
        """One data source, or None where there is none that the account may see.

        :param dpid: its number.
        :raises ConfigurationError: when the connection is wrong, or the API refuses.
        :raises TransientError: when the API does not answer.
        """
        answer = self._line.read(f"datasources/{int(dpid)}", {})
        return None if answer is None else DataSource.from_json(answer)

    def traits(self, dpids: Sequence[int]) -> list[Trait]:
        """All traits of some data sources, with what is known of their time to live.

        :param dpids: the data sources' numbers.
        :raises ConfigurationError: when the connection is wrong, or the API refuses.
        :raises TransientError: when the API does not answer.
        """
        query = {"dataSourceId": list(dpids), "includeDetails": "true"}
        return [Trait.from_json(one) for one in self._all("traits/", query, "sid")]

    def trait(self, sid: int) -> Trait | None:
        """One trait of whatever data source, or None where there is none.

        :param sid: its number.
        :raises ConfigurationError: when the connection is wrong, or the API refuses.
        :raises TransientError: when the API does not answer.
        """
        answer = self._line.read(f"traits/{int(sid)}", {"includeDetails": "true"})
        return None if answer is None else Trait.from_json(answer)

    def inbound_history(self, dpid: int) -> list[InboundFile]:
        """What became of the files of a data source: the Onboarding Status Report.

        Its fields stand in no public page: what was not understood is named in the log.

        :param dpid: the data source whose IDs are in the files.
        :raises ConfigurationError: when the connection is wrong, or the API refuses.
        :raises TransientError: when the API does not answer.
        """
        return self._files(self._line.read(*_inbound_history(dpid)))

    async def inbound_history_async(self, dpid: int) -> list[InboundFile]:
        """The same for triggers.

        :param dpid: the data source whose IDs are in the files.
        :raises ConfigurationError: when the connection is wrong, or the API refuses.
        :raises TransientError: when the API does not answer.
        """
        return self._files(await self._line.read_async(*_inbound_history(dpid)))

    def outbound_history(
        self, destination_id: int, start: datetime, end: datetime
    ) -> list[OutboundTransfer]:
        """What was sent to a destination within some time.

        :param destination_id: the destination's number.
        :param start: first moment.
        :param end: last moment.
        :raises ConfigurationError: when the connection is wrong, or the API refuses.
        :raises TransientError: when the API does not answer.
        """
        answer = self._line.read(*_outbound_history(destination_id, start, end))
        return [OutboundTransfer.from_json(one) for one in answer or []]

    async def outbound_history_async(
        self, destination_id: int, start: datetime, end: datetime
    ) -> list[OutboundTransfer]:
        """The same for triggers.

        :param destination_id: the destination's number.
        :param start: first moment.
        :param end: last moment.
        :raises ConfigurationError: when the connection is wrong, or the API refuses.
        :raises TransientError: when the API does not answer.
        """
        answer = await self._line.read_async(*_outbound_history(destination_id, start, end))
        return [OutboundTransfer.from_json(one) for one in answer or []]

    def mappings(self, destination_id: int) -> list[Mapping]:
        """What a destination sends, with the names of segments.

        :param destination_id: the destination's number.
        :raises ConfigurationError: when the connection is wrong, or the API refuses.
        :raises TransientError: when the API does not answer.
        """
        path = f"destinations/{int(destination_id)}/mappings/"
        return [Mapping.from_json(one) for one in self._all(path, {}, "sid")]

    async def data_sources_async(self) -> list[DataSource]:
        """The same as :meth:`data_sources`, for triggers.

        :raises ConfigurationError: when the connection is wrong, or the API refuses.
        :raises TransientError: when the API does not answer.
        """
        return [
            DataSource.from_json(one)
            for one in await self._all_async("datasources/", {}, "dataSourceId")
        ]

    async def traits_async(self, dpids: Sequence[int]) -> list[Trait]:
        """The same as :meth:`traits`, for triggers.

        :param dpids: the data sources' numbers.
        :raises ConfigurationError: when the connection is wrong, or the API refuses.
        :raises TransientError: when the API does not answer.
        """
        query = {"dataSourceId": list(dpids), "includeDetails": "true"}
        return [Trait.from_json(one) for one in await self._all_async("traits/", query, "sid")]

    def test_connection(self) -> tuple[bool, str]:
        """Get a new token and ask who we are; with role-based access this makes the account."""
        try:
            # One from memory outlives the secret it was had by.
            self._line.forget_token()
            self._line.read("users/self", {})
            count = len(self.data_sources())
        except AudienceManagerError as error:
            return False, without_transient(str(error), self.audience_manager_api_conn_id)
        if not count:
            return True, (
                "The API answers, but shows no data source: put the technical account into a "
                "group with the right to view them"
            )
        return True, f"The API answers, and shows {counted(count, 'data source')}"

    @cached_property
    def _line(self) -> ApiLine:
        # httpx is loaded by the worker, never by the parser of DAGs.
        from airflow_am_provider.hooks.api_line import ApiLine, Credentials

        conn_id = self.audience_manager_api_conn_id
        connection = get_connection(conn_id, asked_by=self.conn_name_attr)
        extra = connection.extra_dejson
        missing = [
            name
            for name, value in (
                ("login (client ID)", connection.login),
                ("password (client secret)", connection.password),
                ("scope", extra.get("scope")),
            )
            if not value
        ]
        if missing:
            raise ConfigurationError(
                f"connection {conn_id!r}: {', '.join(missing)}: missing; they stand on the page of "
                f"the OAuth Server-to-Server credential in Adobe's Developer Console"
            )
        for name in extra:
            if name not in _FIELDS:
                raise ConfigurationError(
                    f"connection {conn_id!r}: there is no field of this name in its extra; there "
                    f"are {', '.join(_FIELDS)}"
                )
        url = str(connection.host or DEFAULT_API_URL)
        if "://" not in url:
            # Airflow takes the scheme off a host that it reads from a URI.
            url = f"https://{url}"
        token_url = str(extra.get("token_url") or _FIELDS["token_url"]["schema"]["default"])
        for field, value in (("host", url), ("token_url", token_url)):
            _check_encrypted(value, f"connection {conn_id!r}: {field}")
        return ApiLine(
            url,
            Credentials(
                conn_id=conn_id,
                token_url=token_url,
                client_id=str(connection.login),
                client_secret=str(connection.password),
                scope=str(extra["scope"]),
            ),
        )

    def _all(self, path: str, query: dict[str, Any], key: str) -> list[Any]:
        way = pages(query, key)
        asked = next(way)
        while True:
            try:
                asked = way.send(self._line.read(path, asked))
            except StopIteration as done:
                return list(done.value)

    async def _all_async(self, path: str, query: dict[str, Any], key: str) -> list[Any]:
        way = pages(query, key)
        asked = next(way)
        while True:
            try:
                asked = way.send(await self._line.read_async(path, asked))
            except StopIteration as done:
                return list(done.value)

    def _files(self, answer: object) -> list[InboundFile]:
        files = list(read_history(answer))
        unknown = sorted({name for file in files for name in file.not_understood})
        if unknown:
            self.log.info("Inbound history: fields that are not understood: %s", ", ".join(unknown))
        if not files and answer:
            self.log.warning("Inbound history: no file was found in the answer")
        return files


def _check_encrypted(url: str, field: str) -> None:
    """Refuse to send secret and tokens readable, but to this machine, as to the sandbox's API."""
    try:
        parts = urlsplit(url)
        is_safe = parts.scheme == "https" or (
            parts.scheme == "http" and parts.hostname in {"localhost", "127.0.0.1", "::1"}
        )
    except ValueError:
        is_safe = False
    if not is_safe:
        raise ConfigurationError(
            f"{field}: {printable(url)!r} is no URL that begins with https://, so the client "
            f"secret and tokens would travel readable; nothing was sent"
        )


def _inbound_history(dpid: int) -> tuple[str, dict[str, Any]]:
    return f"datasources/{int(dpid)}/history/inbound", {"includeSamplingDetails": "true"}


def _outbound_history(
    destination_id: int, start: datetime, end: datetime
) -> tuple[str, dict[str, Any]]:
    milliseconds = {
        "startDate": int(start.timestamp() * 1000),
        "endDate": int(end.timestamp() * 1000),
    }
    return f"destinations/{int(destination_id)}/history/outbound", milliseconds
