"""What the device tells the server: presence, its account of itself, update events, health.

Events and health go through the outbox: they are sent only while the server says that it is there, again on every
connection and after a while, and deleted only when the server's acknowledgement names them. Presence and the account
are levels: the newest replaces the one before.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from edge_agent.config import HealthSection
from edge_agent.link import Link
from edge_agent.report import health
from edge_agent.report.counters import Counters
from edge_agent.report.health import Circumstances
from edge_agent.report.outbox import Outbox
from edge_agent.report.system import system_health
from edge_agent.update.state import Target
from edge_agent.update.table import Happened
from edge_agent.update.threads import DiskThread
from edgekit import messages
from edgekit.errors import DeviceFault, MessageError
from edgekit.join import Join
from edgekit.messages import Ack, Event, Presence, Reported, ServerPresence, UpdateState
from edgekit.times import rfc3339, utc_now
from edgekit.topics import Topics

_LOG = logging.getLogger("edgekit.agent.report")
_WINDOW = 64  # reports under way at a time: a server that was away is not flooded
_RESEND_S = 60.0  # a report that was not acknowledged by then is sent again
_MAX_DETAIL_CHARS = 300
_MAX_ACKS = 256  # waiting to be carried out: whoever floods the device with them shall not fill its memory


@dataclass(frozen=True)
class Sources:
    """Where reports come from and go to. `account` makes the present `Reported` document."""

    join: Join
    boot_id: str
    link: Link
    outbox: Outbox
    counters: Counters
    disk: DiskThread
    data_dir: Path
    section: HealthSection
    account: Callable[[], Reported]


class Reporter:
    """Everything on the loop; writes to the outbox happen on the disk thread."""

    def __init__(self, sources: Sources) -> None:
        self._s = sources
        self._topics = Topics(sources.join.tenant)
        self._woken = asyncio.Event()
        self._acks: list[Ack] = []
        self._sent: dict[int, float] = {}
        self._counting_since = time.monotonic()
        self.server_there = False

    def presence(self, *, online: bool, clean: bool = False) -> bytes:
        """The presence document; the last will is the one with neither."""
        return messages.encode(Presence(online=online, boot_id=self._s.boot_id, clean=clean))

    def watch(self) -> None:
        """Listen to the server's presence and acknowledgements. Once, after the link was started."""
        self._s.link.watch(self._topics.server_presence(), self._on_server)
        self._s.link.watch(self._topic("ack"), self._on_ack)

    def on_up(self) -> None:
        """A connection stands: say that we are there and what runs here."""
        self._sent.clear()
        self._s.link.publish(self._topic("presence"), self.presence(online=True), retain=True)
        self.on_change()

    def on_down(self) -> None:
        """The connection is lost, and with it the knowledge whether the server is there."""
        self.server_there = False

    def on_change(self) -> None:
        """What runs here has changed."""
        if self._s.link.connected:
            self._s.link.publish(self._topic("reported"), messages.encode(self._s.account()), retain=True)

    async def on_state(self, target: Target, state: UpdateState, happened: Happened | None) -> None:
        """An update entered a state: an event, durable when this returns."""
        now = rfc3339(utc_now())
        detail = happened.detail[:_MAX_DETAIL_CHARS] if happened and happened.detail else None

        def build(epoch: str, seq: int) -> bytes:
            return messages.encode(
                Event(
                    device=self._s.join.device,
                    epoch=epoch,
                    seq=seq,
                    time=now,
                    model=target.name,
                    version=target.version,
                    sha256=target.sha256,
                    rollout=target.rollout,
                    state=state,
                    reason=happened.reason if happened else None,
                    detail=detail,
                )
            )

        _LOG.info("%s %s: %s %s", target.name, target.version, state, detail or "")
        await self._s.disk.run(self._s.outbox.append, "event", build)
        self._woken.set()
        self.on_change()

    # ---- health ---------------------------------------------------------------------------------------------

    async def report_health(self) -> None:
        """A report every interval, for ever. Begins at a random moment, so that a fleet does not report in step."""
        await asyncio.sleep(random.uniform(0.2, 1.0) * self._s.section.interval_s)  # noqa: S311 - jitter
        while True:
            await self._s.disk.run(self._keep_counts)
            self._woken.set()
            await asyncio.sleep(self._s.section.interval_s)

    async def close(self) -> None:
        """At the end: what was counted since the last report waits in the outbox for the next start."""
        await self._s.disk.run(self._keep_counts, last=True)

    def _keep_counts(self, *, last: bool = False) -> None:
        # One job of the disk thread from taking to keeping: nothing that is canceled or fails between can lose a count.
        now = time.monotonic()
        taken = self._s.counters.take()
        if last and not taken:
            return
        try:
            around = Circumstances(
                device=self._s.join.device,
                boot_id=self._s.boot_id,
                time=utc_now(),
                interval_s=now - self._counting_since,
                system=system_health(self._s.data_dir),
                outbox=self._s.outbox.state(),
            )
            self._s.outbox.append_all("health", health.reports(taken, around))
        except (DeviceFault, OSError) as error:
            _LOG.error("health is counted on and reported later: %s", error)
            self._s.counters.put_back(taken)
        else:
            self._counting_since = now

    # ---- delivery -------------------------------------------------------------------------------------------

    async def deliver(self) -> None:
        """Send what waits and delete what is acknowledged, for ever."""
        while True:
            try:
                async with asyncio.timeout(_RESEND_S):
                    await self._woken.wait()
            except TimeoutError:
                pass  # time to look whether something must be sent again
            self._woken.clear()
            await self._delete_acknowledged()
            if self.server_there:
                await self._send()

    async def _delete_acknowledged(self) -> None:
        acks, self._acks = self._acks, []
        for ack in acks:
            await self._s.disk.run(self._s.outbox.acknowledge, ack.epoch, ack.seqs)
            if ack.epoch == self._s.outbox.epoch:
                for seq in ack.seqs:
                    self._sent.pop(seq, None)

    async def _send(self) -> None:
        now = asyncio.get_running_loop().time()
        rows = await self._s.disk.run(self._s.outbox.pending, _WINDOW)
        due = [row for row in rows if self._sent.get(row.seq, now - _RESEND_S) <= now - _RESEND_S]
        # Marked before it is sent: what was published may never be merged with another.
        await self._s.disk.run(self._s.outbox.mark_published, [row.seq for row in due])
        for row in due:
            if self._s.link.publish(self._topic(row.kind), row.content):
                self._sent[row.seq] = now

    def _on_server(self, payload: bytes) -> None:
        try:
            self.server_there = bool(payload) and messages.decode(payload, ServerPresence).online
        except MessageError as error:
            _LOG.warning("the server's presence is not readable: %s", error.message)
            return
        self._sent.clear()
        self._woken.set()

    def _on_ack(self, payload: bytes) -> None:
        if len(self._acks) >= _MAX_ACKS:
            return  # what it names is sent again, and acknowledged again
        try:
            self._acks.append(messages.decode(payload, Ack))
        except MessageError as error:
            _LOG.warning("an acknowledgement is not readable: %s", error.message)
            return
        self._woken.set()

    def _topic(self, leaf: str) -> str:
        return self._topics.device(self._s.join.device, leaf)
