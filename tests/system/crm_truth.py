"""What Audience Manager ought to get and know, told from the CRM's rows by plain SQL and Python.

Nothing here uses the code that formats, sends or receives.
"""

import hashlib
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

import psycopg2

from demo import crm

Row = tuple[Any, ...]
Profile = tuple[str, ...]

#: Rows that the demo's CRM lacks: changes that undo each other, and the edges of days.
_PLANTED = """
INSERT INTO trait_changes (customer_id, added_traits, removed_traits, changed_at)
SELECT customer_id(n), '190', NULL, '2026-08-31 12:00'::timestamptz FROM generate_series(1, 20) n
UNION ALL
SELECT customer_id(n), NULL, '190', '2026-09-01 12:00' FROM generate_series(1, 20) n
UNION ALL
SELECT customer_id(n), NULL, '191', '2026-08-31 12:00' FROM generate_series(21, 40) n
UNION ALL
SELECT customer_id(n), '191', NULL, '2026-09-01 12:00' FROM generate_series(21, 40) n;

INSERT INTO trait_changes (customer_id, added_traits, removed_traits, changed_at) VALUES
(customer_id(41), '192', NULL, '2026-08-31 12:00'),
(customer_id(41), NULL, '192', '2026-08-31 13:00'),
(customer_id(42), NULL, '192', '2026-08-31 12:00'),
(customer_id(42), '192', NULL, '2026-08-31 13:00'),
(customer_id(43), '193', NULL, '2026-08-30 23:59:59.999999'),
(customer_id(44), '193', NULL, '2026-08-31 00:00'),
(customer_id(45), '193', NULL, '2026-08-31 23:59:59.999999'),
(customer_id(46), '193', NULL, '2026-09-01 00:00'),
(customer_id(47), '193', NULL, '2026-09-01 23:59:59.999999'),
(customer_id(60001), '193', NULL, '2026-09-02 00:00');
INSERT INTO web_logins VALUES (aam_uuid(60001), customer_id(60001), '2026-09-02 00:00');
"""


def plant(crm_uri: str) -> None:
    """Add rows that are hard to get right."""
    with (
        closing(psycopg2.connect(crm_uri)) as connection,
        connection,
        connection.cursor() as cursor,
    ):
        cursor.execute(_PLANTED)


@dataclass(frozen=True, kw_only=True)
class File:
    """A delivery as it ought to be.

    :param lines: its lines, in their order.
    :param rows_read: rows of the source.
    :param set_aside: rows that are set aside, by rule.
    """

    lines: list[str]
    rows_read: int
    set_aside: dict[str, int]


class Truth:
    """All rows of the CRM.

    :param crm_uri: of its database, whose time zone is UTC.
    """

    def __init__(self, crm_uri: str) -> None:
        with closing(psycopg2.connect(crm_uri)) as connection, connection.cursor() as cursor:

            def rows(sql: str) -> list[Row]:
                cursor.execute(sql)
                return list(cursor.fetchall())

            self.logins = rows("SELECT aam_uuid, customer_id, seen_at FROM web_logins")
            self.changes = rows(
                "SELECT customer_id, added_traits, removed_traits, changed_at FROM trait_changes "
                "ORDER BY change_id"
            )
            self.devices = rows("SELECT platform, device_id, traits, used_at FROM app_devices")
            self.emails = rows("SELECT customer_id, email, changed_at FROM customer_emails")
            self.answers = rows(
                "SELECT aam_uuid, customer_id, favourite, budget, answered_at FROM survey_answers"
            )
            self.customers = rows("SELECT customer_id, loyalty_traits, city FROM customers")

    @property
    def ids(self) -> set[str]:
        """Everything that tells a person: IDs of all kinds, and addresses."""
        columns = [
            *((uuid, customer) for uuid, customer, _ in self.logins),
            *((customer,) for customer, *_ in self.changes),
            *((device,) for _, device, *_ in self.devices),
            *(
                (customer, email.strip(), email.strip().lower())
                for customer, email, _ in self.emails
            ),
            *((uuid, customer) for uuid, customer, *_ in self.answers),
            *((customer,) for customer, *_ in self.customers),
        ]
        # Those that are no ID of anybody: a placeholder, a device that opted out.
        return {value for row in columns for value in row if value and len(value) > 7} - {
            "00000000-0000-0000-0000-000000000000"
        }

    def files(self, day: date) -> dict[tuple[str, str], File]:
        """The deliveries of a day by DAG and formatting task; an empty one is none."""
        answers = of_day(self.answers, day)
        files = {
            ("audience_manager_daily", "extract_ids"): _pairs(of_day(self.logins, day)),
            ("audience_manager_daily", "format_traits"): _changes(of_day(self.changes, day)),
            ("audience_manager_deliver", "deliver.extract_ids"): _pairs(answers),
            ("audience_manager_deliver", "deliver.format"): _answers(answers),
            ("audience_manager_hashed_emails", "extract_emails"): _emails(of_day(self.emails, day)),
        }
        for platform in ("gaid", "idfa"):
            used = [row for row in of_day(self.devices, day) if row[0] == platform]
            files["audience_manager_mobile", f"{platform}.format"] = _devices(used)
        return files

    def loyalty(self) -> File:
        """The monthly delivery: all customers, whatever the day."""
        lines = [
            f"{customer}\t{','.join([*_loyalty(traits), *_city(city)])}"
            for customer, traits, city in sorted(self.customers)
        ]
        return File(lines=lines, rows_read=len(self.customers), set_aside={})

    def profiles(self, days: Sequence[date] = crm.DAYS) -> set[Profile]:
        """Everything that is to be known of users when all days are done, the monthly DAG last."""
        found: set[Profile] = set()
        mapped: set[str] = set()
        for day in days:
            for uuid, customer, *_ in [*of_day(self.logins, day), *of_day(self.answers, day)]:
                found.add(("link", "0", uuid, "478", customer))
                mapped.add(customer)
            for customer, added, removed, _ in of_day(self.changes, day):
                if customer in mapped:
                    found -= {("trait", "478", customer, "478", trait) for trait in _ids(removed)}
                    found |= {("trait", "478", customer, "478", trait) for trait in _ids(added)}
            for _, customer, favourite, budget, _ in of_day(self.answers, day):
                if "," not in favourite:
                    for key, value in (("favourite", favourite), ("budget", str(budget))):
                        found.add(("signal", "478", customer, "478", f"survey_{key}", value))
            for platform, device, traits, _ in of_day(self.devices, day):
                dpid = {"gaid": "20914", "idfa": "20915"}[platform]
                if set(device) != {"0", "-"}:
                    found |= {("trait", dpid, device, "21", str(trait)) for trait in traits}
            for customer, email, _ in of_day(self.emails, day):
                if "@" in email:
                    found.add(("hashed_email", "478", customer, "898", hashed(email)))
        for customer, traits, city in self.customers:
            if customer in mapped:
                found |= {("trait", "478", customer, "567", trait) for trait in _ids(traits)}
                if city:
                    found.add(("signal", "478", customer, "567", "home_city", city))
        return found


