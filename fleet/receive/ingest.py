"""From the link to the database: messages are gathered, stored in one transaction, and acknowledged after its commit.

A message leaves this room only when it is stored, was stored before, or is set aside. While the database is away it
waits; a message that the database refuses is set aside alone, so that it holds up no other.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, exc

from edgekit.errors import Unreachable
from edgekit.messages import Ack, encode
from edgekit.topics import Topics
from fleet.receive.arrivals import Sorted, aside, identity, sort
from fleet.receive.link import Arrival, Message
from fleet.store import events, reports
from fleet.store.database import Database
from fleet.store.moments import stored
from fleet.store.reports import Key

log = logging.getLogger(__name__)

_MAX_BATCH = 500
_MAX_WAITING = 20_000
_MAX_ACKED = 500
_PAUSE_S = 0.5
# Faults of the database itself (away, locked, of another schema): no message is to blame, so every one of them waits.
_AWAY = (
    exc.OperationalError,
    exc.InterfaceError,
    exc.InternalError,
    exc.ProgrammingError,
    exc.TimeoutError,
    Unreachable,
)


@dataclass(frozen=True)
class FreshConnection:
    """Marks in the queue where a new connection begins."""


@dataclass(frozen=True)
class Outlets:
    """`post`: send without waiting; `wake`: something changed; `want`: a device asks for that artifact."""

    post: Callable[[Message], None]
    wake: Callable[[], None]
    want: Callable[[str], None]


class Ingest:
    """One worker thread calls `run`; any thread may call `arrived` and `fresh`."""

    def __init__(self, database: Database, topics: Topics, clock: Callable[[], datetime], outlets: Outlets) -> None:
        self._database = database
        self._topics = topics
        self._clock = clock
        self._outlets = outlets
        self._waiting: queue.Queue[Arrival | FreshConnection | None] = queue.Queue(_MAX_WAITING)  # None: look up
        self._stopping = threading.Event()

    def fresh(self) -> None:
        """A new connection: what was known of who is online ends here."""
        self._put(FreshConnection())

    def arrived(self, arrival: Arrival) -> None:
        """Take a message. Waits when the database cannot follow, which slows the broker down instead of losing."""
        self._put(arrival)

    def run(self) -> None:
        """Store what arrives until `stop`, then what is left."""
        while not self._stopping.is_set() or not self._waiting.empty():
            batch = self._gather()
            while batch and not self._try(batch):
                if self._stopping.wait(_PAUSE_S):
                    return

    def stop(self) -> None:
        """Have `run` return. What is not acknowledged will be sent again by its device."""
        self._stopping.set()
        with contextlib.suppress(queue.Full):
            self._waiting.put_nowait(None)

    def store(self, batch: Sequence[Arrival | FreshConnection]) -> None:
        """Store a batch durably, then acknowledge it. Raises what the database raises; then nothing is stored."""
        arrivals = [item for item in batch if isinstance(item, Arrival)]
        now_ms = stored(self._clock())
        with self._database.begin() as connection:
            if len(arrivals) < len(batch):
                reports.all_offline(connection)
            known = reports.known_devices(connection, {arrival.device for arrival in arrivals})
            sorted_ = sort(arrivals, known, now_ms=now_ms)
            _store(connection, sorted_, now_ms)
        self._tell(sorted_)

    def _put(self, item: Arrival | FreshConnection) -> None:
        while not self._stopping.is_set():
            try:
                self._waiting.put(item, timeout=_PAUSE_S)
            except queue.Full:
                continue
            return

    def _gather(self) -> list[Arrival | FreshConnection]:
        """What waits now, up to one transaction's worth; a new connection begins a new batch."""
        batch: list[Arrival | FreshConnection | None] = []
        try:
            batch.append(self._waiting.get(timeout=_PAUSE_S))
            while len(batch) < _MAX_BATCH and not self._begins_anew():
                batch.append(self._waiting.get_nowait())
        except queue.Empty:
            pass
        return [item for item in batch if item is not None]

    def _begins_anew(self) -> bool:
        waiting = self._waiting.queue  # one consumer: what lies in front stays there
        return bool(waiting) and isinstance(waiting[0], FreshConnection)

    def _try(self, batch: Sequence[Arrival | FreshConnection]) -> bool:
        """False when the database is away: the same batch must be tried again."""
        try:
            self.store(batch)
        except _AWAY as error:
            log.warning("reports wait, the database is not usable: %s", error)
            return False
        except Exception:
            log.exception("a batch of %d messages could not be stored; they are tried one by one", len(batch))
            return all(self._try_alone(item) for item in batch)
        return True

    def _try_alone(self, item: Arrival | FreshConnection) -> bool:
        try:
            self.store([item])
        except _AWAY:
            return False
        except Exception as error:
            if not isinstance(item, Arrival):
                raise
            self._refuse(item, error)
        return True

    def _refuse(self, arrival: Arrival, error: Exception) -> None:
        log.error("a message on %s/%s is set aside: %s", arrival.device, arrival.leaf, type(error).__name__)
        with self._database.begin() as connection:
            item = aside(arrival, f"not_storable: {type(error).__name__}")
            reports.store_set_aside(connection, [item], now_ms=stored(self._clock()))
        key = identity(arrival)
        self._acknowledge(set() if key is None else {key})

    def _tell(self, batch: Sorted) -> None:
        self._acknowledge(batch.owed)
        for sha256 in batch.wants:
            self._outlets.want(sha256)
        if batch.events or batch.reported or batch.wants:
            self._outlets.wake()

    def _acknowledge(self, owed: set[Key]) -> None:
        by_epoch: dict[tuple[str, str], list[int]] = {}
        for device, epoch, seq in sorted(owed):
            by_epoch.setdefault((device, epoch), []).append(seq)
        for (device, epoch), seqs in by_epoch.items():
            for start in range(0, len(seqs), _MAX_ACKED):
                ack = Ack(epoch=epoch, seqs=seqs[start : start + _MAX_ACKED])
                self._outlets.post(Message(self._topics.device(device, "ack"), encode(ack), retain=False))


def _store(connection: Connection, batch: Sorted, now_ms: int) -> None:
    new = reports.count_new(connection, batch.events.keys() | batch.health.keys(), now_ms=now_ms)
    told = [batch.events[key] for key in sorted(batch.events.keys() & new)]
    events.store_events(connection, told, now_ms=now_ms)
    measured = [batch.health[key] for key in sorted(batch.health.keys() & new)]
    reports.store_health(connection, measured, now_ms=now_ms)
    reports.store_heard(connection, batch.heard, now_ms=now_ms)
    reports.store_presence(connection, batch.presence, now_ms=now_ms)
    reports.store_reported(connection, batch.reported, now_ms=now_ms)
    reports.store_set_aside(connection, batch.aside, now_ms=now_ms)
