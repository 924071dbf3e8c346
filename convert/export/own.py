"""edgekit's own exporters: which kinds of estimators they know, and in the form that skl2onnx calls them in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    IsolationForest,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor, ExtraTreeClassifier, ExtraTreeRegressor

from convert.export import boosting, forests
from convert.export.sklearn_onnx import Converters
from convert.export.writer import Writer

_EXPORTERS: dict[type[Any], Callable[..., None]] = {
    DecisionTreeClassifier: forests.classify,
    ExtraTreeClassifier: forests.classify,
    RandomForestClassifier: forests.classify,
    ExtraTreesClassifier: forests.classify,
    DecisionTreeRegressor: forests.regress,
    ExtraTreeRegressor: forests.regress,
    RandomForestRegressor: forests.regress,
    ExtraTreesRegressor: forests.regress,
    IsolationForest: forests.isolate,
    GradientBoostingClassifier: boosting.classify,
    GradientBoostingRegressor: boosting.regress,
    HistGradientBoostingClassifier: boosting.classify,
    HistGradientBoostingRegressor: boosting.regress,
}


def converters(*, missing: bool) -> Converters:
    """All own exporters, for rows that may hold NaN or not."""
    return {kind: _converter(exporter, missing=missing) for kind, exporter in _EXPORTERS.items()}


def _converter(exporter: Callable[..., None], *, missing: bool) -> Callable[[Any, Any, Any], None]:
    def convert(scope: Any, operator: Any, container: Any) -> None:
        exporter(Writer(scope, operator, container), missing=missing)

    return convert


def knows(estimator: Any) -> bool:
    """True when the whole estimator has an own exporter."""
    return type(estimator) in _EXPORTERS


def knows_part_of(estimator: Any) -> bool:
    """True when the estimator, or one that it is made of, has an own exporter."""
    parts = [estimator, *estimator.get_params(deep=True).values()]
    return any(knows(part) for part in parts)
