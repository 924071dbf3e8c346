"""Decisions become rows: stages, devices, desired documents and the record, all in the caller's transaction.

The caller holds the rollout's row. Only devices of stages that were opened are ever touched, and a desired document is
put back only where it still names this rollout: what came later is not ours to undo.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection

from edgekit.messages import DesiredModel
from fleet.rollout.decide import Decision, JudgeStage, MarkLost, MoveStage, OpenStage, PutBack, SetState, TimeOut
from fleet.rollout.states import BAD, GOOD, NEUTRAL
from fleet.store import desired, members, releases, rollouts
from fleet.store.members import Member
from fleet.store.rollouts import RolloutRow

_MAX_NAMED = 50


def apply(connection: Connection, row: RolloutRow, decisions: Sequence[Decision], *, by: str, now_ms: int) -> None:
    """Carry out `decisions` in order and write them down as decided by `by`."""
    entries = []
    for decision in decisions:
        action, detail = _carry_out(connection, row, decision, now_ms)
        entries.append((action, {"by": by, **detail}))
    rollouts.record(connection, row, entries, now_ms=now_ms)


def _carry_out(  # noqa: PLR0911 - one line a kind of decision
    connection: Connection, row: RolloutRow, decision: Decision, now_ms: int
) -> tuple[str, Mapping[str, Any]]:
    match decision:
        case OpenStage(number):
            return "open_stage", {"stage": number, "devices": _open(connection, row, number, now_ms)}
        case MoveStage(number, state):
            rollouts.set_stage(connection, row.id, number, state)
            return "move_stage", {"stage": number, "state": state}
        case MarkLost(names):
            members.set_state(connection, row.id, names, "lost", reason="silent", now_ms=now_ms)
            return "mark_lost", {"devices": names[:_MAX_NAMED], "count": len(names)}
        case TimeOut(number):
            return "time_out", {"stage": number, "count": _time_out(connection, row, number, now_ms)}
        case JudgeStage(number, verdict):
            states: Any = {"pass": "passed", "fail": "failed", "inconclusive": "inconclusive"}
            rollouts.set_stage(connection, row.id, number, states[verdict.outcome], verdict=verdict)
            return "judge_stage", {"stage": number, "verdict": msgspec.to_builtins(verdict)}
        case PutBack(which, reason):
            return "put_back", {"which": which, "reason": reason, "count": _put_back(connection, row, decision, now_ms)}
        case SetState(state, reason):
            rollouts.set_state(connection, row.id, state, reason)
            return "set_state", {"state": state, "reason": reason}


def _open(connection: Connection, row: RolloutRow, number: int, now_ms: int) -> int:
    """Offer the release to a stage's pending devices; their number."""
    rollouts.set_current_stage(connection, row.id, number)
    rollouts.set_stage(connection, row.id, number, "dispatching", since_ms=now_ms)
    names = [member.device for member in members.listed(connection, row.id, number=number, states=["pending"])]
    present = members.present(connection, names)
    gone = sorted(set(names) - set(present))
    members.set_state(connection, row.id, gone, "canceled", reason="retired", now_ms=now_ms)
    offer = _offer(connection, row)
    before = desired.lock(connection, sorted(present))
    previous = {name: _entry(models, row.model) for name, models in before.items()}
    members.set_offered(connection, row.id, previous, now_ms=now_ms)
    wanted = {name: _with(models, row.model, offer) for name, models in before.items()}
    desired.change(connection, wanted, now_ms=now_ms)
    return len(wanted)


def _offer(connection: Connection, row: RolloutRow) -> DesiredModel:
    release = releases.get_release(connection, row.model, row.version)
    return DesiredModel(
        name=row.model,
        version=row.version,
        sha256=row.sha256,
        bytes=release.bytes,
        counter=release.counter,
        rollout=row.id,
        soak_s=row.plan.soak_s,
    )


def _time_out(connection: Connection, row: RolloutRow, number: int, now_ms: int) -> int:
    names = [member.device for member in members.listed(connection, row.id, number=number, states=["offered"])]
    members.set_state(connection, row.id, names, "timed_out", reason="offer_not_taken", now_ms=now_ms)
    return len(names)


def _put_back(connection: Connection, row: RolloutRow, decision: PutBack, now_ms: int) -> int:
    """Give touched devices back what they had; their number."""
    touched = [member for member in members.listed(connection, row.id) if _is_touched(member, decision)]
    by_name = {member.device: member for member in touched}
    before = desired.lock(connection, sorted(by_name))
    ours = {name: models for name, models in before.items() if _names(models, row)}
    wanted = {name: _with(models, row.model, by_name[name].previous) for name, models in ours.items()}
    desired.change(connection, wanted, now_ms=now_ms)
    # A device that ended badly keeps that word: it says why all this happened.
    renamed = [name for name in sorted(ours) if by_name[name].state not in BAD]
    state = "restored" if decision.which == "all" else "canceled"
    members.set_state(connection, row.id, renamed, state, reason=decision.reason, now_ms=now_ms)
    return len(wanted)


def _is_touched(member: Member, decision: PutBack) -> bool:
    if member.offered_ms is None:
        return False
    return decision.which == "all" or member.state not in GOOD | BAD | NEUTRAL


def _names(models: Sequence[DesiredModel], row: RolloutRow) -> bool:
    entry = _entry(models, row.model)
    return entry is not None and entry.rollout == row.id


def _entry(models: Sequence[DesiredModel], model: str) -> DesiredModel | None:
    return next((item for item in models if item.name == model), None)


def _with(models: Sequence[DesiredModel], model: str, entry: DesiredModel | None) -> list[DesiredModel]:
    """`models` with the entry of `model` replaced, or left out when there is none."""
    others = [item for item in models if item.name != model]
    return sorted([*others, *([] if entry is None else [entry])], key=lambda item: item.name)
