"""The life-cycle of one update as a literal table: state × event → next state and what to do.

Pure: nothing here touches disk, network, clock or model. The rules it keeps:

- Until `activating` the device serves what it served before; nothing that is downloaded can change that.
- Every way out of `activating` and `soaking` but success restores the model that was proven before.
- An end is an end: a final state has no row. What was cut begins again at `queued` (or `soaking`, when a trial
  serves) and finds on disk how far it came.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from edgekit.messages import FINAL_STATES, UpdateState


class Event(StrEnum):
    """What happened to an update."""

    SERVING = "serving"  # what is asked for serves already
    STORED = "stored"  # its verified folder is in the store
    ABSENT = "absent"  # it must be downloaded
    BLOCKED = "blocked"  # it cannot go on for now: disk short, clock untrusted
    READY = "ready"  # it is time to look again
    COMPLETE = "complete"  # every chunk is there
    ALTERED = "altered"  # some chunks turned out wrong and were thrown away
    PASSED = "passed"  # the step's check held
    REFUSED = "refused"  # the release is bad: it must not run here
    BROKEN = "broken"  # the device or the fleet could not do it
    UNHEALTHY = "unhealthy"  # it served badly, or killed its process
    SUPERSEDED = "superseded"  # another release is asked for
    CANCELED = "canceled"  # nothing is asked for any more


class Action(StrEnum):
    """What to do on entering a state, in order. The last action of a state that is not final yields the next event."""

    CHECK = "check"  # is it serving, stored, absent, blocked?
    WAIT = "wait"
    DOWNLOAD = "download"
    VERIFY = "verify"  # the whole file against its digest
    TEST = "test"  # the preflight child
    PUBLISH = "publish"  # move the tested folder into the store
    ACTIVATE = "activate"  # note the trial durably, load, golden rows, swap
    SOAK = "soak"
    COMMIT = "commit"  # the trial becomes current, current becomes previous
    RESTORE = "restore"  # serve current again, forget the trial
    DISCARD = "discard"  # remove what was downloaded
    RECORD = "record"  # remember the end, so that it is not tried again for the same rollout


@dataclass(frozen=True)
class Happened:
    """An event with its stable reason word and, for people, a detail."""

    event: Event
    reason: str | None = None
    detail: str | None = None


@dataclass(frozen=True)
class Step:
    """One cell of the table."""

    state: UpdateState
    actions: tuple[Action, ...]


def _step(state: UpdateState, *actions: Action) -> Step:
    return Step(state, actions)


_A = Action
TABLE: dict[tuple[UpdateState, Event], Step] = {
    ("queued", Event.SERVING): _step("already_installed", _A.RECORD),
    ("queued", Event.STORED): _step("activating", _A.ACTIVATE),
    ("queued", Event.ABSENT): _step("downloading", _A.DOWNLOAD),
    ("queued", Event.BLOCKED): _step("waiting", _A.WAIT),
    ("queued", Event.REFUSED): _step("rejected", _A.RECORD),
    ("queued", Event.BROKEN): _step("failed", _A.RECORD),
    ("queued", Event.SUPERSEDED): _step("superseded", _A.RECORD),
    ("queued", Event.CANCELED): _step("canceled", _A.RECORD),
    ("waiting", Event.READY): _step("queued", _A.CHECK),
    ("waiting", Event.SUPERSEDED): _step("superseded", _A.RECORD),
    ("waiting", Event.CANCELED): _step("canceled", _A.DISCARD, _A.RECORD),
    ("downloading", Event.COMPLETE): _step("verifying", _A.VERIFY),
    ("downloading", Event.BLOCKED): _step("waiting", _A.WAIT),
    ("downloading", Event.BROKEN): _step("failed", _A.DISCARD, _A.RECORD),
    ("downloading", Event.SUPERSEDED): _step("superseded", _A.RECORD),
    ("downloading", Event.CANCELED): _step("canceled", _A.DISCARD, _A.RECORD),
    ("verifying", Event.PASSED): _step("testing", _A.TEST),
    ("verifying", Event.ALTERED): _step("downloading", _A.DOWNLOAD),
    ("verifying", Event.BROKEN): _step("failed", _A.DISCARD, _A.RECORD),
    ("verifying", Event.SUPERSEDED): _step("superseded", _A.RECORD),
    ("verifying", Event.CANCELED): _step("canceled", _A.DISCARD, _A.RECORD),
    ("testing", Event.PASSED): _step("activating", _A.PUBLISH, _A.ACTIVATE),
    ("testing", Event.BLOCKED): _step("waiting", _A.WAIT),
    ("testing", Event.REFUSED): _step("rejected", _A.DISCARD, _A.RECORD),
    ("testing", Event.BROKEN): _step("failed", _A.DISCARD, _A.RECORD),
    ("testing", Event.SUPERSEDED): _step("superseded", _A.RECORD),
    ("testing", Event.CANCELED): _step("canceled", _A.DISCARD, _A.RECORD),
    ("activating", Event.PASSED): _step("soaking", _A.SOAK),
    ("activating", Event.REFUSED): _step("rejected", _A.RESTORE, _A.RECORD),
    ("activating", Event.BROKEN): _step("failed", _A.RESTORE, _A.RECORD),
    ("activating", Event.SUPERSEDED): _step("superseded", _A.RESTORE, _A.RECORD),
    ("activating", Event.CANCELED): _step("canceled", _A.RESTORE, _A.RECORD),
    ("soaking", Event.PASSED): _step("succeeded", _A.COMMIT, _A.RECORD),
    ("soaking", Event.UNHEALTHY): _step("rolled_back", _A.RESTORE, _A.RECORD),
    ("soaking", Event.SUPERSEDED): _step("superseded", _A.RESTORE, _A.RECORD),
    ("soaking", Event.CANCELED): _step("canceled", _A.RESTORE, _A.RECORD),
}


def step(state: UpdateState, event: Event) -> Step:
    """The cell for `event` in `state`. Raises KeyError: an event that cannot happen there is a fault of the caller."""
    return TABLE[state, event]


def resume_action(state: UpdateState) -> Action:
    """What an update does that begins, or begins again after a restart, in `state` (`queued` or `soaking`)."""
    return {"queued": _A.CHECK, "soaking": _A.SOAK}[state]


def exits(state: UpdateState) -> Iterator[tuple[Event, Step]]:
    """The rows of `state`."""
    return ((event, cell) for (row, event), cell in TABLE.items() if row == state)


def is_final(state: UpdateState) -> bool:
    """True for an end."""
    return state in FINAL_STATES
