"""Counting requests per model version, for health reports (deltas) and for `/metrics` (totals)."""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Iterable

from edge_agent.report.histogram import bucket
from edgekit.messages import Latency, ModelHealth, Requests

Identity = tuple[str, str, str]

_NOTES = 256


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
        index = bucket(elapsed_us)
        self.buckets[index] = self.buckets.get(index, 0) + requests

    def add(self, health: ModelHealth) -> None:
        self.ok += health.requests.ok
        self.client_error += health.requests.client_error
        self.server_error += health.requests.server_error
        self.rows += health.requests.rows
        self.n += health.latency.n
        self.sum_us += health.latency.sum_us
        self.max_us = max(self.max_us, health.latency.max_us)
        for index, count in health.latency.buckets:
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
        self._single: deque[tuple[Identity, int]] = deque()

    def count_single(self, identity: Identity, elapsed_us: int) -> None:
        """`count` of one answered row. Most requests are that, and a note costs a third of adding it up."""
        self._single.append((identity, elapsed_us))
        if len(self._single) >= _NOTES:
            with self._lock:
                self._add_singles()

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
        """Only taken out one by one: other threads may be noting meanwhile."""
        notes = Counter(self._single.popleft() for _ in range(len(self._single)))
        for (identity, elapsed_us), count in notes.items():
            self._tally(identity).answered(count, count, elapsed_us)


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
