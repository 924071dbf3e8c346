"""What an estimator is made of, and what it comes down to: pure questions about fitted estimators.

A search, a frozen estimator or a recursive elimination answers with another estimator's words: for export it is that
estimator (`unwrapped`).
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.compose import ColumnTransformer
from sklearn.feature_selection import RFE, VarianceThreshold
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import RANSACRegressor
from sklearn.model_selection._search import BaseSearchCV
from sklearn.pipeline import FeatureUnion, Pipeline
from sklearn.semi_supervised import SelfTrainingClassifier

_Rule = Callable[[Any], Any]


def unwrapped(estimator: Any, *, last: bool = True) -> Any:
    """The estimator that gives the same answers without wrappers around it or its steps. Shares the fitted parts.

    `last`: its predictions are wanted; otherwise its transformed rows, as of a step that others follow.
    """
    if isinstance(estimator, Pipeline):
        return _pipeline(estimator, last=last)
    if isinstance(estimator, ColumnTransformer):
        return _swapped(estimator, "transformers_")
    if isinstance(estimator, FeatureUnion):
        return _swapped(estimator, "transformer_list")
    if isinstance(estimator, RFE):
        selector = _selector(estimator)
        return Pipeline([("select", selector), ("answer", unwrapped(estimator.estimator_))]) if last else selector
    rule = next((rule for kind, rule in _WRAPPERS if isinstance(estimator, kind)), None)
    return estimator if rule is None else unwrapped(rule(estimator), last=last)


_WRAPPERS: tuple[tuple[type[Any], _Rule], ...] = (
    (BaseSearchCV, lambda search: search.best_estimator_),
    (FrozenEstimator, lambda frozen: frozen.estimator),
    (SelfTrainingClassifier, lambda trained: trained.estimator_),
    (RANSACRegressor, lambda robust: robust.estimator_),
)


def _pipeline(pipeline: Pipeline, *, last: bool) -> Pipeline:
    steps = []
    for place, (name, step) in enumerate(pipeline.steps):
        bare = unwrapped(step, last=last and place == len(pipeline.steps) - 1)
        if isinstance(bare, Pipeline):
            steps += [(f"{name}/{inner}", part) for inner, part in bare.steps]
        elif bare is not None and bare != "passthrough":
            steps.append((name, bare))
    if not steps:
        return pipeline
    return pipeline if [part for _, part in steps] == [part for _, part in pipeline.steps] else Pipeline(steps)


def _selector(eliminated: RFE) -> VarianceThreshold:
    """A selector of the same columns that predicts nothing."""
    selector = VarianceThreshold()
    selector.variances_ = eliminated.support_.astype(np.float64)
    selector.n_features_in_ = eliminated.n_features_in_
    if hasattr(eliminated, "feature_names_in_"):
        selector.feature_names_in_ = eliminated.feature_names_in_
    return selector


def _swapped(estimator: Any, attribute: str) -> Any:
    """A ColumnTransformer or FeatureUnion with its parts unwrapped."""
    parts = getattr(estimator, attribute)
    bare = [(name, unwrapped(part, last=False), *rest) for name, part, *rest in parts]
    if all(new[1] is old[1] for new, old in zip(bare, parts, strict=True)):
        return estimator
    other = copy.copy(estimator)
    setattr(other, attribute, bare)
    return other


def answering(estimator: Any) -> Any:
    """The estimator that gives the answers: the end of a pipeline, of what is inside a wrapper."""
    bare = unwrapped(estimator)
    return answering(bare.steps[-1][1]) if isinstance(bare, Pipeline) else bare


def parts_of(estimator: Any) -> Iterator[Any]:
    """The estimator and all that it is made of, fitted or not."""
    yield estimator
    for value in vars(estimator).values():
        for part in _estimators_in(value):
            yield from parts_of(part)


def _estimators_in(value: Any) -> Iterable[Any]:
    if isinstance(value, BaseEstimator):
        return [value]
    if isinstance(value, np.ndarray):
        return (part for part in value.flat if isinstance(part, BaseEstimator)) if value.dtype.kind == "O" else ()
    if isinstance(value, list | tuple):
        return (part for item in value for part in _estimators_in(_held(item)))
    return ()


def _held(item: Any) -> Any:
    """What a private holder of an estimator holds (the calibrated classifiers of CalibratedClassifierCV)."""
    return item if isinstance(item, BaseEstimator | list | tuple | np.ndarray) else getattr(item, "estimator", None)


def picks_columns(estimator: Any) -> bool:
    """True when some part picks columns of its rows, by name or position."""
    return any(isinstance(part, ColumnTransformer) for part in parts_of(estimator))


def has_steps(estimator: Any) -> bool:
    """True when some part prepares rows for another one."""
    return any(isinstance(part, Pipeline | ColumnTransformer | FeatureUnion) for part in parts_of(estimator))
