"""Which artifacts devices still need, and which the broker may hold."""

from __future__ import annotations

from sqlalchemy import Connection, and_, delete, select

from fleet.rollout.states import UNENDED
from fleet.store.schema import artifact, desired_model, device, device_model, retained_artifact, rollout
from fleet.store.statements import insert

_RUNNING = ("serving", "soaking")


def needed(connection: Connection) -> dict[str, int]:
    """Bytes of the artifacts that a desired document names which its device does not run yet, or that a rollout on
    its way will offer; by digest, oldest first.
    """
    runs = and_(
        device_model.c.device == desired_model.c.device,
        device_model.c.model == desired_model.c.model,
        device_model.c.sha256 == desired_model.c.sha256,
        device_model.c.state.in_(_RUNNING),
    )
    unfinished = (
        select(desired_model.c.sha256)
        .join(device, device.c.id == desired_model.c.device)
        .outerjoin(device_model, runs)
        .where(device.c.retired_ms.is_(None), device_model.c.device.is_(None))
    )
    offered = select(rollout.c.sha256).where(rollout.c.state.in_(UNENDED))
    rows = connection.execute(
        select(artifact.c.sha256, artifact.c.bytes)
        .where(artifact.c.sha256.in_(unfinished) | artifact.c.sha256.in_(offered))
        .order_by(artifact.c.stored_ms, artifact.c.sha256)
    )
    return {row.sha256: row.bytes for row in rows}


def sizes(connection: Connection, digests: list[str]) -> dict[str, int]:
    """Bytes of those of `digests` that are stored."""
    rows = connection.execute(select(artifact.c.sha256, artifact.c.bytes).where(artifact.c.sha256.in_(digests)))
    return {row.sha256: row.bytes for row in rows}


def retained(connection: Connection) -> dict[str, int]:
    """Bytes of the artifacts that the broker may hold, wholly or in part."""
    return {row.sha256: row.bytes for row in connection.execute(select(retained_artifact))}


def note_retained(connection: Connection, sha256: str, size_bytes: int, *, now_ms: int) -> None:
    """From now on the broker may hold it."""
    statement = insert(connection, retained_artifact).values(sha256=sha256, bytes=size_bytes, since_ms=now_ms)
    connection.execute(statement.on_conflict_do_nothing())


def note_withdrawn(connection: Connection, sha256: str) -> None:
    """The broker holds nothing of it any more."""
    connection.execute(delete(retained_artifact).where(retained_artifact.c.sha256 == sha256))
