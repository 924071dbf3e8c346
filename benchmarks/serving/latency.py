"""How long an answer takes beside what cannot be avoided: onnxruntime's own `session.run` of the same row."""

from __future__ import annotations

import dataclasses
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from benchmarks.measurement import Row, below, plain, turns_of
from benchmarks.serving.load import Load, load, modest, pinned
from benchmarks.serving.plan import Plan
from benchmarks.serving.samples import Sample
from benchmarks.serving.servers import CLIENT_CORE, SERVER_CORE, Server
from examples.demo.workshop import ROOT

_SESSION_RUN = "session.run"


def rows(sample: Sample, ours: Server, trivial: Server, plan: Plan) -> list[Row]:
    """In process and over HTTP, everything on one core, one row after the other. The trivial responder shows how much
    of the time over HTTP is the machine's own.
    """
    with modest(SERVER_CORE), _in_process(sample) as inside:
        (turns,) = turns_of(
            plan.repeats,
            lambda: (inside.measure(plan.load_s), *(load(each, 1, plan.load_s) for each in (ours, trivial))),
        )
    inside_us, ours_loads, trivial_loads = zip(*turns, strict=True)
    bare, whole = (
        statistics.median(each[name] for each in inside_us) for name in ("session_run_us", "body_to_answer_us")
    )
    p50, floor = _p50(ours_loads), _p50(trivial_loads)
    return [
        plain(f"session.run, {sample.name}", bare, "µs"),
        below(f"body to answer in process, {sample.name}", whole, bare, _SESSION_RUN, 1.2, f"{whole:.1f} µs"),
        below(
            f"HTTP p50, {sample.name}, 1 connection",
            p50,
            bare,
            _SESSION_RUN,
            3.0,
            f"{p50:.1f} µs; a responder that only answers: {floor:.1f} µs",
        ),
    ]


def socket_rows(sample: Sample, ours: Server, unix_socket: Path, plan: Plan) -> list[Row]:
    """A Unix socket beside TCP, the client on the other core, as an application of the device would be."""
    local = dataclasses.replace(ours, address=str(unix_socket))
    with pinned(CLIENT_CORE):
        turns = turns_of(plan.repeats, *(partial(load, server, 1, plan.load_s) for server in (local, ours)))
    unix, tcp = map(_p50, turns)
    detail = f"{unix:.0f} against {tcp:.0f} µs; client on the other core"
    return [below(f"Unix socket p50, {sample.name}, 1 connection", unix, tcp, "TCP", 0.75, detail)]


def _p50(loads: Iterable[Load]) -> float:
    return statistics.median(each.p50_us for each in loads)


class _InProcess:
    """`apps/in_process.py`, which measures when it is told to."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def measure(self, duration_s: float) -> dict[str, float]:
        """Medians over blocks of calls, µs a call."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{duration_s}\n")
        self._process.stdin.flush()
        measured: dict[str, float] = json.loads(self._process.stdout.readline())
        return measured


@contextmanager
def _in_process(sample: Sample) -> Iterator[_InProcess]:
    environ = {"PYTHONPATH": str(ROOT), "MODEL": str(sample.onnx), "BODY": sample.body.decode()}
    words = [sys.executable, "-W", "ignore", "-m", "benchmarks.serving.apps.in_process"]
    with subprocess.Popen(
        words, env=os.environ | environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        os.sched_setscheduler(process.pid, os.SCHED_OTHER, os.sched_param(0))
        yield _InProcess(process)
