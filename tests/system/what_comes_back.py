"""What Audience Manager sends into the example DAGs' world: feeds of events, and segments."""

from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg2
import pytest

from airflow_am_provider.sandbox import Profiles
from airflow_am_provider.sandbox.event_feeds import Feed, FeedHabits, device_of, export_feed
from airflow_am_provider.sandbox.outboxes import open_outbox
from airflow_am_provider.sandbox.segment_files import Destination, Habits, export_segments
from tests.system.example_run import ExampleRun, crm_uri

CIRCLE_DAG, FEED_DAG, OUTBOUND_DAG = (
    f"audience_manager_{name}" for name in ("circle", "feed", "outbound")
)
#: As they stand in the DAGs.
FEEDS, EVENTS, SEGMENTS = "aam-cdf", "acme-events", "acme-segments"
DPID, OTHER_DPID = 478, 479
#: A day of its own, after those that the other DAGs did.
DAY = datetime(2026, 9, 20, tzinfo=UTC)
NEXT_DAY = DAY + timedelta(days=1)
RULES = {9001: frozenset({"701", "702"}), 9002: frozenset({"703"})}
_CHANGES = """
INSERT INTO trait_changes (customer_id, added_traits, removed_traits, changed_at)
SELECT 'circle-' || n, (701 + n %% 3)::text, NULL, %(day)s + interval '8 hours'
FROM generate_series(1, 90) AS n
UNION ALL
SELECT 'circle-' || n, NULL, (701 + n %% 3)::text, %(day)s + interval '9 hours'
FROM generate_series(1, 10) AS n
"""


@dataclass(frozen=True, kw_only=True)
class WhatComesBack:
    """The ways back of the example DAGs' world.

    :param examples: the world.
    """

    examples: ExampleRun

    def prepare(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Make Adobe's and the company's buckets, and let the CRM know customers who log in."""
        s3 = self.examples.world.s3
        for name, value in s3.environment.items():
            monkeypatch.setenv(name, value)
        for bucket in (FEEDS, EVENTS, SEGMENTS):
            s3.create_bucket(bucket)
        self.query(_CHANGES, day=DAY)

    @property
    def customers(self) -> list[str]:
        """Those who log in."""
        return [f"circle-{number}" for number in range(1, 91)]

    def members(self) -> set[tuple[str, int]]:
        """Who is in which segment, as the rules say of the CRM's rows."""
        found = set()
        for number, customer in enumerate(self.customers, start=1):
            trait = str(701 + number % 3)
            if number > 10:  # of these the trait was removed an hour later
                found |= {(customer, segment) for segment, rule in RULES.items() if trait in rule}
        return found

    def send_feed(self, folder: str, dpid: int, logins: list[str], *, seed: int) -> None:
        """Let customers log in, in the hours of the day."""
        feed = Feed(dpid=dpid, since=DAY, hours=24, logins=logins)
        with open_outbox(f"s3://{FEEDS}/{folder}") as outbox:
            # None of the devices that are known: 50,000 visits are no better than these.
            export_feed(":memory:", feed, outbox, FeedHabits.drawn(seed))

    def send_segments(self, destination: int, *, seed: int) -> str:
        """Export a destination's segments, the next afternoon; gives the batch's name."""
        what = Destination(number=destination, dpid=DPID, segments=RULES)
        with open_outbox(f"s3://{SEGMENTS}/from-adobe") as outbox:
            moment = NEXT_DAY.replace(hour=14, minute=20)
            return export_segments(
                self.examples.world.profiles, what, "full", moment, outbox, Habits.drawn(seed)
            )

    def query(self, statement: str, **values: object) -> list[tuple[Any, ...]]:
        """Ask the warehouse, which is the CRM's database."""
        with (
            closing(psycopg2.connect(crm_uri(self.examples.world), options="-c timezone=UTC")) as
            connection, connection, connection.cursor() as cursor,
        ):  # fmt: skip
            cursor.execute(statement, values)
            return list(cursor.fetchall()) if cursor.description else []

    def current(self, table: str) -> set[tuple[str, int]]:
        """Who is in which segment now, by a table of the warehouse."""
        return set(self.query(f"SELECT user_id, segment FROM {table} WHERE until IS NULL"))

    def devices(self, dpid: int, customers: list[str]) -> dict[str, set[tuple[int, str]]]:
        """What Audience Manager knows of customers' devices."""
        with Profiles(self.examples.world.profiles) as profiles:
            return {customer: set(profiles.mapped(dpid, customer)) for customer in customers}


def own_devices(dpid: int, customers: list[str]) -> dict[str, set[tuple[int, str]]]:
    """The devices that customers log in on."""
    return {customer: {(0, device_of(dpid, customer))} for customer in customers}
