"""Messages on their way from the link's thread to the event loop: bounded, the newest kept.

What a sensor said last is worth more than what it said first, and the link must never wait: a full inbox drops its
oldest message, counts it, and says so now and then.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from typing import Generic, TypeVar

_LOG = logging.getLogger("edgekit.agent.exchange")
_TELL_EVERY_S = 10.0

Item = TypeVar("Item")


class Inbox(Generic[Item]):
    """At most `limit` items. `put` from any thread, `get` on the loop that made it. `dropped`: how many gave way."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._waiting: deque[Item] = deque()
        self._lock = threading.Lock()
        self._filled = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._told = -_TELL_EVERY_S
        self.dropped = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, item: Item) -> None:
        """Take it in. Never waits."""
        with self._lock:
            wake = not self._waiting
            if len(self._waiting) >= self._limit:
                self._waiting.popleft()
                self.dropped += 1
                self._tell()
            self._waiting.append(item)
        if wake:
            try:
                self._loop.call_soon_threadsafe(self._filled.set)
            except RuntimeError:
                pass  # the loop is closed: the process is ending and nobody answers any more

    async def get(self) -> Item:
        """The oldest item, as soon as there is one."""
        while True:
            with self._lock:
                if self._waiting:
                    return self._waiting.popleft()
                self._filled.clear()
            await self._filled.wait()

    def _tell(self) -> None:
        now = time.monotonic()
        if now - self._told >= _TELL_EVERY_S:
            self._told = now
            _LOG.warning(
                "messages come faster than they are answered: the oldest of %d waiting gives way, %d so far",
                self._limit,
                self.dropped,
            )
