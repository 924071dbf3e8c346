"""Smaller weights: float32 initializers as float16 with a cast, matrices as 16-bit whole numbers with a scale for each
line, or moved to a grid of 255 values per column.

16-bit whole numbers take what float16 takes and lie 16 times as close to the weights, where these are of like size.

A grid weight is `float32(scale[column]) × int8`, still stored as float32 in the ONNX file, which runs as fast as
before; the wire form stores the small integers. onnxruntime folds the cast of a constant when it loads the model.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

_SMALLEST = 256
_MATRIX_PRODUCTS = ("Gemm", "MatMul")
_LARGEST_FLOAT16 = float(np.finfo(np.float16).max)
_STEPS, _FINE_STEPS = 127, 32767


def halve(model: ModelProto) -> bool:
    """Store every float32 initializer of more than 256 numbers as float16. False when there is none."""
    nodes = []
    for tensor in model.graph.initializer:
        values = _large(tensor)
        if values is None or np.abs(values).max(initial=0.0) > _LARGEST_FLOAT16:
            continue
        name, stored = tensor.name, f"{tensor.name}_half"
        tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float16), stored))
        nodes.append(helper.make_node("Cast", [stored], [name], name=f"{stored}_cast", to=TensorProto.FLOAT))
    _put_first(model, nodes)
    return bool(nodes)


def to_integers(model: ModelProto) -> bool:
    """Store every float32 matrix of more than 256 numbers as int16, times a scale for each of its rows or columns.
    False when there is none.
    """
    nodes: list[NodeProto] = []
    for tensor in list(model.graph.initializer):
        values = _large(tensor)
        if values is None or values.ndim != 2 or not np.isfinite(values).all():
            continue
        name, stored = tensor.name, f"{tensor.name}_whole"
        scale, whole = _finely(values)
        tensor.CopyFrom(numpy_helper.from_array(whole, stored))
        model.graph.initializer.append(numpy_helper.from_array(scale, f"{stored}_scale"))
        wide = f"{stored}_wide"
        nodes += [
            helper.make_node("Cast", [stored], [wide], name=wide, to=TensorProto.FLOAT),
            helper.make_node("Mul", [wide, f"{stored}_scale"], [name], name=f"{stored}_scaled"),
        ]
    _put_first(model, nodes)
    return bool(nodes)


def _finely(values: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.int16]]:
    """Scales, for the rows or for the columns, whichever gives the smaller error, and whole numbers."""
    wide = values.astype(np.float64)
    found = []
    for axis in (0, 1):
        scale = (np.abs(wide).max(axis=axis, keepdims=True) / _FINE_STEPS).astype(np.float32)
        whole = np.rint(wide / np.where(scale == 0, 1, scale)).clip(-_FINE_STEPS, _FINE_STEPS)
        found.append((float(np.square(whole * scale - wide).sum()), scale, whole.astype(np.int16)))
    _, scale, whole = min(found, key=lambda each: each[0])
    return scale, whole


def to_grid(model: ModelProto) -> bool:
    """Move the weights of matrix products to a grid per column of their result. False when there are none."""
    axes = _weight_axes(model)
    moved = False
    for tensor in model.graph.initializer:
        values = _large(tensor) if tensor.name in axes else None
        if values is None or values.ndim != 2 or not np.isfinite(values).all():
            continue
        tensor.CopyFrom(numpy_helper.from_array(_on_grid(values, axes[tensor.name]), tensor.name))
        moved = True
    return moved


def weight_bytes(model: ModelProto) -> int:
    """The size of the weights that integer operators could take."""
    axes = _weight_axes(model)
    large = (_large(tensor) for tensor in model.graph.initializer if tensor.name in axes)
    return sum(values.nbytes for values in large if values is not None)


def _large(tensor: TensorProto) -> NDArray[np.float32] | None:
    if tensor.data_type != TensorProto.FLOAT or int(np.prod(tensor.dims)) <= _SMALLEST:
        return None
    values: NDArray[np.float32] = numpy_helper.to_array(tensor)
    return values


def _weight_axes(model: ModelProto) -> dict[str, int]:
    """The initializers that rows are multiplied by, each with the axis over which the sums run."""
    axes: dict[str, int] = {}
    for node in model.graph.node:
        if node.op_type in _MATRIX_PRODUCTS and len(node.input) > 1:
            turned = any(line.name == "transB" and line.i for line in node.attribute)
            axes[node.input[1]] = 1 if turned else 0
    return axes


def _on_grid(values: NDArray[np.float32], axis: int) -> NDArray[np.float32]:
    scale = (np.abs(values).max(axis=axis, keepdims=True) / _STEPS).astype(np.float32)
    steps = np.rint(values / np.where(scale == 0, 1, scale)).astype(np.int8)
    grid: NDArray[np.float32] = scale * steps.astype(np.float32)
    return grid


def _put_first(model: ModelProto, nodes: list[NodeProto]) -> None:
    rest = [NodeProto.FromString(node.SerializeToString()) for node in model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend([*nodes, *rest])
