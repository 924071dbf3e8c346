"""Releases, artifacts and release metadata at rest."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
from sqlalchemy import Connection, Row, delete, insert, select

from edgekit.errors import NotFound
from edgekit.trust import ReleaseCustom
from fleet.store.schema import artifact, release, tuf_metadata


class StoredRelease(msgspec.Struct, frozen=True, kw_only=True):
    """One signed release. `manifest`: the bundle's manifest.json as text."""

    model: str
    version: str
    sha256: str
    bytes: int
    counter: int
    min_counter: int
    custom: ReleaseCustom
    manifest: str
    added_ms: int


class StoredMetadata(msgspec.Struct, frozen=True):
    """One metadata file."""

    name: str
    role: str
    version: int
    content: bytes


# ---- artifacts ------------------------------------------------------------------------------------------------


def has_artifact(connection: Connection, sha256: str) -> bool:
    """Is that artifact stored?"""
    return connection.execute(select(artifact.c.sha256).where(artifact.c.sha256 == sha256)).first() is not None


def artifact_sizes(connection: Connection, digests: Iterable[str]) -> dict[str, int]:
    """Bytes of those of `digests` that are stored."""
    wanted = select(artifact.c.sha256, artifact.c.bytes).where(artifact.c.sha256.in_(list(digests)))
    return {row.sha256: row.bytes for row in connection.execute(wanted)}


def add_artifact(connection: Connection, sha256: str, size_bytes: int, *, now_ms: int) -> bool:
    """Note a stored artifact. False when it was noted before."""
    if has_artifact(connection, sha256):
        return False
    connection.execute(insert(artifact).values(sha256=sha256, bytes=size_bytes, stored_ms=now_ms))
    return True


# ---- releases -------------------------------------------------------------------------------------------------


def every_release(connection: Connection) -> list[StoredRelease]:
    """All releases by model, newest first."""
    rows = connection.execute(select(release).order_by(release.c.model, release.c.counter.desc()))
    return [_release(row) for row in rows]


def get_release(connection: Connection, model: str, version: str) -> StoredRelease:
    """That release. Raises NotFound."""
    row = connection.execute(select(release).where(release.c.model == model, release.c.version == version)).first()
    if row is None:
        raise NotFound(
            f"release {model[:80]} {version[:80]} is not known here: see edgekit fleet releases list, "
            "and push it with edgekit release push"
        )
    return _release(row)


def replace_releases(connection: Connection, gone: Iterable[tuple[str, str]], new: Iterable[StoredRelease]) -> None:
    """Make the table equal to what is signed now."""
    for model, version in gone:
        connection.execute(delete(release).where(release.c.model == model, release.c.version == version))
    for item in new:
        values = {name: getattr(item, name) for name in item.__struct_fields__}
        values["custom"] = msgspec.json.encode(item.custom).decode()
        connection.execute(insert(release).values(values))


def _release(row: Row[tuple[object, ...]]) -> StoredRelease:
    fields = dict(row._mapping)
    fields["custom"] = msgspec.json.decode(fields["custom"], type=ReleaseCustom)
    return StoredRelease(**fields)


# ---- metadata -------------------------------------------------------------------------------------------------


def newest_metadata(connection: Connection, role: str) -> StoredMetadata | None:
    """The current metadata of `role`."""
    newest = select(tuf_metadata).where(tuf_metadata.c.role == role).order_by(tuf_metadata.c.version.desc()).limit(1)
    row = connection.execute(newest).first()
    return None if row is None else _metadata(row)


def every_root(connection: Connection) -> list[StoredMetadata]:
    """All versions of root, ascending."""
    chain = select(tuf_metadata).where(tuf_metadata.c.role == "root").order_by(tuf_metadata.c.version)
    return [_metadata(row) for row in connection.execute(chain)]


def roles(connection: Connection) -> list[str]:
    """Names of all roles that have metadata."""
    return list(connection.execute(select(tuf_metadata.c.role).distinct()).scalars())


def metadata_named(connection: Connection, name: str) -> StoredMetadata | None:
    """The metadata file with that name."""
    row = connection.execute(select(tuf_metadata).where(tuf_metadata.c.name == name)).first()
    return None if row is None else _metadata(row)


def put_metadata(connection: Connection, item: StoredMetadata, *, now_ms: int) -> None:
    """Store a file, replacing one of the same name (only `timestamp.json` is ever replaced)."""
    connection.execute(delete(tuf_metadata).where(tuf_metadata.c.name == item.name))
    connection.execute(
        insert(tuf_metadata).values(
            name=item.name, role=item.role, version=item.version, content=item.content, stored_ms=now_ms
        )
    )


def _metadata(row: Row[tuple[object, ...]]) -> StoredMetadata:
    fields = row._mapping
    return StoredMetadata(fields["name"], fields["role"], fields["version"], bytes(fields["content"]))
