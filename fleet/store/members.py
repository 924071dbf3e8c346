"""Devices of rollouts at rest: where each stands, what it had before, and who of the fleet was heard."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import msgspec
from sqlalchemy import Connection, Row, and_, case, func, insert, or_, select, update
from sqlalchemy import bindparam as _param

from edgekit.messages import DesiredModel
from fleet.rollout.states import ACTIVATED, UNDER_WAY
from fleet.store.schema import device, outbox, rollout_device
from fleet.store.statements import in_pieces

_PREVIOUS = msgspec.json.Decoder(DesiredModel)


@dataclass(frozen=True)
class Member:
    """A device of a rollout. `previous`: what it was to run before."""

    device: str
    stage: int
    state: str
    reason: str | None
    previous: DesiredModel | None
    offered_ms: int | None
    activated_ms: int | None
    changed_ms: int


def create(connection: Connection, rollout_id: str, number: int, devices: Sequence[str], *, now_ms: int) -> None:
    """Store the devices of a stage, all pending."""
    fixed = {"rollout": rollout_id, "stage": number, "state": "pending", "changed_ms": now_ms}
    connection.execute(insert(rollout_device), [{**fixed, "device": name} for name in devices])


# ---- reading --------------------------------------------------------------------------------------------------


def present(connection: Connection, names: Sequence[str]) -> list[str]:
    """Those of `names` that are not retired."""
    found: list[str] = []
    for piece in in_pieces(names):
        wanted = select(device.c.id).where(device.c.id.in_(piece), device.c.retired_ms.is_(None))
        found.extend(connection.execute(wanted).scalars())
    return found


def targets(connection: Connection, tags: Mapping[str, str]) -> list[str]:
    """Devices that are not retired and carry all of `tags`."""
    rows = connection.execute(select(device.c.id, device.c.tags).where(device.c.retired_ms.is_(None)))
    if not tags:
        return [row.id for row in rows]
    return [row.id for row in rows if tags.items() <= msgspec.json.decode(row.tags, type=dict[str, str]).items()]


def counts(connection: Connection, rollout_ids: Iterable[str]) -> dict[tuple[str, int], dict[str, int]]:
    """Devices by state, by (rollout, stage)."""
    found: dict[tuple[str, int], dict[str, int]] = {}
    columns = (rollout_device.c.rollout, rollout_device.c.stage, rollout_device.c.state)
    rows = connection.execute(
        select(*columns, func.count().label("n"))
        .where(rollout_device.c.rollout.in_(list(rollout_ids)))
        .group_by(*columns)
    )
    for row in rows:
        found.setdefault((row.rollout, row.stage), {})[row.state] = row.n
    return found


def listed(
    connection: Connection,
    rollout_id: str,
    *,
    number: int | None = None,
    states: Iterable[str] | None = None,
    limit: int | None = None,
) -> list[Member]:
    """Devices of a rollout in id order, of one stage or in some states only."""
    wanted = select(rollout_device).where(rollout_device.c.rollout == rollout_id)
    if number is not None:
        wanted = wanted.where(rollout_device.c.stage == number)
    if states is not None:
        wanted = wanted.where(rollout_device.c.state.in_(list(states)))
    return [_member(row) for row in connection.execute(wanted.order_by(rollout_device.c.device).limit(limit))]


def undispatched(connection: Connection, rollout_id: str) -> int:
    """Devices that the rollout has touched and whose document has not reached the broker."""
    touched = and_(rollout_device.c.rollout == rollout_id, rollout_device.c.state != "pending")
    wanted = select(func.count()).select_from(outbox.join(rollout_device, rollout_device.c.device == outbox.c.device))
    return connection.execute(wanted.where(touched)).scalar_one()


def silent(connection: Connection, rollout_id: str, number: int, *, before_ms: int) -> dict[str, str]:
    """Devices of a stage (with their state) that activated before that time and were not heard since."""
    rows = connection.execute(
        select(rollout_device.c.device, rollout_device.c.state)
        .join(device, device.c.id == rollout_device.c.device)
        .where(
            rollout_device.c.rollout == rollout_id,
            rollout_device.c.stage == number,
            rollout_device.c.state.in_(ACTIVATED & UNDER_WAY),
            rollout_device.c.activated_ms < before_ms,
            or_(device.c.last_seen_ms.is_(None), device.c.last_seen_ms < before_ms),
        )
    )
    return {row.device: row.state for row in rows}


def fleet_heard(connection: Connection, *, alive_ms: int, before_ms: int) -> tuple[int, int]:
    """(heard, silent) since `before_ms`, over the devices that were heard at or after `alive_ms`."""
    is_heard = case((device.c.last_seen_ms >= before_ms, 1), else_=0)
    row = connection.execute(
        select(func.count().label("total"), func.coalesce(func.sum(is_heard), 0).label("heard")).where(
            device.c.retired_ms.is_(None), device.c.last_seen_ms >= alive_ms
        )
    ).one()
    return int(row.heard), row.total - int(row.heard)


# ---- writing --------------------------------------------------------------------------------------------------


def set_state(
    connection: Connection,
    rollout_id: str,
    devices: Sequence[str],
    state: str,
    *,
    reason: str | None = None,
    now_ms: int,
) -> None:
    """Put devices into a state that the server gives."""
    for piece in in_pieces(devices):
        where = and_(rollout_device.c.rollout == rollout_id, rollout_device.c.device.in_(piece))
        connection.execute(update(rollout_device).where(where).values(state=state, reason=reason, changed_ms=now_ms))


def set_offered(
    connection: Connection, rollout_id: str, previous: Mapping[str, DesiredModel | None], *, now_ms: int
) -> None:
    """Note that devices were offered the release, and what they had before."""
    if not previous:
        return
    connection.execute(
        update(rollout_device)
        .where(rollout_device.c.rollout == rollout_id, rollout_device.c.device == _param("d"))
        .values(state="offered", previous=_param("p"), offered_ms=now_ms, changed_ms=now_ms),
        [
            {"d": name, "p": None if before is None else msgspec.json.encode(before).decode()}
            for name, before in previous.items()
        ],
    )


def _member(row: Row[tuple[object, ...]]) -> Member:
    fields = dict(row._mapping)
    previous = fields.pop("previous")
    fields.pop("rollout")
    return Member(**fields, previous=None if previous is None else _PREVIOUS.decode(previous))
