"""The online half of the release metadata: takes in what was signed offline, adds snapshot and timestamp.

Consistent snapshots: `N.root.json`, `N.targets.json`, `N.{model}.json`, `N.snapshot.json` stay for ever, and one
`timestamp.json` says what is newest. Everything of one push is stored in one transaction, with the releases it names.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import msgspec
from sqlalchemy import Connection
from tuf.api.metadata import Metadata, MetaFile, Snapshot, Timestamp
from tuf.api.serialization.json import JSONSerializer

from edgekit import bundle as bundles
from edgekit import messages
from edgekit.bundle import Bundle
from edgekit.chunks import index_of
from edgekit.errors import Conflict
from edgekit.messages import MetadataVersions
from fleet.release import incoming
from fleet.release.catalogue import Catalogue
from fleet.release.incoming import File, SignedRelease, Trusted, Verified
from fleet.release.signers import Signers
from fleet.store import releases
from fleet.store.releases import StoredMetadata, StoredRelease

LIFETIME = timedelta(days=7)
_SERIALIZER = JSONSerializer(compact=True)


class Accepted(msgspec.Struct, frozen=True, kw_only=True):
    """The versions after a push, and the releases that it added, as `model version`."""

    root: int
    targets: int
    snapshot: int
    timestamp: int
    releases: list[str]


def accept(
    connection: Connection, files: Mapping[str, bytes], catalogue: Catalogue, signers: Signers, now: datetime
) -> Accepted:
    """Verify a push, store it with its releases, and sign what is newest. A repeated push changes nothing.

    Raises TrustError (unsigned, malformed, expired) and Conflict (foreign, going back, an artifact not stored).
    """
    verdict = incoming.verify(incoming.parse_names(files), _trusted(connection), signers.public(), now)
    added = _take_releases(connection, verdict.releases, catalogue, now)
    for file in verdict.new:
        _put(connection, StoredMetadata(file.name, file.role, file.version, file.content), now)
    _sign_newest(connection, verdict, signers, now)
    current = versions(connection)
    assert current is not None
    return Accepted(
        root=verdict.root,
        targets=verdict.versions["targets"],
        snapshot=current.snapshot,
        timestamp=current.timestamp,
        releases=added,
    )


def refresh(connection: Connection, signers: Signers, now: datetime) -> bool:
    """Sign snapshot and timestamp anew when half of their life has passed. True when something was signed."""
    newest = _newest_snapshot(connection)
    timestamp = releases.newest_metadata(connection, Timestamp.type)
    if newest is None or timestamp is None:
        return False
    stale_snapshot = _is_stale(newest, now)
    if not stale_snapshot and not _is_stale(_signed(timestamp), now):
        return False
    if stale_snapshot:
        _put_snapshot(connection, newest.meta, newest.version + 1, signers, now)
    _put_timestamp(connection, signers, now)
    return True


def versions(connection: Connection) -> MetadataVersions | None:
    """The newest versions, as a desired document names them; None before the first push."""
    found = {role: releases.newest_metadata(connection, role) for role in ("root", "timestamp", "snapshot")}
    if any(item is None for item in found.values()):
        return None
    return MetadataVersions(**{role: item.version for role, item in found.items() if item is not None})


# ---- inside ---------------------------------------------------------------------------------------------------


def _trusted(connection: Connection) -> Trusted:
    roots = {item.version: item.content for item in releases.every_root(connection)}
    names = set(releases.roles(connection)) - {"root", "snapshot", "timestamp"}
    newest = {name: releases.newest_metadata(connection, name) for name in names}
    roles = {name: File(name, item.version, item.content) for name, item in newest.items() if item is not None}
    return Trusted(roots, roles)


def _take_releases(
    connection: Connection, signed: tuple[SignedRelease, ...], catalogue: Catalogue, now: datetime
) -> list[str]:
    known = {(item.model, item.version): item for item in releases.every_release(connection)}
    wanted = {(item.custom.model, item.custom.version): item for item in signed}
    for key, release in known.items():
        if key in wanted and wanted[key].sha256 != release.sha256:
            raise Conflict(
                f"{release.model} {release.version} is known with other content: give the new bundle a new version",
                reason="version_taken",
            )
    fresh = [item for key, item in wanted.items() if key not in known]
    _check_stored(connection, fresh)
    rows = [_row(item, catalogue, now) for item in fresh]
    changed = [row for key, row in known.items() if key in wanted and wanted[key].custom != row.custom]
    rows += [_changed(row, wanted[row.model, row.version]) for row in changed]
    gone = [key for key in known if key not in wanted] + [(row.model, row.version) for row in changed]
    releases.replace_releases(connection, gone, rows)
    return [f"{item.custom.model} {item.custom.version}" for item in fresh]


def _check_stored(connection: Connection, fresh: list[SignedRelease]) -> None:
    sizes = releases.artifact_sizes(connection, {item.sha256 for item in fresh})
    missing = [
        f"{item.custom.model} {item.custom.version} ({item.sha256[:16]}…)"
        for item in fresh
        if sizes.get(item.sha256) != item.bytes
    ]
    if missing:
        raise Conflict(
            f"these releases name artifacts that are not stored here: {', '.join(missing[:20])}; upload them first",
            reason="artifact_missing",
        )


def _row(item: SignedRelease, catalogue: Catalogue, now: datetime) -> StoredRelease:
    content = catalogue.read(item.sha256)
    bundle = bundles.parse(content)
    _check_describes(item, bundle, content)
    return StoredRelease(
        model=item.custom.model,
        version=item.custom.version,
        sha256=item.sha256,
        bytes=item.bytes,
        counter=item.custom.counter,
        min_counter=item.custom.min_counter,
        custom=item.custom,
        manifest=bundle.manifest_bytes.decode(),
        added_ms=_ms(now),
    )


def _changed(row: StoredRelease, item: SignedRelease) -> StoredRelease:
    return msgspec.structs.replace(
        row, counter=item.custom.counter, min_counter=item.custom.min_counter, custom=item.custom
    )


def _check_describes(item: SignedRelease, bundle: Bundle, content: bytes) -> None:
    """What is signed must be what the bundle says; a device would find the difference only after the download."""
    index = hashlib.sha256(messages.encode(index_of(content))).hexdigest()
    custom, manifest = item.custom, bundle.manifest
    signed = (custom.model, custom.version, custom.expanded_sha256, custom.index_sha256)
    if signed != (manifest.name, manifest.version, manifest.file("model").expanded_sha256, index):
        raise Conflict(
            f"the signed release {custom.model} {custom.version} does not describe its bundle: add it again",
            reason="release_mismatch",
        )


def _sign_newest(connection: Connection, verdict: Verified, signers: Signers, now: datetime) -> None:
    wanted = {f"{role}.json": MetaFile(version) for role, version in verdict.versions.items()}
    before = _newest_snapshot(connection)
    if before is not None and before.meta == wanted and not verdict.new:
        return
    _put_snapshot(connection, wanted, 1 if before is None else before.version + 1, signers, now)
    _put_timestamp(connection, signers, now)


def _put_snapshot(
    connection: Connection, meta: Mapping[str, MetaFile], version: int, signers: Signers, now: datetime
) -> None:
    signed = Snapshot(version=version, expires=_expiry(now), meta=dict(meta))
    metadata = Metadata(signed)
    metadata.sign(signers.snapshot)
    content = metadata.to_bytes(_SERIALIZER)
    _put(connection, StoredMetadata(f"{version}.snapshot.json", Snapshot.type, version, content), now)


def _put_timestamp(connection: Connection, signers: Signers, now: datetime) -> None:
    before = releases.newest_metadata(connection, Timestamp.type)
    snapshot = releases.newest_metadata(connection, Snapshot.type)
    assert snapshot is not None
    version = 1 if before is None else before.version + 1
    signed = Timestamp(version=version, expires=_expiry(now), snapshot_meta=MetaFile(snapshot.version))
    metadata = Metadata(signed)
    metadata.sign(signers.timestamp)
    content = metadata.to_bytes(_SERIALIZER)
    _put(connection, StoredMetadata("timestamp.json", Timestamp.type, version, content), now)


def _newest_snapshot(connection: Connection) -> Snapshot | None:
    stored = releases.newest_metadata(connection, Snapshot.type)
    if stored is None:
        return None
    signed = _signed(stored)
    assert isinstance(signed, Snapshot)
    return signed


def _signed(stored: StoredMetadata) -> Any:
    return Metadata[Any].from_bytes(stored.content).signed


def _is_stale(signed: Any, now: datetime) -> bool:
    return bool(signed.expires - now < LIFETIME / 2)


def _expiry(now: datetime) -> datetime:
    return (now + LIFETIME).replace(microsecond=0)


def _put(connection: Connection, item: StoredMetadata, now: datetime) -> None:
    releases.put_metadata(connection, item, now_ms=_ms(now))


def _ms(now: datetime) -> int:
    return round(now.timestamp() * 1000)
