"""Rollouts as people and programs see them: structs that become the API's JSON. Stages count from 1."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from sqlalchemy import Connection

from fleet.rollout.gates import Verdict
from fleet.rollout.plan import Plan
from fleet.rollout.states import BAD, RolloutState, StageState
from fleet.store import members, rollouts
from fleet.store.members import Member
from fleet.store.moments import shown, shown_or_none
from fleet.store.rollouts import RolloutRow

MAX_DEVICES = 1000


class StageView(msgspec.Struct, frozen=True, kw_only=True):
    """A stage: its verdict once it was judged, and its devices by state."""

    number: int
    state: StageState
    since: str
    verdict: Verdict | None
    devices: int
    counts: dict[str, int]


class RolloutDevice(msgspec.Struct, frozen=True, kw_only=True):
    """A device within a rollout. `previous_version`: what it is put back to; null: nothing."""

    device: str
    stage: int
    state: str
    reason: str | None
    previous_version: str | None
    offered: str | None
    activated: str | None
    changed: str


class RolloutSummary(msgspec.Struct, frozen=True, kw_only=True):
    """A rollout with its stages."""

    id: str
    model: str
    version: str
    sha256: str
    state: RolloutState
    reason: str | None
    stage: int
    created: str
    created_by: str
    changed: str
    devices_total: int
    counts: dict[str, int]
    stages: list[StageView]


class RolloutView(RolloutSummary, frozen=True, kw_only=True):
    """A rollout with everything. `devices`: those that ended badly first; at most MAX_DEVICES of them."""

    plan: Plan
    undispatched: int
    devices: list[RolloutDevice]


class DecisionView(msgspec.Struct, frozen=True, kw_only=True):
    """What was decided, when, by whom, and by which numbers."""

    revision: int
    ordinal: int
    at: str
    action: str
    detail: dict[str, Any]


def list_rollouts(connection: Connection) -> list[RolloutSummary]:
    """All rollouts, newest first."""
    rows = rollouts.every(connection)
    counts = members.counts(connection, (row.id for row in rows))
    return [RolloutSummary(**_summary(connection, row, counts)) for row in rows]


def view(connection: Connection, rollout_id: str) -> RolloutView:
    """One rollout. Raises NotFound."""
    row = rollouts.get(connection, rollout_id)
    counts = members.counts(connection, [row.id])
    return RolloutView(
        **_summary(connection, row, counts),
        plan=row.plan,
        undispatched=members.undispatched(connection, row.id),
        devices=_devices(connection, row.id),
    )


def history(connection: Connection, rollout_id: str) -> list[DecisionView]:
    """What was decided about a rollout, in order. Raises NotFound."""
    row = rollouts.get(connection, rollout_id)
    return [
        DecisionView(
            revision=item.revision,
            ordinal=item.ordinal,
            at=shown(item.at_ms),
            action=item.action,
            detail=msgspec.json.decode(item.detail, type=dict[str, Any]),
        )
        for item in rollouts.decisions(connection, row.id)
    ]


def _summary(
    connection: Connection, row: RolloutRow, counts: Mapping[tuple[str, int], dict[str, int]]
) -> dict[str, Any]:
    stages = [
        StageView(
            number=stage.number,
            state=stage.state,
            since=shown(stage.since_ms),
            verdict=stage.verdict,
            devices=sum(counts.get((row.id, stage.number), {}).values()),
            counts=counts.get((row.id, stage.number), {}),
        )
        for stage in rollouts.stages(connection, row.id)
    ]
    return {
        "id": row.id,
        "model": row.model,
        "version": row.version,
        "sha256": row.sha256,
        "state": row.state,
        "reason": row.reason,
        "stage": row.stage,
        "created": shown(row.created_ms),
        "created_by": row.created_by,
        "changed": shown(row.changed_ms),
        "devices_total": sum(stage.devices for stage in stages),
        "counts": _added(stage.counts for stage in stages),
        "stages": stages,
    }


def _added(parts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    total: dict[str, int] = {}
    for part in parts:
        for state, n in part.items():
            total[state] = total.get(state, 0) + n
    return total


def _devices(connection: Connection, rollout_id: str) -> list[RolloutDevice]:
    bad = members.listed(connection, rollout_id, states=BAD, limit=MAX_DEVICES)
    every = members.listed(connection, rollout_id, limit=MAX_DEVICES)
    known = {member.device for member in bad}
    return [_device(member) for member in [*bad, *(m for m in every if m.device not in known)][:MAX_DEVICES]]


def _device(member: Member) -> RolloutDevice:
    return RolloutDevice(
        device=member.device,
        stage=member.stage,
        state=member.state,
        reason=member.reason,
        previous_version=None if member.previous is None else member.previous.version,
        offered=shown_or_none(member.offered_ms),
        activated=shown_or_none(member.activated_ms),
        changed=shown(member.changed_ms),
    )
