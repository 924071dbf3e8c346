"""Keeps artifacts at the broker as long as a device needs them: chunks first, then the index; withdrawn in the other
order, so that whoever sees an index finds the chunks. Bounded by `broker.retained_max_bytes`.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator

from edgekit.chunks import index_of
from edgekit.errors import NotFound, Unreachable
from edgekit.messages import CHUNK_BYTES, ChunkIndex, encode
from edgekit.topics import Topics
from fleet.receive.link import Link, Message
from fleet.server import Server
from fleet.store import artifacts
from fleet.store.moments import stored

log = logging.getLogger(__name__)

_WANTED_S = 600.0  # how long a question keeps an artifact at the broker
_AGAIN_S = 10.0  # how often one may be published again because devices ask for it
_MAX_ASKED = 1000  # digests come from devices, so their number is bounded


class ArtifactCopy:
    """One thread calls `step`; any thread may call `want`."""

    def __init__(self, server: Server, link: Link, topics: Topics) -> None:
        self._database = server.database
        self._catalogue = server.catalogue
        self._clock = server.clock
        self._max_bytes = server.config.broker.retained_max_bytes
        self._link = link
        self._topics = topics
        self._generation = 0
        self._here: dict[str, float] = {}  # published on this connection, and when
        self._gone: dict[str, float] = {}
        self._asked: dict[str, float] = {}
        self._lock = threading.Lock()

    def want(self, sha256: str) -> None:
        """A device was told to run that artifact and its index has not come."""
        with self._lock:
            if len(self._asked) < _MAX_ASKED or sha256 in self._asked:
                self._asked[sha256] = time.monotonic()

    def step(self) -> bool:
        """Make the broker hold what is needed, and no more. False: there is never more to do at once."""
        if self._link.standing_since is None:
            return False
        with self._database.sole("artifacts") as ours:
            if ours:
                try:
                    self._sync()
                except Unreachable as error:
                    log.info("artifacts wait: %s", error.message)
        return False

    def _sync(self) -> None:
        if self._generation != self._link.generation:
            self._generation, self._here, self._gone = self._link.generation, {}, {}
        asked = self._still_asked()
        with self._database.read() as connection:
            wanted = artifacts.needed(connection)
            known = artifacts.sizes(connection, list(asked))
            retained = artifacts.retained(connection)
        wanted |= known
        for sha256 in retained.keys() - wanted.keys():
            self._withdraw(sha256, retained.pop(sha256))
        for sha256, asked_at in asked.items():
            if self._here.get(sha256, asked_at) < asked_at - _AGAIN_S:
                del self._here[sha256]  # asked for though published a while ago: the broker lost it
        for sha256, size in wanted.items():
            if sha256 not in self._here:
                self._publish_within_bounds(sha256, size, retained)
        self._answer_unknown(asked.keys() - known.keys())

    def _still_asked(self) -> dict[str, float]:
        with self._lock:
            oldest = time.monotonic() - _WANTED_S
            self._asked = {sha256: at for sha256, at in self._asked.items() if at > oldest}
            return dict(self._asked)

    def _publish_within_bounds(self, sha256: str, size: int, retained: dict[str, int]) -> None:
        others = sum(size for other, size in retained.items() if other != sha256)
        if size > self._max_bytes:
            self._say_gone(sha256, "too_large_for_broker")
        elif others + size > self._max_bytes:
            log.warning(
                "artifact %s waits: [broker] retained_max_bytes (%d) is taken by others", sha256[:16], self._max_bytes
            )
        else:
            retained[sha256] = size
            self._publish(sha256, size)

    def _publish(self, sha256: str, size: int) -> None:
        try:
            content = self._catalogue.read(sha256)
        except NotFound:
            self._say_gone(sha256, "not_stored")
            return
        with self._database.begin() as connection:
            artifacts.note_retained(connection, sha256, size, now_ms=stored(self._clock()))
        self._link.publish_all(self._chunks(sha256, content))
        self._link.publish(Message(self._topics.index(sha256), encode(index_of(content))))
        self._here[sha256] = time.monotonic()
        self._gone.pop(sha256, None)
        log.info("artifact %s (%d bytes) is at the broker", sha256[:16], len(content))

    def _chunks(self, sha256: str, content: bytes) -> Iterator[Message]:
        for number, start in enumerate(range(0, len(content), CHUNK_BYTES)):
            yield Message(self._topics.chunk(sha256, number), content[start : start + CHUNK_BYTES])

    def _withdraw(self, sha256: str, size: int) -> None:
        self._link.publish(Message(self._topics.index(sha256), b""))
        count = -(-size // CHUNK_BYTES)
        self._link.publish_all(Message(self._topics.chunk(sha256, number), b"") for number in range(count))
        with self._database.begin() as connection:
            artifacts.note_withdrawn(connection, sha256)
        self._here.pop(sha256, None)
        log.info("artifact %s is needed no more and left the broker", sha256[:16])

    # ---- what will not come -----------------------------------------------------------------------------------

    def _answer_unknown(self, unknown: set[str]) -> None:
        for sha256 in unknown:
            self._say_gone(sha256, "unknown")
        for sha256 in self._gone.keys() - unknown:
            if self._gone[sha256] < time.monotonic() - _WANTED_S:
                self._link.publish(Message(self._topics.index(sha256), b""))
                del self._gone[sha256]

    def _say_gone(self, sha256: str, reason: str) -> None:
        if sha256 not in self._gone:
            self._link.publish(Message(self._topics.index(sha256), encode(ChunkIndex(sha256=sha256, gone=reason))))
            self._gone[sha256] = time.monotonic()
