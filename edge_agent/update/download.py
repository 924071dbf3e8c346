"""Fetching an artifact from retained chunks: a sliding window of subscriptions, and nothing fetched twice.

Every chunk is checked before it is kept. What does not come is asked for again, by unsubscribing first (a broker sends
a retained message only on a new subscription), ever more rarely and with jitter. `gone` in the index ends it at once;
a link that is down only makes it wait, whatever time that takes.
"""

from __future__ import annotations

import asyncio
import errno
import hashlib
from dataclasses import dataclass, field
from functools import partial

from edge_agent.backoff import backoff_s
from edge_agent.config import UpdateSection
from edge_agent.link import Link
from edge_agent.update.partial import Partial, Partials
from edge_agent.update.state import Target
from edge_agent.update.table import Event, Happened
from edge_agent.update.threads import DiskThread
from edgekit import messages
from edgekit.errors import EdgekitError, MessageError
from edgekit.messages import ChunkIndex, Want
from edgekit.topics import Topics

_LONGEST_WAIT = 8  # times `chunk_timeout_s`
_SPARE_REFUSALS = 32
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT)


class DownloadOver(EdgekitError):
    """The download cannot succeed: its reason word says why."""

    default_reason = "download_failed"


@dataclass
class Progress:
    """For the status page: chunks of the artifact, how many were there at the start, how many came since."""

    chunks: int = 0
    present: int = 0
    fetched: int = 0
    refused: int = 0

    def __str__(self) -> str:
        return f"{self.fetched} chunks fetched, {self.present} of {self.chunks} were there"


@dataclass(frozen=True)
class Source:
    """Where chunks come from and how patiently: the link, this device's id, and the limits."""

    link: Link
    topics: Topics
    device: str
    section: UpdateSection


@dataclass
class Download:
    """One download of `target` into `partials`."""

    source: Source
    partials: Partials
    target: Target
    disk: DiskThread
    progress: Progress = field(default_factory=Progress)

    async def run(self) -> Happened:
        """COMPLETE with a count, BROKEN with the reason, or BLOCKED when the disk is full."""
        try:
            index = await self._index()
            came = await self.disk.run(self.partials.open, self.target.sha256, index)
            try:
                await self._pull(came)
            finally:
                await self.disk.run(came.close)
        except (DownloadOver, MessageError) as error:
            return Happened(Event.BROKEN, error.reason, error.message)
        except OSError as error:
            if error.errno not in _NO_SPACE:
                return Happened(Event.BROKEN, "disk_failed", f"the download cannot be stored: {error.strerror}")
            return Happened(Event.BLOCKED, "disk_short", "the disk is full: free some space")
        return Happened(Event.COMPLETE, detail=str(self.progress))

    async def verify(self) -> Happened:
        """Check the whole file: PASSED, or ALTERED when some chunks must be fetched again."""
        index = await self.disk.run(self.partials.cached_index, self.target.sha256, self.target.index_sha256)
        if index is None:
            return Happened(Event.ALTERED, "index_lost", "the chunk index was damaged on disk")
        came = await self.disk.run(self.partials.open, self.target.sha256, index)
        try:
            if await self.disk.run(came.is_whole, self.target.sha256):
                return Happened(Event.PASSED)
            if came.missing():
                return Happened(Event.ALTERED, "chunks_damaged", f"{len(came.missing())} chunks damaged on disk")
            return Happened(Event.BROKEN, "digest_mismatch", "the chunks do not make up the signed artifact")
        finally:
            await self.disk.run(came.close)

    # ---- the index ------------------------------------------------------------------------------------------

    async def _index(self) -> bytes:
        cached = await self.disk.run(self.partials.cached_index, self.target.sha256, self.target.index_sha256)
        if cached is not None:
            return cached
        patience, attempt = _Patience(self.source), 0
        while (content := await self._fetch_index()) is None:
            patience.spend()
            await asyncio.sleep(_patience_s(self.source, attempt))
            attempt += 1
        return content

    async def _fetch_index(self) -> bytes | None:
        """The signed index, or None after asking the server for it. Raises DownloadOver when the artifact is gone."""
        link, sha256 = self.source.link, self.target.sha256
        content = await link.fetch(self.source.topics.index(sha256), self.source.section.chunk_timeout_s)
        if content is not None:
            if hashlib.sha256(content).hexdigest() == self.target.index_sha256:
                return content
            self._raise_when_gone(content)
        link.publish(
            self.source.topics.device(self.source.device, "want"), messages.encode(Want(sha256=self.target.sha256))
        )
        return None

    def _raise_when_gone(self, content: bytes) -> None:
        try:
            index = messages.decode(content, ChunkIndex)
        except MessageError:
            return
        if index.gone is not None and index.sha256 == self.target.sha256:
            raise DownloadOver(f"the artifact was withdrawn: {index.gone[:200]}", reason="artifact_gone")

    # ---- the chunks -----------------------------------------------------------------------------------------

    async def _pull(self, came: Partial) -> None:
        missing = came.missing()
        self.progress.chunks, self.progress.present = came.chunks, came.chunks - len(missing)
        window = _Window(self.source, self.target.sha256, missing)
        patience = _Patience(self.source)
        try:
            while window.unfinished:
                arrived = await window.next()
                if arrived is None:
                    patience.spend()
                    await self._fetch_index()
                elif await self.disk.run(came.store, *arrived):
                    self.progress.fetched += 1
                    window.done(arrived[0])
                    patience.renew()
                else:
                    self._refuse(window, arrived[0], came.chunks)
        finally:
            window.close()

    def _refuse(self, window: _Window, number: int, chunks: int) -> None:
        self.progress.refused += 1
        if self.progress.refused > _SPARE_REFUSALS + 2 * chunks:
            raise DownloadOver("too many chunks were not what the signed index says", reason="chunks_altered")
        window.later(number)


