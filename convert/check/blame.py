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
from sklearn.base import BaseEstimator
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor

from convert.check import session as sessions
from convert.export.candidates import Export
from convert.export.foreign import own_code
from convert.export.naming import name_inputs
from convert.export.plans import converters_for, initial_types
from convert.export.refusal import NotExportable
from convert.export.sklearn_onnx import export
from convert.export.trees.lifting import lift
from convert.read.columns import describe
from convert.read.source import Source, last_step

_ROWS = 512
_REGISTERED = "mend the converter that was registered with skl2onnx for it"
_SIMPLER = "replace that step by a simpler one"
_EQUALLY_NEAR = (
    "where many training rows are equally near, which of them count is chance: drop duplicate training rows, give the "
    "model columns of more detail, and use weights='uniform'"
)


def blame(source: Source, made: Export, frame: pd.DataFrame) -> str:
    """The step that differs first, and what helps: `step 'scale' (StandardScaler), feature 'age': replace …`."""
    sample = frame.head(_ROWS)
    steps = getattr(source.estimator, "steps", [])
    for count in range(1, len(steps)):
        column = _first_difference(source, made, source.estimator[:count], sample)
        if column is not None:
            return f"{_step(*steps[count - 1])}, {column}: {_hint(steps[count - 1][1])}"
    return f"{_step(*steps[-1]) if steps else source.kind}: {_hint(last_step(source.estimator))}"


def _step(name: str, estimator: Any) -> str:
    return f"step {name!r} ({type(estimator).__name__})"


def _hint(estimator: Any) -> str:
    if isinstance(estimator, BaseEstimator) and own_code(estimator):
        return _REGISTERED
    return _EQUALLY_NEAR if isinstance(estimator, KNeighborsClassifier | KNeighborsRegressor) else _SIMPLER


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
