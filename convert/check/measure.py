"""Measures load memory and single-row latency in a fresh process, whose memory nothing else has touched.

Run as `python -m convert.check.measure FOLDER`, it is that process: it reads `model.onnx` and `rows.npz` and prints one
JSON line. Peak memory is VmHWM of /proc/self/status; a child's `ru_maxrss` would start at its parent's peak.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from convert.check.session import open_session
from edgekit import wire
from edgekit.errors import EdgekitError
from edgekit.manifest import Measured
from edgekit.times import rfc3339, utc_now

_TIMEOUT_S = 300
_WARMUP_RUNS = 50
_TIMED_RUNS = 2000
_TIMED_S = 2.0


def measure(content: bytes, inputs: Mapping[str, NDArray[Any]]) -> Measured:
    """Measure the model on these inputs (the first rows are used one by one). Raises EdgekitError."""
    found = _measure_apart(content, inputs)
    return Measured(
        created=rfc3339(_created()),
        host=describe_host(),
        load_peak_bytes=int(found["load_peak_bytes"]),
        p50_us=round(found["p50_us"], 1),
        p99_us=round(found["p99_us"], 1),
        onnxruntime=onnxruntime.__version__,
        zstd=wire.zstd_version(),
    )


def load_peak(content: bytes, inputs: Mapping[str, NDArray[Any]]) -> int:
    """Bytes by which peak memory grows in a fresh process when the model is loaded and answers one row."""
    return int(_measure_apart(content, inputs, "--load-only")["load_peak_bytes"])


def _measure_apart(content: bytes, inputs: Mapping[str, NDArray[Any]], *words: str) -> dict[str, float]:
    with tempfile.TemporaryDirectory(prefix="edgekit-measure-") as name:
        folder = Path(name)
        (folder / "model.onnx").write_bytes(content)
        # A pickled object array is never read back: texts travel as fixed-width unicode.
        plain = [array.astype(str) if array.dtype == object else array for array in inputs.values()]
        np.savez(folder / "rows.npz", np.array(list(inputs)), *plain)
        return _run_child(folder, *words)


def _created() -> datetime:
    epoch = os.environ.get("SOURCE_DATE_EPOCH")  # reproducible-builds.org/specs/source-date-epoch
    return datetime.fromtimestamp(int(epoch), UTC) if epoch and epoch.isdecimal() else utc_now()


def describe_host() -> str:
    """Architecture, processor and number of cores: never the host's name."""
    lines = Path("/proc/cpuinfo").read_text(errors="replace").splitlines()
    model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    return ", ".join(part for part in (platform.machine(), model, f"{os.cpu_count()} cores") if part)


def _run_child(folder: Path, *words: str) -> dict[str, float]:
    command = [sys.executable, "-m", "convert.check.measure", str(folder), *words]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=True)
    except subprocess.CalledProcessError as error:
        raise EdgekitError(
            f"the measuring process ended with {error.returncode} ({error.stderr.strip()[-200:]}): "
            "the model does not run in a process of its own",
            reason="measuring_failed",
        ) from error
    except subprocess.TimeoutExpired as error:
        raise EdgekitError(
            f"the measuring process took longer than {_TIMEOUT_S} s: the model is too slow to be measured",
            reason="measuring_failed",
        ) from error
    found: dict[str, float] = json.loads(done.stdout)
    return found


def _peak_bytes() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) * 1024


def _measure_here(folder: Path, *words: str) -> dict[str, float]:
    with np.load(folder / "rows.npz", allow_pickle=False) as arrays:
        names = [str(name) for name in arrays["arr_0"]]
        loaded = [arrays[f"arr_{i + 1}"] for i in range(len(names))]
    columns = [array.astype(object) if array.dtype.kind == "U" else array for array in loaded]
    rows = [
        {name: column[i : i + 1] for name, column in zip(names, columns, strict=True)} for i in range(len(columns[0]))
    ]
    content = (folder / "model.onnx").read_bytes()
    before = _peak_bytes()
    session = open_session(content)
    session.run(None, rows[0])
    peak = _peak_bytes() - before
    return {"load_peak_bytes": peak} | ({} if "--load-only" in words else _latency(session, rows))


def _latency(session: onnxruntime.InferenceSession, rows: list[dict[str, NDArray[Any]]]) -> dict[str, float]:
    taken: list[int] = []
    deadline = time.perf_counter() + _TIMED_S
    for turn in range(_WARMUP_RUNS + _TIMED_RUNS):
        start = time.perf_counter_ns()
        session.run(None, rows[turn % len(rows)])
        taken.append(time.perf_counter_ns() - start)
        if time.perf_counter() > deadline:
            break
    timed = np.asarray(taken[_WARMUP_RUNS:] or taken) / 1000
    return {"p50_us": float(np.percentile(timed, 50)), "p99_us": float(np.percentile(timed, 99))}


if __name__ == "__main__":
    print(json.dumps(_measure_here(Path(sys.argv[1]), *sys.argv[2:])))  # noqa: T201 - the parent reads this line
