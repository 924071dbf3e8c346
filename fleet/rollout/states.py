"""The words of a rollout: its states, its stages' states, its devices' states and how far along each is.

A device's state is an update state of `edgekit.messages`, or one that only the server gives: `pending` (its stage has
not opened), `offered` (its desired document names the release), `timed_out` (it never took the offer), `lost`
(activated, then silent), `restored` (its desired document was put back).
"""

from __future__ import annotations

from typing import Literal, get_args

from edgekit.messages import BAD_STATES, FINAL_STATES, UpdateState

RolloutState = Literal[
    "draft",
    "awaiting_approval",
    "scheduled",
    "running",
    "paused",
    "completed",
    "aborting",
    "aborted",
    "rolling_back",
    "rolled_back",
    "superseded",
    "failed",
]
StageState = Literal["pending", "dispatching", "soaking", "analyzing", "passed", "failed", "inconclusive"]
Action = Literal["approve", "pause", "resume", "promote", "abort", "rollback"]

MOVING = ("running", "aborting", "rolling_back")  # the controller looks at these
UNENDED = ("draft", "awaiting_approval", "scheduled", "running", "paused", "aborting", "rolling_back")

# From which states an operator may do what. Rolling back a rollout that ended puts back only what it still owns.
ALLOWED: dict[Action, tuple[RolloutState, ...]] = {
    "approve": ("awaiting_approval",),
    "pause": ("running",),
    "resume": ("paused",),
    "promote": ("running", "paused"),
    "abort": ("awaiting_approval", "running", "paused"),
    "rollback": ("running", "paused", "completed", "aborted"),
}

GOOD = frozenset({"succeeded", "already_installed"})
BAD = BAD_STATES | {"lost"}
NEUTRAL = frozenset({"canceled", "superseded", "restored"})
UNDER_WAY = frozenset(get_args(UpdateState)) - FINAL_STATES
ACTIVATED = frozenset({"activating", "soaking", "succeeded"})

_FINAL_RANK = 90
_RANK = {
    "pending": 0,
    "offered": 1,
    "timed_out": 2,
    "queued": 10,
    "waiting": 20,
    "downloading": 30,
    "verifying": 40,
    "testing": 50,
    "activating": 60,
    "soaking": 70,
    "lost": 80,  # a device that was only away may still report how it ended
    "restored": 100,
} | dict.fromkeys(FINAL_STATES, _FINAL_RANK)


def moves_forward(before: str, after: str) -> bool:
    """May a report change a device from `before` to `after`? Never back, so duplicates and disorder are harmless.

    A device that was offered nothing has nothing to report.
    """
    return before != "pending" and _RANK[after] > _RANK[before]
