"""What a device pays for taking a model out of its wire form: a fresh process that has numpy and zstandard only.

Time is CPU time per 10 MB of the expanded model; memory is how far expanding raises VmHWM of the process, the stored
bytes being there already. Medians of several processes; the digest of what was expanded is checked in each.
"""

from __future__ import annotations

import hashlib
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.neighbors import KNeighborsClassifier

from benchmarks.converting import sets
from benchmarks.converting.sets import Set
from benchmarks.measurement import Row, below
from convert.options import Options
from convert.pipeline import choose, prepare
from edgekit import wire

_GOAL_S, _PER_BYTES = 0.3, 10_000_000
_GOAL_PEAK = 3.0
_CONVERTED_ROWS = 600
_REPEATS = 7

_EXPANDER = """
import hashlib, json, sys, time
from pathlib import Path
from edgekit import wire
strangers = {"onnx", "onnxruntime", "sklearn", "skl2onnx", "scipy", "pandas", "convert"} & set(sys.modules)
if strangers:
    sys.exit(f"edgekit.wire imports {strangers}")
def peak():
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) * 1024
stored = Path(sys.argv[1]).read_bytes()
before, started = peak(), time.process_time()
content = wire.expand(stored, sys.argv[2], int(sys.argv[3]))
found = time.process_time() - started, peak() - before
print(json.dumps([*found, hashlib.sha256(content).hexdigest()]))
"""


@dataclass(frozen=True)
class Kind:
    """A model that expands to about 10 MB."""

    name: str
    make: Callable[[], Any]
    rows: Callable[[], Set]


_FOREST = partial(RandomForestClassifier, random_state=0, n_jobs=1)
KINDS = (
    Kind("grown forest, generated", partial(_FOREST, n_estimators=100), lambda: sets.generated().first(42_000)),
    Kind("forest with mixed leaves, flights", partial(_FOREST, n_estimators=500, min_samples_leaf=10), sets.flights),
    Kind(
        "forest regression, flights",
        partial(RandomForestRegressor, 100, min_samples_leaf=2, random_state=0, n_jobs=1),
        lambda: sets.delays().first(29_000),
    ),
    Kind("KNN, generated", KNeighborsClassifier, lambda: sets.generated().first(45_000)),
)


def rows() -> list[Row]:
    """Time and memory of each kind."""
    return [row for kind in KINDS for row in _measured(kind)]


def _measured(kind: Kind) -> list[Row]:
    content = _content(kind)
    encoding, stored = wire.compress(content)
    with tempfile.TemporaryDirectory() as parent:
        path = Path(parent) / "model.wire"
        path.write_bytes(stored)
        command = [sys.executable, "-c", _EXPANDER, str(path), encoding, str(len(content))]
        turns = [_run(command, hashlib.sha256(content).hexdigest()) for _ in range(_REPEATS)]
    times, peaks = zip(*turns, strict=True)
    return _rows(kind.name, (len(stored), len(content)), times, statistics.median(peaks))


def _content(kind: Kind) -> bytes:
    """The model's exact form. A few rows are enough to choose it: the answers are judged elsewhere."""
    source = kind.rows()
    model = kind.make().fit(source.shown.to_numpy(), source.answers)
    options = Options(name="model", max_label_change=0.0)
    return choose(prepare(model, source.shown.head(_CONVERTED_ROWS), options), options)[1].content


def _run(command: list[str], digest: str) -> tuple[float, float]:
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=300)
    seconds, growth, found = json.loads(done.stdout)
    if found != digest:
        raise ValueError("the wire form expanded to other bytes")
    return seconds, growth


def _rows(name: str, sizes: tuple[int, int], times: tuple[float, ...], peak: float) -> list[Row]:
    stored, expanded = sizes
    seconds = statistics.median(times) * _PER_BYTES / expanded
    time = f"{statistics.median(times):.3f} s, at best {min(times):.3f}; {stored:,} to {expanded:,} bytes"
    memory = f"{peak / 2**20:.1f} MiB"
    return [
        Row(f"{name}: expanding 10 MB, CPU", round(seconds, 4), "s", None, _GOAL_S, seconds <= _GOAL_S, time),
        below(f"{name}: expanding, peak memory", peak, expanded, "the expanded model", _GOAL_PEAK, memory),
    ]
