"""What an operator takes stands in its own file, in the same words wherever several take it."""

import inspect
import re
from collections import defaultdict

import pytest

from airflow_am_provider.operators.clean_staging import CleanStagingOperator
from airflow_am_provider.operators.combine_partitions import CombinePartitionsOperator
from airflow_am_provider.operators.data_file import FormatDataFileOperator
from airflow_am_provider.operators.guard import GuardOperator
from airflow_am_provider.operators.id_sync import IdSyncExtractOperator
from airflow_am_provider.operators.preflight import PreflightOperator
from airflow_am_provider.operators.snapshot_diff import SnapshotDiffOperator
from airflow_am_provider.operators.suppression_removal import SuppressionRemovalOperator
from airflow_am_provider.operators.upload import UploadOperator
from airflow_am_provider.operators.upload_parts import UploadPartsOperator
from airflow_am_provider.sensors.receipt import DeliveryReceiptSensor
from airflow_am_provider.sensors.replay import ReplayNewerSensor

OWNERS = (
    CleanStagingOperator,
    CombinePartitionsOperator,
    DeliveryReceiptSensor,
    FormatDataFileOperator,
    IdSyncExtractOperator,
    GuardOperator,
    PreflightOperator,
    ReplayNewerSensor,
    SnapshotDiffOperator,
    SuppressionRemovalOperator,
    UploadOperator,
    UploadPartsOperator,
)
# By parameter, those who mean something of their own by it.
OF_THEIR_OWN = {
    # None lets any number pass, as for every limit of the guard.
    "max_set_aside": {GuardOperator},
    # It has to have the API's connection.
    "audience_manager_conn_id": {PreflightOperator},
    # What is broken, and so what can become of it, differs.
    "on_breach": {GuardOperator, DeliveryReceiptSensor},
    # What is said of a comparison differs: what a row does not say is taken away.
    "traits_column": {SnapshotDiffOperator},
    "trait_flags": {SnapshotDiffOperator},
    # Only data files set signals as well.
    "target_dpid": {SnapshotDiffOperator, SuppressionRemovalOperator},
    # What is sent again is waited for one by one, and a limit has no other outcome than failing.
    "delivery": {ReplayNewerSensor},
    "acknowledged_by": {ReplayNewerSensor},
    "wait": {ReplayNewerSensor},
    "limits": {ReplayNewerSensor},
    # Airflow's, of sensors: how to wait.
    "mode": {ReplayNewerSensor},
    "timeout": {ReplayNewerSensor},
    # Of sensors it may be a timedelta too.
    "poke_interval": {UploadOperator, UploadPartsOperator},
}


def parameters(owner: type) -> dict[str, inspect.Parameter]:
    """Those that stand in an operator's own signature."""
    return {
        name: parameter
        for name, parameter in inspect.signature(owner.__init__).parameters.items()
        if parameter.kind is parameter.KEYWORD_ONLY
    }


def told(owner: type) -> dict[str, str]:
    """What an operator's docstring says of each of its parameters."""
    found = re.findall(
        r"^:param (\w+): (.*?)(?=^:|^\S|^$|\Z)", inspect.getdoc(owner) or "", re.M | re.S
    )
    return {name: " ".join(text.split()) for name, text in found}


@pytest.mark.parametrize("owner", OWNERS)
def test_what_an_operator_takes_stands_in_its_file_alone(owner):
    own = parameters(owner)
    assert [name for name in told(owner) if name != "kwargs"] == list(own)
    assert set(owner.__dict__["template_fields"]) <= set(own)
    for name, text in told(owner).items():
        assert text.endswith("(templated)") == (name in owner.template_fields), name


def test_the_same_parameter_is_the_same_in_every_operator_that_takes_it():
    found = defaultdict(set)
    for owner in OWNERS:
        texts = told(owner)
        for name, parameter in parameters(owner).items():
            if owner not in OF_THEIR_OWN.get(name, ()):
                found[name].add((parameter.annotation, parameter.default, texts.get(name)))
    assert {name: said for name, said in found.items() if len(said) > 1} == {}
