"""`GET /history`: ends from the state file and steps from memory, in one order."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from edge_agent.update.history import MAX_ENTRIES, MAX_STEPS, Entry, Steps, history
from edge_agent.update.state import MAX_OUTCOMES, ModelState, Outcome, Slot, State, Target
from edge_agent.update.table import Event, Happened
from edgekit.errors import NotFound
from edgekit.messages import UpdateState

A, B = "a" * 64, "b" * 64


def end(sha256: str, time: str, state: UpdateState = "succeeded", **more: Any) -> Outcome:
    return Outcome(sha256=sha256, version="1.1.0", rollout="r1", state=state, time=time, **more)


def target(name: str = "pump") -> Target:
    return Target(name=name, version="1.1.0", sha256=B, bytes=1, counter=1, rollout="r2")


def step(time: str, state: UpdateState = "soaking", model: str = "pump") -> Entry:
    return Entry(time=time, model=model, version="1.1.0", sha256=B, rollout="r2", state=state, reason=None, detail=None)


def steps_of(*entries: Entry) -> Steps:
    async def told(*_: object) -> None: ...

    steps = Steps(told)
    steps.entries.extend(entries)
    return steps


STATE = State(
    models={
        "pump": ModelState(
            current=Slot(sha256=A, version="1.0.0", manifest_sha256=A, rollout="r1"),
            outcomes=[
                end(A, "2026-01-01T00:00:00.000Z"),
                end(B, "2026-01-03T00:00:00.000Z", "rolled_back", reason="crashed", detail="it died"),
            ],
        ),
        "meter": ModelState(outcomes=[end(A, "2026-01-02T00:00:00.000Z", "failed")]),
    }
)


def told(document: dict[str, Any]) -> list[tuple[str, str]]:
    return [(entry["model"], entry["state"]) for entry in document["history"]]


def test_ends_and_steps_come_newest_first() -> None:
    steps = steps_of(step("2026-01-02T12:00:00.000Z", "testing"), step("2026-01-03T00:00:00.000Z", "soaking"))
    document = history(STATE, steps.entries)
    assert told(document) == [
        ("pump", "rolled_back"),
        ("pump", "soaking"),
        ("pump", "testing"),
        ("meter", "failed"),
        ("pump", "succeeded"),
    ]
    assert (document["history"][0]["reason"], document["history"][0]["detail"]) == ("crashed", "it died")
    assert document["slots"]["pump"] == {
        "current": {"version": "1.0.0", "sha256": A, "rollout": "r1"},
        "previous": None,
        "trial": None,
    }


def test_one_model_is_told_alone() -> None:
    document = history(STATE, steps_of(step("2026-01-04T00:00:00.000Z", model="pump")).entries, "meter")
    assert (told(document), list(document["slots"])) == ([("meter", "failed")], ["meter"])


def test_a_model_never_seen_is_not_found() -> None:
    with pytest.raises(NotFound):
        history(STATE, steps_of().entries, "nobody")
    assert history(STATE, steps_of(step("2026-01-04T00:00:00.000Z", model="new")).entries, "new")["slots"] == {}


def test_steps_are_noted_and_handed_on_and_ends_only_handed_on() -> None:
    handed: list[UpdateState] = []

    async def on_state(_: Target, state: UpdateState, __: Happened | None) -> None:
        handed.append(state)

    async def run() -> Steps:
        steps = Steps(on_state)
        await steps.on_state(target(), "queued", None)
        await steps.on_state(target(), "waiting", Happened(Event.BLOCKED, "clock_untrusted", "no time yet"))
        await steps.on_state(target(), "succeeded", None)
        return steps

    steps = asyncio.run(run())
    assert handed == ["queued", "waiting", "succeeded"]
    assert [(entry.state, entry.reason) for entry in steps.entries] == [
        ("queued", None),
        ("waiting", "clock_untrusted"),
    ]


def test_it_stays_short_however_much_happened() -> None:
    many = {
        f"m{number}": ModelState(
            outcomes=[end(A, f"2026-01-01T00:00:{second:02d}.000Z") for second in range(MAX_OUTCOMES)]
        )
        for number in range(100)
    }
    steps = steps_of(*(step(f"2026-01-02T00:{number // 60:02d}:{number % 60:02d}.000Z") for number in range(1000)))
    document = history(State(models=many), steps.entries)
    assert len(document["history"]) == MAX_ENTRIES
    assert sum(entry["state"] == "soaking" for entry in document["history"]) == MAX_STEPS
