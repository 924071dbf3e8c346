"""The ways to lay a model out for ONNX, in the order in which they are tried.

edgekit's own exporters first, where they know a part of the model; skl2onnx's are the fallback. float32 first: it is
smallest and fastest, and right for most models. scikit-learn itself computes preprocessing in float64 and casts to
float32 just before trees, which the own exporters and the plans "last step in float32" repeat exactly, so steps before
own trees, bins or encoders want float64 first. float32 is left out where the rows hold a value so near a threshold that
it could confuse the two (`check.comparisons`). A scaler before a model of products or kernels is folded into it where
that is right, so each own plan has a folding twin before it. Otherwise parity alone decides which plan is right.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from skl2onnx.common.data_types import (
    BooleanTensorType,
    DoubleTensorType,
    FloatTensorType,
    Int64TensorType,
    StringTensorType,
)
from skl2onnx.sklapi import CastTransformer
from sklearn.pipeline import Pipeline

from convert.check.comparisons import limits_of
from convert.export import fold, own
from convert.export.naming import input_names
from convert.export.parts import has_steps, picks_columns, unwrapped
from convert.export.sklearn_onnx import Converters
from convert.read.columns import Column
from convert.read.source import Source
from edgekit.manifest import Dtype, Tensor

MATRIX_NAME = "X"
_TENSOR_TYPES: dict[Dtype, Callable[[list[int | None]], Any]] = {
    "float32": FloatTensorType,
    "float64": DoubleTensorType,
    "int64": Int64TensorType,
    "bool": BooleanTensorType,
    "string": StringTensorType,
}


@dataclass(frozen=True)
class Plan:
    """`numbers`: the tensor type of numeric features. `integers`: whole-number columns keep int64 (as categories).
    `cast`: the pipeline's last step gets float32, whatever came before. `own`: by edgekit's own exporters where they
    know a part of the model. `fold`: affine steps before the last one become part of it.
    """

    name: str
    layout: Literal["matrix", "columns"]
    numbers: Dtype
    integers: bool = False
    cast: bool = False
    own: bool = False
    fold: bool = False


PLANS = (
    Plan("own, float32 matrix", "matrix", "float32", own=True),
    Plan("own, float64 matrix", "matrix", "float64", own=True),
    Plan("own, int64 matrix", "matrix", "int64", integers=True, own=True),
    Plan("own, text matrix", "matrix", "string", own=True),
    Plan("own, float32 columns", "columns", "float32", own=True),
    Plan("own, float64 columns", "columns", "float64", own=True),
    Plan("own, float32 and int64 columns", "columns", "float32", integers=True, own=True),
    Plan("own, float64 and int64 columns", "columns", "float64", integers=True, own=True),
    Plan("float32 matrix", "matrix", "float32"),
    Plan("float64 matrix, last step in float32", "matrix", "float64", cast=True),
    Plan("float64 matrix", "matrix", "float64"),
    Plan("int64 matrix", "matrix", "int64", integers=True),
    Plan("text matrix", "matrix", "string"),
    Plan("float32 columns", "columns", "float32"),
    Plan("float64 columns, last step in float32", "columns", "float64", cast=True),
    Plan("float64 columns", "columns", "float64"),
    Plan("float32 and int64 columns", "columns", "float32", integers=True),
    Plan("float64 and int64 columns, last step in float32", "columns", "float64", integers=True, cast=True),
    Plan("float64 and int64 columns", "columns", "float64", integers=True),
)


def plans_for(source: Source, columns: tuple[Column, ...]) -> list[Plan]:
    """The plans that make sense for such a model and such rows: none in float32 where that could confuse values, and
    float64 first where the model compares what steps before have computed.
    """
    fitting = [plan for plan in PLANS if _fits(plan, source, columns)]
    if any(column.confusable for column in columns):
        fitting = [plan for plan in fitting if plan.numbers != "float32"]
    if fold.folded(source.estimator, own.folds) is not None:
        fitting = [twin for plan in fitting for twin in ((_folding(plan), plan) if plan.own else (plan,))]
    if not _compares_computed(source, columns):
        return fitting
    return sorted(fitting, key=lambda plan: (not plan.own, plan.own and plan.numbers == "float32"))


def _compares_computed(source: Source, columns: tuple[Column, ...]) -> bool:
    """True when trees, bins or encoders compare what steps before them have computed in float64."""
    if own.has_trees(source.estimator):
        return not _bare(source)
    return any(one.place is None for one in limits_of(source.estimator, [column.name for column in columns]))


def _folding(plan: Plan) -> Plan:
    return replace(plan, name=f"{plan.name}, affine steps folded in", fold=True)


def converters_for(plan: Plan, source: Source, columns: tuple[Column, ...]) -> Converters | None:
    """The own converters that take part. A step before the trees may make missing values that the rows have not."""
    if not plan.own:
        return None
    return own.converters(missing=not _bare(source) or any(column.missing for column in columns))


def _bare(source: Source) -> bool:
    """True when an own exporter knows the model and nothing in it prepares rows."""
    return own.knows(unwrapped(source.estimator)) and not has_steps(source.estimator)


def _fits(plan: Plan, source: Source, columns: tuple[Column, ...]) -> bool:
    kinds = {column.kind for column in columns}
    if plan.own and not own.knows_part_of(source.estimator):
        return False
    if plan.cast and not isinstance(source.estimator, Pipeline):
        return False
    if plan.layout == "columns":
        integers_fit = not plan.integers or "integer" in kinds
        mixed = "string" in kinds and len(kinds) > 1
        if plan.own and mixed:  # no matrix can hold them
            return integers_fit
        return source.by_name and (mixed or picks_columns(source.estimator)) and integers_fit
    if plan.numbers == "string":
        return kinds == {"string"}
    return kinds == {"integer"} if plan.integers else "string" not in kinds


def tensors_for(plan: Plan, columns: tuple[Column, ...]) -> list[Tensor]:
    """The graph's inputs under this plan."""
    if plan.layout == "matrix":
        return [Tensor(name=MATRIX_NAME, dtype=plan.numbers, features=[column.name for column in columns])]
    names = input_names([column.name for column in columns])
    return [
        Tensor(name=name, dtype=_dtype(plan, column), features=[column.name])
        for name, column in zip(names, columns, strict=True)
    ]


