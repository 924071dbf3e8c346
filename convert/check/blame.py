"""Finds out which step of a pipeline answers differently first, and what usually helps.

The pipeline is cut after each step in turn, and the cut is exported under the plan that is on trial, by edgekit's own
exporters where it uses them; the first cut whose ONNX form differs from scikit-learn's own result is to blame,
otherwise the last step is.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from convert.check import session as sessions
from convert.export.candidates import Export
from convert.export.naming import name_inputs
from convert.export.plans import converters_for, initial_types
from convert.export.refusal import NotExportable
from convert.export.sklearn_onnx import export
from convert.export.trees.lifting import lift
from convert.read.columns import describe
from convert.read.source import Source, last_step

_ROWS = 512
_CALIBRATED = "calibrate the bare estimator and put the scaler before the calibrator in an outer pipeline"
_TEXTS = "encode text categories with an OrdinalEncoder step before it"
_EQUALLY_NEAR = (
    "where many training rows are equally near, which of them count is chance: drop duplicate training rows, give the "
    "model columns of more detail, and use weights='uniform'"
)
_HINTS: dict[str, str] = {
    "CalibratedClassifierCV": _CALIBRATED,
    "HistGradientBoostingClassifier": _TEXTS,
    "HistGradientBoostingRegressor": _TEXTS,
    "KNeighborsClassifier": _EQUALLY_NEAR,
    "KNeighborsRegressor": _EQUALLY_NEAR,
}
_FALLBACK = "replace that step by a simpler one"


def blame(source: Source, made: Export, frame: pd.DataFrame) -> str:
    """The step that differs first, in words: `step 'scale' (StandardScaler), feature 'age'`."""
    sample = frame.head(_ROWS)
    steps = getattr(source.estimator, "steps", [])
    for count in range(1, len(steps)):
        name, step = steps[count - 1]
        column = _first_difference(source, made, source.estimator[:count], sample)
        if column is not None:
            return f"step {name!r} ({type(step).__name__}), {column}"
    if steps:
        return f"step {steps[-1][0]!r} ({type(steps[-1][1]).__name__})"
    return source.kind


def hint(source: Source) -> str:
    """What usually helps with a model of this kind."""
    return _HINTS.get(type(last_step(source.estimator)).__name__, _FALLBACK)


def _first_difference(source: Source, made: Export, prefix: Any, sample: pd.DataFrame) -> str | None:
    try:
        expected, got = _transform(source, made, prefix, sample)
    except Exception:  # noqa: BLE001 - a prefix need not be exportable alone; then it cannot be judged
        return None
    if expected.shape != got.shape:
        return "its output's shape"
    spread = np.maximum(np.nanstd(expected, axis=0), 1e-12)
    unequal = ~np.isclose(got, expected, rtol=1e-5, atol=0, equal_nan=True)
    difference = np.where(unequal, np.abs(np.nan_to_num(got - expected, nan=np.inf)), 0.0) / spread
    worst = int(np.argmax(difference.max(axis=0)))
    return f"feature {_names(prefix, worst)!r}" if difference[:, worst].max() > 1e-4 else None


def _transform(
    source: Source, made: Export, prefix: Any, sample: pd.DataFrame
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = prefix.transform(source.rows(sample))
    if hasattr(expected, "toarray"):
        expected = expected.toarray()
    own = converters_for(made.plan, source, describe(sample))
    model = export(prefix, initial_types(made.tensors), own)
    name_inputs(model, made.tensors)
    if own is not None:
        lift(model)
    session = sessions.open_session(model.SerializeToString())
    (got,) = session.run(None, sessions.feeds(made.tensors, sample))[:1]
    return np.asarray(expected, dtype=np.float64), np.asarray(got, dtype=np.float64)


def _names(prefix: Any, index: int) -> str:
    try:
        return str(prefix.get_feature_names_out()[index])
    except (AttributeError, ValueError, NotExportable):
        return f"column {index}"
