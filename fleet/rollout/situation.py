"""Reads what a decision depends on, out of the database."""

from __future__ import annotations

from sqlalchemy import Connection

from edgekit.errors import NotFound
from fleet.rollout.decide import Situation
from fleet.store import members, releases, rollouts
from fleet.store.rollouts import RolloutRow, StageRow


def read(connection: Connection, row: RolloutRow, *, listening_since_ms: int | None, now_ms: int) -> Situation:
    """The situation of a rollout. `listening_since_ms`: since when the server hears devices; None: it does not now."""
    stage = rollouts.stage(connection, row.id, row.stage)
    silence_ms = round(row.plan.lost_after_s * 1000)
    silent, heard, quiet = _silence(connection, row, stage, listening_since_ms, now_ms - silence_ms)
    return Situation(
        state=row.state,
        reason=row.reason,
        plan=row.plan,
        release_known=_is_known(connection, row),
        stage=row.stage,
        stage_state=stage.state,
        since_ms=stage.since_ms,
        counts=members.counts(connection, [row.id]).get((row.id, row.stage), {}),
        undispatched=members.undispatched(connection, row.id),
        silent=silent,
        others_heard=heard,
        others_silent=quiet - len(silent),
    )


def _silence(
    connection: Connection, row: RolloutRow, stage: StageRow, listening_since_ms: int | None, before_ms: int
) -> tuple[dict[str, str], int, int]:
    # While the server itself was deaf, a device's silence says nothing: every device gets the full time anew.
    if listening_since_ms is None or listening_since_ms > before_ms:
        return {}, 0, 0
    silent = members.silent(connection, row.id, row.stage, before_ms=before_ms)
    if not silent:
        return {}, 0, 0
    alive_ms = stage.since_ms - round(row.plan.lost_after_s * 1000)
    return silent, *members.fleet_heard(connection, alive_ms=alive_ms, before_ms=before_ms)


def _is_known(connection: Connection, row: RolloutRow) -> bool:
    try:
        return releases.get_release(connection, row.model, row.version).sha256 == row.sha256
    except NotFound:
        return False
