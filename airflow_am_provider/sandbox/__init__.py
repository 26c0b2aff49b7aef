"""A local Audience Manager: takes files by Adobe's contract and answers as Adobe does.

It reads line by line with :mod:`airflow_am_provider.audience_manager` and never with the code that
writes files, so that each proves the other.

>>> from airflow_am_provider.sandbox import Profiles, Sandbox, SandboxConfig
"""

from airflow_am_provider.sandbox.account import Account, SignalRule
from airflow_am_provider.sandbox.behaviour import Behaviour, Behaviours, Body, Reject
from airflow_am_provider.sandbox.events import Event, Kind
from airflow_am_provider.sandbox.ledger import FileEntry, Ledger, MailEntry, Verdict
from airflow_am_provider.sandbox.profiles import Profiles
from airflow_am_provider.sandbox.service import Sandbox, SandboxConfig

__all__ = [
    "Account",
    "Behaviour",
    "Behaviours",
    "Body",
    "Event",
    "FileEntry",
    "Kind",
    "Ledger",
    "MailEntry",
    "Profiles",
    "Reject",
    "Sandbox",
    "SandboxConfig",
    "SignalRule",
    "Verdict",
]
