"""Desired state at rest: what each device shall run. Every change raises `seq` and queues the device for dispatch.

Rows are locked in device order, so that two rollouts never wait for each other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec
from sqlalchemy import Connection, delete, exists, or_, select, update
from sqlalchemy import bindparam as _param

from edgekit.messages import DesiredModel
from fleet.store.schema import desired_model, device, device_desired, outbox
from fleet.store.statements import in_pieces, insert

_MODELS = msgspec.json.Decoder(list[DesiredModel])


@dataclass(frozen=True)
class Current:
    """A device's row, ready to be sent. `document`: what was signed for `dispatched_seq`; `retired`: send nothing."""

    device: str
    seq: int
    models: list[DesiredModel]
    dispatched_seq: int
    document: bytes | None
    expires_ms: int
    root_version: int
    retired: bool


@dataclass(frozen=True)
class Sent:
    """A document that the broker acknowledged."""

    device: str
    seq: int
    document: bytes
    expires_ms: int
    root_version: int


def lock(connection: Connection, devices: Sequence[str]) -> dict[str, list[DesiredModel]]:
    """Lock these devices' rows (made where missing) and return what each names."""
    found: dict[str, list[DesiredModel]] = {}
    for piece in in_pieces(sorted(devices)):
        fresh = [{"device": name, "seq": 0, "models": "[]", "changed_ms": 0} for name in piece]
        connection.execute(insert(connection, device_desired).on_conflict_do_nothing(), fresh)
        rows = connection.execute(
            select(device_desired.c.device, device_desired.c.models)
            .where(device_desired.c.device.in_(piece))
            .order_by(device_desired.c.device)
            .with_for_update()
        )
        found.update((row.device, _MODELS.decode(row.models)) for row in rows)
    return found


def change(connection: Connection, wanted: Mapping[str, list[DesiredModel]], *, now_ms: int) -> None:
    """Write new contents for rows that `lock` returned."""
    for piece in in_pieces(sorted(wanted)):
        texts = [{"d": name, "m": msgspec.json.encode(wanted[name]).decode(), "now": now_ms} for name in piece]
        _raise_seq(connection, texts)
        connection.execute(delete(desired_model).where(desired_model.c.device.in_(piece)))
        rows = [
            {"device": name, "model": item.name, "version": item.version, "sha256": item.sha256}
            for name in piece
            for item in wanted[name]
        ]
        if rows:
            connection.execute(insert(connection, desired_model), rows)
        queue(connection, piece, now_ms=now_ms)


def queue(connection: Connection, devices: Sequence[str], *, now_ms: int) -> None:
    """Have these devices' documents dispatched."""
    rows = [{"device": name, "since_ms": now_ms} for name in devices]
    if rows:
        connection.execute(insert(connection, outbox).on_conflict_do_nothing(), rows)


def queue_all(connection: Connection, *, now_ms: int) -> None:
    """Have every document dispatched again: the broker may have forgotten them."""
    names = connection.execute(select(device_desired.c.device).order_by(device_desired.c.device)).scalars().all()
    for piece in in_pieces(names):
        queue(connection, piece, now_ms=now_ms)


def renew(connection: Connection, *, before_ms: int, root_version: int, now_ms: int) -> int:
    """Raise `seq` of documents that expire before then or name an older root; their number."""
    due = (
        select(device_desired.c.device, device_desired.c.models)
        .join(device, device.c.id == device_desired.c.device)
        .where(
            device.c.retired_ms.is_(None),
            device_desired.c.document.is_not(None),
            device_desired.c.seq == device_desired.c.dispatched_seq,
            or_(device_desired.c.expires_ms < before_ms, device_desired.c.root_version < root_version),
        )
        .order_by(device_desired.c.device)
        .limit(10_000)
        .with_for_update(of=device_desired)
    )
    rows = connection.execute(due).all()
    for piece in in_pieces(rows):
        _raise_seq(connection, [{"d": row.device, "m": row.models, "now": now_ms} for row in piece])
        queue(connection, [row.device for row in piece], now_ms=now_ms)
    return len(rows)


def undispatched(connection: Connection, limit: int) -> list[Current]:
    """Rows whose documents must go out, oldest first."""
    rows = connection.execute(
        select(device_desired, device.c.retired_ms)
        .join(outbox, outbox.c.device == device_desired.c.device)
        .join(device, device.c.id == device_desired.c.device)
        .order_by(outbox.c.since_ms, device_desired.c.device)
        .limit(limit)
    )
    return [
        Current(
            device=row.device,
            seq=row.seq,
            models=_MODELS.decode(row.models),
            dispatched_seq=row.dispatched_seq,
            document=None if row.document is None else bytes(row.document),
            expires_ms=row.expires_ms or 0,
            root_version=row.root_version,
            retired=row.retired_ms is not None,
        )
        for row in rows
    ]


def dispatched(connection: Connection, sent: Sequence[Sent]) -> None:
    """Note what the broker acknowledged. A row that changed meanwhile keeps its place in the outbox."""
    for piece in in_pieces(sorted(sent, key=lambda item: item.device)):
        connection.execute(
            update(device_desired)
            .where(device_desired.c.device == _param("d"), device_desired.c.seq == _param("s"))
            .values(
                dispatched_seq=_param("s"),
                document=_param("document"),
                expires_ms=_param("expires"),
                root_version=_param("root"),
            ),
            [
                {
                    "d": item.device,
                    "s": item.seq,
                    "document": item.document,
                    "expires": item.expires_ms,
                    "root": item.root_version,
                }
                for item in piece
            ],
        )
        is_out = exists().where(
            device_desired.c.device == outbox.c.device, device_desired.c.seq == device_desired.c.dispatched_seq
        )
        connection.execute(delete(outbox).where(outbox.c.device.in_([item.device for item in piece]), is_out))


def _raise_seq(connection: Connection, texts: list[dict[str, object]]) -> None:
    connection.execute(
        update(device_desired)
        .where(device_desired.c.device == _param("d"))
        .values(seq=device_desired.c.seq + 1, models=_param("m"), changed_ms=_param("now")),
        texts,
    )
