"""Statements that both databases have but SQLAlchemy spells per dialect; lists cut to what a statement can carry."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

from sqlalchemy import Connection, Table
from sqlalchemy.dialects import postgresql, sqlite

_MAX_KEYS = 500  # SQLite takes 32,766 parameters a statement, three or four a key

Item = TypeVar("Item")


def insert(connection: Connection, table: Table) -> postgresql.Insert | sqlite.Insert:
    """An insert that knows ON CONFLICT."""
    if connection.dialect.name == "sqlite":
        return sqlite.insert(table)
    return postgresql.insert(table)


def in_pieces(items: Sequence[Item]) -> Iterator[Sequence[Item]]:
    """`items` in pieces that fit an IN clause."""
    for start in range(0, len(items), _MAX_KEYS):
        yield items[start : start + _MAX_KEYS]
