"""Stops a delivery that is unlike those before it, until a person has looked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final

from airflow.providers.standard.operators.hitl import HITLOperator
from airflow.sdk import Param

from airflow_am_provider.airflow_compat import AirflowFailException, AirflowSkipException
from airflow_am_provider.audience_manager.errors import ConfigurationError, DataError
from airflow_am_provider.deliveries.manifest import Manifest
from airflow_am_provider.hooks.connections import DEFAULT_CONN_ID
from airflow_am_provider.hooks.errors import airflow_errors
from airflow_am_provider.hooks.last_line import last_line
from airflow_am_provider.hooks.origin import origin_of
from airflow_am_provider.links import DeliveryLink, StagingLink
from airflow_am_provider.parameters import flag, optional_number, whole_number

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import timedelta

    from airflow.sdk import Context
    from airflow.sdk.bases.notifier import BaseNotifier
    from airflow.sdk.execution_time.hitl import HITLUser

    from airflow_am_provider.deliveries.guard import GuardReport
    from airflow_am_provider.deliveries.guard_limits import GuardLimits

__all__ = ["GuardOperator"]

APPROVE: Final = "Approve"
REJECT: Final = "Reject"
_ON_BREACH: Final = ("fail", "ask")
_ON_REJECT: Final = ("fail", "skip")
_BY_PARAMETER: Final = "the task's parameter approved is set"


class GuardOperator(HITLOperator):
    """Compare a staged delivery with those that were sent before, and let it pass or not.

    Stands between format and upload. Comparable are deliveries of the same format task to the
    same destination with the same data source, target and mode. Over a limit nothing is sent: the
    task fails and says the figures, or asks a person in Airflow's UI (*Required Actions*). Who
    rejects a delivery abandons it. Who decided, when and why stands in its record, and the task
    fails, so that the run is no green one.

    :param manifest: What a format operator returned. Example: ``format_traits.output``. (templated)
    :param audience_manager_conn_id: Airflow connection of the type ``audience_manager``. It knows
        the staging location and where deliveries go. All tasks of one delivery use the same.
        (templated)
    :param min_rows_share: Fewest rows written, as a share of the median of the earlier deliveries.
        None lets any number pass. Example: ``0.5``. (templated)
    :param max_rows_share: Most rows written, as a share of the median of the earlier deliveries.
        None lets any number pass. Example: ``2.0``. (templated)
    :param max_removed_share: Largest share of its users' traits that an ``.overwrite`` may remove.
        Two figures are held against it: by how much the share of users with an empty line has grown
        since the last ``.overwrite``, and which share of the items of an average line is gone since
        then. Users who are not in the file keep their traits. (templated)
    :param max_set_aside: How many rows may be set aside. A whole number is a count, a fraction is a
        share of the rows read. The format operator has a limit of its own and fails over it: to
        have a person asked, give that one ``1.0``. Example: ``100`` or ``0.01``. (templated)
    :param compared_with: How many earlier deliveries to compare with. The first delivery has none.
        (templated)
    :param approved: Whether to let the delivery pass over all limits. Example: ``{{ params.approved
        }}``. (templated)
    :param on_breach: What happens over a limit: ``fail`` with the figures, or ``ask`` a person in
        Airflow's UI and wait without a worker. (templated)
    :param on_reject: What becomes of the task when a person rejects the delivery: ``fail`` without
        a retry, or ``skip`` together with what comes after it; then the run may end green.
        (templated)
    :param assigned_users: With ``ask``: who may answer; anybody by default. Example: ``{"id": "7",
        "name": "jo"}``, or a list of these.
    :param notifiers: With ``ask``: what tells people that they are asked, such as
        ``SmtpNotifier(…)``; one or several.
    :param defaults: With ``ask``: the answer when nobody gives one in time, ``Approve`` or
        ``Reject``. Without it the task fails then.
    :param response_timeout: With ``ask``: how long to wait for an answer, a ``timedelta``; without
        it there is no limit. Older standard providers know ``execution_timeout`` alone.
    :param kwargs: as for every operator.
    :return: the manifest, for the upload.
    :raises AirflowFailException: when a limit is broken; when a person rejects the delivery; when
        nobody answered in time.
    :raises AirflowSkipException: when a person rejects the delivery, with ``on_reject="skip"``.

    Example::

        guard = GuardOperator(task_id="guard", manifest=format_data.output, on_breach="ask")
        upload = UploadOperator(task_id="upload", manifest=guard.output)
    """

    template_fields: Sequence[str] = (
        "manifest",
        "audience_manager_conn_id",
        "min_rows_share",
        "max_rows_share",
        "max_removed_share",
        "max_set_aside",
        "compared_with",
        "approved",
        "on_breach",
        "on_reject",
    )
    template_fields_renderers: ClassVar[dict[str, str]] = {"manifest": "json"}
    operator_extra_links = (StagingLink(), DeliveryLink())
    ui_color = "#fff3c4"
    #: For the last line of the log, while a person is asked.
    next_while_waiting = (
        "answer under Required Actions of this task in Airflow; it goes on by the answer"
    )

    def __init__(
        self,
        *,
        manifest: object,
        audience_manager_conn_id: str = DEFAULT_CONN_ID,
        min_rows_share: float | str | None = 0.5,
        max_rows_share: float | str | None = 2.0,
        max_removed_share: float | str | None = 0.2,
        max_set_aside: float | str | None = 0.01,
        compared_with: int | str = 5,
        approved: bool | str = False,
        on_breach: str = "fail",
        on_reject: str = "fail",
        assigned_users: HITLUser | list[HITLUser] | None = None,
        notifiers: Sequence[BaseNotifier] | BaseNotifier | None = None,
        defaults: str | None = None,
        response_timeout: timedelta | None = None,
        **kwargs: Any,
    ) -> None:
        if response_timeout is not None:
            kwargs["response_timeout"] = response_timeout
        super().__init__(
            subject="",
            options=[APPROVE, REJECT],
            body=None,
            multiple=False,
            assigned_users=assigned_users,
            notifiers=notifiers,
            defaults=defaults,
            **kwargs,
        )
        # A field of the form that asks; the DAG's own params come among kwargs.
        self.params["reason"] = Param(
            "", type="string", title="Reason", description="Kept in the log, and in its record."
        )
        self.manifest = manifest
        self.audience_manager_conn_id = audience_manager_conn_id
        self.min_rows_share = min_rows_share
        self.max_rows_share = max_rows_share
        self.max_removed_share = max_removed_share
        self.max_set_aside = max_set_aside
        self.compared_with = compared_with
        self.approved = approved
        self.on_breach = on_breach
        self.on_reject = on_reject
        self._why = "it is like those before"

    @last_line
    def execute(self, context: Context) -> dict[str, Any]:
        """Compare, and let pass, fail or ask."""
        from airflow_am_provider.deliveries.guard import compare
        from airflow_am_provider.deliveries.guard_note import note_decision, note_report
        from airflow_am_provider.hooks.audience_manager import AudienceManagerHook

        with airflow_errors():
            if self.on_breach not in _ON_BREACH:
                raise ConfigurationError(
                    f"on_breach: {self.on_breach!r} is neither 'fail' nor 'ask'"
                )
            if self.on_reject not in _ON_REJECT:
                raise ConfigurationError(
                    f"on_reject: {self.on_reject!r} is neither 'fail' nor 'skip'"
                )
            manifest = Manifest.from_json(self.manifest)
            targets = AudienceManagerHook(self.audience_manager_conn_id).targets()
            count = whole_number("compared_with", self.compared_with)
            limits = self._limits()
            report = compare(targets, manifest, limits, count)
            for line in report.lines:
                self.log.info("%s", line)
            is_approved = flag("approved", self.approved)
            note_report(
                targets.staging,
                report,
                limits,
                origin=origin_of(context, self.task_id),
                is_asked=self.on_breach == "ask" and not is_approved,
            )
            if report.breaches and is_approved:
                note_decision(targets.staging, manifest, by=None, approved=True, note=_BY_PARAMETER)
            if not self._stops(report):
                return manifest.to_json()
        self.subject, self.body = report.title, report.markdown
        super().execute(context)
        raise AssertionError("waiting for an answer ends the task")

    @last_line
    def execute_complete(self, context: Context, event: dict[str, Any]) -> dict[str, Any]:
        """Go on with what a person answered."""
        from airflow_am_provider.deliveries.guard_note import note_decision
        from airflow_am_provider.deliveries.records import DeliveryRecords, DeliveryState
        from airflow_am_provider.deliveries.standing import REJECTED_BY
        from airflow_am_provider.hooks.audience_manager import AudienceManagerHook

        answer = super().execute_complete(context, event)
        manifest = Manifest.from_json(self.manifest)
        who = (answer.get("responded_by_user") or {}).get("name") or "nobody, in time"
        reason = str((answer.get("params_input") or {}).get("reason") or "no reason given")
        with airflow_errors():
            targets = AudienceManagerHook(self.audience_manager_conn_id).targets()
            records, approved = DeliveryRecords(targets), answer["chosen_options"] == [APPROVE]
            note_decision(targets.staging, manifest, by=who, approved=approved, note=reason)
            if approved:
                self._why = f"approved by {who}: {reason}"
                # Whoever cleared this task to be asked again has changed their mind.
                if str(records.find(manifest.delivery_id).reason).startswith(REJECTED_BY):
                    records.reopen(manifest.delivery_id)
                return manifest.to_json()
            answer = f"{REJECTED_BY}{who}: {reason}"
            records.end(manifest.delivery_id, DeliveryState.ABANDONED, answer)
        told = f"Delivery {manifest.delivery_id} is abandoned, and nothing was sent. {answer}"
        raise AirflowSkipException(told) if self.on_reject == "skip" else AirflowFailException(told)

    def outcome(self, result: dict[str, Any]) -> str:
        """Why it passes, for the last line of the log."""
        return f"Delivery {result['delivery_id']} passes the guard: {self._why}"

    def _limits(self) -> GuardLimits:
        from airflow_am_provider.deliveries.guard_limits import GuardLimits
        from airflow_am_provider.formatting.acceptance import limit

        is_limited = self.max_set_aside not in (None, "", "None")
        shares = ("min_rows_share", "max_rows_share", "max_removed_share")
        return GuardLimits(
            **{
                parameter: optional_number(parameter, getattr(self, parameter))
                for parameter in shares
            },
            max_set_aside=limit("max_set_aside", self.max_set_aside) if is_limited else None,
        )

    def _stops(self, report: GuardReport) -> bool:
        """Whether a person has to be asked.

        :raises DataError: when nobody is.
        """
        if not report.breaches:
            return False
        if flag("approved", self.approved):
            self.log.warning("approved is set: the delivery passes all the same")
            self._why = "the parameter approved lets it pass over its limits"
            return False
        if self.on_breach == "fail":
            raise DataError(
                f"{report.title}: {'; '.join(report.breaches)}. Nothing was sent. Mend the source "
                f"and format again, or set approved to send it as it is"
            )
        return True
