"""What the slots of this device went through: how updates ended, and the steps that they took since the agent started.

Ends are durable (the state file keeps the latest few of each model); the steps between are kept in memory, as many as
fit: the fleet server has them all.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any

import msgspec

from edge_agent.update.course import OnState
from edge_agent.update.state import ModelState, Outcome, Slot, State, Target, Trial
from edge_agent.update.table import Happened, is_final
from edgekit.errors import NotFound
from edgekit.messages import UpdateState
from edgekit.times import rfc3339, utc_now

MAX_STEPS = 128
MAX_ENTRIES = 512


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One state that an update was in. `time`: when it got there (RFC 3339)."""

    time: str
    model: str
    version: str
    sha256: str
    rollout: str
    state: UpdateState
    reason: str | None
    detail: str | None


class Steps:
    """The latest steps of updates that are no ends, oldest first: noted on their way to `on_state`."""

    def __init__(self, on_state: OnState) -> None:
        self._on_state = on_state
        self.entries: deque[Entry] = deque(maxlen=MAX_STEPS)

    async def on_state(self, target: Target, state: UpdateState, happened: Happened | None) -> None:
        """An update entered a state."""
        if not is_final(state):
            self.entries.append(
                Entry(
                    time=rfc3339(utc_now()),
                    model=target.name,
                    version=target.version,
                    sha256=target.sha256,
                    rollout=target.rollout,
                    state=state,
                    reason=happened.reason if happened else None,
                    detail=happened.detail if happened else None,
                )
            )
        await self._on_state(target, state, happened)


def history(state: State, steps: deque[Entry], name: str | None = None) -> dict[str, Any]:
    """The document of `GET /history`, newest first; of one model with a `name`. Raises NotFound for an unknown one."""
    if name is not None and name not in state.models and all(step.model != name for step in steps):
        raise NotFound(f"no model {name[:63]!r} was ever meant for this device: see /status for those that are")
    models = {model: slots for model, slots in sorted(state.models.items()) if name in (None, model)}
    ends = [_end(model, outcome) for model, slots in models.items() for outcome in slots.outcomes]
    passed = [step for step in steps if name in (None, step.model)]
    # Times have milliseconds: where they are equal, what was noted later is newer, and an end is the newest.
    entries = sorted([*passed, *ends], key=lambda entry: entry.time)[::-1]
    return {
        "slots": {model: _slots(slots) for model, slots in models.items()},
        "history": [msgspec.to_builtins(entry) for entry in entries[:MAX_ENTRIES]],
    }


def _end(model: str, outcome: Outcome) -> Entry:
    return Entry(
        time=outcome.time,
        model=model,
        version=outcome.version,
        sha256=outcome.sha256,
        rollout=outcome.rollout,
        state=outcome.state,
        reason=outcome.reason,
        detail=outcome.detail,
    )


def _slots(model: ModelState) -> Mapping[str, Any]:
    return {"current": _slot(model.current), "previous": _slot(model.previous), "trial": _slot(model.trial)}


def _slot(slot: Slot | Trial | None) -> dict[str, str] | None:
    return None if slot is None else {"version": slot.version, "sha256": slot.sha256, "rollout": slot.rollout}
