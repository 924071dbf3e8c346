"""What a device pays for a model: loading it in a fresh process, and answering one row.

Peak memory is how far loading and one answer raise VmHWM of the process; times are CPU times. Both models take turns.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

Feeds = dict[str, NDArray[Any]]

_LOADER = """
import json, sys, time
import numpy, onnxruntime
def peak():
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) * 1024
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = options.inter_op_num_threads = 1
with numpy.load(sys.argv[2]) as arrays:
    row = {name: arrays[name].astype(object) if arrays[name].dtype.kind == "U" else arrays[name] for name in arrays}
before, started = peak(), time.process_time()
session = onnxruntime.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
session.run(None, row)
print(json.dumps([time.process_time() - started, peak() - before]))
"""


def load(models: list[tuple[bytes, Feeds]], repeats: int = 3) -> list[tuple[float, float]]:
    """Per model the median CPU seconds and the median growth of peak memory in bytes."""
    with tempfile.TemporaryDirectory() as parent:
        commands = [_command(Path(parent), place, *model) for place, model in enumerate(models)]
        turns = [[_run(command) for command in commands] for _ in range(repeats)]
    columns = zip(*turns, strict=True)
    return [(statistics.median(t for t, _ in column), statistics.median(b for _, b in column)) for column in columns]


def _command(parent: Path, place: int, content: bytes, feeds: Feeds) -> list[str]:
    model, row = parent / f"{place}.onnx", parent / f"{place}.npz"
    model.write_bytes(content)
    words: dict[str, Any] = {
        name: (array.astype(str) if array.dtype == object else array)[:1] for name, array in feeds.items()
    }
    np.savez(row, **words)
    return [sys.executable, "-c", _LOADER, str(model), str(row)]


def _run(command: list[str]) -> tuple[float, float]:
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=300)
    seconds, growth = json.loads(done.stdout)
    return seconds, growth


def one_row_us(sessions: list[tuple[onnxruntime.InferenceSession, Feeds]], repeats: int = 7) -> list[float]:
    """Per model the median CPU time of one answer in µs, another row each time."""
    measured = [[_turn(session, _rows(feeds)) for session, feeds in sessions] for _ in range(repeats)]
    return [statistics.median(column) * 1e6 for column in zip(*measured, strict=True)]


def _rows(feeds: Feeds) -> list[Feeds]:
    count = min(64, len(next(iter(feeds.values()))))
    return [{name: array[place : place + 1] for name, array in feeds.items()} for place in range(count)]


def _turn(session: onnxruntime.InferenceSession, rows: list[Feeds]) -> float:
    names = [output.name for output in session.get_outputs()]
    for row in rows[:8]:
        session.run(names, row)
    runs, started, deadline = 0, time.process_time(), time.perf_counter() + 0.25
    while time.perf_counter() < deadline:
        session.run(names, rows[runs % len(rows)])
        runs += 1
    return (time.process_time() - started) / runs
