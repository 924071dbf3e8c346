"""Devices at rest: registering, tagging, retiring, and what is shown of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, Row, insert, select, update

from edgekit.errors import Conflict, NotFound, UsageFault
from edgekit.messages import DesiredModel
from edgekit.names import check_id
from fleet.store import desired, reports
from fleet.store.moments import shown, shown_or_none
from fleet.store.reports import StoredHealth
from fleet.store.schema import device, device_desired, device_model, event

MAX_PAGE = 500
MAX_TAGS = 32
_MAX_TAG_CHARS = 128
_SHOWN_EVENTS = 20


class ModelSlot(msgspec.Struct, frozen=True, kw_only=True):
    """One model on a device, as the device last reported it."""

    name: str
    version: str | None
    sha256: str | None
    state: str


class LastHealth(msgspec.Struct, frozen=True, kw_only=True):
    """The newest health report: requests of its interval, and the gauges at its time."""

    received: str
    interval_s: float
    ok: int
    client_error: int
    server_error: int
    rss_bytes: int
    memory_available_bytes: int


class DeviceLine(msgspec.Struct, frozen=True, kw_only=True):
    """A device as lists show it."""

    id: str
    tags: dict[str, str]
    online: bool
    retired: bool
    last_seen: str | None
    models: list[ModelSlot]
    desired_seq: int
    applied_seq: int
    health: LastHealth | None


class EventLine(msgspec.Struct, frozen=True, kw_only=True):
    """One transition of an update."""

    time: str
    model: str
    version: str
    rollout: str
    state: str
    reason: str | None
    detail: str | None


class DeviceDetail(DeviceLine, frozen=True, kw_only=True):
    """A device with everything that is known of it; events newest first."""

    created: str
    desired: list[DesiredModel]
    reported: dict[str, Any] | None
    events: list[EventLine]


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """Devices in the order of their ids. `next`: pass it as `after` for the following page; null at the end."""

    devices: list[DeviceLine]
    next: str | None


# ---- changing -------------------------------------------------------------------------------------------------


def add(connection: Connection, name: str, tags: Mapping[str, str], *, now_ms: int) -> None:
    """Register a device that shall run nothing yet; its first desired document is put into the outbox.

    Raises UsageFault, Conflict.
    """
    check_id(name, "device id")
    if connection.execute(select(device.c.id).where(device.c.id == name)).first() is not None:
        raise Conflict(f"device {name} exists already: choose another id", reason="device_exists")
    row = {"id": name, "created_ms": now_ms, "tags": _tags_text(tags), "applied_seq": 0, "online": False}
    connection.execute(insert(device).values(row))
    desired.lock(connection, [name])
    desired.change(connection, {name: []}, now_ms=now_ms)


def change_tags(connection: Connection, name: str, changes: Mapping[str, str | None]) -> dict[str, str]:
    """Set the given tags and remove those given as None. The tags after it. Raises NotFound, UsageFault."""
    before: dict[str, str] = msgspec.json.decode(_row(connection, name).tags)
    after = {key: value for key, value in {**before, **changes}.items() if value is not None}
    connection.execute(update(device).where(device.c.id == name).values(tags=_tags_text(after)))
    return after


def retire(connection: Connection, name: str, *, now_ms: int) -> None:
    """Take a device out of the fleet: it is counted and targeted no more. Its id stays taken. Raises NotFound."""
    _row(connection, name)
    fresh = (device.c.id == name) & device.c.retired_ms.is_(None)
    connection.execute(update(device).where(fresh).values(retired_ms=now_ms))
    desired.lock(connection, [name])
    desired.change(connection, {name: []}, now_ms=now_ms)  # the dispatcher withdraws its document from the broker


# ---- reading --------------------------------------------------------------------------------------------------


def page(connection: Connection, *, after: str = "", limit: int = 100, retired: bool = False) -> Page:
    """The devices whose id is above `after`; retired ones only when asked for."""
    wanted = select(device, device_desired.c.seq).outerjoin(device_desired).where(device.c.id > after)
    if not retired:
        wanted = wanted.where(device.c.retired_ms.is_(None))
    rows = connection.execute(wanted.order_by(device.c.id).limit(limit + 1)).all()
    lines = _lines(connection, rows[:limit])
    return Page(devices=lines, next=lines[-1].id if len(rows) > limit else None)


def detail(connection: Connection, name: str) -> DeviceDetail:
    """One device. Raises NotFound."""
    row = _row(connection, name)
    (line,) = _lines(connection, [row])
    models = connection.execute(select(device_desired.c.models).where(device_desired.c.device == name)).scalar()
    return DeviceDetail(
        **{field: getattr(line, field) for field in line.__struct_fields__},
        created=shown(row.created_ms),
        desired=msgspec.json.decode(models or "[]", type=list[DesiredModel]),
        reported=msgspec.json.decode(row.reported) if row.reported else None,
        events=_events(connection, name),
    )


# ---- inside ---------------------------------------------------------------------------------------------------


def _row(connection: Connection, name: str) -> Row[Any]:
    found = connection.execute(
        select(device, device_desired.c.seq).outerjoin(device_desired).where(device.c.id == name)
    ).first()
    if found is None:
        raise NotFound(f"device {name[:80]!r} is not known here: see edgekit fleet devices list")
    return found


def _lines(connection: Connection, rows: Sequence[Row[Any]]) -> list[DeviceLine]:
    names = [row.id for row in rows]
    slots = _slots(connection, names)
    health = reports.latest(connection, names)
    return [
        DeviceLine(
            id=row.id,
            tags=msgspec.json.decode(row.tags),
            online=bool(row.online) and row.retired_ms is None,
            retired=row.retired_ms is not None,
            last_seen=shown_or_none(row.last_seen_ms),
            models=slots.get(row.id, []),
            desired_seq=row.seq or 0,
            applied_seq=row.applied_seq,
            health=_last_health(health.get(row.id)),
        )
        for row in rows
    ]


def _last_health(found: StoredHealth | None) -> LastHealth | None:
    if found is None:
        return None
    data = found.health
    asked = [model.requests for model in data.models]
    return LastHealth(
        received=shown(found.received_ms),
        interval_s=data.interval_s,
        ok=sum(item.ok for item in asked),
        client_error=sum(item.client_error for item in asked),
        server_error=sum(item.server_error for item in asked),
        rss_bytes=data.system.rss_bytes,
        memory_available_bytes=data.system.memory_available_bytes,
    )


def _slots(connection: Connection, names: Iterable[str]) -> dict[str, list[ModelSlot]]:
    wanted = select(device_model).where(device_model.c.device.in_(list(names)))
    slots: dict[str, list[ModelSlot]] = {}
    for row in connection.execute(wanted.order_by(device_model.c.device, device_model.c.model)):
        slot = ModelSlot(name=row.model, version=row.version, sha256=row.sha256, state=row.state)
        slots.setdefault(row.device, []).append(slot)
    return slots


def _events(connection: Connection, name: str) -> list[EventLine]:
    newest = select(event).where(event.c.device == name).order_by(event.c.id.desc()).limit(_SHOWN_EVENTS)
    return [
        EventLine(**{field: getattr(row, field) for field in EventLine.__struct_fields__})
        for row in connection.execute(newest)
    ]


def _tags_text(tags: Mapping[str, str]) -> str:
    if len(tags) > MAX_TAGS:
        raise UsageFault(f"a device has at most {MAX_TAGS} tags")
    for key, value in tags.items():
        check_id(key, "tag name")
        if len(value) > _MAX_TAG_CHARS or not value.isprintable():
            raise UsageFault(f"the tag {key} must have at most {_MAX_TAG_CHARS} printable characters")
    return msgspec.json.encode(dict(sorted(tags.items()))).decode()
