"""What the agent says about itself: to the server, on the status page, as metrics, to the service manager.

All of it is made on the event loop, from memory alone: what has to be read from the disk (the outbox, the room left)
was read before, where somebody could wait for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edge_agent import control
from edge_agent.config import AgentConfig
from edge_agent.link import Link
from edge_agent.report.counters import Counters
from edge_agent.report.histogram import quantiles
from edge_agent.report.metrics import SHARES, metrics_text
from edge_agent.report.outbox import Outbox
from edge_agent.report.system import Gauges, hardware
from edge_agent.reporter import Reporter
from edge_agent.serve.models import Models
from edge_agent.update.activation import Activation
from edge_agent.update.updater import Updater
from edgekit import __version__
from edgekit.messages import Latency, Reported, ReportedModel
from edgekit.times import rfc3339, utc_now

if TYPE_CHECKING:
    from edge_agent.exchange.exchange import Exchange


@dataclass(frozen=True)
class Account:
    """The parts that know something."""

    config: AgentConfig
    boot_id: str
    models: Models
    counters: Counters
    outbox: Outbox
    gauges: Gauges
    link: Link
    reporter: Reporter
    activation: Activation
    updater: Updater
    exchange: Exchange | None

    def reported(self) -> Reported:
        """The account that the server gets."""
        system, state = self.gauges.latest, self.activation.slots.state
        return Reported(
            device=self.config.join.device,
            boot_id=self.boot_id,
            agent_version=__version__,
            applied_seq=state.applied_seq,
            time=rfc3339(utc_now()),
            models=[self._reported(name) for name in sorted({*state.models, *self.updater.under_way()})],
            hardware=hardware(),
            disk_free_bytes=system.disk_free_bytes,
            memory_available_bytes=system.memory_available_bytes,
        )

    def status(self) -> dict[str, Any]:
        """`GET /status`."""
        outbox, slots = self.outbox.state(), self.activation.slots
        return {
            "device": self.config.join.device,
            "tenant": self.config.join.tenant,
            "agent_version": __version__,
            "boot_id": self.boot_id,
            "link": {"connected": self.link.connected, "server_there": self.reporter.server_there},
            "serving": {name: version for name, version, _ in (model.identity for model in self.models.all())},
            "models": control.slots_status(slots),
            "state_recovered": slots.recovered,
            "latency": self._latency(),
            "outbox": {"queued": outbox.queued, "merged": outbox.merged},
            "memory": self._memory(),
            "mqtt": None if self.exchange is None else self.exchange.status(),
            **self.updater.status(),
        }

    def metrics(self) -> bytes:
        """`GET /metrics`."""
        exchange = None if self.exchange is None else self.exchange.status()
        return metrics_text(self.counters.totals(), self.gauges.latest, self.outbox.state(), exchange)

    def in_a_line(self) -> str:
        """For the service manager."""
        serving = ", ".join(model.label for model in self.models.all()) or "no model yet"
        return f"serves {serving}; link {'up' if self.link.connected else 'down'}"

    def _reported(self, name: str) -> ReportedModel:
        predictor = self.models.get(name)
        state = self.updater.under_way().get(name) or ("serving" if predictor else "none")
        if predictor is None:
            return ReportedModel(name=name, state=state)
        return ReportedModel(name=name, version=predictor.identity[1], sha256=predictor.identity[2], state=state)

    def _latency(self) -> dict[str, Any]:
        """Of each model that serves, since the start: answered requests, and how long they took."""
        counted = {(each.name, each.version, each.sha256): each.latency for each in self.counters.totals()}
        found = {}
        for model in self.models.all():
            latency = counted.get(model.identity, Latency())
            estimates = zip(SHARES, quantiles(latency.buckets, SHARES), strict=True)
            found[model.manifest.name] = {
                "version": model.manifest.version,
                "requests": latency.n,
                **{f"p{round(100 * share)}_us": round(estimate, 1) for share, estimate in estimates},
                "max_us": latency.max_us,
            }
        return found

    def _memory(self) -> dict[str, Any]:
        """What the agent and its models take, and what is left. `budget_bytes` is None when none is set."""
        system, taken = self.gauges.latest, self.activation.ledger.taken
        return {
            "resident_bytes": system.rss_bytes,
            "available_bytes": system.memory_available_bytes,
            "budget_bytes": self.config.agent.memory_budget_bytes or None,
            "models": {
                model.manifest.name: {
                    "version": model.manifest.version,
                    "measured_bytes": taken.get(model.manifest.name, 0),
                    "load_peak_bytes": model.manifest.measured.load_peak_bytes,
                }
                for model in self.models.all()
            },
            "refused": dict(self.activation.hungry),
        }
