"""A verified model in memory: rows in, answers out, and how long that takes here.

One onnxruntime session with one thread, loaded from its path (loading from bytes costs half as much memory again). A
model whose inputs are one tensor of numbers answers up to a block of rows through bound buffers; anything else takes
the ordinary way. Both give the same answers.
"""

from __future__ import annotations

import ctypes
import struct
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from edge_agent.serve.answers import AnswerForm, Answers
from edge_agent.serve.bound import BLOCK_ROWS, BoundRows
from edge_agent.serve.columns import Column
from edge_agent.serve.lines import LineForm
from edge_agent.serve.rows import Row, RowReader
from edgekit import manifest as manifests
from edgekit.bundle import MANIFEST_PATH
from edgekit.errors import BundleError, DeviceFault
from edgekit.files import read_bounded
from edgekit.manifest import Dtype, Manifest
from edgekit.packing import EXPANDED_NAMES

_NUMPY: dict[Dtype, Any] = {
    "float32": np.float32,
    "float64": np.float64,
    "int64": np.int64,
    "bool": np.bool_,
    "string": np.object_,
}
_WARM_UP_ROWS = 32
_TOGETHER_SHARE = 0.8
_WARM_UP_RUNS = 7
_LOG_ERRORS_ONLY = 3


class Predictor:
    """One loaded model. Safe to use from several threads.

    `manifest`; `identity`: (name, version, sha256 of the bundle); `label`: `name:version`, which every answer carries;
    `rows`: the reader of what clients send; `run_us`, `row_us`: measured time of a run of one row, and of each
    further row; `reference`: the expanded reference bins of the bundle, where they lie beside the model. A row answered
    together with others has the same label as alone; its numbers may differ by rounding (1.2e-7 seen in a probability
    of a linear model, nothing in forests), far below the golden rows' tolerance.
    """

    def __init__(self, session: Any, manifest: Manifest, sha256: str) -> None:
        self.manifest = manifest
        self.reference: bytes | None = None
        self.identity = (manifest.name, manifest.version, sha256)
        self.label = f"{manifest.name}:{manifest.version}"
        self.rows = RowReader(manifest)
        # Set by whoever serves this model: counts an answered row by its µs.
        self.note: Callable[[int], None] | None = None
        self._form = AnswerForm(manifest)
        self._line = LineForm(self._form, self.label).line
        self._session = session
        self._names = [output.name for output in manifest.outputs]
        self._slices = _slices(manifest)
        self._bound: BoundRows | None = None
        self._warm_up()

    @classmethod
    def open(cls, folder: Path, *, sha256: str) -> Predictor:
        """Load the model in `folder` (as `edgekit.packing.EXPANDED_NAMES` lays it out) and run it once.

        `sha256` is the digest of the bundle it came from. Digests are the caller's to check. Raises BundleError
        (`manifest_malformed`, `model_unloadable`, `model_mismatch`) or DeviceFault when a file cannot be read.
        """
        try:
            manifest = manifests.decode(read_bounded(folder / MANIFEST_PATH, manifests.MAX_MANIFEST_BYTES))
            session = _session(folder / EXPANDED_NAMES["model"], manifest)
            reference = _reference(folder / EXPANDED_NAMES["reference"], manifest)
        except (OSError, ValueError) as error:
            raise DeviceFault(
                f"the model in {folder} cannot be read ({error}): install it again", reason="model_unreadable"
            ) from error
        predictor = cls(session, manifest, sha256)
        predictor.reference = reference
        return predictor

    def run(self, rows: Sequence[Row]) -> Answers:
        """Answers to rows in packing order, at least one. Raises DeviceFault when the runtime fails."""
        try:
            if self._bound is not None and len(rows) <= BLOCK_ROWS:
                return self._bound.run(rows)
            return self.run_tensors(self.feeds(rows))
        except _RuntimeFaults as error:
            raise DeviceFault(f"model {self.label} failed while predicting ({error})", reason="run_failed") from error

    def lines(self, rows: Sequence[Row]) -> list[bytes]:
        """The answer to each row as `POST /predict` writes it. Raises as `run` does."""
        columns = self.run(rows).columns
        return [self._line(columns, row) for row in range(len(rows))]

    def feeds(self, rows: Sequence[Row]) -> dict[str, NDArray[Any]]:
        """The graph's input tensors, each [rows, features], for rows in packing order."""
        return {
            name: np.array([row[start:end] for row in rows], dtype=dtype) for name, dtype, start, end in self._slices
        }

    def run_tensors(self, feeds: dict[str, NDArray[Any]]) -> Answers:
        """Answers to input tensors that are known to be right; onnxruntime's own exceptions pass through."""
        return self._form.read(self._session.run(self._names, feeds))

    def run_output(self, name: str, feeds: dict[str, NDArray[Any]]) -> NDArray[Any]:
        """One output of the graph as it gives it, for input tensors that are known to be right. Raises DeviceFault."""
        try:
            given: NDArray[Any] = self._session.run([name], feeds)[0]
        except _RuntimeFaults as error:
            raise DeviceFault(f"model {self.label} failed while predicting ({error})", reason="run_failed") from error
        return given

    @property
    def gains_together(self) -> bool:
        """True when rows of several clients cost less in one run than in a run each."""
        return self._bound is not None and self.row_us < _TOGETHER_SHARE * self.run_us

    def expected_us(self, rows: int) -> float:
        """How long a run of so many rows should take on this device."""
        return self.run_us + (rows - 1) * self.row_us

    def probe(self) -> None:
        """Answer a harmless row, as a sign of life. Raises DeviceFault when the runtime fails."""
        self.run([self._harmless])

    def _warm_up(self) -> None:
        row = self._harmless = tuple(_neutral(column) for column in self.rows.columns)
        batch = [row] * _WARM_UP_ROWS
        try:
            arrays = self._session.run(self._names, self.feeds([row, row]))
            if len(self._slices) == 1 and BoundRows.possible(self._slices[0][1], arrays):
                name, dtype, _, width = self._slices[0]
                self._bound = BoundRows(self._session, (name, dtype), width, arrays, self._form)
            self.run_us = _measure(lambda: self.run([row]))
            self.row_us = max(0.0, _measure(lambda: self.run(batch)) - self.run_us) / (_WARM_UP_ROWS - 1)
        except _FaultsAtFirstRun as error:
            raise BundleError(
                f"model {self.label} loads but does not run ({error}): make the bundle again", reason="model_mismatch"
            ) from error


