"""Declares to skl2onnx what an own exporter's operator gives: one answer by kind of estimator, not one per class.

Numbers have the type of the rows where that is a floating one, float32 otherwise. A width that is not known stays open.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from skl2onnx.common.data_types import (
    DoubleTensorType,
    FloatTensorType,
    Int64TensorType,
    StringTensorType,
)
from sklearn.base import is_classifier, is_outlier_detector, is_regressor
from sklearn.impute import SimpleImputer

from convert.read.targets import read


def declare(operator: Any) -> None:
    """Set the types of the operator's outputs. Called by skl2onnx before the exporter."""
    model = operator.raw_operator
    if isinstance(model, SimpleImputer) and any(isinstance(line.type, StringTensorType) for line in operator.inputs):
        return  # the frame has declared its lanes
    numbers = FloatTensorType
    if any(isinstance(line.type, DoubleTensorType) for line in operator.inputs):
        numbers = DoubleTensorType
    rows = operator.inputs[0].type.shape[0] if operator.inputs[0].type.shape else None
    for index, (kind, width) in enumerate(_outputs(model, numbers)):
        if index < len(operator.outputs):
            operator.outputs[index].type = kind([rows] if width == 0 else [rows, width])


def _outputs(model: Any, numbers: type[Any]) -> list[tuple[Any, int | None]]:
    """The type and width of each output; width 0 for a flat one."""
    if is_classifier(model):
        targets = read(model)
        return [(_label(model), len(targets)), (numbers, None)]  # [rows], or [rows, targets] of several
    if is_outlier_detector(model):
        return [(Int64TensorType, 1), (numbers, 1)]
    if is_regressor(model):
        return [(numbers, _width(getattr(model, "n_outputs_", None)) or 1)]
    if hasattr(model, "predict"):
        return [(Int64TensorType, 0), (numbers, None)]
    return [(numbers, _features_out(model))]


def _label(model: Any) -> Any:
    classes = getattr(model, "classes_", None)
    if isinstance(classes, list):
        classes = np.asarray(classes[0])
    texts = isinstance(classes, np.ndarray) and classes.dtype.kind in "OUS"
    return StringTensorType if texts else Int64TensorType


def _width(count: Any) -> int | None:
    return int(count) if isinstance(count, int | np.integer) else None


def _features_out(model: Any) -> int | None:
    try:
        return len(model.get_feature_names_out())
    except (AttributeError, ValueError, TypeError):
        return None
