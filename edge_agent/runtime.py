"""The agent: joins serving, updates and reports, and runs until it is told to stop.

What is proven serves first, before anybody is asked anything; then the link, the updates and the reports begin. None
of them is needed to predict, and a fault in one is logged and leaves the others alone.
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import signal
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_agent import control
from edge_agent.account import Account
from edge_agent.config import AgentConfig
from edge_agent.control import sole_agent
from edge_agent.link import Link, LinkEvents, Will
from edge_agent.report.counters import Counters
from edge_agent.report.outbox import Outbox
from edge_agent.report.system import Gauges, memory_available_bytes
from edge_agent.reporter import Reporter, Sources
from edge_agent.serve.http import Address, HttpServer
from edge_agent.serve.models import Models
from edge_agent.serve.routes import Routes, Surroundings
from edge_agent.systemd import Notifier, keep_alive
from edge_agent.update.activation import Activation
from edge_agent.update.course import Workshop
from edge_agent.update.download import Source
from edge_agent.update.history import Steps, history
from edge_agent.update.memory import Ledger
from edge_agent.update.partial import Partials
from edge_agent.update.slots import Slots
from edge_agent.update.soak import Served
from edge_agent.update.threads import DiskThread
from edge_agent.update.updater import Updater
from edge_agent.update.verification import TrustStore, Verification
from edgekit import messages
from edgekit.errors import DeviceFault
from edgekit.messages import Presence, Reported
from edgekit.topics import Topics

if TYPE_CHECKING:
    from edge_agent.exchange.exchange import Exchange

_LOG = logging.getLogger("edgekit.agent")
_FAREWELL_S = 1.0
_DRAIN_S = 1.0
_AFTER_FAULT_S = 5.0
_GAUGES_S = 5.0

Announce = Callable[[dict[str, Any]], None]


def run(config: AgentConfig, announce: Announce) -> None:
    """Run the agent until SIGTERM or SIGINT. `announce` gets its address once it serves.

    Raises Conflict when an agent runs on the data folder already or the port is taken, and DeviceFault.
    """
    notifier = Notifier.take(os.environ)
    with sole_agent(config.data_dir):
        asyncio.run(_run(config, announce, notifier))


async def _run(config: AgentConfig, announce: Announce, notifier: Notifier) -> None:
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    agent = Agent(config, notifier)
    try:
        await agent.start(announce)
        await stopped.wait()
    finally:
        await agent.stop()


class Agent:
    """The rooms of the device, joined. `start`, then `stop`, also when the start failed."""

    def __init__(self, config: AgentConfig, notifier: Notifier) -> None:
        self._config, join = config, config.join
        self._notifier = notifier
        self._boot_id = secrets.token_hex(8)
        self._topics = Topics(join.tenant)
        self._disk, self._counters, self._models = DiskThread(), Counters(), Models()
        self._slots, self._gauges = Slots(config.data_dir), Gauges(config.data_dir)
        self._outbox = _open_outbox(config.data_dir / "outbox.db")
        self._link = self._new_link()
        self._reporter = Reporter(self._sources())
        self._steps = Steps(self._reporter.on_state)
        self._ledger = Ledger(config.agent.memory_budget_bytes, memory_available_bytes)
        self._activation = Activation(self._slots, self._models, self._disk, config.update, self._served, self._ledger)
        verification = Verification(join, self._link, TrustStore(config.data_dir), config.update)
        self._updater = Updater(self._workshop(), verification, self._reporter.on_change)
        self._routes = self._new_routes()
        http = config.http
        self._server = HttpServer(self._routes, Address(http.host, http.port, config.unix_socket))
        self._exchange = self._new_exchange()
        self._account = self._new_account()
        self._tasks: list[asyncio.Task[None]] = []

    # ---- from start to stop ---------------------------------------------------------------------------------

    async def start(self, announce: Announce) -> None:
        """Serve what is proven, tell where, then look for the fleet."""
        if self._slots.recovered:
            _LOG.error("state.json was damaged: going on from the copy before it")
        found = self._activation.boot()
        await self._server.start()
        self._announce(announce)
        self._notifier.tell("READY=1", f"STATUS={self._account.in_a_line()}")
        self._link.start(LinkEvents(self._reporter.on_up, self._reporter.on_down))
        self._reporter.watch()
        self._link.watch(self._topics.device(self._config.join.device, "desired"), self._updater.offer)
        works = [lambda: self._updater.run(found), self._reporter.report_health, self._reporter.deliver]
        works += [self._activation.feed, self._read_gauges]
        if self._notifier.listened_to:
            works.append(lambda: keep_alive(self._notifier, self._models.all, self._account.in_a_line))
        if self._exchange is not None:
            works.append(self._exchange.run)
        for work in works:
            self._tasks.append(asyncio.create_task(_tend(work)))

    async def stop(self) -> None:
        """Answer what was asked, keep what must be kept, say goodbye. Takes at most three seconds."""
        self._notifier.tell("STOPPING=1")
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

    async def _read_gauges(self) -> None:
        """Keep the readings fresh, for ever, where nobody who predicts waits for the disk."""
        while True:
            await self._disk.run(self._gauges.read)
            await asyncio.sleep(_GAUGES_S)

    def _announce(self, announce: Announce) -> None:
        device, http = self._config.join.device, self._config.http
        host = f"[{http.host}]" if ":" in http.host else http.host
        address = f"http://{host}:{self._server.port}"
        try:
            control.publish_address(self._config.data_dir, control.Address(http=address, device=device))
        except OSError as error:
            _LOG.error("the commands of this device will not find the agent: %s", error)
        announce({"http": address, "device": device})

    # ---- how it is joined -----------------------------------------------------------------------------------

    def _history(self, name: str | None) -> dict[str, Any]:
        return history(self._slots.state, self._steps.entries, name)

    def _served(self, sha256: str) -> Served:
        counts = [health.requests for health in self._counters.totals() if health.sha256 == sha256]
        return Served(sum(count.ok for count in counts), sum(count.server_error for count in counts))

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
            account=self._reported,
        )

    def _workshop(self) -> Workshop:
        return Workshop(
            slots=self._slots,
            partials=Partials(self._config.data_dir / "partial"),
            activation=self._activation,
            source=Source(self._link, self._topics, self._config.join.device, self._config.update),
            disk=self._disk,
            section=self._config.update,
            on_state=self._steps.on_state,
        )

    # The account knows every part, so it is made last; the parts reach it by these.

    def _reported(self) -> Reported:
        return self._account.reported()

    def _status(self) -> dict[str, Any]:
        return self._account.status()

    def _metrics(self) -> bytes:
        return self._account.metrics()

    def _new_account(self) -> Account:
        return Account(
            config=self._config,
            boot_id=self._boot_id,
            models=self._models,
            counters=self._counters,
            outbox=self._outbox,
            gauges=self._gauges,
            link=self._link,
            reporter=self._reporter,
            activation=self._activation,
            updater=self._updater,
            exchange=self._exchange,
        )

    def _new_routes(self) -> Routes:
        extra = control.admin_routes(self._models, self._slots)
        return Routes(self._models, Surroundings(self._counters, self._status, self._metrics, extra, self._history))

    def _new_exchange(self) -> Exchange | None:
        """Predictions over MQTT, when the configuration asks for them."""
        device, section = self._config.join.device, self._config.mqtt
        if not (section.requests or section.inference):
            return None
        from edge_agent.exchange.exchange import Exchange, ways

        asked = ways(section, self._topics.device(device, "predict"), self._topics.device(device, "prediction"))
        return Exchange(self._link, self._routes, section, asked)


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
