"""The child that tests a bundle before it may serve: `python -m edge_agent.update.preflight`.

Digest, expansion, load, golden rows, measurement: whatever a bad bundle breaks, it breaks here. It is niced, its
memory is bounded, and the kernel is told to kill it first; the parent sets the deadline. The expanded files are left
for the parent to publish.
"""

from __future__ import annotations

import errno
import hashlib
import os
import platform
import re
import resource
import shutil
import sys
from importlib import metadata
from pathlib import Path

from edge_agent.report.system import memory_available_bytes
from edge_agent.serve.inference import Predictor
from edge_agent.serve.selftest import run_golden
from edge_agent.update import dialog
from edge_agent.update.dialog import PreflightReport, PreflightRequest
from edge_agent.update.leash import die_with_parent
from edge_agent.update.memory import REASON, shortage
from edgekit import bundle as bundles
from edgekit import golden, packing
from edgekit.bundle import Bundle
from edgekit.errors import BundleError, DeviceFault, EdgekitError
from edgekit.files import read_bounded
from edgekit.packing import EXPANDED_NAMES

NICENESS = 10
NO_SPACE = (errno.ENOSPC, errno.EDQUOT)
MEMORY_MARGIN = 1.3  # of the measured peak: fragmentation, and what the process does meanwhile


def main() -> None:
    """One request from standard input, one report to standard output."""
    die_with_parent()
    request = dialog.decode(sys.stdin.buffer.readline(dialog.MAX_LINE_BYTES), PreflightRequest)
    _be_modest(request.memory_bytes)
    sys.stdout.buffer.write(dialog.encode(report(request)))


def report(request: PreflightRequest) -> PreflightReport:
    """Test the bundle; never raises for what a bundle can cause."""
    try:
        return _test(request)
    except MemoryError:
        return PreflightReport(reason=REASON, detail="the model needs more memory than a test may take")
    except BundleError as error:
        return PreflightReport(reason=error.reason, detail=error.message, refused=True)
    except EdgekitError as error:
        return PreflightReport(reason=error.reason, detail=error.message)
    except OSError as error:
        reason = "disk_short" if error.errno in NO_SPACE else "disk_failed"
        return PreflightReport(reason=reason, detail=f"the model cannot be written: {error.strerror}")


def _test(request: PreflightRequest) -> PreflightReport:
    bundle = bundles.load(Path(request.bundle))
    _check_identity(bundle, request)
    _check_device(bundle, request.budget_bytes)
    folder = Path(request.folder)
    _expand(bundle, folder)
    before = _peak_bytes()
    predictor = Predictor.open(folder, sha256=bundle.sha256)
    rows = golden.decode_golden(read_bounded(folder / EXPANDED_NAMES["golden"], bundles.MAX_BUNDLE_BYTES))
    result = run_golden(predictor, rows)
    if not result.passed:
        raise BundleError(f"the model does not answer as it should: {result.detail}", reason="golden_mismatch")
    return PreflightReport(
        manifest_sha256=hashlib.sha256(bundle.manifest_bytes).hexdigest(),
        load_peak_bytes=max(0, _peak_bytes() - before),
        run_us=predictor.run_us,
        rows=result.rows,
    )


def _check_identity(bundle: Bundle, request: PreflightRequest) -> None:
    manifest = bundle.manifest
    if bundle.sha256 != request.sha256:
        raise BundleError("the downloaded bundle is not the signed one", reason="digest_mismatch")
    found = (manifest.name, manifest.version, manifest.file("model").expanded_sha256)
    if found != (request.name, request.version, request.expanded_sha256):
        raise BundleError(
            f"the bundle says it is {manifest.name}:{manifest.version}, the signed release says otherwise",
            reason="release_mismatch",
        )


def _check_device(bundle: Bundle, budget_bytes: int | None) -> None:
    requires, measured = bundle.manifest.requires, bundle.manifest.measured
    if platform.machine() not in requires.arch:
        raise BundleError(f"it runs on {', '.join(requires.arch)} only", reason="hardware_mismatch")
    oldest, here = (_numbers(version) for version in (requires.onnxruntime_min, metadata.version("onnxruntime")))
    if not oldest <= here < (oldest[0] + 1,):
        raise DeviceFault(
            f"it needs onnxruntime {requires.onnxruntime_min} or a later {oldest[0]}.x, and this device has "
            f"{metadata.version('onnxruntime')}: others may answer otherwise",
            reason="runtime_mismatch",
        )
    needed = max(requires.free_memory_bytes, int(measured.load_peak_bytes * MEMORY_MARGIN))
    why = shortage(needed, memory_available_bytes(), budget_bytes)
    if why is not None:
        raise DeviceFault(why, reason=REASON)


def _numbers(version: str) -> tuple[int, ...]:
    """`1.24.1` as numbers to compare; (0,) where there is none."""
    return tuple(int(part) for part in re.findall(r"\d+", version)[:3]) or (0,)


def _expand(bundle: Bundle, folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)  # of an attempt that was cut
    folder.mkdir()
    (folder / bundles.MANIFEST_PATH).write_bytes(bundle.manifest_bytes)
    for role, name in EXPANDED_NAMES.items():
        (folder / name).write_bytes(packing.expand(bundle, role))


def _be_modest(memory_bytes: int) -> None:
    os.nice(NICENESS)
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        Path("/proc/self/oom_score_adj").write_text("1000")
    except OSError:
        pass  # a container may forbid it; the memory limit holds all the same


def _peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    main()
