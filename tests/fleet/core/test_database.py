"""The database: migrations, the schema's version, transactions, and one server at a time on SQLite."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import exc, func, insert, select, text

from edgekit.errors import ConfigError, Unreachable
from fleet.store import migrations, schema
from fleet.store.database import Database, sqlite_url


def opened(folder: Path) -> Database:
    return Database(sqlite_url(folder / "fleet.db"))


def add_token(database: Database, name: str) -> None:
    with database.begin() as connection:
        values = {"id": name, "name": name, "role": "viewer", "hash": name, "created_ms": 0}
        connection.execute(insert(schema.token).values(values))


def count(database: Database) -> int:
    with database.read() as connection:
        return connection.execute(select(func.count()).select_from(schema.token)).scalar_one()


def test_an_empty_database_is_brought_to_the_newest_schema_and_a_second_time_changes_nothing(tmp_path: Path) -> None:
    database = opened(tmp_path / "not" / "there" / "yet")
    assert database.is_empty()
    assert database.migrate() == (None, migrations.newest())
    assert database.migrate() == (migrations.newest(), migrations.newest())
    database.check_schema()
    assert not database.is_empty()
    database.close()


def test_migrations_make_exactly_the_tables_that_the_code_names(tmp_path: Path) -> None:
    database = opened(tmp_path)
    database.migrate()
    with database.read() as connection:
        assert compare_metadata(MigrationContext.configure(connection), schema.metadata) == []
    database.close()


def test_a_database_that_was_never_migrated_is_refused_with_the_command_to_run(tmp_path: Path) -> None:
    database = opened(tmp_path)
    with pytest.raises(ConfigError, match="edgekit fleet migrate"):
        database.check_schema()
    database.close()


def test_a_newer_schema_is_refused(tmp_path: Path) -> None:
    database = opened(tmp_path)
    database.migrate()
    with database.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(ConfigError, match="newer"):
        database.check_schema()
    database.close()


@pytest.mark.parametrize("url", ["mysql://x", "sqlite:///:memory:", "sqlite://", "nonsense"])
def test_other_databases_are_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="url"):
        Database(url)


def test_a_database_that_cannot_be_opened_is_named_without_its_password() -> None:
    database = Database("postgresql://fleet:hush@127.0.0.1:1/fleet")
    with pytest.raises(Unreachable, match=r"127\.0\.0\.1") as caught, database.read():
        pass
    assert "hush" not in caught.value.message


def test_a_transaction_that_raises_leaves_nothing(tmp_path: Path) -> None:
    database = opened(tmp_path)
    database.migrate()
    values = {"id": "a", "name": "a", "role": "viewer", "hash": "a", "created_ms": 0}
    with pytest.raises(exc.IntegrityError), database.begin() as connection:
        connection.execute(insert(schema.token), [values, values])
    assert count(database) == 0
    database.close()


def test_many_writers_wait_for_one_another(tmp_path: Path) -> None:
    database = opened(tmp_path)
    database.migrate()

    def write(writer: int) -> None:
        for number in range(5):
            add_token(database, f"{writer}-{number}")

    writers = [threading.Thread(target=write, args=[number]) for number in range(6)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(30)
    assert count(database) == 30
    database.close()


def test_a_commit_is_flushed_to_the_disk(tmp_path: Path) -> None:
    database = opened(tmp_path)
    with database.read() as connection:
        assert connection.execute(text("PRAGMA journal_mode")).scalar_one() == "wal"
        assert connection.execute(text("PRAGMA synchronous")).scalar_one() == 2, "FULL"
        assert connection.execute(text("PRAGMA foreign_keys")).scalar_one() == 1
    database.close()


def test_a_role_has_one_holder(tmp_path: Path) -> None:
    database = opened(tmp_path)
    with database.sole("dispatch") as first, database.sole("dispatch") as second, database.sole("other") as third:
        assert (first, second, third) == (True, False, True)
    with database.sole("dispatch") as again:
        assert again
    database.close()
