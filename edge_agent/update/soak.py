"""Does a model on trial serve well? Pure: counts and times in, an event out."""

from __future__ import annotations

from dataclasses import dataclass

from edge_agent.update.table import Event, Happened

MIN_ERRORS = 3
MAX_ERROR_RATIO = 0.01


@dataclass(frozen=True)
class Served:
    """Requests that the trial answered, and those it failed (status 500 and above)."""

    ok: int = 0
    server_error: int = 0


def judge(served: Served, soaked_s: float, soak_s: float) -> Happened | None:
    """UNHEALTHY as soon as it fails too often, PASSED when its time is over, None while it goes on.

    Too often: at least `MIN_ERRORS` and more than `MAX_ERROR_RATIO` of all that was not the client's fault. At the end
    a single failure above the ratio is too much: a trial that failed one request of ten proved nothing good.
    """
    total = served.ok + served.server_error
    over = served.server_error > MAX_ERROR_RATIO * total
    finished = soaked_s >= soak_s
    if over and (finished or served.server_error >= MIN_ERRORS):
        return Happened(Event.UNHEALTHY, "server_errors", f"{served.server_error} of {total} requests failed")
    return Happened(Event.PASSED) if finished else None
