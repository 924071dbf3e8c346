"""CPU that a server takes for a request, client and server pinned to one core, every server taking its turn."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from functools import partial

from benchmarks.measurement import Row, fewer, plain, turns_of
from benchmarks.serving import commands
from benchmarks.serving.device import OURS
from benchmarks.serving.load import Load, load, modest
from benchmarks.serving.plan import Plan
from benchmarks.serving.servers import SERVER_CORE, Server

CONNECTIONS = (1, 16)
TRIVIAL = "a responder that only answers"
# How many times less CPU than the peer, by connections and model; a peer without an entry is only shown.
GOALS: Mapping[str, Mapping[tuple[int, str], float]] = {
    commands.FLASK_SKLEARN: {(16, "forest"): 250, (16, "mlp"): 50},
    commands.FLASK_ONNX: dict.fromkeys([(1, "forest"), (16, "forest"), (1, "mlp"), (16, "mlp")], 12),
    commands.ASGI_ONNX: dict.fromkeys([(1, "forest"), (16, "forest"), (1, "mlp"), (16, "mlp")], 2),
}
_NOT_THE_LIMIT = 0.9


def rows(model: str, servers: Mapping[str, Server], plan: Plan) -> list[Row]:
    """Our server first, then every peer; the trivial responder last."""
    made = []
    for connections in CONNECTIONS:
        with modest(SERVER_CORE):
            turns = turns_of(
                plan.repeats, *(partial(load, server, connections, plan.load_s) for server in servers.values())
            )
        loads = dict(zip(servers, turns, strict=True))
        where = f"{model}, {connections} connection{'s' if connections > 1 else ''}"
        made += _shown(where, loads)
        made += _compared(where, (connections, model), loads)
        made.append(_generator(where, loads))
    return made


def _cpu_us(loads: Sequence[Load]) -> float:
    return statistics.median(each.cpu_us for each in loads)


def _shown(where: str, loads: Mapping[str, Sequence[Load]]) -> list[Row]:
    return [
        plain(
            f"CPU a request, {where}",
            _cpu_us(each),
            "µs",
            f"{name}; p50 {statistics.median(load.p50_us for load in each):.0f} µs",
        )
        for name, each in loads.items()
        if name != TRIVIAL
    ]


def _compared(where: str, which: tuple[int, str], loads: Mapping[str, Sequence[Load]]) -> list[Row]:
    ours = _cpu_us(loads[OURS])
    return [
        fewer(f"CPU a request, {where}", ours, _cpu_us(each), name, GOALS.get(name, {}).get(which))
        for name, each in loads.items()
        if name not in (OURS, TRIVIAL)
    ]


def _generator(where: str, loads: Mapping[str, Sequence[Load]]) -> Row:
    """The load generator is not the limit: with a responder that does nothing it asks more often than ours answers."""
    ours, most = (statistics.median(load.per_s for load in loads[name]) for name in (OURS, TRIVIAL))
    client_us = statistics.median(load.client_us for load in loads[OURS])
    detail = f"{ours:,.0f} against {most:,.0f} requests/s; the load generator takes {client_us:.1f} µs for each"
    ratio = ours / most
    return Row(f"rate, {where}", round(ratio, 3), "ratio", TRIVIAL, _NOT_THE_LIMIT, ratio <= _NOT_THE_LIMIT, detail)
