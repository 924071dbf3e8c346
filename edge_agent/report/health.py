"""Health reports made of counts: split when they are too large for a poor link, added up when the outbox is full.

Nothing here touches disk, network or clock. No count is lost or told twice by splitting or merging.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import msgspec

from edge_agent.report.counters import add_up
from edgekit import messages
from edgekit.messages import (
    MAX_REPORT_BYTES,
    Health,
    HealthData,
    Latency,
    ModelHealth,
    OutboxHealth,
    Requests,
    SystemHealth,
)
from edgekit.times import parse_rfc3339, rfc3339

Build = Callable[[str, int], bytes]
# The size of a report is judged before its epoch and number are known.
_WIDEST_EPOCH = "e" * 32
_WIDEST_SEQ = (1 << 63) - 1


@dataclass(frozen=True)
class Circumstances:
    """Of a report, all but its counts and its number."""

    device: str
    boot_id: str
    time: datetime
    interval_s: float
    system: SystemHealth
    outbox: OutboxHealth


def reports(models: Sequence[ModelHealth], around: Circumstances) -> list[Build]:
    """The reports of one interval, each within MAX_REPORT_BYTES: one, or several when the models need more room. Each
    is a function from (epoch, seq) to the document's bytes; the outbox knows both. With no models it is one report
    that says only how the device is.
    """
    return [_builder(part, around) for part in split(models, around)]


def split(models: Sequence[ModelHealth], around: Circumstances) -> list[list[ModelHealth]]:
    """Models into as few parts as fit. A model too large by itself is split by its latency buckets: the sums over the
    parts are those of the model.
    """
    parts: list[list[ModelHealth]] = [[]]
    for model in models:
        for piece in _pieces(model, around):
            if parts[-1] and not _fits([*parts[-1], piece], around):
                parts.append([])
            parts[-1].append(piece)
    return parts


def merge(contents: Sequence[bytes]) -> list[Build]:
    """Older reports of one device added up: as few documents as hold their counts, with the newest gauges. The
    interval runs from the beginning of the first to the end of the last. Raises MessageError.
    """
    documents = [messages.decode(content, Health) for content in contents]
    newest = max(documents, key=lambda document: parse_rfc3339(document.time))
    end = parse_rfc3339(newest.time)
    start = min(parse_rfc3339(document.time) - timedelta(seconds=document.data.interval_s) for document in documents)
    around = Circumstances(
        device=newest.data.device,
        boot_id=newest.data.boot_id,
        time=end,
        interval_s=(end - start).total_seconds(),
        system=newest.data.system,
        outbox=newest.data.outbox,
    )
    return reports(add_up(model for document in documents for model in document.data.models), around)


def _builder(models: Sequence[ModelHealth], around: Circumstances) -> Build:
    return lambda epoch, seq: messages.encode(_document(models, around, epoch, seq))


def _document(models: Sequence[ModelHealth], around: Circumstances, epoch: str, seq: int) -> Health:
    return Health(
        source=f"/devices/{around.device}",
        id=f"{epoch}-{seq}",
        time=rfc3339(around.time),
        data=HealthData(
            device=around.device,
            epoch=epoch,
            seq=seq,
            boot_id=around.boot_id,
            interval_s=round(around.interval_s, 3),
            models=list(models),
            system=around.system,
            outbox=around.outbox,
        ),
    )


def _fits(models: Sequence[ModelHealth], around: Circumstances) -> bool:
    return len(messages.encode(_document(models, around, _WIDEST_EPOCH, _WIDEST_SEQ))) <= MAX_REPORT_BYTES


def _pieces(model: ModelHealth, around: Circumstances) -> list[ModelHealth]:
    buckets = model.latency.buckets
    if len(buckets) < 2 or _fits([model], around):
        return [model]
    middle = len(buckets) // 2
    head, tail = sum(count for _, count in buckets[:middle]), sum(count for _, count in buckets[middle:])
    # Requests and the sum of latencies go with the first half; a maximum may be told twice.
    first = Latency(n=head, sum_us=model.latency.sum_us, max_us=model.latency.max_us, buckets=buckets[:middle])
    second = Latency(n=tail, sum_us=0, max_us=model.latency.max_us, buckets=buckets[middle:])
    return [
        *_pieces(msgspec.structs.replace(model, latency=first), around),
        *_pieces(msgspec.structs.replace(model, requests=Requests(), latency=second), around),
    ]
