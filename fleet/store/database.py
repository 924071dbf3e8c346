"""The database: one engine, short transactions, the schema's version. SQLite (one server) or PostgreSQL (any number).

A write transaction is durable when `begin()` returns: SQLite runs with synchronous=FULL, so whoever writes often
gathers a batch first (a durable commit costs a disk flush, a few hundred a second).
"""

from __future__ import annotations

import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, create_engine, event, exc, text
from sqlalchemy.engine import URL, make_url

from edgekit.errors import ConfigError, EdgekitError, Unreachable
from edgekit.files import make_folder

_BUSY_MS = 30_000
_WRITES = "edgekit_writes"


class Database:
    """Where the server's state lives. Thread-safe."""

    def __init__(self, url: str) -> None:
        """Nothing is opened yet. Raises ConfigError when `url` names no supported database."""
        self._url = _supported(url)
        self.is_sqlite = self._url.get_backend_name() == "sqlite"
        if self.is_sqlite:
            make_folder(self.folder, mode=0o700)
        self._engine = create_engine(self._url, pool_pre_ping=not self.is_sqlite)
        # One writer at a time is SQLite's own rule; waiting here is fairer than its busy handler, which polls.
        self._one_writer = threading.Lock()
        self._roles: dict[str, threading.Lock] = {}
        if self.is_sqlite:
            event.listen(self._engine, "connect", _prepare_sqlite)
            event.listen(self._engine, "begin", _begin_sqlite)

    @property
    def folder(self) -> Path:
        """Where the SQLite file lies."""
        return Path(str(self._url.database)).parent

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        """A write transaction: committed when the block ends, rolled back when it raises."""
        if not self.is_sqlite:
            with self._connect() as connection, connection.begin():
                yield connection
            return
        with self._one_writer, self._connect() as opened:
            connection = opened.execution_options(**{_WRITES: True})
            with connection.begin():
                yield connection

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A transaction that only reads; on SQLite it sees one moment and waits for nobody."""
        with self._connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def sole(self, role: str) -> Iterator[bool]:
        """True inside the block when nobody else, in any server of this database, holds `role`; never waits."""
        if self.is_sqlite:
            lock = self._roles.setdefault(role, threading.Lock())
            held = lock.acquire(blocking=False)
            try:
                yield held
            finally:
                if held:
                    lock.release()
            return
        with self._connect() as connection, connection.begin():
            # Held to the end of this transaction: a server that dies loses its role with its connection.
            key = {"key": zlib.crc32(f"edgekit:{role}".encode())}
            yield bool(connection.scalar(text("SELECT pg_try_advisory_xact_lock(:key)"), key))

    def migrate(self) -> tuple[str | None, str]:
        """Bring the schema to this version's; (revision before, revision now)."""
        from fleet.store import migrations

        with self.begin() as connection:
            before = migrations.current(connection)
            migrations.upgrade(connection)
        return before, migrations.newest()

    def is_empty(self) -> bool:
        """True when no migration ever ran here."""
        from fleet.store import migrations

        with self.read() as connection:
            return migrations.current(connection) is None

    def check_schema(self) -> None:
        """Raises ConfigError unless the schema is exactly this version's."""
        from fleet.store import migrations

        with self.read() as connection:
            found = migrations.current(connection)
        if found == migrations.newest():
            return
        if found is not None and not migrations.is_known(found):
            raise ConfigError(
                f"the database has schema {found}, made by a newer edgekit: install that version, or restore a backup"
            )
        raise ConfigError(
            f"the database has schema {found or 'none'}, this edgekit needs {migrations.newest()}: "
            "back it up and run edgekit fleet migrate"
        )

    def close(self) -> None:
        """Close every pooled connection."""
        self._engine.dispose()

    @contextmanager
    def _connect(self) -> Iterator[Connection]:
        try:
            connection = self._engine.connect()
        except exc.OperationalError as error:
            raise self._unreachable(error) from error
        try:
            yield connection
        finally:
            connection.close()

    def _unreachable(self, error: exc.OperationalError) -> EdgekitError:
        shown = self._url.render_as_string(hide_password=True)
        return Unreachable(
            f"the database {shown} cannot be opened ({error.orig}): check [database] url", reason="database_unreachable"
        )


def sqlite_url(path: Path) -> str:
    """The URL of a SQLite file."""
    return URL.create("sqlite", database=str(path)).render_as_string()


def _supported(url: str) -> URL:
    try:
        parsed = make_url(url)
    except exc.ArgumentError as error:
        raise ConfigError("[database] url is not a database URL: use sqlite:///FILE or postgresql://…") from error
    backend = parsed.get_backend_name()
    if backend == "postgresql":
        return parsed.set(drivername="postgresql+psycopg")
    if backend == "sqlite" and parsed.database and parsed.database != ":memory:":
        return parsed
    raise ConfigError(f"[database] url names {backend!r}: use sqlite:///FILE or postgresql://…")


def _prepare_sqlite(connection: Any, _record: object) -> None:
    # Transactions are begun by us (_begin_sqlite); the driver's own would begin too late for a consistent read.
    connection.isolation_level = None
    for pragma in (
        "journal_mode=WAL",
        "synchronous=FULL",
        f"busy_timeout={_BUSY_MS}",
        "foreign_keys=ON",
    ):
        connection.execute(f"PRAGMA {pragma}").close()


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get(_WRITES, False)
    # A deferred transaction that writes after reading may find its snapshot stale and fail; an immediate one waits.
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
