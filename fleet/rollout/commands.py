"""What operators do to rollouts: preview, create, and the actions. All in the caller's transaction."""

from __future__ import annotations

import re
import secrets
from collections.abc import Sequence

import msgspec
from sqlalchemy import Connection

from edgekit.errors import Conflict, UsageFault
from fleet.rollout import gates
from fleet.rollout.apply import apply
from fleet.rollout.decide import Decision, JudgeStage, MoveStage, OpenStage, SetState, put_back
from fleet.rollout.plan import Plan, assign
from fleet.rollout.states import ALLOWED, Action, StageState
from fleet.store import members, releases, rollouts
from fleet.store.rollouts import RolloutRow

_ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"  # without characters that look alike
_MAX_NAME_CHARS = 58


def preview(connection: Connection, plan: Plan) -> list[list[str]]:
    """Devices of each stage, were the rollout created now. Raises NotFound (release), UsageFault (stages)."""
    releases.get_release(connection, plan.model, plan.version)
    return assign(plan, members.targets(connection, plan.target.tags))


def create(connection: Connection, plan: Plan, *, by: str, now_ms: int) -> str:
    """Start a rollout (or leave it for approval); its id.

    Raises NotFound (release), UsageFault (empty target or stage) and Conflict (a device is in an unended rollout of
    the same model).
    """
    release = releases.get_release(connection, plan.model, plan.version)
    stages = preview(connection, plan)
    other = rollouts.unended_with(connection, plan.model, (name for stage in stages for name in stage))
    if other is not None:
        raise Conflict(
            f"rollout {other} of {plan.model} has not ended and shares devices with this one: "
            "wait for it, or abort it or roll it back first",
            reason="rollout_overlaps",
        )
    row = RolloutRow(
        id=_new_id(plan),
        model=plan.model,
        version=plan.version,
        sha256=release.sha256,
        plan=msgspec.structs.replace(plan, stages=plan.stages[: len(stages)]),
        state="awaiting_approval" if plan.approval else "running",
        reason=None,
        stage=1,
        revision=0,
        created_ms=now_ms,
        created_by=by,
        changed_ms=now_ms,
    )
    rollouts.create(connection, row, stages)
    return row.id


def act(connection: Connection, rollout_id: str, action: Action, *, by: str, now_ms: int) -> None:
    """Approve, pause, resume, promote, abort or roll back. Raises NotFound, Conflict (not in this state)."""
    if action not in ALLOWED:
        raise UsageFault(f"{action!r} is not an action: use one of {', '.join(ALLOWED)}")
    row = rollouts.lock(connection, rollout_id)
    if row.state not in ALLOWED[action]:
        raise Conflict(
            f"rollout {row.id} is {row.state}: {action} is possible only when it is {' or '.join(ALLOWED[action])}",
            reason="wrong_state",
        )
    apply(connection, row, _meaning(connection, row, action, now_ms), by=by, now_ms=now_ms)


def _meaning(connection: Connection, row: RolloutRow, action: Action, now_ms: int) -> Sequence[Decision]:
    match action:
        case "approve":
            return (SetState("running"),)
        case "pause":
            return (SetState("paused", "by_operator"),)
        case "resume":
            return _resume(connection, row, now_ms)
        case "promote":
            return _promote(connection, row)
        case "abort":
            return put_back("unfinished", "by_operator")
        case "rollback":
            return put_back("all", "by_operator")


def _resume(connection: Connection, row: RolloutRow, now_ms: int) -> Sequence[Decision]:
    """A stage that was judged gets its whole time again: devices may have come back meanwhile."""
    judged: tuple[StageState, ...] = ("failed", "inconclusive")
    if rollouts.stage(connection, row.id, row.stage).state not in judged:
        return (SetState("running"),)
    rollouts.set_stage(connection, row.id, row.stage, "soaking", since_ms=now_ms)
    return (MoveStage(row.stage, "soaking"), SetState("running"))


def _promote(connection: Connection, row: RolloutRow) -> Sequence[Decision]:
    """The operator takes the stage as passed; the controller goes on from there."""
    if rollouts.stage(connection, row.id, row.stage).state == "pending":
        return (OpenStage(row.stage), SetState("running"))
    counts = members.counts(connection, [row.id]).get((row.id, row.stage), {})
    limits = gates.Limits(row.plan.max_bad_ratio, row.plan.min_reported_ratio)
    return (JudgeStage(row.stage, gates.promoted(counts, limits)), SetState("running"))


def _new_id(plan: Plan) -> str:
    name = re.sub(r"[^a-z0-9]+", "-", f"{plan.model}-{plan.version}".lower())[:_MAX_NAME_CHARS].strip("-")
    return f"{name}-{''.join(secrets.choice(_ALPHABET) for _ in range(4))}"
