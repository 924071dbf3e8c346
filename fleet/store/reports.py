"""What devices said, at rest: presence, reported state and health, each report counted once.

A report's identity is (device, epoch, seq) for ever: `count_new` is the only door, and a report that went through it
once never goes through again, however often it arrives.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import msgspec
from sqlalchemy import Connection, and_, delete, func, select, tuple_, update
from sqlalchemy import bindparam as _param

from edgekit.errors import MessageError
from edgekit.messages import Health, HealthData, Presence, Reported, decode
from fleet.store import schema
from fleet.store.statements import in_pieces, insert

Key = tuple[str, str, int]  # device, epoch, seq

RAW_KEPT_MS = 48 * 3_600_000
KEYS_KEPT_MS = 30 * 86_400_000
MAX_SET_ASIDE = 10_000
_MAX_TEXT_CHARS = 1000
_SUMS = ("reports", "ok", "client_error", "server_error", "rows", "latency_n", "latency_sum_us")


@dataclass(frozen=True)
class SetAside:
    """A message that could not be used. `head`: its first bytes."""

    device: str
    leaf: str
    reason: str
    head: bytes


@dataclass(frozen=True)
class StoredHealth:
    """A health report as it was received."""

    received_ms: int
    health: HealthData


# ---- counting once --------------------------------------------------------------------------------------------


def known_devices(connection: Connection, names: Collection[str]) -> set[str]:
    """Those of `names` that belong to the fleet; retired ones do not."""
    found: set[str] = set()
    for piece in in_pieces(sorted(names)):
        wanted = select(schema.device.c.id).where(schema.device.c.id.in_(piece), schema.device.c.retired_ms.is_(None))
        found.update(connection.execute(wanted).scalars())
    return found


def count_new(connection: Connection, keys: Collection[Key], *, now_ms: int) -> set[Key]:
    """Those of `keys` that were never counted; from now on they are."""
    forgotten = _high_waters(connection, {(device, epoch) for device, epoch, _ in keys})
    fresh = sorted(key for key in keys if key[2] > forgotten.get(key[:2], -1))
    new: set[Key] = set()
    for piece in in_pieces(fresh):
        rows = [{"device": d, "epoch": e, "seq": s, "received_ms": now_ms} for d, e, s in piece]
        inbox = schema.inbox
        statement = insert(connection, inbox).on_conflict_do_nothing()
        added = connection.execute(statement.returning(inbox.c.device, inbox.c.epoch, inbox.c.seq), rows)
        new.update((row.device, row.epoch, row.seq) for row in added)
    return new


def _high_waters(connection: Connection, epochs: Collection[tuple[str, str]]) -> dict[tuple[str, str], int]:
    found: dict[tuple[str, str], int] = {}
    table = schema.epoch
    for piece in in_pieces(sorted(epochs)):
        rows = connection.execute(select(table).where(tuple_(table.c.device, table.c.epoch).in_(piece)))
        found.update(((row.device, row.epoch), row.high_water) for row in rows)
    return found


# ---- what devices say -----------------------------------------------------------------------------------------


def store_health(connection: Connection, reports: Sequence[tuple[Health, int, bytes]], *, now_ms: int) -> None:
    """Keep health reports (with the hour they tell of, and as received) and add them to the hourly sums."""
    if not reports:
        return
    rows = [
        {
            "device": item.data.device,
            "epoch": item.data.epoch,
            "seq": item.data.seq,
            "received_ms": now_ms,
            "payload": payload,
        }
        for item, _, payload in reports
    ]
    connection.execute(insert(connection, schema.report), rows)
    sums: dict[tuple[str, str, int], list[int]] = {}
    for item, hour_ms, _ in reports:
        for model in item.data.models:
            total = sums.setdefault((model.name, model.version, hour_ms), [0] * len(_SUMS))
            asked, latency = model.requests, model.latency
            added = (1, asked.ok, asked.client_error, asked.server_error, asked.rows, latency.n, latency.sum_us)
            total[:] = [a + b for a, b in zip(total, added, strict=True)]
    _add_sums(connection, sums)


def _add_sums(connection: Connection, sums: Mapping[tuple[str, str, int], Sequence[int]]) -> None:
    if not sums:
        return
    table = schema.health_hour
    statement = insert(connection, table)
    added = {name: table.c[name] + statement.excluded[name] for name in _SUMS}
    keys = ("model", "version", "hour_ms")
    rows = [dict(zip((*keys, *_SUMS), (*key, *sums[key]), strict=True)) for key in sorted(sums)]
    connection.execute(statement.on_conflict_do_update(index_elements=list(keys), set_=added), rows)


def store_reported(connection: Connection, documents: Mapping[str, Reported], *, now_ms: int) -> None:
    """Take each device's own account in the place of its last one."""
    for piece in in_pieces(sorted(documents)):
        connection.execute(
            update(schema.device)
            .where(schema.device.c.id == _param("d"))
            .values(reported=_param("text"), reported_ms=now_ms, applied_seq=_param("seq"), boot_id=_param("boot")),
            [
                {
                    "d": name,
                    "text": msgspec.json.encode(documents[name]).decode(),
                    "seq": documents[name].applied_seq,
                    "boot": documents[name].boot_id,
                }
                for name in piece
            ],
        )
        connection.execute(delete(schema.device_model).where(schema.device_model.c.device.in_(piece)))
        slots = [
            {"device": name, "model": slot.name, "version": slot.version, "sha256": slot.sha256, "state": slot.state}
            for name in piece
            for slot in {slot.name: slot for slot in documents[name].models}.values()
        ]
        if slots:
            connection.execute(insert(connection, schema.device_model), slots)


