"""Deciding as a table, and what holds for every sequence of reports."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleet.rollout.decide import (
    Decision,
    JudgeStage,
    MarkLost,
    MoveStage,
    OpenStage,
    PutBack,
    SetState,
    Situation,
    TimeOut,
    decide,
    put_back,
)
from fleet.rollout.plan import Plan, parse_plan
from fleet.rollout.states import BAD, GOOD, NEUTRAL, UNDER_WAY, moves_forward

SECOND = 1000


def plan_of(**more: Any) -> Plan:
    stages = [{"devices": "1"}, {"devices": "100%"}]
    return parse_plan({"model": "pump", "version": "1.0.0", "stages": stages, "wait_max_s": 100, **more})


def situation(**more: Any) -> Situation:
    plain = Situation(
        state="running",
        reason=None,
        plan=plan_of(),
        release_known=True,
        stage=1,
        stage_state="soaking",
        since_ms=0,
        counts={"soaking": 1},
        undispatched=0,
        silent={},
        others_heard=9,
        others_silent=0,
    )
    return replace(plain, **more)


def words(decisions: tuple[Decision, ...]) -> list[str]:
    """Decisions in short, for tables."""
    short = []
    for decision in decisions:
        match decision:
            case OpenStage(stage):
                short.append(f"open {stage}")
            case MoveStage(stage, state):
                short.append(f"{stage} {state}")
            case MarkLost(devices):
                short.append(f"lost {','.join(devices)}")
            case TimeOut(stage):
                short.append(f"time out {stage}")
            case JudgeStage(stage, verdict):
                short.append(f"{stage} {verdict.outcome}")
            case PutBack(which, _):
                short.append(f"put back {which}")
            case SetState(state, _):
                short.append(state)
    return short


ALL_SILENT = {"silent": {"a": "soaking"}, "others_heard": 0, "others_silent": 9}
CASES: list[tuple[str, dict[str, Any], list[str]]] = [
    ("a new rollout opens its first stage", {"stage_state": "pending", "counts": {"pending": 1}}, ["open 1"]),
    ("nothing new, nothing decided", {}, []),
    ("documents go out", {"undispatched": 1, "counts": {"offered": 1}}, ["1 dispatching"]),
    ("documents are out", {"stage_state": "dispatching", "counts": {"offered": 1}}, ["1 soaking"]),
    ("some ended, the rest is awaited", {"counts": {"succeeded": 5, "offered": 5}}, ["1 analyzing"]),
    ("a good stage opens the next", {"counts": {"succeeded": 1}}, ["1 pass", "open 2"]),
    ("a good last stage completes", {"stage": 2, "counts": {"succeeded": 9}}, ["2 pass", "completed"]),
    ("but not with documents unsent", {"stage": 2, "counts": {"succeeded": 9}, "undispatched": 1}, ["2 pass"]),
    ("it completes once they are", {"stage": 2, "stage_state": "passed"}, ["completed"]),
    ("a bad canary rolls back", {"counts": {"failed": 1}}, ["1 fail", "put back all", "rolling_back"]),
    (
        "or aborts",
        {"counts": {"failed": 1}, "plan": plan_of(on_fail="abort")},
        ["1 fail", "put back unfinished", "aborting"],
    ),
    ("or pauses", {"counts": {"failed": 1}, "plan": plan_of(on_fail="pause")}, ["1 fail", "paused"]),
    ("a silent canary is lost", {"silent": {"a": "soaking"}}, ["lost a", "1 fail", "put back all", "rolling_back"]),
    ("unless the whole fleet fell silent", ALL_SILENT, []),
    ("or there is no other device to compare with", {**ALL_SILENT, "others_silent": 0}, []),
    (
        "an offline canary times out",
        {"counts": {"offered": 1}, "since_ms": -100 * SECOND},
        ["time out 1", "1 inconclusive", "paused"],
    ),
    ("one that never ends is inconclusive", {"since_ms": -100 * SECOND}, ["1 inconclusive", "paused"]),
    ("not a moment earlier", {"since_ms": 1 - 100 * SECOND}, []),
    ("a withdrawn release opens nothing", {"stage_state": "pending", "release_known": False}, ["paused"]),
    ("nor after a good stage", {"counts": {"succeeded": 1}, "release_known": False}, ["1 pass", "paused"]),
    ("a paused rollout decides nothing", {"state": "paused", "counts": {"failed": 1}}, []),
    ("a completed one neither", {"state": "completed", "counts": {"failed": 1}}, []),
    ("aborting waits for the broker", {"state": "aborting", "undispatched": 1}, []),
    ("and is then aborted", {"state": "aborting"}, ["aborted"]),
    ("rolling back waits for the broker", {"state": "rolling_back", "undispatched": 1}, []),
    ("and is then rolled back", {"state": "rolling_back"}, ["rolled_back"]),
]


@pytest.mark.parametrize(("given_", "expected"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_a_situation_is_decided(given_: dict[str, Any], expected: list[str]) -> None:
    assert words(decide(situation(**given_), 0)) == expected


def test_deciding_changes_nothing_and_repeats_itself() -> None:
    now = situation(counts={"offered": 1, "succeeded": 2}, since_ms=-100 * SECOND)
    assert decide(now, 0) == decide(now, 0)
    assert now.counts == {"offered": 1, "succeeded": 2}


# ---- every sequence of reports --------------------------------------------------------------------------------

REPORTS = sorted(UNDER_WAY | GOOD | BAD - {"lost"} | NEUTRAL - {"restored"})


class Model:
    """A rollout in memory: carries out decisions as the database would, and notes who was ever offered anything."""

    def __init__(self, sizes: list[int], plan: Plan) -> None:
        self.stages = [{f"s{number}d{n}": "pending" for n in range(size)} for number, size in enumerate(sizes, 1)]
        self.touched: set[str] = set()
        self.now = situation(plan=plan, stage_state="pending", counts={})
        self.highest_passed = 0

    def step(self, now_ms: int) -> bool:
        devices = self.stages[self.now.stage - 1]
        counts = {state: list(devices.values()).count(state) for state in set(devices.values())}
        decisions = decide(replace(self.now, counts=counts), now_ms)
        for decision in decisions:
            self.carry_out(decision, now_ms)
        return bool(decisions)

    def carry_out(self, decision: Decision, now_ms: int) -> None:
        match decision:
            case OpenStage(stage):
                assert stage - 1 <= self.highest_passed, "a stage opened before the one in front of it passed"
                self.now = replace(self.now, stage=stage, stage_state="soaking", since_ms=now_ms)
                self.stages[stage - 1] = dict.fromkeys(self.stages[stage - 1], "offered")
                self.touched |= self.stages[stage - 1].keys()
            case TimeOut(stage):
                devices = self.stages[stage - 1]
                devices.update({name: "timed_out" for name, state in devices.items() if state == "offered"})
            case MoveStage(_, state):
                self.now = replace(self.now, stage_state=state)
            case JudgeStage(stage, verdict):
                states: Any = {"pass": "passed", "fail": "failed", "inconclusive": "inconclusive"}
                self.now = replace(self.now, stage_state=states[verdict.outcome])
                if verdict.outcome == "pass":
                    self.highest_passed = stage
            case SetState(state, _):
                self.now = replace(self.now, state=state)
            case _:
                pass

    def report(self, device: int, state: str) -> None:
        names = [name for stage in self.stages for name in stage]
        name = names[device % len(names)]
        stage = next(stage for stage in self.stages if name in stage)
        if moves_forward(stage[name], state):
            stage[name] = state

    def settle(self, now_ms: int) -> None:
        for _ in range(50):
            if not self.step(now_ms):
                return
        raise AssertionError("deciding never comes to rest")


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.integers(1, 6), min_size=1, max_size=4),
    st.lists(st.tuples(st.integers(0, 30), st.sampled_from(REPORTS), st.integers(0, 30)), max_size=40),
    st.sampled_from(["rollback", "abort", "pause"]),
    st.one_of(st.none(), st.integers(0, 40)),
)
def test_whatever_is_reported_only_opened_stages_are_touched_and_the_rollout_ends(
    sizes: list[int], reports: list[tuple[int, str, int]], on_fail: str, abort_at: int | None
) -> None:
    plan = plan_of(stages=[{"devices": [f"x{n}"]} for n in range(len(sizes))], on_fail=on_fail)
    model, now_ms, touched_at_abort = Model(sizes, plan), 0, None
    for number, (device, state, seconds) in enumerate(reports):
        if number == abort_at and model.now.state == "running":
            for decision in put_back("unfinished", "by_operator"):
                model.carry_out(decision, now_ms)
            touched_at_abort = set(model.touched)
        model.settle(now_ms)
        model.report(device, state)
        now_ms += seconds * SECOND
    model.settle(now_ms)
    opened = model.stages[: model.now.stage] if model.touched else []
    assert model.touched == {name for stage in opened for name in stage}
    if touched_at_abort is not None:
        assert model.touched == touched_at_abort, "a device was offered the release after the abort"
        assert model.now.state == "aborted"
    for _ in sizes:
        now_ms += 101 * SECOND
        model.settle(now_ms)
    assert model.now.state in {"completed", "aborted", "rolled_back", "paused"}
