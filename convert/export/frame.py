"""Walks pipelines, column transformers and unions for skl2onnx, where edgekit's own exporters take part.

skl2onnx's own walk joins the columns that a step gets into one tensor first, so that numbers beside texts become texts,
finds columns by name only where the graph's inputs bear that name, and takes an estimator's first answer (its label)
for its transformed rows. Here the rows between two steps are *lanes*, tensors of one type each, side by side:

- columns are found by their position among the features that the step was fitted with;
- an own exporter gets all lanes; for skl2onnx's they are joined, and texts beside numbers are refused;
- rows that leave a step as texts and numbers stay several lanes;
- a step in the middle gives its transformed rows, whatever else it could answer (`Transforming`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
from skl2onnx._parse import _parse_sklearn as parse_sklearn
from skl2onnx._parse import sklearn_parsers_map
from skl2onnx.common.data_types import (
    BooleanTensorType,
    DoubleTensorType,
    FloatTensorType,
    StringTensorType,
)
from sklearn.base import BaseEstimator, is_classifier
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import FeatureUnion, Pipeline
from sklearn.preprocessing import FunctionTransformer

from convert.export.refusal import NotExportable

Lanes = list[Any]
Parser = Callable[..., Lanes]
_PASSED_ON = ("passthrough", None)


class Transforming(BaseEstimator):  # type: ignore[misc]
    """What `estimator.transform` gives, of an estimator that could answer something else too."""

    def __init__(self, estimator: Any) -> None:
        self.estimator = estimator

    def get_feature_names_out(self, names: Any = None) -> Any:
        """The names of the transformed columns."""
        return self.estimator.get_feature_names_out(names)


@dataclass(frozen=True)
class Frame:
    """The walk, for own exporters of these kinds of estimators."""

    kinds: Collection[type[Any]]

    @property
    def parsers(self) -> Mapping[type[Any], Parser]:
        """The same in the form in which skl2onnx calls it."""
        return dict.fromkeys((Pipeline, ColumnTransformer, FeatureUnion), self._called)

    def _called(self, scope: Any, model: Any, inputs: Lanes, custom_parsers: Any = None) -> Lanes:
        del custom_parsers  # these
        return self.answer(scope, model, inputs)

    def answer(self, scope: Any, model: Any, lanes: Lanes) -> Lanes:
        """The variables that hold what the model answers: what a pipeline's last step does, otherwise its rows."""
        if is_classifier(model):
            without_zipmap(scope, model)
        if isinstance(model, Pipeline):
            return self._through(scope, model, lanes, self.answer)
        if isinstance(model, ColumnTransformer):
            return self._by_columns(scope, model, lanes)
        if isinstance(model, FeatureUnion):
            return self._united(scope, model, lanes)
        return self._alone(scope, model, lanes)

    def transform(self, scope: Any, model: Any, lanes: Lanes) -> Lanes:
        """The lanes that hold the rows that the model transforms these to."""
        if isinstance(model, Pipeline):
            return self._through(scope, model, lanes, self.transform)
        if hasattr(model, "predict"):
            model = Transforming(model)
        return self.answer(scope, model, lanes)

    def _through(self, scope: Any, model: Pipeline, lanes: Lanes, last: Parser) -> Lanes:
        *before, final = [step for _, step in model.steps]
        for step in before:
            if step not in _PASSED_ON:
                lanes = self.transform(scope, step, lanes)
        return lanes if final in _PASSED_ON else last(scope, final, lanes)

    def _by_columns(self, scope: Any, model: ColumnTransformer, lanes: Lanes) -> Lanes:
        parts: list[Lanes] = []
        for name, step, _ in model.transformers_:
            # scikit-learn keeps the positions that it found for names, masks, slices and selectors private.
            places = model._transformer_to_input_indices[name]
            if step == "drop" or len(places) == 0:
                continue
            part = _picked(scope, lanes, [int(place) for place in places])
            if step not in _PASSED_ON:
                part = self.transform(scope, step, part)
            part = _weighted(scope, part, (model.transformer_weights or {}).get(name))
            span = model.output_indices_[name]
            _widen(part, span.stop - span.start)
            parts.append(part)
        return _gathered(scope, model, parts)

    def _united(self, scope: Any, model: FeatureUnion, lanes: Lanes) -> Lanes:
        parts = []
        for name, step in model.transformer_list:
            if step == "drop":
                continue
            part = lanes if step in _PASSED_ON else self.transform(scope, step, lanes)
            parts.append(_weighted(scope, part, (model.transformer_weights or {}).get(name)))
        return _gathered(scope, model, parts)

    def _alone(self, scope: Any, model: Any, lanes: Lanes) -> Lanes:
        if isinstance(model, FunctionTransformer) and (model.func is None or _flattens(model, lanes)):
            return lanes
        if isinstance(model, SimpleImputer) and any(map(_is_text, lanes)):
            return _imputed(scope, model, lanes)
        if type(model) not in self.kinds:
            lanes = [_joined(scope, lanes)]
        found: Lanes = parse_sklearn(scope, model, lanes, custom_parsers=self.parsers)
        return found


def without_zipmap(scope: Any, estimator: Any) -> None:
    """Probabilities as a tensor, where the converter would otherwise give a list of dictionaries. Those of which
    skl2onnx keeps no parser (LinearSVC and its like) refuse the option.
    """
    last = estimator.steps[-1][1] if hasattr(estimator, "steps") else estimator
    if type(last) not in sklearn_parsers_map:
        return
    scope.options = scope.options or {}
    scope.options.setdefault(id(last), {})["zipmap"] = False


