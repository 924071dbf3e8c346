"""What time alone makes necessary: fresh signatures on release metadata, old reports forgotten."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from fleet.release import metadata
from fleet.release.signers import Signers
from fleet.server import Server
from fleet.store import reports
from fleet.store.moments import stored

_EVERY = timedelta(hours=1)


class Housekeeping:
    """One thread calls `step`."""

    def __init__(self, server: Server, keys: Signers) -> None:
        self._database = server.database
        self._clock: Callable[[], datetime] = server.clock
        self._wake = server.wake
        self._keys = keys
        self._last: datetime | None = None

    def step(self) -> bool:
        """Work at the start and then every hour. False: there is never more to do at once."""
        now = self._clock()
        if self._last is not None and now - self._last < _EVERY:
            return False
        with self._database.begin() as connection:
            reports.trim(connection, now_ms=stored(now))
            signed = metadata.refresh(connection, self._keys, now)
        self._last = now
        if signed:
            self._wake()
        return False
