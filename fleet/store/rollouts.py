"""Rollouts at rest: rows, counts and the questions that deciding asks of them. Stages count from 1."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import msgspec
from sqlalchemy import Connection, Row, Select, and_, func, insert, or_, select, update
from sqlalchemy import bindparam as _param

from edgekit.errors import NotFound
from edgekit.messages import DesiredModel
from fleet.rollout.gates import Verdict
from fleet.rollout.plan import Plan, decode_plan, encode_plan
from fleet.rollout.states import ACTIVATED, FINAL_STATES, MOVING, UNENDED, RolloutState, StageState
from fleet.store.schema import decision, device, outbox, rollout, rollout_device, rollout_stage
from fleet.store.statements import in_pieces

_PREVIOUS = msgspec.json.Decoder(DesiredModel)


@dataclass(frozen=True)
class RolloutRow:
    """A rollout. `stage`: the current one."""

    id: str
    model: str
    version: str
    sha256: str
    plan: Plan
    state: RolloutState
    reason: str | None
    stage: int
    revision: int
    created_ms: int
    created_by: str
    changed_ms: int


@dataclass(frozen=True)
class StageRow:
    """A stage. `since_ms`: when it opened, or was given more time."""

    number: int
    state: StageState
    since_ms: int
    verdict: Verdict | None


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


def create(connection: Connection, row: RolloutRow, stages: Sequence[Sequence[str]]) -> None:
    """Store a rollout with its devices, all pending."""
    connection.execute(
        insert(rollout).values(
            id=row.id,
            model=row.model,
            version=row.version,
            sha256=row.sha256,
            plan=encode_plan(row.plan),
            state=row.state,
            reason=row.reason,
            stage=row.stage,
            revision=row.revision,
            created_ms=row.created_ms,
            created_by=row.created_by,
            changed_ms=row.changed_ms,
        )
    )
    for number, devices in enumerate(stages, 1):
        values = {"rollout": row.id, "number": number, "state": "pending", "since_ms": row.created_ms}
        connection.execute(insert(rollout_stage).values(values))
        connection.execute(
            insert(rollout_device),
            [
                {
                    "rollout": row.id,
                    "device": name,
                    "stage": number,
                    "state": "pending",
                    "changed_ms": row.created_ms,
                }
                for name in devices
            ],
        )


# ---- reading --------------------------------------------------------------------------------------------------


def get(connection: Connection, rollout_id: str) -> RolloutRow:
    """That rollout. Raises NotFound."""
    row = connection.execute(select(rollout).where(rollout.c.id == rollout_id)).first()
    if row is None:
        raise _unknown(rollout_id)
    return _row(row)


def lock(connection: Connection, rollout_id: str) -> RolloutRow:
    """That rollout, locked until the transaction ends. Raises NotFound."""
    row = connection.execute(select(rollout).where(rollout.c.id == rollout_id).with_for_update()).first()
    if row is None:
        raise _unknown(rollout_id)
    return _row(row)


def every(connection: Connection) -> list[RolloutRow]:
    """All rollouts, newest first."""
    return [_row(row) for row in connection.execute(select(rollout).order_by(rollout.c.created_ms.desc()))]


def moving(connection: Connection) -> list[str]:
    """Ids of the rollouts that may have something to decide."""
    return list(connection.execute(select(rollout.c.id).where(rollout.c.state.in_(MOVING))).scalars())


def unended_with(connection: Connection, model: str, devices: Iterable[str]) -> str | None:
    """The id of a rollout of `model` that has not ended and shares a device with `devices`."""
    wanted = set(devices)
    rows = connection.execute(
        select(rollout_device.c.rollout, rollout_device.c.device)
        .join(rollout, rollout.c.id == rollout_device.c.rollout)
        .where(rollout.c.model == model, rollout.c.state.in_(UNENDED))
    )
    return next((row.rollout for row in rows if row.device in wanted), None)


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


def stages(connection: Connection, rollout_id: str) -> list[StageRow]:
    """The stages in order."""
    rows = connection.execute(
        select(rollout_stage).where(rollout_stage.c.rollout == rollout_id).order_by(rollout_stage.c.number)
    )
    return [_stage(row) for row in rows]


def stage(connection: Connection, rollout_id: str, number: int) -> StageRow:
    """One stage."""
    where = and_(rollout_stage.c.rollout == rollout_id, rollout_stage.c.number == number)
    return _stage(connection.execute(select(rollout_stage).where(where)).one())


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


def members(
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
            rollout_device.c.state.in_(ACTIVATED - FINAL_STATES),
            rollout_device.c.activated_ms < before_ms,
            or_(device.c.last_seen_ms.is_(None), device.c.last_seen_ms < before_ms),
        )
    )
    return {row.device: row.state for row in rows}


def fleet_heard(connection: Connection, *, alive_ms: int, before_ms: int) -> tuple[int, int]:
    """(heard, silent) since `before_ms`, over the devices that were heard at or after `alive_ms`."""
    alive = and_(device.c.retired_ms.is_(None), device.c.last_seen_ms >= alive_ms)

    def count(*more: object) -> Select[tuple[int]]:
        return select(func.count()).select_from(device).where(alive, *more)  # type: ignore[arg-type]

    total = connection.execute(count()).scalar_one()
    heard = connection.execute(count(device.c.last_seen_ms >= before_ms)).scalar_one()
    return heard, total - heard


def decisions(connection: Connection, rollout_id: str) -> list[Row[tuple[object, ...]]]:
    """Every decision in order: columns of the table `decision`."""
    wanted = select(decision).where(decision.c.rollout == rollout_id)
    return list(connection.execute(wanted.order_by(decision.c.revision, decision.c.ordinal)))


# ---- writing --------------------------------------------------------------------------------------------------


def set_state(connection: Connection, rollout_id: str, state: RolloutState, reason: str | None) -> None:
    """Change the state."""
    connection.execute(update(rollout).where(rollout.c.id == rollout_id).values(state=state, reason=reason))


def set_current_stage(connection: Connection, rollout_id: str, number: int) -> None:
    """Go to another stage."""
    connection.execute(update(rollout).where(rollout.c.id == rollout_id).values(stage=number))


def set_stage(
    connection: Connection,
    rollout_id: str,
    number: int,
    state: StageState,
    *,
    since_ms: int | None = None,
    verdict: Verdict | None = None,
) -> None:
    """Change a stage's state, and what else is given."""
    values: dict[str, object] = {"state": state}
    if since_ms is not None:
        values["since_ms"] = since_ms
    if verdict is not None:
        values["verdict"] = msgspec.json.encode(verdict).decode()
    where = and_(rollout_stage.c.rollout == rollout_id, rollout_stage.c.number == number)
    connection.execute(update(rollout_stage).where(where).values(values))


