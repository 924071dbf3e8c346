"""Scalers of the user's own that skl2onnx was taught to convert: rightly, and wrongly in one column.

This is what people do whose step skl2onnx does not know, so the wrong one is foreign code as it is met in the field.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from skl2onnx import update_registered_converter
from skl2onnx.common.data_types import DoubleTensorType
from sklearn.preprocessing import StandardScaler


class Taught(StandardScaler):  # type: ignore[misc]
    """A scaler whose registered converter is right."""


class Mistaught(StandardScaler):  # type: ignore[misc]
    """A scaler whose registered converter is a tenth of the spread off in the second column."""


def _keep_shape(operator: Any) -> None:
    operator.outputs[0].type = type(operator.inputs[0].type)(operator.inputs[0].type.shape)


def _converter(error: float) -> Any:
    def write(scope: Any, operator: Any, container: Any) -> None:
        model, given = operator.raw_operator, operator.inputs[0]
        double = isinstance(given.type, DoubleTensorType)
        mean = model.mean_ + error * model.scale_ * (np.arange(len(model.mean_)) == 1)
        names = [scope.get_unique_variable_name(name) for name in ("mean", "scale", "centred")]
        for name, numbers in zip(names, (mean, model.scale_), strict=False):
            container.add_initializer(name, 11 if double else 1, [len(numbers)], numbers.tolist())
        container.add_node("Sub", [given.full_name, names[0]], names[2], name=scope.get_unique_operator_name("Sub"))
        output = operator.outputs[0].full_name
        container.add_node("Div", [names[2], names[1]], output, name=scope.get_unique_operator_name("Div"))

    return write


update_registered_converter(Taught, "EdgekitTestsTaught", _keep_shape, _converter(0.0))
update_registered_converter(Mistaught, "EdgekitTestsMistaught", _keep_shape, _converter(0.1))