def _dtype(plan: Plan, column: Column) -> Dtype:
    if column.kind in ("string", "bool"):
        return "string" if column.kind == "string" else "bool"
    return "int64" if plan.integers and column.kind == "integer" else plan.numbers


def initial_types(tensors: list[Tensor]) -> list[tuple[str, Any]]:
    """The same inputs in skl2onnx's words, which finds the columns of a ColumnTransformer by the features' names."""
    return [
        (tensor.name if tensor.name == MATRIX_NAME else tensor.features[0], _tensor_type(tensor)) for tensor in tensors
    ]


def _tensor_type(tensor: Tensor) -> Any:
    return _TENSOR_TYPES[tensor.dtype]([None, len(tensor.features)])


def estimator_for(plan: Plan, estimator: Any) -> Any:
    """The estimator to export: with affine steps folded, or with a cast before the last step, where the plan says so.
    Shares the fitted steps.
    """
    if plan.fold:
        return fold.folded(estimator, own.folds)
    if not plan.cast:
        return estimator
    *before, last = estimator.steps
    return Pipeline([*before, ("edgekit_cast", CastTransformer(dtype=np.float32)), last])


def plain_plan(source: Source, columns: tuple[Column, ...]) -> Plan | None:
    """The first plan of skl2onnx alone that fits the rows: what anybody would export."""
    return next((plan for plan in plans_for(source, columns) if not plan.own and not plan.cast), None)
