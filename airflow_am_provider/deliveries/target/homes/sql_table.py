"""Documents in a table of an SQL database, for stores without conditional writes."""

from __future__ import annotations

from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Final

from airflow_am_provider.audience_manager.errors import ConfigurationError, TransientError
from airflow_am_provider.deliveries.target.homes import Loaded

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Engine, Table

TABLE: Final = "audience_manager_targets"
_KEY_LENGTH: Final = 500


class SqlTableHome:
    """Documents as rows: key, version, text.

    The table is made when it is missing. Whoever may read it can query it; nobody but this package
    should write to it.

    :param engine: the database, by SQLAlchemy.
    :param space: what tells the documents of one staging location from those of others.
    """

    def __init__(self, engine: Engine, space: str) -> None:
        self._engine = engine
        self._space = space

    @property
    def url(self) -> str:
        """The database and the table, without the password."""
        return f"{self._engine.url.render_as_string(hide_password=True)}/{TABLE}"

    def load(self, key: str) -> Loaded | None:
        """See :class:`~airflow_am_provider.deliveries.target.homes.Home`."""
        from sqlalchemy import select

        table = self._table
        query = select(table.c.document, table.c.version).where(
            table.c.document_key == self._name(key)
        )
        with self._errors("read"), self._engine.connect() as connection:
            row = connection.execute(query).first()
        return None if row is None else Loaded(str(row[0]).encode(), str(row[1]))

    def store(self, key: str, content: bytes, *, if_version: str | None) -> bool:
        """See :class:`~airflow_am_provider.deliveries.target.homes.Home`."""
        from sqlalchemy import insert, update
        from sqlalchemy.exc import IntegrityError

        table, name, text = self._table, self._name(key), content.decode()
        with self._errors("write"):
            if if_version is not None:
                change = (
                    update(table)
                    .where(table.c.document_key == name, table.c.version == int(if_version))
                    .values(version=int(if_version) + 1, document=text)
                )
                with self._engine.begin() as connection:
                    return connection.execute(change).rowcount == 1
            new = insert(table).values(document_key=name, version=1, document=text)
            try:
                with self._engine.begin() as connection:
                    connection.execute(new)
            except IntegrityError:
                return False
        return True

    def discard(self, key: str) -> None:
        """See :class:`~airflow_am_provider.deliveries.target.homes.Home`."""
        from sqlalchemy import delete

        table = self._table
        with self._errors("write"), self._engine.begin() as connection:
            connection.execute(delete(table).where(table.c.document_key == self._name(key)))

    def keys(self, prefix: str) -> Iterator[str]:
        """See :class:`~airflow_am_provider.deliveries.target.homes.Home`."""
        from sqlalchemy import select

        table = self._table
        begin = self._name(prefix)
        query = (
            select(table.c.document_key)
            .where(table.c.document_key.startswith(begin, autoescape=True))
            .order_by(table.c.document_key)
        )
        with self._errors("read"), self._engine.connect() as connection:
            names = [str(name) for (name,) in connection.execute(query)]
        for name in names:
            yield name.removeprefix(self._name(""))

    def _name(self, key: str) -> str:
        name = f"{self._space}/{key}"
        if len(name) > _KEY_LENGTH:
            raise ConfigurationError(
                f"staging_location: {self._space!r} is too long to name documents by: a key may "
                f"have {_KEY_LENGTH} characters"
            )
        return name

    @cached_property
    def _table(self) -> Table:
        from sqlalchemy import BigInteger, Column, MetaData, String, Table, Text

        # MySQL's plain TEXT ends at 64 KiB, and its names do not tell upper from lower case.
        from sqlalchemy.dialects import mysql
        from sqlalchemy.exc import IntegrityError, OperationalError, ProgrammingError

        table = Table(
            TABLE,
            MetaData(),
            Column(
                "document_key",
                String(_KEY_LENGTH).with_variant(
                    mysql.VARCHAR(_KEY_LENGTH, charset="ascii", collation="ascii_bin"), "mysql"
                ),
                primary_key=True,
            ),
            Column("version", BigInteger, nullable=False),
            Column("document", Text().with_variant(mysql.LONGTEXT(), "mysql"), nullable=False),
        )
        with self._errors("create"):
            try:
                table.create(self._engine, checkfirst=True)
            except (IntegrityError, OperationalError, ProgrammingError):
                # Two made it at once, and the second one finds it. PostgreSQL says that its name is
                # twice among its types.
                table.create(self._engine, checkfirst=True)
        return table

    @contextmanager
    def _errors(self, action: str) -> Iterator[None]:
        from sqlalchemy import exc

        where = (
            f"cannot {action} {TABLE} in {self._engine.url.render_as_string(hide_password=True)}"
        )
        try:
            yield
        except (exc.OperationalError, exc.InterfaceError, exc.TimeoutError) as error:
            # The database's own words are left out: they may quote what was written.
            raise TransientError(
                f"{where}: {type(error).__name__}; does the database of the connection in "
                f"state_conn_id run, and is there a way to it from here?"
            ) from None
        except exc.SQLAlchemyError as error:
            raise ConfigurationError(
                f"{where}: {type(error).__name__}; check the connection in state_conn_id and its "
                f"rights on that table"
            ) from None
