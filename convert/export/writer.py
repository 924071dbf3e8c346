"""Writes the operators of one estimator into skl2onnx's graph: inputs in, one name out per operator.

The types that are declared for the estimator's outputs (`shapes`) are kept to.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, compose, inliner, numpy_helper
from skl2onnx.common.data_types import (
    BooleanTensorType,
    DoubleTensorType,
    FloatTensorType,
    Int64TensorType,
    StringTensorType,
)

from convert.export.refusal import NotExportable

PRIVATE_DOMAIN = "edgekit.private"

FLOAT, DOUBLE = TensorProto.FLOAT, TensorProto.DOUBLE
INT32, INT64, STRING, BOOL = TensorProto.INT32, TensorProto.INT64, TensorProto.STRING, TensorProto.BOOL
NUMPY: dict[int, type[Any]] = {FLOAT: np.float32, DOUBLE: np.float64}
_ELEMENTS: dict[type[Any], int] = {
    FloatTensorType: FLOAT,
    DoubleTensorType: DOUBLE,
    Int64TensorType: INT64,
    StringTensorType: STRING,
    BooleanTensorType: BOOL,
}
# skl2onnx knows the default version of the main domain's operators only.
_VERSIONS = {("ai.onnx.ml", "LabelEncoder"): 2}
# What other converters may ask of a tree's: answers that edgekit's own do not give.
_UNKNOWN_OPTIONS = ("raw_scores", "decision_path", "decision_leaf", "decision_func", "score_samples")


@dataclass(frozen=True)
class Lane:
    """A part of the rows: a tensor [rows, width] of one element type (0 for one that is none of those above)."""

    name: str
    element: int
    width: int | None


class Answer(Protocol):
    """Exports an estimator inside another one, for graph inputs of these names and types."""

    def __call__(self, estimator: Any, inputs: list[tuple[str, Any]], *, decision: bool) -> ModelProto:
        """Raises NotExportable."""


class Writer:
    """`model` is the fitted estimator to write. `missing`: its rows may hold NaN. `answer`: exports another estimator.
    `decision`: see the property.
    """

    def __init__(
        self, scope: Any, operator: Any, container: Any, answer: Answer, *, missing: bool, decision: bool = False
    ) -> None:
        self.model = operator.raw_operator
        self.missing = missing
        self.heeded = False
        self._answer = answer
        self._decision = decision
        self._scope = scope
        self._operator = operator
        self._container = container
        asked = (container.options or {}).get(id(self.model), {})
        wanted = [name for name in _UNKNOWN_OPTIONS if asked.get(name)]
        if wanted:
            raise NotExportable(f"another step needs its {wanted[0]}")

    @cached_property
    def lanes(self) -> list[Lane]:
        """The parts of the rows, side by side; mostly there is one."""
        return [_lane(line) for line in self._operator.inputs]

    @cached_property
    def input(self) -> str:
        """The name of the rows' tensor [rows, features]; several lanes are joined, as `element` unless they are alike.

        Raises NotExportable when texts and numbers meet.
        """
        if len(self.lanes) == 1:
            return self.lanes[0].name
        if self.input_type != STRING and any(lane.element == STRING for lane in self.lanes):
            raise NotExportable(f"{type(self.model).__name__} takes texts and numbers together")
        names = [self.cast(lane.name, self.input_type, lane.element) for lane in self.lanes]
        return self.node("Concat", *names, axis=1)

    @property
    def any_input(self) -> str:
        """A tensor with as many rows as were given."""
        return str(self._operator.inputs[0].full_name)

    @property
    def input_type(self) -> int:
        """The element type of the rows (FLOAT, DOUBLE, INT64, STRING, BOOL), or 0 for any other."""
        elements = {lane.element for lane in self.lanes}
        return elements.pop() if len(elements) == 1 else self.element

    @property
    def element(self) -> int:
        """The floating type to compute in: the widest of the rows, FLOAT for rows of another kind."""
        return DOUBLE if any(lane.element == DOUBLE for lane in self.lanes) else FLOAT

    @cached_property
    def rows(self) -> str:
        """The rows as floating numbers of type `element`. Raises NotExportable for texts."""
        if self.input_type == STRING:
            raise NotExportable(f"{type(self.model).__name__} takes numbers, and its rows are texts")
        return self.cast(self.input, self.element, self.input_type)

    def output_type(self, index: int) -> int:
        """The element type that numbers have to have in output `index`."""
        return int(DOUBLE if isinstance(self._operator.outputs[index].type, DoubleTensorType) else FLOAT)

    @property
    def outputs(self) -> int:
        """How many outputs there are to finish."""
        return len(self._operator.outputs)

    def node(self, kind: str, *inputs: str, domain: str = "", **attributes: Any) -> str:
        """Add an operator; its one output's name."""
        return self.nodes(kind, 1, *inputs, domain=domain, **attributes)[0]

    def nodes(self, kind: str, count: int, *inputs: str, domain: str = "", **attributes: Any) -> list[str]:
        """Add an operator with several outputs; their names."""
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

    @property
    def decision(self) -> bool:
        """True when output 1 of this classifier has to be its decision function [rows, 1 or classes] instead of its
        probabilities. An exporter that never looks is taken to be unable to.
        """
        self.heeded = True
        return self._decision

    def ask(
        self, estimator: Any, rows: str | None = None, width: int | None = None, *, decision: bool = False
    ) -> list[str]:
        """Let another fitted estimator, pipeline or wrapper answer: the names of its outputs.

        They are those that skl2onnx gives it: label and probabilities (with `decision`: its decision function, whose
        last column is that of the second class where there are two), label and score, values, or transformed rows.
        `rows`: a tensor of type `element` and `width` columns; by default this estimator's own inputs. Raises
        NotExportable.
        """
        if rows is None:
            given = [(str(line.raw_name), line.type, str(line.full_name)) for line in self._operator.inputs]
        else:
            kind = DoubleTensorType if self.element == DOUBLE else FloatTensorType
            given = [("rows", kind([None, width]), rows)]
        model = self._answer(estimator, [(name, kind) for name, kind, _ in given], decision=decision)
        return self._embed(model, {name: tensor for name, _, tensor in given})

    def _embed(self, model: ModelProto, tensors: Mapping[str, str]) -> list[str]:
        """Make a whole model part of this one, its inputs fed by `tensors`: the names of its outputs here."""
        plain = inliner.inline_local_functions(model) if model.functions else model
        prefix = str(self._scope.get_unique_variable_name("part")) + "_"
        part = compose.add_prefix(plain, prefix).graph
        for name, tensor in tensors.items():
            self._add("Identity", [tensor], [prefix + name], "", {})
        self._container.nodes.extend(part.node)
        self._container.initializers.extend(part.initializer)
        versions = {(line.domain, line.version) for line in plain.opset_import}
        self._container.node_domain_version_pair_sets.update(versions)
        return [line.name for line in part.output]

    def skip(self, index: int) -> None:
        """Output `index` is something that this estimator does not give: nothing may read it."""
        self.finish(index, self.numbers([0.0]))

    def finish(self, index: int, name: str) -> None:
        """Declare `name` to be output `index`."""
        self._add("Identity", [name], [self._operator.outputs[index].full_name], "", {})

    def finish_label(self, place: str) -> None:
        """Output 0: the classes at these places [rows] int64."""
        classes = np.asarray(self.model.classes_)
        if classes.dtype.kind == "f" and not np.array_equal(classes, np.rint(classes)):
            raise NotExportable("its classes are fractions")
        if classes.dtype.kind in "OUS":
            place = self.node("Gather", self.constant(classes.astype(object)), place, axis=0)
        elif not np.array_equal(classes, np.arange(len(classes))):
            place = self.node("Gather", self.constant(classes.astype(np.int64)), place, axis=0)
        self.finish(0, place)

    def finish_labels(self, places: Sequence[str]) -> None:
        """Output 0 of several targets: for each of them the classes at these places [rows, 1] int64, side by side.

        Raises NotExportable where some targets are texts and others numbers.
        """
        known = [np.asarray(classes) for classes in self.model.classes_]
        texts = {classes.dtype.kind in "OUS" for classes in known}
        if len(texts) > 1:
            raise NotExportable("some of its targets are texts and others numbers")
        kind: Any = object if True in texts else np.int64
        labels = [
            self.node("Gather", self.constant(classes.astype(kind)), place, axis=0)
            for classes, place in zip(known, places, strict=True)
        ]
        self.finish(0, self.node("Concat", *labels, axis=1))

    def _add(self, kind: str, inputs: list[str], outputs: list[str], domain: str, attributes: dict[str, Any]) -> None:
        version = _VERSIONS.get((domain, kind), 1) if domain else None
        name = self._scope.get_unique_operator_name(kind)
        self._container.add_node(kind, inputs, outputs, op_domain=domain, op_version=version, name=name, **attributes)


Exporter = Callable[[Writer], None]
Exporters = Mapping[type[Any], Exporter]


def _lane(line: Any) -> Lane:
    shape = line.type.shape
    width = shape[1] if shape is not None and len(shape) == 2 else None
    return Lane(str(line.full_name), _ELEMENTS.get(type(line.type), 0), width)