def _patience_s(source: Source, attempt: int) -> float:
    first_s = source.section.chunk_timeout_s
    return backoff_s(attempt, first_s, _LONGEST_WAIT * first_s)


class _Patience:
    """Time spent without progress while the link was up; a link that is down costs nothing."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self.renew()

    def renew(self) -> None:
        self._idle_s, self._since = 0.0, asyncio.get_running_loop().time()

    def spend(self) -> None:
        now = asyncio.get_running_loop().time()
        if self._source.link.connected:
            self._idle_s += now - self._since
        self._since = now
        if self._idle_s > self._source.section.stall_limit_s:
            raise DownloadOver(
                f"nothing new came for {self._source.section.stall_limit_s:.0f} s", reason="download_stalled"
            )


class _Window:
    """At most `chunk_window` subscriptions at a time, each with a deadline; refused chunks wait before their next."""

    def __init__(self, source: Source, sha256: str, numbers: list[int]) -> None:
        self._source, self._sha256 = source, sha256
        self._loop = asyncio.get_running_loop()
        self._due = dict.fromkeys(numbers, 0.0)  # not asked for: when to ask, at the earliest
        self._asked: dict[int, float] = {}  # asked for: when to ask again
        self._attempts: dict[int, int] = {}
        self._here: dict[int, bytes] = {}  # arrived and not taken yet: one of each at most, whatever is sent
        self._arrived = asyncio.Event()

    @property
    def unfinished(self) -> bool:
        return bool(self._due or self._asked)

    async def next(self) -> tuple[int, bytes] | None:
        """The next chunk that arrives; None when one that was asked for is overdue (it is asked for again)."""
        while True:
            self._ask()
            if self._here:
                number = next(iter(self._here))
                del self._asked[number]
                self._source.link.unwatch(self._topic(number))
                return number, self._here.pop(number)
            self._arrived.clear()
            try:
                async with asyncio.timeout(self._until_due_s()):
                    await self._arrived.wait()
            except TimeoutError:
                if self._give_up_overdue():
                    return None

    def done(self, number: int) -> None:
        self._attempts.pop(number, None)

    def later(self, number: int) -> None:
        self._due[number] = self._loop.time() + self._patience_s(number) / 4

    def close(self) -> None:
        for number in self._asked:
            self._source.link.unwatch(self._topic(number))
        self._asked.clear()

    def _ask(self) -> None:
        now = self._loop.time()
        for number in [number for number, due in self._due.items() if due <= now]:
            if len(self._asked) >= self._source.section.chunk_window:
                return
            del self._due[number]
            self._asked[number] = now + self._patience_s(number)
            self._source.link.watch(self._topic(number), partial(self._take, number))

    def _until_due_s(self) -> float:
        now = self._loop.time()
        moments = (*self._asked.values(), *(due for due in self._due.values() if due > now))
        return max(0.01, min(moments, default=now) - now)

    def _take(self, number: int, content: bytes) -> None:
        if content and number in self._asked:
            self._here[number] = content
            self._arrived.set()

    def _give_up_overdue(self) -> bool:
        now = self._loop.time()
        overdue = [number for number, due in self._asked.items() if due <= now and number not in self._here]
        for number in overdue:
            self._source.link.unwatch(self._topic(number))
            del self._asked[number]
            self._due[number] = now
        return bool(overdue)

    def _patience_s(self, number: int) -> float:
        attempt = self._attempts[number] = self._attempts.get(number, -1) + 1
        return _patience_s(self._source, attempt)

    def _topic(self, number: int) -> str:
        return self._source.topics.chunk(self._sha256, number)
