"""Rollouts at rest: rows, stages and the record of decisions. Stages count from 1."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import msgspec
from sqlalchemy import Connection, Row, and_, insert, select, update

from edgekit.errors import NotFound
from fleet.rollout.gates import Verdict
from fleet.rollout.plan import Plan, decode_plan, encode_plan
from fleet.rollout.states import MOVING, UNENDED, RolloutState, StageState
from fleet.store import members
from fleet.store.schema import decision, rollout, rollout_device, rollout_stage


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
        members.create(connection, row.id, number, devices, now_ms=row.created_ms)


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
