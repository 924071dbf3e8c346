"""The fleet as Prometheus metrics. No label names a device: 100,000 devices would be 100,000 series per metric."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric, SummaryMetricFamily
from prometheus_client.registry import Collector

from edgekit import __version__
from fleet.store.overview import Totals, Traffic

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_VERSION = ["model", "version"]


def text(totals: Totals) -> bytes:
    """The exposition text of `totals`."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Snapshot(totals))
    return generate_latest(registry)


class _Snapshot(Collector):
    """One moment of the fleet. The database holds the counters, so every replica exposes the same ones."""

    def __init__(self, totals: Totals) -> None:
        self._totals = totals

    def collect(self) -> Iterable[Metric]:
        yield _gauge("edgekit_server", "The server's version.", ["version"], [((__version__,), 1)])
        yield from _fleet(self._totals)
        yield from _traffic(self._totals.traffic)


def _fleet(totals: Totals) -> Iterator[Metric]:
    online, total = totals.devices.online, totals.devices.total
    presence = [(("online",), online), (("offline",), total - online)]
    yield _gauge("edgekit_devices", "Devices by presence; retired ones are not counted.", ["presence"], presence)
    slots = [((line.model, line.version, line.state), line.devices) for line in totals.versions]
    yield _gauge("edgekit_device_models", "Devices by model, version and state.", [*_VERSION, "state"], slots)
    rollouts = [((state,), count) for state, count in totals.rollouts.items()]
    yield _gauge("edgekit_rollouts", "Rollouts by state.", ["state"], rollouts)
    aside = CounterMetricFamily("edgekit_set_aside", "Messages that could not be read.")
    aside.add_metric([], totals.set_aside)
    yield aside


def _traffic(traffic: list[Traffic]) -> Iterator[Metric]:
    reports = CounterMetricFamily("edgekit_reports", "Health reports stored.", labels=_VERSION)
    requests = CounterMetricFamily("edgekit_requests", "Predict requests by outcome.", labels=[*_VERSION, "outcome"])
    rows = CounterMetricFamily("edgekit_rows", "Rows predicted.", labels=_VERSION)
    for line in traffic:
        reports.add_metric([line.model, line.version], line.reports)
        rows.add_metric([line.model, line.version], line.rows)
        for outcome in ("ok", "client_error", "server_error"):
            requests.add_metric([line.model, line.version, outcome], getattr(line, outcome))
    yield from (reports, requests, rows, _latency(traffic))


def _latency(traffic: list[Traffic]) -> Metric:
    latency = SummaryMetricFamily("edgekit_latency_seconds", "Time of predict requests on the device.", labels=_VERSION)
    for line in traffic:
        latency.add_metric([line.model, line.version], line.latency_n, line.latency_sum_us / 1e6)
    return latency


def _gauge(name: str, help_text: str, labels: list[str], values: Sequence[tuple[tuple[str, ...], int]]) -> Metric:
    gauge = GaugeMetricFamily(name, help_text, labels=labels)
    for label_values, value in values:
        gauge.add_metric(label_values, value)
    return gauge
