"""The demo's CRM: 50,000 customers, and days of what happened to them.

Everything is made from numbers, so every run has the same rows. A few of them break a rule, as
rows in a CRM do: an e-mail address where the customer's ID should be, a device that opted out.
"""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Final

import psycopg2

if TYPE_CHECKING:
    from collections.abc import Sequence

    from demo.local.postgres import Postgres

DATABASE: Final = "crm"
CUSTOMERS: Final = 50_000
#: The days that the demo sends. The second is the first of a month, so that the monthly DAG runs.
DAYS: Final = (date(2026, 8, 31), date(2026, 9, 1))
#: How many days there are to play with.
DAYS_TO_PLAY: Final = 14
# From one day to the next, in customers' numbers; and where it begins again, so that the 20,000
# numbers of a day are those of customers.
_STEP: Final = 12_000
_AROUND: Final = 29_999

_FUNCTIONS = """
CREATE FUNCTION customer_id(n int) RETURNS text IMMUTABLE LANGUAGE sql AS
    $$ SELECT 'C-' || upper(substr(md5('customer' || n), 1, 16)) $$;
CREATE FUNCTION nineteen_digits(seed text) RETURNS text IMMUTABLE LANGUAGE sql AS
    $$ SELECT lpad((('x' || substr(md5(seed), 1, 15))::bit(60)::bigint)::text, 19, '0') $$;
CREATE FUNCTION aam_uuid(n int) RETURNS text IMMUTABLE LANGUAGE sql AS
    $$ SELECT nineteen_digits('one' || n) || nineteen_digits('two' || n) $$;
CREATE FUNCTION device_id(n int) RETURNS text IMMUTABLE LANGUAGE sql AS
    $$ SELECT md5('device' || n)::uuid::text $$;
"""

_TABLES = """
CREATE TABLE customers (
    customer_id text PRIMARY KEY, city text, loyalty_traits text);
CREATE TABLE web_logins (
    aam_uuid text, customer_id text, seen_at timestamptz);
CREATE TABLE trait_changes (
    change_id bigserial, customer_id text, added_traits text, removed_traits text,
    changed_at timestamptz);
CREATE TABLE app_devices (
    platform text, device_id text, traits int[], used_at timestamptz);
CREATE TABLE customer_emails (
    customer_id text, email text, changed_at timestamptz);
CREATE TABLE survey_answers (
    aam_uuid text, customer_id text, favourite text, budget int, answered_at timestamptz);

INSERT INTO customers
SELECT customer_id(n),
       (ARRAY['Berlin', 'São Paulo', 'Łódź', 'New York', NULL])[1 + n %% 5],
       CASE WHEN n %% 3 = 0 THEN '301,302' ELSE '303' END
FROM generate_series(1, %(customers)s) AS n;
"""

_DAY = """
INSERT INTO web_logins
SELECT aam_uuid(n), customer_id(n), %(day)s::date + n * interval '1 second'
FROM generate_series(%(first)s, %(first)s + 19999) AS n;

INSERT INTO trait_changes (customer_id, added_traits, removed_traits, changed_at)
SELECT CASE WHEN n %% 1000 = 7 THEN 'customer' || n || '@example.com' ELSE customer_id(n) END,
       CASE WHEN n %% 4 = 0 THEN NULL ELSE '101,' || 110 + n %% 10 END,
       CASE WHEN n %% 4 = 0 THEN '101' END,
       %(day)s::date + n * interval '1 second'
FROM generate_series(%(first)s, %(first)s + 15999) AS n;

INSERT INTO app_devices
SELECT platform,
       CASE WHEN n %% 2000 = 3 THEN '00000000-0000-0000-0000-000000000000'
            WHEN platform = 'idfa' THEN upper(device_id(n)) ELSE device_id(n) END,
       ARRAY[201, 210 + n %% 3],
       %(day)s::date + n * interval '1 second'
FROM generate_series(%(first)s, %(first)s + 7999) AS n, unnest(ARRAY['gaid', 'idfa']) AS platform;

INSERT INTO customer_emails
SELECT customer_id(n),
       CASE WHEN n %% 500 = 9 THEN 'unknown'
            ELSE ' Customer' || n || CASE k WHEN 1 THEN '' ELSE '.work' END || '@Example.com' END,
       %(day)s::date + n * interval '1 second'
FROM generate_series(%(first)s, %(first)s + 5999) AS n, generate_series(1, 1 + n %% 2) AS k;

INSERT INTO survey_answers
SELECT aam_uuid(n), customer_id(n),
       CASE WHEN n %% 400 = 11 THEN 'red, mostly'
            ELSE (ARRAY['red', 'green', 'blue'])[1 + n %% 3] END,
       100 * (n %% 7),
       %(day)s::date + n * interval '1 second'
FROM generate_series(%(first)s, %(first)s + 3999) AS n;
"""


def days_to_play(today: date | None = None) -> tuple[date, ...]:
    """Fourteen days that end before the last whole one.

    :param today: the day in UTC.
    """
    # Airflow runs an unpaused DAG for the last whole day by itself. That one is left out, so that
    # each day is sent when somebody asks for it.
    today = today or datetime.now(UTC).date()
    return tuple(today - timedelta(days=ago) for ago in range(DAYS_TO_PLAY + 1, 1, -1))


_DAMAGE = """
ALTER TABLE customers RENAME TO whole_customers;
CREATE TABLE customers AS
    SELECT * FROM whole_customers WHERE ('x' || md5(customer_id))::bit(4)::int < 5;
"""
_REPAIR = "DROP TABLE customers; ALTER TABLE whole_customers RENAME TO customers"


def seed(server: Postgres, days: Sequence[date] = DAYS) -> str:
    """Make the CRM.

    :param server: the database server.
    :param days: on which something happened, oldest first.
    :return: the database's name.
    """
    server.create_database(DATABASE)
    # Its days are those of the DAGs, whatever zone this machine's PostgreSQL clients begin in.
    connection = psycopg2.connect(server.uri(DATABASE), options="-c timezone=UTC")
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(_FUNCTIONS)
            cursor.execute(_TABLES, {"customers": CUSTOMERS})
            for number, day in enumerate(days):
                # Some customers are seen on several days; no two days have the same rows.
                first = 1 + number * _STEP % _AROUND
                cursor.execute(_DAY, {"day": day, "first": first})
    finally:
        connection.close()
    return DATABASE


def damage(uri: str) -> bool:
    """Lose two customers in three, as a failed load does.

    :param uri: of the CRM's database.
    :return: whether they were all there.
    """
    return _change(uri, _DAMAGE, when_damaged=False)


def repair(uri: str) -> bool:
    """Bring all customers back.

    :param uri: of the CRM's database.
    :return: whether some were lost.
    """
    return _change(uri, _REPAIR, when_damaged=True)


def _change(uri: str, statements: str, *, when_damaged: bool) -> bool:
    with closing(psycopg2.connect(uri)) as connection, connection, connection.cursor() as cursor:
        cursor.execute("SELECT to_regclass('whole_customers') IS NOT NULL")
        is_due: bool = cursor.fetchone() == (when_damaged,)
        if is_due:
            cursor.execute(statements)
        return is_due
