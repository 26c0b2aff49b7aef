"""What tests do in a database beside the code that they try."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow.providers.common.sql.hooks.sql import DbApiHook


def run(hook: DbApiHook, *statements: str) -> None:
    """Run statements in one transaction."""
    with closing(hook.get_conn()) as connection:
        cursor = connection.cursor()
        for statement in statements:
            cursor.execute(statement)
        connection.commit()
