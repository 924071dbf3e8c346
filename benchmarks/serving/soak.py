"""A long time in miniature: every kind of request on connections that come and go, health reports twice a second."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from dataclasses import dataclass, field

from benchmarks.measurement import Row, resident_bytes
from benchmarks.serving.device import Device, wait_connected
from benchmarks.serving.lanes import Asked, Lane
from benchmarks.serving.load import pinned
from benchmarks.serving.plan import Plan
from benchmarks.serving.samples import Sample
from benchmarks.serving.servers import CLIENT_CORE, Server, running
from edgekit import bundle

_WARM_UP_SHARE = 0.1
_READINGS = 100
_LANE_REQUESTS = 1_000
_MIB = 1 << 20


@dataclass
class Soaked:
    """`resident`: bytes after every hundredth part of the requests."""

    answered: int = 0
    failed: int = 0
    resident: list[int] = field(default_factory=list)
    elapsed_s: float = 0.0


def rows(sample: Sample, ours: Device, plan: Plan) -> list[Row]:
    """No failed request, and memory that stays where it was after a tenth of them."""
    before = len(ours.station.received.health)
    with running(ours.command({"EDGEKIT_HEALTH_INTERVAL_S": "0.5"})) as server, pinned(CLIENT_CORE):
        wait_connected(server)
        soaked = _soak(server, _menu(sample), plan.soak_requests)
    reports = len(ours.station.received.health) - before
    base, *later = soaked.resident[int(_READINGS * _WARM_UP_SHARE) :]
    grown = (max(later) - base) / _MIB
    detail = f"{soaked.answered:,} answered in {soaked.elapsed_s:.0f} s, {reports} health reports"
    flat = f"{base / _MIB:.1f} MiB after a tenth, {later[-1] / _MIB:.1f} MiB at the end"
    return [
        Row("soak: failed requests", soaked.failed, "requests", None, 0, soaked.failed == 0, detail),
        Row("soak: memory grown at its highest", round(grown, 2), "MiB", None, 2, grown <= 2, flat),
    ]


def _menu(sample: Sample) -> list[Asked]:
    """One for each connection: mostly single rows, as from several applications of one device."""
    values = list(sample.row.values())
    tensor = {
        "name": bundle.load(sample.bundle).manifest.tensors[0].name,
        "shape": [1, len(values)],
        "datatype": "FP32",
        "data": values,
    }
    refused = json.dumps({**sample.row, next(iter(sample.row)): "much"}).encode()
    return [
        *[Asked.post("/predict", sample.body)] * 12,
        Asked.post("/predict", json.dumps([sample.row] * 32).encode(), b'"predictions"'),
        Asked.post(f"/v2/models/{sample.name}/infer", json.dumps({"inputs": [tensor]}).encode(), b'"outputs"'),
        Asked.post("/predict", refused, b'"bad_rows"', 422),
        Asked(b"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", b"edgekit_"),
    ]


def _soak(server: Server, menu: Iterable[Asked], requests: int) -> Soaked:
    soaked, started = Soaked(), time.monotonic()
    lanes = [Lane(server.address, asked) for asked in menu]
    every = requests // _READINGS
    while soaked.answered + soaked.failed < requests:
        lanes = [_renewed(lane) for lane in lanes]
        for _ in range(_LANE_REQUESTS):
            _round(lanes, soaked)
            if len(soaked.resident) < (soaked.answered + soaked.failed) // every:
                soaked.resident.append(resident_bytes(server.family[0]))
    for lane in lanes:
        lane.close()
    soaked.elapsed_s = time.monotonic() - started
    return soaked


def _round(lanes: list[Lane], soaked: Soaked) -> None:
    """One request on every connection, all under way at once."""
    for lane in lanes:
        lane.ask()
    for place, lane in enumerate(lanes):
        try:
            lane.read()
            soaked.answered += 1
        except (OSError, ValueError):
            soaked.failed += 1
            lanes[place] = _renewed(lane)


def _renewed(lane: Lane) -> Lane:
    lane.close()
    return Lane(lane.address, lane.asked)
