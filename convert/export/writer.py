"""Writes the operators of one estimator into skl2onnx's graph: inputs in, one name out per operator.

The types that skl2onnx has declared for the estimator's outputs are kept to.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, numpy_helper
from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType

from convert.export import ensemble
from convert.export.refusal import NotExportable

FLOAT, DOUBLE, INT64 = TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.INT64
# What other converters may ask of a tree's: answers that edgekit's own do not give.
_UNKNOWN_OPTIONS = ("raw_scores", "decision_path", "decision_leaf", "decision_func", "score_samples")


class Writer:
    """`model` is the fitted estimator to write."""

    def __init__(self, scope: Any, operator: Any, container: Any) -> None:
        self.model = operator.raw_operator
        self._scope = scope
        self._operator = operator
        self._container = container
        asked = (container.options or {}).get(id(self.model), {})
        wanted = [name for name in _UNKNOWN_OPTIONS if asked.get(name)]
        if wanted:
            raise NotExportable(f"another step needs its {wanted[0]}")

    @property
    def input(self) -> str:
        """The name of the rows' tensor."""
        return str(self._operator.inputs[0].full_name)

    @property
    def input_type(self) -> int:
        """The element type of the rows, as far as it matters: FLOAT, DOUBLE, or 0 for any other."""
        kind = type(self._operator.inputs[0].type)
        return int({FloatTensorType: FLOAT, DoubleTensorType: DOUBLE}.get(kind, 0))

    def output_type(self, index: int) -> int:
        """The element type that numbers have to have in output `index`."""
        return int(DOUBLE if isinstance(self._operator.outputs[index].type, DoubleTensorType) else FLOAT)

    def node(self, kind: str, *inputs: str, domain: str = "", **attributes: Any) -> str:
        """Add an operator; its one output's name."""
        name = str(self._scope.get_unique_variable_name(f"{kind.lower()}_out"))
        self._add(kind, list(inputs), name, domain, attributes)
        return name

    def constant(self, values: NDArray[Any]) -> str:
        """Add an initializer; its name."""
        name = str(self._scope.get_unique_variable_name("constant"))
        if values.dtype.kind == "O":
            self._container.add_initializer(name, TensorProto.STRING, list(values.shape), values.tolist())
        else:
            self._container.add_initializer(name, None, None, numpy_helper.from_array(np.ascontiguousarray(values)))
        return name

    def cast(self, name: str, element: int, given: int | None = None) -> str:
        """`name` as this element type; nothing is written where it is `given` so."""
        return name if element == given else self.node("Cast", name, to=element)

    def columns(self, rows: str, places: list[int]) -> str:
        """Some columns of the rows."""
        return self.node("Gather", rows, self.constant(np.array(places, dtype=np.int64)), axis=1)

    def encode(self, name: str, keys: NDArray[Any], values: NDArray[Any]) -> str:
        """The value of each key, all of one floating type; NaN for what is no key."""
        missing = np.array([np.nan], dtype=values.dtype)
        tables = {"keys_tensor": keys, "values_tensor": values, "default_tensor": missing}
        tensors = {word: numpy_helper.from_array(table, word) for word, table in tables.items()}
        return self.node("LabelEncoder", name, domain=ensemble.PRIVATE_DOMAIN, **tensors)

    def trees(self, rows: str, forest: ensemble.Forest) -> str:
        """Add the operator of a forest."""
        return self.node(ensemble.OPERATOR, rows, domain=ensemble.PRIVATE_DOMAIN, **ensemble.attributes(forest))

    def finish(self, index: int, name: str) -> None:
        """Declare `name` to be output `index`."""
        self._add("Identity", [name], self._operator.outputs[index].full_name, "", {})

    def finish_label(self, place: str) -> None:
        """Output 0: the classes at these places [rows] int64."""
        classes = np.asarray(self.model.classes_)
        if classes.dtype.kind in "OUS":
            place = self.node("Gather", self.constant(classes.astype(object)), place, axis=0)
        elif not np.array_equal(classes, np.arange(len(classes))):
            place = self.node("Gather", self.constant(classes.astype(np.int64)), place, axis=0)
        self.finish(0, place)

    def _add(self, kind: str, inputs: list[str], output: str, domain: str, attributes: dict[str, Any]) -> None:
        version = 1 if domain else None
        name = self._scope.get_unique_operator_name(kind)
        self._container.add_node(kind, inputs, output, op_domain=domain, op_version=version, name=name, **attributes)
