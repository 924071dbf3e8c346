"""Moves rollouts on: reads, decides, and writes all that follows in one transaction.

A rollout's row is locked while it is decided, so any number of servers may run this on one database.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from fleet.rollout import situation
from fleet.rollout.apply import apply
from fleet.rollout.decide import decide
from fleet.store import rollouts
from fleet.store.database import Database
from fleet.store.moments import stored

_BY = "controller"


class Controller:
    """`listening_since`: since when devices are heard, None while they are not."""

    def __init__(
        self, database: Database, clock: Callable[[], datetime], listening_since: Callable[[], datetime | None]
    ) -> None:
        self._database = database
        self._clock = clock
        self._listening_since = listening_since

    def step(self) -> bool:
        """Decide once for every rollout on its way. True when anything was decided: there may be more at once."""
        with self._database.read() as connection:
            moving = rollouts.moving(connection)
        decided = [rollout_id for rollout_id in moving if self._step(rollout_id)]
        return bool(decided)

    def _step(self, rollout_id: str) -> bool:
        if not self._has_something(rollout_id):
            return False
        now_ms = stored(self._clock())
        with self._database.begin() as connection:
            row = rollouts.lock(connection, rollout_id)
            current = situation.read(connection, row, listening_since_ms=self._listening_ms(), now_ms=now_ms)
            decisions = decide(current, now_ms)
            if decisions:
                apply(connection, row, decisions, by=_BY, now_ms=now_ms)
        return bool(decisions)

    def _has_something(self, rollout_id: str) -> bool:
        """A look without a lock, so that a fleet at rest costs no write transaction."""
        now_ms = stored(self._clock())
        with self._database.read() as connection:
            row = rollouts.get(connection, rollout_id)
            current = situation.read(connection, row, listening_since_ms=self._listening_ms(), now_ms=now_ms)
        return bool(decide(current, now_ms))

    def _listening_ms(self) -> int | None:
        since = self._listening_since()
        return None if since is None else stored(since)
