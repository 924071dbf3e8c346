"""The load generator: keeps one request under way on each connection.

It blocks in `recv` while it has one connection, since a poll would be a tenth of what is measured.
"""

from __future__ import annotations

import os
import select
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from benchmarks.serving.lanes import Lane
from benchmarks.serving.servers import Server

_WARM_UP_SHARE = 0.2


@dataclass(frozen=True)
class Load:
    """What one measurement gave: µs of CPU that the server and this client took for a request, the median µs from
    sending a request to having read its answer, and requests a second.
    """

    cpu_us: float
    client_us: float
    p50_us: float
    per_s: float


@contextmanager
def pinned(core: int) -> Iterator[None]:
    """This thread as a client on that core."""
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)


@contextmanager
def modest(core: int) -> Iterator[None]:
    """This thread as a client on the server's core: as a batch job, so that the first of several answers does not take
    the core away from the server.
    """
    with pinned(core):
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
        try:
            yield
        finally:
            os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))


def load(server: Server, connections: int, duration_s: float) -> Load:
    """Ask for so long, after a warm-up."""
    lanes = [Lane(server.address, server.asked) for _ in range(connections)]
    turn = _one if connections == 1 else _many
    try:
        turn(lanes, duration_s * _WARM_UP_SHARE)
        return _charged(server, lambda: turn(lanes, duration_s))
    finally:
        for lane in lanes:
            lane.close()


def _charged(server: Server, turn: Callable[[], list[int]]) -> Load:
    server_ns, client_ns, started = server.cpu_ns(), time.thread_time_ns(), time.perf_counter()
    times = turn()
    elapsed_s = time.perf_counter() - started
    server_ns, client_ns = server.cpu_ns() - server_ns, time.thread_time_ns() - client_ns
    count = len(times)
    return Load(server_ns / count / 1e3, client_ns / count / 1e3, statistics.median(times) / 1e3, count / elapsed_s)


def _one(lanes: list[Lane], duration_s: float) -> list[int]:
    times: list[int] = []
    (lane,) = lanes
    ends = time.perf_counter_ns() + int(duration_s * 1e9)
    while not times or lane.sent_ns < ends:
        lane.ask()
        times.append(lane.read())
    return times


def _many(lanes: list[Lane], duration_s: float) -> list[int]:
    times: list[int] = []
    ends = time.perf_counter_ns() + int(duration_s * 1e9)
    waiting: dict[int, Lane] = {}
    with select.epoll() as poller:

        def watch(lane: Lane) -> None:
            waiting[lane.socket.fileno()] = lane
            poller.register(lane.socket, select.EPOLLIN)

        for lane in lanes:
            lane.ask()
            watch(lane)
        under_way = len(lanes)
        while under_way:
            for number, _ in poller.poll(10):
                lane = waiting[number]
                times.append(lane.read())
                if lane.sent_ns < ends:
                    held = lane.socket
                    lane.ask()
                    if lane.socket is not held:  # a closed one has left the poller by itself
                        watch(lane)
                else:
                    under_way -= 1
    return times
