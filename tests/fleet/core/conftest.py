"""A rig for every test. EDGEKIT_TEST_POSTGRES=postgresql://… runs them on databases made (and dropped) there."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.fleet.core.rig import Rig


@pytest.fixture
def database_url() -> Iterator[str]:
    """Where to keep state; empty: SQLite in the rig's folder."""
    server = os.environ.get("EDGEKIT_TEST_POSTGRES")
    if not server:
        yield ""
        return
    name = f"edgekit_{secrets.token_hex(6)}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
        yield f"{server.rpartition('/')[0]}/{name}"
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


@pytest.fixture(scope="session")
def blank(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a rig where nothing has happened: a copy of it saves the making of keys and tables."""
    folder = tmp_path_factory.mktemp("blank")
    Rig(folder).database.close()
    return folder


@pytest.fixture
def rig(tmp_path: Path, database_url: str, blank: Path) -> Iterator[Rig]:
    if not database_url:
        shutil.copytree(blank, tmp_path, dirs_exist_ok=True)
    made = Rig(tmp_path, database_url=database_url)
    yield made
    made.database.close()
