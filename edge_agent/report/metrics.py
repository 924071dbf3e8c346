"""`GET /metrics`: the device's counters as Prometheus text (exposition format 0.0.4), written by hand because a client
library would cost more memory than the counters.

Label values need no escaping: names and versions are ids.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from edge_agent.report.histogram import below, quantiles
from edgekit.messages import ModelHealth, OutboxHealth, SystemHealth

SHARES = (0.5, 0.9, 0.99)
_FATES = ("answered", "refused", "dropped", "retained", "unsent")
# Upper bounds 16 µs, 32 µs, … 16.8 s: octaves of the histogram, so that the counts are exact.
_POWERS = range(4, 25)


def metrics_text(
    models: Sequence[ModelHealth],
    system: SystemHealth,
    outbox: OutboxHealth,
    exchange: Mapping[str, int] | None = None,
) -> bytes:
    """The page, from totals since the process began. `exchange`: messages over MQTT by what became of them."""
    lines: list[str] = []
    lines += _family("predictions_total", "counter", "Predict requests by outcome.", _outcomes(models))
    lines += _family("rows_total", "counter", "Rows predicted.", _rows(models))
    lines += _family(
        "inference_duration_seconds",
        "histogram",
        "Time from a request's arrival to its answer.",
        _durations(models),
    )
    lines += _family(
        "inference_duration_quantile_seconds",
        "gauge",
        "Estimated quantiles of that time since the start.",
        _quantiles(models),
    )
    gauges = [
        ("rss_bytes", "Resident memory of the agent.", system.rss_bytes),
        ("memory_available_bytes", "Memory left on the device.", system.memory_available_bytes),
        ("disk_free_bytes", "Room left on the disk of the data folder.", system.disk_free_bytes),
        ("load1", "Load average over one minute.", system.load1),
        ("outbox_queued", "Reports that the server has not committed yet.", outbox.queued),
    ]
    for name, text, value in gauges:
        lines += _family(name, "gauge", text, [("", value)])
    lines += _family(
        "outbox_merged_total", "counter", "Reports merged because the outbox was full.", [("", outbox.merged)]
    )
    if exchange is not None:
        fates = [(f'{{fate="{fate}"}}', exchange[fate]) for fate in _FATES]
        lines += _family("mqtt_messages_total", "counter", "Messages that asked for a prediction over MQTT.", fates)
    return "\n".join([*lines, ""]).encode()


Sample = tuple[str, float]


def _family(name: str, kind: str, text: str, samples: Iterable[Sample]) -> Iterator[str]:
    full = f"edgekit_agent_{name}"
    yield f"# HELP {full} {text}"
    yield f"# TYPE {full} {kind}"
    for rest, value in samples:
        yield f"{full}{rest} {value}"


def _outcomes(models: Sequence[ModelHealth]) -> Iterator[Sample]:
    for model in models:
        requests = model.requests
        counts = {"ok": requests.ok, "client_error": requests.client_error, "server_error": requests.server_error}
        for outcome, count in counts.items():
            yield f'{{{_labels(model)},outcome="{outcome}"}}', count


def _rows(models: Sequence[ModelHealth]) -> Iterator[Sample]:
    for model in models:
        yield f"{{{_labels(model)}}}", model.requests.rows


def _durations(models: Sequence[ModelHealth]) -> Iterator[Sample]:
    for model in models:
        labels, latency = _labels(model), model.latency
        for power in _POWERS:
            yield f'_bucket{{{labels},le="{(1 << power) / 1e6:g}"}}', below(latency.buckets, power)
        yield f'_bucket{{{labels},le="+Inf"}}', latency.n
        yield f"_sum{{{labels}}}", latency.sum_us / 1e6
        yield f"_count{{{labels}}}", latency.n


def _quantiles(models: Sequence[ModelHealth]) -> Iterator[Sample]:
    for model in models:
        for share, found_us in zip(SHARES, quantiles(model.latency.buckets, SHARES), strict=True):
            yield f'{{{_labels(model)},quantile="{share:g}"}}', round(found_us / 1e6, 9)


def _labels(model: ModelHealth) -> str:
    """Two bundles of one name and version can only differ while somebody is testing; the digest keeps them apart."""
    return f'model="{model.name}",version="{model.version}",sha256="{model.sha256[:12]}"'
