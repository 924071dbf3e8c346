"""The agent: joins serving, updates and reports, and runs until it is told to stop.

What is proven serves first, before anybody is asked anything; then the link, the updates and the reports begin. None
of them is needed to predict, and a fault in one is logged and leaves the others alone.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import signal
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from edge_agent import control
from edge_agent.config import AgentConfig
from edge_agent.control import sole_agent
from edge_agent.link import Link, LinkEvents, Will
from edge_agent.report.counters import Counters
from edge_agent.report.metrics import metrics_text
from edge_agent.report.outbox import Outbox
from edge_agent.report.system import disk_free_bytes, hardware, memory_available_bytes, system_health
from edge_agent.reporter import Reporter, Sources
from edge_agent.serve.http import Address, HttpServer
from edge_agent.serve.models import Models
from edge_agent.serve.routes import Routes, Surroundings
from edge_agent.update.activation import Activation
from edge_agent.update.course import Workshop
from edge_agent.update.download import Source
from edge_agent.update.partial import Partials
from edge_agent.update.slots import Slots
from edge_agent.update.soak import Served
from edge_agent.update.threads import DiskThread
from edge_agent.update.updater import Updater
from edge_agent.update.verification import TrustStore, Verification
from edgekit import __version__, messages
from edgekit.errors import DeviceFault
from edgekit.messages import Presence, Reported, ReportedModel
from edgekit.times import rfc3339, utc_now
from edgekit.topics import Topics

_LOG = logging.getLogger("edgekit.agent")
_FAREWELL_S = 1.0
_DRAIN_S = 1.0
_AFTER_FAULT_S = 5.0

Announce = Callable[[dict[str, Any]], None]


def run(config: AgentConfig, announce: Announce) -> None:
    """Run the agent until SIGTERM or SIGINT. `announce` gets its address once it serves.

    Raises Conflict when an agent runs on the data folder already or the port is taken, and DeviceFault.
    """
    with sole_agent(config.data_dir):
        asyncio.run(_run(config, announce))


async def _run(config: AgentConfig, announce: Announce) -> None:
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    agent = Agent(config)
    try:
        await agent.start(announce)
        await stopped.wait()
    finally:
        await agent.stop()


class Agent:
    """The rooms of the device, joined. `start`, then `stop`, also when the start failed."""

    def __init__(self, config: AgentConfig) -> None:
        self._config, join = config, config.join
        self._boot_id = secrets.token_hex(8)
        self._topics = Topics(join.tenant)
        self._disk, self._counters, self._models = DiskThread(), Counters(), Models()
        self._slots = Slots(config.data_dir)
        self._outbox = _open_outbox(config.data_dir / "outbox.db")
        self._link = self._new_link()
        self._reporter = Reporter(self._sources())
        self._activation = Activation(self._slots, self._models, self._disk, config.update, self._served)
        verification = Verification(join, self._link, TrustStore(config.data_dir), config.update)
        self._updater = Updater(self._workshop(), verification, self._reporter.on_change)
        self._routes = self._new_routes()
        self._server = HttpServer(self._routes, Address(config.http.host, config.http.port, config.unix_socket))
        self._tasks: list[asyncio.Task[None]] = []

    # ---- from start to stop ---------------------------------------------------------------------------------

    async def start(self, announce: Announce) -> None:
        """Serve what is proven, tell where, then look for the fleet."""
        if self._slots.recovered:
            _LOG.error("state.json was damaged: going on from the copy before it")
        found = self._activation.boot()
        await self._server.start()
        self._announce(announce)
        self._link.start(LinkEvents(self._reporter.on_up, self._reporter.on_down))
        self._reporter.watch()
        self._link.watch(self._topics.device(self._config.join.device, "desired"), self._updater.offer)
        for work in (lambda: self._updater.run(found), self._reporter.report_health, self._reporter.deliver):
            self._tasks.append(asyncio.create_task(_tend(work)))

    async def stop(self) -> None:
        """Answer what was asked, keep what must be kept, say goodbye. Takes at most three seconds."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        farewell = self._reporter.presence(online=False, clean=True)
        for ending in (
            self._activation.pause,
            lambda: self._link.stop(farewell, _FAREWELL_S),
            lambda: self._server.stop(drain_s=_DRAIN_S),
            self._reporter.close,
        ):
            try:
                await ending()
            except Exception as error:  # noqa: BLE001 - a disk that is full must not keep the rest from ending well
                _LOG.error("an end that is not clean: %s", error)
        self._routes.close()
        self._disk.close()
        self._outbox.close()

    def _announce(self, announce: Announce) -> None:
        device, http = self._config.join.device, self._config.http
        host = f"[{http.host}]" if ":" in http.host else http.host
        address = f"http://{host}:{self._server.port}"
        try:
            control.publish_address(self._config.data_dir, control.Address(http=address, device=device))
        except OSError as error:
            _LOG.error("the commands of this device will not find the agent: %s", error)
        announce({"http": address, "device": device})

    # ---- what it says about itself --------------------------------------------------------------------------

    def _account(self) -> Reported:
        return Reported(
            device=self._config.join.device,
            boot_id=self._boot_id,
            agent_version=__version__,
            applied_seq=self._slots.state.applied_seq,
            time=rfc3339(utc_now()),
            models=[self._reported(name) for name in sorted({*self._slots.state.models, *self._updater.under_way()})],
            hardware=hardware(),
            disk_free_bytes=disk_free_bytes(self._config.data_dir),
            memory_available_bytes=memory_available_bytes(),
        )

    def _reported(self, name: str) -> ReportedModel:
        predictor = self._models.get(name)
        state = self._updater.under_way().get(name) or ("serving" if predictor else "none")
        if predictor is None:
            return ReportedModel(name=name, state=state)
        return ReportedModel(name=name, version=predictor.identity[1], sha256=predictor.identity[2], state=state)

    def _status(self) -> dict[str, Any]:
        outbox = self._outbox.state()
        return {
            "device": self._config.join.device,
            "tenant": self._config.join.tenant,
            "agent_version": __version__,
            "boot_id": self._boot_id,
            "link": {"connected": self._link.connected, "server_there": self._reporter.server_there},
            "serving": {name: version for name, version, _ in (model.identity for model in self._models.all())},
            "models": control.slots_status(self._slots),
            "state_recovered": self._slots.recovered,
            "outbox": {"queued": outbox.queued, "merged": outbox.merged},
            **self._updater.status(),
        }

    def _metrics(self) -> bytes:
        return metrics_text(self._counters.totals(), system_health(self._config.data_dir), self._outbox.state())

    def _served(self, sha256: str) -> Served:
        counts = [health.requests for health in self._counters.totals() if health.sha256 == sha256]
        return Served(sum(count.ok for count in counts), sum(count.server_error for count in counts))

    # ---- how it is joined -----------------------------------------------------------------------------------

    def _new_link(self) -> Link:
        join = self._config.join
        lost = messages.encode(Presence(online=False, boot_id=self._boot_id))
        will = Will(self._topics.device(join.device, "presence"), lost)
        return Link(join.broker, f"edgekit-{join.tenant}-{join.device}", will, self._config.link)

    def _sources(self) -> Sources:
        return Sources(
            join=self._config.join,
            boot_id=self._boot_id,
            link=self._link,
            outbox=self._outbox,
            counters=self._counters,
            disk=self._disk,
            data_dir=self._config.data_dir,
            section=self._config.health,
            account=self._account,
        )

    def _workshop(self) -> Workshop:
        return Workshop(
            slots=self._slots,
            partials=Partials(self._config.data_dir / "partial"),
            activation=self._activation,
            source=Source(self._link, self._topics, self._config.join.device, self._config.update),
            disk=self._disk,
            section=self._config.update,
            on_state=self._reporter.on_state,
            available_bytes=memory_available_bytes,
        )

    def _new_routes(self) -> Routes:
        extra = control.admin_routes(self._models, self._slots)
        return Routes(self._models, Surroundings(self._counters, self._status, self._metrics, extra))


def _open_outbox(path: Path) -> Outbox:
    """The durable queue of reports; on a disk that refuses, one in memory: predictions must not wait for the disk."""
    try:
        return Outbox(path)
    except DeviceFault as error:
        _LOG.error("%s. Until the next start reports are kept in memory only", error.message)
        return Outbox(Path(":memory:"))


async def _tend(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run a loop that should never end, and begin it again when it breaks off."""
    while True:
        try:
            await work()
        except Exception:  # noqa: BLE001 - predictions must go on whatever breaks beside them
            _LOG.exception("a part of the agent broke off and is started again")
        await asyncio.sleep(_AFTER_FAULT_S)