def set_members(
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


def record(
    connection: Connection, row: RolloutRow, entries: Sequence[tuple[str, Mapping[str, object]]], *, now_ms: int
) -> None:
    """Write decisions (action, detail) under the next revision."""
    revision = row.revision + 1
    connection.execute(
        insert(decision),
        [
            {
                "rollout": row.id,
                "revision": revision,
                "ordinal": ordinal,
                "at_ms": now_ms,
                "action": action,
                "detail": msgspec.json.encode(detail).decode(),
            }
            for ordinal, (action, detail) in enumerate(entries)
        ],
    )
    connection.execute(update(rollout).where(rollout.c.id == row.id).values(revision=revision, changed_ms=now_ms))


# ---- rows -----------------------------------------------------------------------------------------------------


def _unknown(rollout_id: str) -> NotFound:
    return NotFound(f"rollout {rollout_id[:80]!r} is not known here: see edgekit fleet rollout list")


def _row(row: Row[tuple[object, ...]]) -> RolloutRow:
    fields = dict(row._mapping)
    fields["plan"] = decode_plan(fields["plan"])
    return RolloutRow(**fields)


def _stage(row: Row[tuple[object, ...]]) -> StageRow:
    fields = row._mapping
    verdict = fields["verdict"]
    parsed = None if verdict is None else msgspec.json.decode(verdict, type=Verdict)
    return StageRow(fields["number"], fields["state"], fields["since_ms"], parsed)


def _member(row: Row[tuple[object, ...]]) -> Member:
    fields = dict(row._mapping)
    previous = fields.pop("previous")
    fields.pop("rollout")
    return Member(**fields, previous=None if previous is None else _PREVIOUS.decode(previous))
