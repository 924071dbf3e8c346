"""What a rollout does next: pure. The situation and the time go in, decisions come out; no clock, disk or chance.

Decisions are applied in order, in one transaction with the row of the rollout locked (`fleet.rollout.apply`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from fleet.rollout.gates import Limits, Verdict, judge
from fleet.rollout.plan import Plan
from fleet.rollout.states import UNDER_WAY, RolloutState, StageState


@dataclass(frozen=True)
class Situation:
    """All that a decision depends on.

    `stage` counts from 1. `counts`: devices of this stage by state. `undispatched`: devices of the whole rollout whose
    desired document has not reached the broker. `silent`: devices of this stage that activated and were not heard
    since `lost_after_s`; `others_heard`, `others_silent`: the rest of the fleet that was alive when the stage began.
    """

    state: RolloutState
    reason: str | None
    plan: Plan
    release_known: bool
    stage: int
    stage_state: StageState
    since_ms: int
    counts: Mapping[str, int]
    undispatched: int
    silent: Mapping[str, str]
    others_heard: int
    others_silent: int

    @property
    def is_last_stage(self) -> bool:
        """No stage follows."""
        return self.stage == len(self.plan.stages)


@dataclass(frozen=True)
class OpenStage:
    """Offer the release to the pending devices of this stage."""

    stage: int


@dataclass(frozen=True)
class MoveStage:
    """The stage is further on."""

    stage: int
    state: StageState


@dataclass(frozen=True)
class MarkLost:
    """These devices activated the release and fell silent while the rest of the fleet did not."""

    devices: tuple[str, ...]


@dataclass(frozen=True)
class TimeOut:
    """Devices of this stage that never took the offer: not bad, no longer waited for."""

    stage: int


@dataclass(frozen=True)
class JudgeStage:
    """The gate's verdict."""

    stage: int
    verdict: Verdict


@dataclass(frozen=True)
class PutBack:
    """Give devices back what they had before: all that were offered the release, or the unfinished ones."""

    which: Literal["all", "unfinished"]
    reason: str


@dataclass(frozen=True)
class SetState:
    """The rollout changes its state."""

    state: RolloutState
    reason: str | None = None


Decision = OpenStage | MoveStage | MarkLost | TimeOut | JudgeStage | PutBack | SetState


def decide(now: Situation, now_ms: int) -> tuple[Decision, ...]:
    """What follows from the situation at that time; nothing when there is nothing to do."""
    match now.state:
        case "running":
            return _run(now, now_ms)
        case "aborting" if now.undispatched == 0:
            return (SetState("aborted", now.reason),)
        case "rolling_back" if now.undispatched == 0:
            return (SetState("rolled_back", now.reason),)
        case _:
            return ()


def put_back(which: Literal["all", "unfinished"], reason: str) -> tuple[Decision, ...]:
    """Stop and put back; also what an operator's abort and rollback mean."""
    return (PutBack(which, reason), SetState("rolling_back" if which == "all" else "aborting", reason))


def go_on(now: Situation) -> tuple[Decision, ...]:
    """What follows a stage that passed. The rollout is over only when nothing of it is undispatched."""
    if not now.is_last_stage:
        return (OpenStage(now.stage + 1),) if now.release_known else _WITHDRAWN
    return () if now.undispatched else (SetState("completed"),)


_WITHDRAWN: tuple[Decision, ...] = (SetState("paused", "release_withdrawn"),)


def _run(now: Situation, now_ms: int) -> tuple[Decision, ...]:
    if now.stage_state == "passed":
        return go_on(now)
    if now.stage_state == "pending":
        return (OpenStage(now.stage),) if now.release_known else _WITHDRAWN
    seen, noticed = _notice(now, now_ms)
    limits = Limits(now.plan.max_bad_ratio, now.plan.min_reported_ratio)
    verdict = judge(seen.counts, limits, last_look=_is_over(now, now_ms))
    if verdict is None:
        progress = _progress(seen)
        return noticed if progress == now.stage_state else (*noticed, MoveStage(now.stage, progress))
    return (*noticed, JudgeStage(now.stage, verdict), *_consequence(seen, verdict))


def _is_over(now: Situation, now_ms: int) -> bool:
    return now_ms - now.since_ms >= now.plan.wait_max_s * 1000


def _notice(now: Situation, now_ms: int) -> tuple[Situation, tuple[Decision, ...]]:
    """What silence and time change, as decisions and already counted."""
    noticed: list[Decision] = []
    counts = dict(now.counts)
    # When most of the fleet fell silent too, the cause is a broker or a network: nothing can be said of the release.
    if now.silent and now.others_heard > now.others_silent:
        noticed.append(MarkLost(tuple(sorted(now.silent))))
        for state in now.silent.values():
            counts[state] -= 1
        counts["lost"] = counts.get("lost", 0) + len(now.silent)
    if _is_over(now, now_ms) and counts.get("offered"):
        noticed.append(TimeOut(now.stage))
        counts["timed_out"] = counts.get("timed_out", 0) + counts.pop("offered")
    return replace(now, counts=counts), tuple(noticed)


def _progress(now: Situation) -> StageState:
    if now.undispatched:
        return "dispatching"
    under_way = sum(now.counts.get(state, 0) for state in UNDER_WAY)
    waiting = now.counts.get("offered", 0) == sum(now.counts.values())
    return "soaking" if under_way or waiting else "analyzing"


def _consequence(now: Situation, verdict: Verdict) -> tuple[Decision, ...]:
    match verdict.outcome:
        case "pass":
            return go_on(now)
        case "inconclusive":
            return (SetState("paused", f"stage_{now.stage}_inconclusive"),)
        case "fail":
            reason = f"stage_{now.stage}_failed"
            if now.plan.on_fail == "pause":
                return (SetState("paused", reason),)
            return put_back("all" if now.plan.on_fail == "rollback" else "unfinished", reason)