def store_presence(connection: Connection, documents: Mapping[str, Presence], *, now_ms: int) -> None:
    """Note who is online."""
    if not documents:
        return
    connection.execute(
        update(schema.device)
        .where(schema.device.c.id == _param("d"))
        .values(online=_param("on"), boot_id=_param("boot"), presence_ms=now_ms),
        [{"d": name, "on": documents[name].online, "boot": documents[name].boot_id} for name in sorted(documents)],
    )


def store_heard(connection: Connection, names: Collection[str], *, now_ms: int) -> None:
    """Note that these devices gave a sign of life."""
    for piece in in_pieces(sorted(names)):
        connection.execute(update(schema.device).where(schema.device.c.id.in_(piece)).values(last_seen_ms=now_ms))


def store_set_aside(connection: Connection, items: Sequence[SetAside], *, now_ms: int) -> None:
    """Keep what could not be used."""
    if items:
        rows = [
            {
                "device": clean(item.device)[:128],
                "leaf": item.leaf[:32],
                "received_ms": now_ms,
                "reason": clean(item.reason)[:_MAX_TEXT_CHARS],
                "head": item.head,
            }
            for item in items
        ]
        connection.execute(insert(connection, schema.set_aside), rows)


def all_offline(connection: Connection) -> None:
    """Nobody is online until the broker says so: what was known may be older than the broker's last wills."""
    connection.execute(update(schema.device).where(schema.device.c.online).values(online=False))


# ---- reading and trimming -------------------------------------------------------------------------------------


def latest(connection: Connection, names: Sequence[str]) -> dict[str, StoredHealth]:
    """The last received health report of each of these devices that has one."""
    found: dict[str, StoredHealth] = {}
    table = schema.report
    for piece in in_pieces(list(names)):
        newest = (
            select(table.c.device, func.max(table.c.received_ms).label("at"))
            .where(table.c.device.in_(piece))
            .group_by(table.c.device)
            .subquery()
        )
        same = and_(table.c.device == newest.c.device, table.c.received_ms == newest.c.at)
        rows = connection.execute(select(table).join(newest, same).order_by(table.c.device, table.c.seq))
        found.update((row.device, StoredHealth(row.received_ms, _health(bytes(row.payload)))) for row in rows)
    return found


def trim(connection: Connection, *, now_ms: int) -> None:
    """Forget raw reports after 48 hours and identities after 30 days; of the latter the highest `seq` is kept."""
    connection.execute(delete(schema.report).where(schema.report.c.received_ms < now_ms - RAW_KEPT_MS))
    inbox, table = schema.inbox, schema.epoch
    old = inbox.c.received_ms < now_ms - KEYS_KEPT_MS
    marks = select(inbox.c.device, inbox.c.epoch, func.max(inbox.c.seq)).where(old).group_by("device", "epoch")
    statement = insert(connection, table).from_select(["device", "epoch", "high_water"], marks)
    higher = statement.excluded.high_water > table.c.high_water
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=["device", "epoch"], set_={"high_water": statement.excluded.high_water}, where=higher
        )
    )
    connection.execute(delete(inbox).where(old))
    last = connection.execute(select(func.max(schema.set_aside.c.id))).scalar()
    if last is not None:
        connection.execute(delete(schema.set_aside).where(schema.set_aside.c.id <= last - MAX_SET_ASIDE))


def _health(payload: bytes) -> HealthData:
    try:
        return decode(payload, Health).data
    except MessageError as error:
        raise AssertionError("a stored health report does not decode: the store was altered") from error


def clean(text: str) -> str:
    """Text as it can be stored."""
    # PostgreSQL stores every character but this one.
    return text.replace("\0", "\ufffd")
