"""Gradient boosting that starts from another model's predictions (`init=…`): these as raw sums.

The link functions are those of scikit-learn's losses (sklearn/_loss/link.py), after `_init_raw_predictions`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.dummy import DummyClassifier, DummyRegressor

from convert.export.refusal import NotExportable
from convert.export.trees.lookup import float32_rows
from convert.export.writer import DOUBLE, FLOAT, Writer


def constant(model: Any) -> bool:
    """True when every row starts alike."""
    start = getattr(model, "init_", "zero")
    if isinstance(start, DummyClassifier):
        return bool(start.strategy != "stratified")
    return isinstance(start, DummyRegressor) or (isinstance(start, str) and start == "zero")


def scores(writer: Writer) -> str:
    """A classifier's raw sums [rows, 1 or classes] in float64."""
    model = writer.model
    if not hasattr(model.init_, "predict_proba"):
        raise NotExportable("the model that it starts from gives no probabilities")
    shares = writer.cast(_asked(writer, 1), DOUBLE)
    edge = np.finfo(np.float64).eps
    shares = writer.node("Max", shares, writer.numbers([edge], DOUBLE))
    shares = writer.node("Min", shares, writer.numbers([1 - edge], DOUBLE))
    if len(model.classes_) > 2:
        logs = writer.node("Log", shares)
        mean = writer.node("ReduceMean", logs, writer.constant(np.array([1])), keepdims=1)
        return writer.node("Sub", logs, mean)
    share = writer.columns(shares, [1])
    odds = writer.node("Div", share, writer.node("Sub", writer.numbers([1.0], DOUBLE), share))
    raw = writer.node("Log", odds)
    return writer.node("Mul", raw, writer.numbers([0.5], DOUBLE)) if model.loss == "exponential" else raw


def values(writer: Writer) -> str:
    """A regressor's sums [rows, 1] in float64."""
    return writer.cast(_asked(writer, 0), DOUBLE)


def _asked(writer: Writer, answer: int) -> str:
    """The first model gets the rows rounded to float32, as scikit-learn gives them to it."""
    rows = writer.cast(float32_rows(writer), writer.element, FLOAT)
    return writer.ask(writer.model.init_, rows, writer.model.n_features_in_)[answer]
