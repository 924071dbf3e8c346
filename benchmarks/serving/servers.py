"""Server processes: started on one core, asked until they answer, charged for what they and their workers use."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from benchmarks.measurement import resident_bytes
from benchmarks.serving.lanes import Address, Asked, Lane
from examples.demo.workshop import ROOT

# The one core that servers share. Its client shares it too, unless a measurement says otherwise.
SERVER_CORE = max(os.sched_getaffinity(0))
CLIENT_CORE = min(os.sched_getaffinity(0))

_READY_WITHIN_S = 60.0
_STOP_WITHIN_S = 5.0
_STEP_S = 0.002
_CPUCLOCK_SCHED = 2  # with the pid, as clock_getcpuclockid(3) makes it: nanoseconds, where /proc counts in 10 ms


@dataclass(frozen=True)
class Command:
    """How a server is started, where it will listen, and what it is asked."""

    words: Sequence[str]
    port: int
    asked: Asked
    environ: Mapping[str, str] = field(default_factory=dict)
    folder: Path = ROOT


@dataclass(frozen=True)
class Server:
    """A server that has answered. `family`: its process and its workers; `start_s`: from its start to its answer."""

    address: Address
    asked: Asked
    family: tuple[int, ...]
    start_s: float

    def cpu_ns(self) -> int:
        """What the kernel has charged it so far, in user and system mode."""
        return sum(time.clock_gettime_ns((~pid << 3) | _CPUCLOCK_SCHED) for pid in self.family)

    def resident_bytes(self) -> int:
        """Resident memory of all its processes."""
        return sum(resident_bytes(pid) for pid in self.family)


@contextmanager
def running(command: Command) -> Iterator[Server]:
    """The server of that command, once it answers what it is asked."""
    started = time.monotonic()
    environ = {**os.environ, "PYTHONPATH": str(ROOT), **command.environ}
    process = subprocess.Popen(
        command.words, cwd=command.folder, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        os.sched_setaffinity(process.pid, {SERVER_CORE})
        os.sched_setscheduler(process.pid, os.SCHED_OTHER, os.sched_param(0))
        address = ("127.0.0.1", command.port)
        _until_answered(process, address, command.asked)
        start_s = time.monotonic() - started
        family = (process.pid, *(child.pid for child in psutil.Process(process.pid).children(recursive=True)))
        yield Server(address, command.asked, family, start_s)
    finally:
        process.terminate()
        try:
            process.wait(_STOP_WITHIN_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _until_answered(process: subprocess.Popen[bytes], address: Address, asked: Asked) -> None:
    deadline = time.monotonic() + _READY_WITHIN_S
    while time.monotonic() < deadline and process.poll() is None:
        with suppress(OSError, ValueError), closing(Lane(address, asked)) as lane:
            lane.ask()
            lane.read()
            return
        time.sleep(_STEP_S)
    raise RuntimeError(f"{' '.join(map(str, process.args))[:200]} does not answer")  # type: ignore[arg-type]