def trim_heap() -> None:
    """Give freed memory back to the system. Worth it after a model was loaded or dropped (a 49 MB forest keeps 274 MB
    otherwise); takes some milliseconds without the interpreter lock. Does nothing where libc cannot.
    """
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def _runtime_faults() -> tuple[type[Exception], ...]:
    state = onnxruntime.capi.onnxruntime_pybind11_state
    kinds = [value for value in vars(state).values() if isinstance(value, type) and issubclass(value, Exception)]
    return (*kinds, RuntimeError, ValueError, TypeError, struct.error)


_RuntimeFaults = _runtime_faults()
_FaultsAtFirstRun: tuple[type[Exception], ...] = (*_RuntimeFaults, DeviceFault)


def _session(path: Path, manifest: Manifest) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = _LOG_ERRORS_ONLY
    # Measured: without the arena a single row is no slower, and a large batch leaves no memory behind.
    options.enable_cpu_mem_arena = False
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if not path.is_file():
        raise FileNotFoundError(f"{path.name} is missing")
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except _RuntimeFaults as error:
        raise BundleError(
            f"onnxruntime {onnxruntime.__version__} cannot load {manifest.name}:{manifest.version} ({error})",
            reason="model_unloadable",
        ) from error
    _check_names(session, manifest)
    return session


def _reference(path: Path, manifest: Manifest) -> bytes | None:
    """Kept in memory, some kilobytes: the folder may be gone by the time that somebody asks for an explanation."""
    return read_bounded(path, manifest.file("reference").expanded_bytes) if path.is_file() else None


def _check_names(session: Any, manifest: Manifest) -> None:
    takes, gives = {node.name for node in session.get_inputs()}, {node.name for node in session.get_outputs()}
    if (
        takes != {tensor.name for tensor in manifest.tensors}
        or not {output.name for output in manifest.outputs} <= gives
    ):
        raise BundleError(
            "the model's inputs and outputs are not those of its manifest: make the bundle again",
            reason="model_mismatch",
        )


def _slices(manifest: Manifest) -> list[tuple[str, Any, int, int]]:
    """Per tensor: name, numpy dtype, and where its features begin and end in a packed row."""
    slices, start = [], 0
    for tensor in manifest.tensors:
        end = start + len(tensor.features)
        slices.append((tensor.name, _NUMPY[tensor.dtype], start, end))
        start = end
    return slices


def _neutral(column: Column) -> Any:
    """A harmless value to warm up with."""
    feature = column.feature
    if feature.categories:
        return feature.categories[0]
    if feature.dtype == "string":
        return ""
    low = feature.range[0] if feature.range is not None else 0.0
    return {"bool": False, "int64": int(low)}.get(feature.dtype, low)


def _measure(run: Callable[[], object]) -> float:
    times = []
    for _ in range(_WARM_UP_RUNS):
        started = time.perf_counter_ns()
        run()
        times.append(time.perf_counter_ns() - started)
        if times[-1] > 100_000_000:  # a slow model is known to be slow after one run
            break
    return median(times) / 1000
