"""Keeps the release metadata that devices walk at the broker: all roots, the newest two snapshots with what they name,
and the timestamp, which goes last so that nothing it leads to is missing.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
from sqlalchemy import Connection, func, select

from edgekit.topics import Topics
from fleet.receive.link import Link, Message
from fleet.store.database import Database
from fleet.store.schema import tuf_metadata

_SNAPSHOTS = 2  # a device in the middle of its walk still finds what the timestamp it read leads to
_LAST = {"snapshot": 1, "timestamp": 2}


class _Meta(msgspec.Struct):
    version: int


class _Signed(msgspec.Struct):
    meta: dict[str, _Meta]


class _Snapshot(msgspec.Struct):
    signed: _Signed


class MetadataCopy:
    """Belongs to the thread that dispatches desired documents, so that metadata always goes out before them."""

    def __init__(self, database: Database, link: Link, topics: Topics) -> None:
        self._database = database
        self._link = link
        self._topics = topics
        self._published: dict[str, int] = {}
        self._versions: dict[str, int] | None = None

    def forget(self) -> None:
        """The broker may have lost everything."""
        self._published, self._versions = {}, None

    def sync(self) -> None:
        """Publish what is new and withdraw what no device needs. Raises Unreachable."""
        with self._database.read() as connection:
            versions = newest_versions(connection)
            if versions == self._versions:
                return
            wanted = _wanted(connection)
            fresh = {name: version for name, version in wanted.items() if self._published.get(name) != version}
            contents = _contents(connection, fresh)
        self._link.publish_all(Message(self._topics.metadata(name), content) for name, content in contents)
        gone = self._published.keys() - wanted.keys()
        self._link.publish_all(Message(self._topics.metadata(name), b"") for name in sorted(gone))
        self._published, self._versions = wanted, versions


def newest_versions(connection: Connection) -> dict[str, int]:
    """The newest version of every role."""
    rows = connection.execute(
        select(tuf_metadata.c.role, func.max(tuf_metadata.c.version).label("newest")).group_by(tuf_metadata.c.role)
    )
    return {row.role: row.newest for row in rows}


def _wanted(connection: Connection) -> dict[str, int]:
    """Versions of the files that shall lie at the broker, by name."""
    rows = connection.execute(select(tuf_metadata.c.name, tuf_metadata.c.role, tuf_metadata.c.version)).all()
    snapshots = sorted((row for row in rows if row.role == "snapshot"), key=lambda row: row.version)[-_SNAPSHOTS:]
    names = {row.name for row in snapshots} | {row.name for row in rows if row.role in {"root", "timestamp"}}
    for _, content in _contents(connection, [row.name for row in snapshots]):
        named = msgspec.json.decode(content, type=_Snapshot).signed.meta
        names |= {f"{entry.version}.{name}" for name, entry in named.items()}
    return {row.name: row.version for row in rows if row.name in names}


def _contents(connection: Connection, names: Iterable[str]) -> list[tuple[str, bytes]]:
    rows = connection.execute(
        select(tuf_metadata.c.name, tuf_metadata.c.role, tuf_metadata.c.content).where(
            tuf_metadata.c.name.in_(list(names))
        )
    ).all()
    ordered = sorted(rows, key=lambda row: (_LAST.get(row.role, 0), row.name))
    return [(row.name, bytes(row.content)) for row in ordered]
