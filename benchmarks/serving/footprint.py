"""What serving one small model costs the device before the first request: memory, the time to start, the disk."""

from __future__ import annotations

import os
import statistics
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

from benchmarks.measurement import Row, below, plain, turns_of
from benchmarks.serving import commands
from benchmarks.serving.device import OURS, Device, wait_connected
from benchmarks.serving.load import load, pinned
from benchmarks.serving.mlserver import Home
from benchmarks.serving.plan import Plan
from benchmarks.serving.samples import Sample
from benchmarks.serving.servers import CLIENT_CORE, Command, running
from examples.demo.workshop import ROOT

_DISTRIBUTION = "edgekit-ml"
_INSTALLED = {
    OURS: ("edgekit-ml[agent]",),
    commands.FLASK_SKLEARN: ("flask", "gunicorn", "scikit-learn"),
    commands.FLASK_ONNX: ("flask", "gunicorn", "onnxruntime"),
    commands.FASTAPI_ONNX: ("fastapi", "uvicorn", "httptools", "uvloop", "onnxruntime"),
}
_PIP = {"pip", "setuptools", "_distutils_hack", "pkg_resources"}


def rows(sample: Sample, ours: Device, plan: Plan) -> list[Row]:
    """Memory and cold start, each server started anew for every figure; the client is on the other core."""
    with pinned(CLIENT_CORE):
        mine, gunicorn, waitress = turns_of(
            plan.starts,
            lambda: _started(ours.command(), connected=True),
            lambda: _started(commands.gunicorn("flask_sklearn", sample, sample.pickle)),
            lambda: _started(commands.waitress(sample)),
        )
    memory, peers_memory = (statistics.median(each[1] for each in figures) for figures in (mine, waitress))
    start, peers_start = (statistics.median(each[0] for each in figures) for figures in (mine, gunicorn))
    return [
        below(
            f"resident memory, MQTT connected, {sample.name}",
            memory,
            peers_memory,
            commands.FLASK_WAITRESS,
            0.55,
            f"{memory / 2**20:.1f} against {peers_memory / 2**20:.1f} MiB",
        ),
        below(
            f"cold start to the first answer, {sample.name}",
            start,
            peers_start,
            commands.FLASK_SKLEARN,
            0.2,
            f"{start:.2f} against {peers_start:.2f} s",
        ),
    ]


def _started(command: Command, *, connected: bool = False) -> tuple[float, float]:
    """Seconds from the start to the first answer, and resident bytes once requests have run."""
    with running(command) as server:
        if connected:
            wait_connected(server)
        load(server, 1, 0.5)
        return server.start_s, float(server.resident_bytes())


def size_rows(home: Home) -> list[Row]:
    """Everything that a device installs, without compiled files, pip and setuptools."""
    made = [
        plain("installed size", sum(_sizes(*wanted)) / 1e6, "MB", f"{name}: {', '.join(wanted)}")
        for name, wanted in _INSTALLED.items()
    ]
    if not home.missing:
        made.append(plain("installed size", _folder_bytes(home.folder) / 1e6, "MB", commands.MLSERVER))
    return made


def _sizes(*wanted: str) -> Iterator[int]:
    """The files of these distributions and of all that they require here."""
    waiting = [Requirement(each) for each in wanted]
    seen: set[tuple[str, frozenset[str]]] = set()
    while waiting:
        requirement = waiting.pop()
        key = (requirement.name.lower().replace("_", "-"), frozenset(requirement.extras))
        if key in seen:
            continue
        if not any(name == key[0] for name, _ in seen):
            yield from _own_sizes(key[0])
        seen.add(key)
        for line in metadata.requires(requirement.name) or []:
            needed = Requirement(line)
            if needed.marker is None or any(needed.marker.evaluate({"extra": each}) for each in key[1] or ("",)):
                waiting.append(needed)


def _own_sizes(name: str) -> Iterator[int]:
    if name == _DISTRIBUTION:  # installed from its source tree here
        for package in ("convert", "edge_agent", "edgekit", "fleet"):
            yield _folder_bytes(ROOT / package)
        return
    for file in metadata.files(name) or []:
        path = Path(str(file.locate()))
        if path.suffix != ".pyc" and path.is_file():
            yield path.stat().st_size


def _folder_bytes(folder: Path) -> int:
    total = 0
    for parent, folders, files in os.walk(folder):
        folders[:] = [each for each in folders if each not in _PIP and each != "__pycache__"]
        total += sum((Path(parent) / file).stat(follow_symlinks=False).st_size for file in files)
    return total