def kept_features(imputer: SimpleImputer) -> list[int]:
    """The features that an imputer keeps: with a statistic, unless it keeps those that were never seen as well."""
    if imputer.keep_empty_features:
        return list(range(imputer.n_features_in_))
    return [i for i, value in enumerate(imputer.statistics_) if not (isinstance(value, float) and np.isnan(value))]


def _imputed(scope: Any, model: SimpleImputer, lanes: Lanes) -> Lanes:
    """One lane for each column that is kept, of the type that it had, and one for the indicators."""
    owners = _owners(lanes)
    operator = scope.declare_local_operator(None, model)
    operator.inputs = lanes
    for place in kept_features(model):
        kind = type(lanes[owners[place][0]].type)
        operator.outputs.append(scope.declare_local_variable("imputed", kind([None, 1])))
    if model.add_indicator and len(model.indicator_.features_):
        width = len(model.indicator_.features_)
        operator.outputs.append(scope.declare_local_variable("missing", _number(lanes)([None, width])))
    found: Lanes = list(operator.outputs)
    return found


def _flattens(model: FunctionTransformer, lanes: Lanes) -> bool:
    """It turns one column of texts into the flat list that a vectorizer takes."""
    return model.func is np.ravel and not model.kw_args and len(lanes) == 1 and _is_text(lanes[0])


def _is_text(lane: Any) -> bool:
    return isinstance(lane.type, StringTensorType)


def _number(lanes: Lanes) -> Any:
    """The floating type that these lanes have together."""
    return DoubleTensorType if any(isinstance(lane.type, DoubleTensorType) for lane in lanes) else FloatTensorType


def _width(lane: Any) -> int | None:
    shape = lane.type.shape
    return shape[1] if shape is not None and len(shape) == 2 else None


def _widen(lanes: Lanes, width: int) -> None:
    """Note the width of a single lane, for whoever picks columns of it later."""
    if len(lanes) == 1 and _width(lanes[0]) is None:
        lanes[0].type.shape = [None, width]


def _owners(lanes: Lanes) -> list[tuple[int, int]]:
    """For each column of lanes that lie side by side: its lane, and its place in that lane."""
    widths = [_width(lane) for lane in lanes]
    if None in widths:
        raise NotExportable("a step takes columns of another step that mixes texts and numbers")
    return [(lane, place) for lane, width in enumerate(widths) for place in range(width or 0)]


def _picked(scope: Any, lanes: Lanes, places: list[int]) -> Lanes:
    if len(lanes) == 1:
        return [_extracted(scope, lanes[0], places)]
    owners = _owners(lanes)
    chosen = [owners[place] for place in places]
    return [
        _extracted(scope, lanes[lane], [place for _, place in columns])
        for lane, columns in groupby(chosen, key=lambda owner: owner[0])
    ]


def _extracted(scope: Any, lane: Any, places: list[int]) -> Any:
    if places == list(range(_width(lane) or 0)):
        return lane
    operator = scope.declare_local_operator("SklearnArrayFeatureExtractor")
    operator.inputs = [lane]
    operator.column_indices = places
    operator.outputs.append(scope.declare_local_variable("columns", type(lane.type)([None, len(places)])))
    return operator.outputs[0]


def _weighted(scope: Any, lanes: Lanes, weight: float | None) -> Lanes:
    if weight is None:
        return lanes
    lane = _joined(scope, lanes)
    operator = scope.declare_local_operator("SklearnMultiply")
    operator.inputs = [lane]
    operator.operand = weight
    operator.outputs.append(scope.declare_local_variable("weighted", type(lane.type)([None, _width(lane)])))
    return [operator.outputs[0]]


def _gathered(scope: Any, model: Any, parts: list[Lanes]) -> Lanes:
    lanes = [lane for part in parts for lane in part]
    if not lanes:
        raise NotExportable(f"{type(model).__name__} drops every column")
    texts = sum(map(_is_text, lanes))
    return lanes if 0 < texts < len(lanes) else [_joined(scope, lanes)]


def _joined(scope: Any, lanes: Lanes) -> Any:
    """All lanes as one: of texts, or of numbers of the widest type."""
    texts = sum(map(_is_text, lanes))
    if 0 < texts < len(lanes):
        raise NotExportable("a step takes texts and numbers together")
    if len(lanes) == 1 and not isinstance(lanes[0].type, BooleanTensorType):
        return lanes[0]
    widths = [_width(lane) for lane in lanes]
    width = None if None in widths else sum(width or 0 for width in widths)
    kind = StringTensorType if texts else _number(lanes)
    if all(isinstance(lane.type, BooleanTensorType) for lane in lanes):
        lanes = [_as_numbers(scope, lane, kind) for lane in lanes]
    operator = scope.declare_local_operator("SklearnConcat")
    operator.inputs = lanes
    operator.outputs.append(scope.declare_local_variable("joined", kind([None, width])))
    return operator.outputs[0]


def _as_numbers(scope: Any, lane: Any, kind: Any) -> Any:
    operator = scope.declare_local_operator("SklearnCast")
    operator.inputs = [lane]
    operator.outputs.append(scope.declare_local_variable("numbers", kind(lane.type.shape)))
    return operator.outputs[0]
