"""Holds a staged delivery against what Adobe's REST API knows, before anything is sent."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any, ClassVar, Final

from airflow.sdk import BaseOperator

from airflow_am_provider.audience_manager.errors import ConfigurationError, DataError
from airflow_am_provider.audience_manager.words import counted
from airflow_am_provider.deliveries.manifest import Manifest
from airflow_am_provider.hooks.connections import DEFAULT_CONN_ID
from airflow_am_provider.hooks.errors import airflow_errors
from airflow_am_provider.hooks.last_line import last_line
from airflow_am_provider.links import DeliveryLink, StagingLink
from airflow_am_provider.operators._api import api_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow.sdk import Context

    from airflow_am_provider.audience_manager.api.preflight import Contents, Finding
    from airflow_am_provider.hooks.audience_manager import AudienceManagerHook

__all__ = ["PreflightOperator"]

_ON_FINDING: Final = ("fail", "warn")


class PreflightOperator(BaseOperator):
    """Check that Audience Manager will take what a staged delivery says.

    Stands between format and upload. It asks the REST API of the Audience Manager connection's
    ``api_conn_id`` whether the data sources exist, are active and visible to the account, and
    whether every trait is onboarded, active and of the target data source. Adobe takes wrong files
    without a word, and what is wrong in them comes back as failed validation, or not at all.

    What it asks does not grow with the number of rows: the format task has written down each trait
    once. Signals that no trait rule names, traits that are younger than four hours, what is wrong
    with traits that are only taken away, and an unticked *Inbound* are warnings and never fail the
    task.

    :param manifest: What a format operator returned. Example: ``format_traits.output``. (templated)
    :param audience_manager_conn_id: The Audience Manager connection. It must have ``api_conn_id``.
        (templated)
    :param on_finding: What to do with errors: ``fail`` the task, or ``warn`` and let the delivery
        pass. (templated)
    :return: the manifest, for the upload.
    :raises AirflowFailException: when the delivery names something that Audience Manager would
        refuse, or the connection is wrong. Retrying does not help.
    :raises AirflowException: when the API or the staging location does not answer.

    Example::

        preflight = PreflightOperator(task_id="preflight", manifest=format_data.output)
        upload = UploadOperator(task_id="upload", manifest=preflight.output)
    """

    template_fields: Sequence[str] = ("manifest", "audience_manager_conn_id", "on_finding")
    template_fields_renderers: ClassVar[dict[str, str]] = {"manifest": "json"}
    operator_extra_links = (StagingLink(), DeliveryLink())
    ui_color = "#e3f0d9"

    def __init__(
        self,
        *,
        manifest: object,
        audience_manager_conn_id: str = DEFAULT_CONN_ID,
        on_finding: str = "fail",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.manifest = manifest
        self.audience_manager_conn_id = audience_manager_conn_id
        self.on_finding = on_finding
        self._found = ""

    @last_line
    def execute(self, context: Context) -> dict[str, Any]:
        """Ask, tell, and let pass or fail."""
        from airflow_am_provider.audience_manager.api.preflight import preflight
        from airflow_am_provider.hooks.audience_manager import AudienceManagerHook

        with airflow_errors():
            if self.on_finding not in _ON_FINDING:
                raise ConfigurationError(
                    f"on_finding: {self.on_finding!r} is neither 'fail' nor 'warn'"
                )
            manifest = Manifest.from_json(self.manifest)
            if not manifest.parts or manifest.kind != "data":
                self._found = "needs no preflight, as it has no data file"
                return manifest.to_json()
            hook = AudienceManagerHook(self.audience_manager_conn_id)
            api = api_of(hook, needed_for="a preflight")
            contents = _contents(hook, manifest)
            result = preflight(contents, api, now=time.time())
            errors = [one for one in result.findings if one.severity == "error"]
            for finding in result.findings:
                self._tell(finding)
            traits = len(contents.traits | contents.removed_traits)
            figures = (
                f"{counted(traits, 'trait')}, {counted(len(contents.signal_keys), 'signal key')}; "
                f"{counted(len(errors), 'error')}, "
                f"{counted(len(result.findings) - len(errors), 'warning')}"
            )
            self.log.info("Preflight of delivery %s: %s", manifest.delivery_id, figures)
            self._found = f"passes the preflight: {figures}"
            if errors and self.on_finding == "fail":
                more = f" And {len(errors) - 1:,} more, in the log." if len(errors) > 1 else ""
                raise DataError(
                    f"delivery {manifest.delivery_id}: {errors[0]}.{more} Nothing was sent. Mend "
                    f"the source or the traits and format again, or set on_finding='warn'"
                )
        return manifest.to_json()

    def outcome(self, result: dict[str, Any]) -> str:
        """What was found, for the last line of the log."""
        return f"Delivery {result['delivery_id']} {self._found}"

    def _tell(self, finding: Finding) -> None:
        log = self.log.error if finding.severity == "error" else self.log.warning
        log("%s", finding)


def _contents(hook: AudienceManagerHook, manifest: Manifest) -> Contents:
    """What the delivery says, as the format task wrote it down.

    :raises DataError: when it did not.
    """
    from airflow_am_provider.audience_manager.api.preflight import Contents

    raw = None if manifest.contents is None else hook.staging().read_bytes(manifest.contents)
    if raw is None:
        raise DataError(
            f"delivery {manifest.delivery_id}: nobody wrote down which traits it names. The format "
            f"task does so when its connection has api_conn_id; clear it to format again"
        )
    document = json.loads(raw)
    return Contents(
        dpid=document["dpid"],
        target_dpid=document["target_dpid"],
        traits=frozenset(document["traits"]),
        # Those of before had all traits in one list.
        removed_traits=frozenset(document.get("removed_traits", ())),
        signal_keys=tuple(document["signal_keys"]),
    )
