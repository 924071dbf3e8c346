"""Runs an ONNX model in onnxruntime the way a device does: one thread, no spinning, named outputs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from convert.check.parity import Answers
from edgekit.manifest import Dtype, Output, Tensor

if TYPE_CHECKING:  # the measuring process has no need of pandas
    import pandas as pd

# Kernels with a batch × training rows matrix (neighbours, kernels) would take gigabytes for all rows at once.
_BATCH_ROWS = 1024
_NUMPY: dict[Dtype, type[Any]] = {
    "float32": np.float32,
    "float64": np.float64,
    "int64": np.int64,
    "bool": np.bool_,
    "string": np.object_,
}


def open_session(content: bytes) -> onnxruntime.InferenceSession:
    """Load the model. Raises what onnxruntime raises when it cannot run it."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def feeds(tensors: Sequence[Tensor], frame: pd.DataFrame) -> dict[str, NDArray[Any]]:
    """The input arrays for these rows; a missing text becomes the empty string."""
    return {tensor.name: _array(frame[tensor.features], tensor.dtype) for tensor in tensors}


def _array(columns: pd.DataFrame, dtype: Dtype) -> NDArray[Any]:
    if dtype == "string":
        columns = columns.fillna("")
    array: NDArray[Any] = np.ascontiguousarray(columns.to_numpy(dtype=_NUMPY[dtype]))
    return array


def run(
    session: onnxruntime.InferenceSession, tensors: Sequence[Tensor], outputs: Sequence[Output], frame: pd.DataFrame
) -> Answers:
    """Answers for all rows. Raises what onnxruntime raises."""
    names = [output.name for output in outputs]
    parts = [
        session.run(names, feeds(tensors, frame.iloc[start : start + _BATCH_ROWS]))
        for start in range(0, max(len(frame), 1), _BATCH_ROWS)
    ]
    return as_answers(outputs, [np.concatenate(column) for column in zip(*parts, strict=True)])


def as_answers(outputs: Sequence[Output], arrays: Sequence[NDArray[Any]]) -> Answers:
    """Sort output arrays by their roles."""
    label = next((array for output, array in zip(outputs, arrays, strict=True) if output.role == "label"), None)
    numbers = next((array for output, array in zip(outputs, arrays, strict=True) if output.role != "label"), None)
    return Answers(label, None if numbers is None else numbers.astype(np.float64).reshape(len(numbers), -1))