def of_day(rows: list[Row], day: date) -> list[Row]:
    """The rows whose last column is a moment of this day, in UTC."""
    return [row for row in rows if _moment(row).date() == day]


def hashed(email: str) -> str:
    """An address as people-based-destinations-workflow-offline.md wants it."""
    return hashlib.sha256(email.strip().lower().encode()).hexdigest()


def _moment(row: Row) -> datetime:
    moment: datetime = row[-1]
    return moment.astimezone(UTC)


def _ids(text: str | None) -> list[str]:
    return [] if text is None else text.split(",")


def _pairs(rows: list[Row]) -> File:
    pairs = sorted({(row[0], row[1]) for row in rows})
    return File(
        lines=[f"{uuid}\t{customer}" for uuid, customer in pairs],
        rows_read=len(pairs),
        set_aside={},
    )


def _changes(rows: list[Row]) -> File:
    lines = []
    for customer, added, removed, _ in rows:
        items = [f"d_sid={trait}" for trait in _ids(added)]
        items += [f"d_unsid={trait}" for trait in _ids(removed)]
        if "@" not in customer:
            lines.append(f"{customer}\t{','.join(items)}")
    return _file(lines, rows, "personal_data")


def _answers(rows: list[Row]) -> File:
    lines = [
        f'{customer}\t"survey_favourite"="{favourite}","survey_budget"="{budget}"'
        for _, customer, favourite, budget, _ in sorted(rows, key=lambda row: str(row[1]))
        if "," not in favourite
    ]
    return _file(lines, rows, "value_comma_or_quote")


def _devices(rows: list[Row]) -> File:
    lines = [
        f"{device}\t{','.join(f'd_sid={trait}' for trait in traits)}"
        for _, device, traits, _ in sorted(rows, key=lambda row: str(row[1]))
        if set(device) != {"0", "-"}
    ]
    return _file(lines, rows, "id_opted_out")


def _emails(rows: list[Row]) -> File:
    by_customer: dict[str, list[str]] = {}
    for customer, email, _ in sorted(rows):
        if "@" in email:
            by_customer.setdefault(customer, []).append(hashed(email))
    lines = ["\t".join([customer, *hashes]) for customer, hashes in by_customer.items()]
    count = sum("@" not in email for _, email, _ in rows)
    return File(lines=lines, rows_read=len(rows), set_aside={"email_form": count})


def _loyalty(traits: str) -> list[str]:
    return [f"d_sid={trait}" for trait in _ids(traits)]


def _city(city: str | None) -> list[str]:
    return [] if city is None else [f'"home_city"="{city}"']


def _file(lines: list[str], rows: list[Row], reason: str) -> File:
    return File(lines=lines, rows_read=len(rows), set_aside={reason: len(rows) - len(lines)})
