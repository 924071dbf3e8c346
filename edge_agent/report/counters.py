"""Counting requests per model version, for health reports (deltas) and for `/metrics` (totals).

The usual request, one row answered on the event loop, is counted by a function of its model, in a plain list and
without a lock: only that thread writes there, and whoever reads takes the difference to what he saw before.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable

from edge_agent.report.histogram import BUCKETS, TABLE, TABLED_US, bucket
from edgekit.messages import Latency, ModelHealth, Requests

Identity = tuple[str, str, str]

Note = Callable[[int], None]


class _Lane:
    """Answered single rows of one model version. `note` is for one thread alone, the event loop's."""

    __slots__ = ("_read", "_seen", "_seen_us", "identity", "note")

    def __init__(self, identity: Identity) -> None:
        self.identity = identity
        self.note, self._read = _counting()
        self._seen, self._seen_us = [0] * BUCKETS, 0

    def take(self) -> Latency | None:
        """What was counted since the last `take`, from any one thread at a time; None when nothing was."""
        now, sum_us, max_us = self._read()
        before, before_us = self._seen, self._seen_us
        if now == before:
            return None
        self._seen, self._seen_us = now, sum_us
        pairs = enumerate(zip(now, before, strict=True))
        buckets = [(index, count - old) for index, (count, old) in pairs if count > old]
        answered = sum(count for _, count in buckets)
        return Latency(n=answered, sum_us=sum_us - before_us, max_us=max_us, buckets=buckets)


def _counting() -> tuple[Note, Callable[[], tuple[list[int], int, int]]]:
    """The function that counts a latency in µs, and the one that reads: buckets and sum, which only grow, and the
    maximum since it was read last. Variables of a function are the cheapest there are: a third of a method's time.
    """
    cells, table, sum_us, max_us = [0] * BUCKETS, TABLE, 0, 0

    def note(elapsed_us: int) -> None:
        nonlocal sum_us, max_us
        if elapsed_us < TABLED_US:
            cells[table[elapsed_us]] += 1
        else:
            cells[bucket(elapsed_us)] += 1
        sum_us += elapsed_us
        if elapsed_us > max_us:  # noqa: PLR1730 - max() would cost as much as all the rest
            max_us = elapsed_us

    def read() -> tuple[list[int], int, int]:
        nonlocal max_us
        while True:
            now = cells.copy()
            # The interpreter changes threads at calls and at jumps back: when nothing came while it copied, nothing
            # comes before the return, and all three belong together.
            if cells == now:
                largest, max_us = max_us, 0
                return now, sum_us, largest

    return note, read


class _Tally:
    """Counts of one model version."""

    __slots__ = ("buckets", "client_error", "max_us", "n", "ok", "rows", "server_error", "sum_us")

    def __init__(self) -> None:
        self.ok = self.client_error = self.server_error = self.rows = 0
        self.n = self.sum_us = self.max_us = 0
        self.buckets: dict[int, int] = {}

    def answered(self, requests: int, rows: int, elapsed_us: int) -> None:
        self.ok += requests
        self.rows += rows
        self.n += requests
        self.sum_us += elapsed_us * requests
        self.max_us = max(self.max_us, elapsed_us)
        index = TABLE[elapsed_us] if 0 <= elapsed_us < TABLED_US else bucket(elapsed_us)
        self.buckets[index] = self.buckets.get(index, 0) + requests

    def add(self, health: ModelHealth) -> None:
        self.ok += health.requests.ok
        self.client_error += health.requests.client_error
        self.server_error += health.requests.server_error
        self.rows += health.requests.rows
        self.add_latency(health.latency)

    def add_latency(self, latency: Latency) -> None:
        self.n += latency.n
        self.sum_us += latency.sum_us
        self.max_us = max(self.max_us, latency.max_us)
        for index, count in latency.buckets:
            self.buckets[index] = self.buckets.get(index, 0) + count

    def health(self, identity: Identity) -> ModelHealth:
        name, version, sha256 = identity
        return ModelHealth(
            name=name,
            version=version,
            sha256=sha256,
            requests=Requests(
                ok=self.ok, client_error=self.client_error, server_error=self.server_error, rows=self.rows
            ),
            latency=Latency(n=self.n, sum_us=self.sum_us, max_us=self.max_us, buckets=sorted(self.buckets.items())),
        )


class Counters:
    """Requests per model version, counted from any thread. `take` gives what was counted since the last `take`;
    `totals` what was counted since the process began.
    """

    def __init__(self) -> None:
        self._since: dict[Identity, _Tally] = {}
        self._before: dict[Identity, _Tally] = {}
        self._returned: list[ModelHealth] = []
        self._lock = threading.Lock()
        self._lanes: list[_Lane] = []

    def lane(self, identity: Identity) -> Note:
        """A function that counts one answered row by its latency in µs, as `count` would, for the event loop's thread
        alone. Ask once for each loaded model.
        """
        with self._lock:
            lane = next((lane for lane in self._lanes if lane.identity == identity), None)
            if lane is None:
                lane = _Lane(identity)
                self._lanes.append(lane)
        return lane.note

    def count(self, identity: Identity, outcome: str, *, rows: int = 0, elapsed_us: int = 0, requests: int = 1) -> None:
        """Requests to the model (name, version, sha256) that together held so many rows and took `elapsed_us` each.
        `outcome` is `ok`, `client_error` or `server_error`; only answered requests have rows and a latency.
        """
        with self._lock:
            tally = self._tally(identity)
            if outcome == "ok":
                tally.answered(requests, rows, elapsed_us)
            elif outcome == "client_error":
                tally.client_error += requests
            else:
                tally.server_error += requests

    def take(self) -> list[ModelHealth]:
        """The counts since the last `take`, by model version, and begin anew."""
        with self._lock:
            self._add_singles()
            fresh, self._since = _healths(self._since), {}
            returned, self._returned = self._returned, []
            _add(self._before, fresh)
        return add_up([*returned, *fresh])

    def put_back(self, taken: Iterable[ModelHealth]) -> None:
        """Undo a `take` whose report could not be kept: the next one will hold these counts too."""
        with self._lock:
            self._returned.extend(taken)

    def totals(self) -> list[ModelHealth]:
        """The counts since the process began."""
        with self._lock:
            self._add_singles()
            return add_up([*_healths(self._before), *_healths(self._since)])

    def _tally(self, identity: Identity) -> _Tally:
        tally = self._since.get(identity)
        if tally is None:
            tally = self._since[identity] = _Tally()
        return tally

    def _add_singles(self) -> None:
        for lane in self._lanes:
            latency = lane.take()
            if latency is not None:
                tally = self._tally(lane.identity)
                tally.ok += latency.n
                tally.rows += latency.n
                tally.add_latency(latency)


def add_up(healths: Iterable[ModelHealth]) -> list[ModelHealth]:
    """Counts of the same model version become one; sorted by name, version and digest."""
    tallies: dict[Identity, _Tally] = {}
    _add(tallies, healths)
    return _healths(tallies)


def _identity(health: ModelHealth) -> Identity:
    return health.name, health.version, health.sha256


def _healths(tallies: dict[Identity, _Tally]) -> list[ModelHealth]:
    return [tally.health(identity) for identity, tally in sorted(tallies.items())]


def _add(tallies: dict[Identity, _Tally], healths: Iterable[ModelHealth]) -> None:
    for health in healths:
        tallies.setdefault(_identity(health), _Tally()).add(health)
