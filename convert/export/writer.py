"""Writes the operators of one estimator into skl2onnx's graph: inputs in, one name out per operator.

The types that are declared for the estimator's outputs (`shapes`) are kept to.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, numpy_helper
from skl2onnx._parse import _parse_sklearn as parse_sklearn
from skl2onnx.common.data_types import (
    BooleanTensorType,
    DoubleTensorType,
    FloatTensorType,
    Int64TensorType,
    StringTensorType,
)
from sklearn.base import is_classifier

from convert.export.refusal import NotExportable

PRIVATE_DOMAIN = "edgekit.private"

FLOAT, DOUBLE = TensorProto.FLOAT, TensorProto.DOUBLE
INT64, STRING, BOOL = TensorProto.INT64, TensorProto.STRING, TensorProto.BOOL
NUMPY: dict[int, type[Any]] = {FLOAT: np.float32, DOUBLE: np.float64}
_ELEMENTS: dict[type[Any], int] = {
    FloatTensorType: FLOAT,
    DoubleTensorType: DOUBLE,
    Int64TensorType: INT64,
    StringTensorType: STRING,
    BooleanTensorType: BOOL,
}
# What other converters may ask of a tree's: answers that edgekit's own do not give.
_UNKNOWN_OPTIONS = ("raw_scores", "decision_path", "decision_leaf", "decision_func", "score_samples")


class Writer:
    """`model` is the fitted estimator to write. `missing`: its rows may hold NaN."""

    def __init__(self, scope: Any, operator: Any, container: Any, *, missing: bool) -> None:
        self.model = operator.raw_operator
        self.missing = missing
        self._scope = scope
        self._operator = operator
        self._container = container
        asked = (container.options or {}).get(id(self.model), {})
        wanted = [name for name in _UNKNOWN_OPTIONS if asked.get(name)]
        if wanted:
            raise NotExportable(f"another step needs its {wanted[0]}")

    @cached_property
    def input(self) -> str:
        """The name of the rows' tensor [rows, features]; several inputs are joined."""
        names = [str(line.full_name) for line in self._operator.inputs]
        return names[0] if len(names) == 1 else self.node("Concat", *names, axis=1)

    @property
    def input_type(self) -> int:
        """The element type of the rows (FLOAT, DOUBLE, INT64, STRING, BOOL), or 0 for any other."""
        return _ELEMENTS.get(type(self._operator.inputs[0].type), 0)

    @property
    def element(self) -> int:
        """The floating type to compute in: that of the rows, FLOAT for rows of another kind."""
        return self.input_type if self.input_type in (FLOAT, DOUBLE) else FLOAT

    @cached_property
    def rows(self) -> str:
        """The rows as floating numbers of type `element`."""
        return self.cast(self.input, self.element, self.input_type)

    def output_type(self, index: int) -> int:
        """The element type that numbers have to have in output `index`."""
        return int(DOUBLE if isinstance(self._operator.outputs[index].type, DoubleTensorType) else FLOAT)

    def node(self, kind: str, *inputs: str, domain: str = "", **attributes: Any) -> str:
        """Add an operator; its one output's name."""
        return self.nodes(kind, *inputs, count=1, domain=domain, **attributes)[0]

    def nodes(self, kind: str, *inputs: str, count: int, domain: str = "", **attributes: Any) -> list[str]:
        """Add an operator with `count` outputs; their names."""
        names = [str(self._scope.get_unique_variable_name(f"{kind.lower()}_out")) for _ in range(count)]
        self._add(kind, list(inputs), names, domain, attributes)
        return names

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
        return self.node("LabelEncoder", name, domain=PRIVATE_DOMAIN, **tensors)

    def numbers(self, values: Any, element: int | None = None) -> str:
        """Add an initializer of floating numbers, in the type to compute in or in `element`; its name."""
        return self.constant(np.asarray(values, dtype=NUMPY[element or self.element]))

    def ask(self, estimator: Any, rows: str | None = None, width: int | None = None) -> list[str]:
        """Let another fitted estimator (or pipeline) answer, by its own exporter: the names of its outputs.

        They are those that skl2onnx gives it: label and probabilities, label and score, values, or transformed rows,
        numbers in the floating type of its rows. `rows`: a tensor of type `element` and `width` columns; by default
        this estimator's own inputs.
        """
        inputs = self._inputs() if rows is None else [self._variable(rows, width)]
        if is_classifier(estimator):
            _without_zipmap(self._scope, estimator)
        outputs = parse_sklearn(self._scope, estimator, inputs)
        return [str(line.full_name) for line in outputs]

    def _inputs(self) -> list[Any]:
        return list(self._operator.inputs)

    def _variable(self, name: str, width: int | None) -> Any:
        kind = DoubleTensorType if self.element == DOUBLE else FloatTensorType
        variable = self._scope.declare_local_variable("asked", kind([None, width]))
        self._add("Identity", [name], [variable.full_name], "", {})
        return variable

    def skip(self, index: int) -> None:
        """Output `index` is something that this estimator does not give: nothing may read it."""
        self.finish(index, self.numbers([0.0]))

    def finish(self, index: int, name: str) -> None:
        """Declare `name` to be output `index`."""
        self._add("Identity", [name], [self._operator.outputs[index].full_name], "", {})

    def finish_label(self, place: str) -> None:
        """Output 0: the classes at these places [rows] int64."""
        classes = np.asarray(self.model.classes_)
        if classes.dtype.kind in "OUS":
            place = self.node("Gather", self.constant(classes.astype(object)), place, axis=0)
        elif not np.array_equal(classes, np.arange(len(classes))):
            place = self.node("Gather", self.constant(classes.astype(np.int64)), place, axis=0)
        self.finish(0, place)

    def _add(self, kind: str, inputs: list[str], outputs: list[str], domain: str, attributes: dict[str, Any]) -> None:
        version = 1 if domain else None
        name = self._scope.get_unique_operator_name(kind)
        self._container.add_node(kind, inputs, outputs, op_domain=domain, op_version=version, name=name, **attributes)


Exporter = Callable[[Writer], None]
Exporters = Mapping[type[Any], Exporter]


def _without_zipmap(scope: Any, estimator: Any) -> None:
    """Probabilities as a tensor, where the converter would otherwise give a list of dictionaries."""
    last = estimator.steps[-1][1] if hasattr(estimator, "steps") else estimator
    scope.options = scope.options or {}
    scope.options.setdefault(id(last), {})["zipmap"] = False
