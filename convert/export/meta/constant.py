"""DummyClassifier and DummyRegressor: the same answer to every row."""

from __future__ import annotations

from typing import Any

import numpy as np

from convert.export.meta.binary import constant_rows
from convert.export.refusal import NotExportable
from convert.export.writer import Writer

_CERTAIN = ("prior", "most_frequent", "constant")


def classify(writer: Writer) -> None:
    """DummyClassifier, of one target or several. Raises NotExportable when it draws its answers."""
    model = writer.model
    if model.strategy not in _CERTAIN:
        raise NotExportable(f"its strategy {model.strategy!r} draws answers at random")
    if model.n_outputs_ == 1:
        shares = _shares(model.strategy, model.classes_, model.class_prior_, model.constant)
        writer.finish_label(_first_places(writer, int(shares.argmax())))
        writer.finish(1, constant_rows(writer, writer.numbers(shares[None]), len(shares)))
        return
    constants = np.ravel(model.constant) if model.constant is not None else [None] * model.n_outputs_
    parts = [_shares(model.strategy, *each) for each in zip(model.classes_, model.class_prior_, constants, strict=True)]
    labels = np.array([classes[int(share.argmax())] for classes, share in zip(model.classes_, parts, strict=True)])
    typed = labels.astype(object) if labels.dtype.kind in "OUS" else labels.astype(np.int64)
    writer.finish(0, constant_rows(writer, writer.constant(typed[None]), len(labels)))
    together = np.concatenate(parts)
    writer.finish(1, constant_rows(writer, writer.numbers(together[None]), len(together)))


def _shares(strategy: str, classes: Any, prior: Any, constant: Any) -> Any:
    if strategy == "prior":
        return np.asarray(prior, dtype=np.float64)
    sure = np.asarray(classes) == constant if strategy == "constant" else np.arange(len(prior)) == np.argmax(prior)
    return np.asarray(sure, dtype=np.float64)


def _first_places(writer: Writer, place: int) -> str:
    row = constant_rows(writer, writer.constant(np.array([[place]], dtype=np.int64)), 1)
    return writer.node("Squeeze", row, writer.constant(np.array([1])))


def regress(writer: Writer) -> None:
    """DummyRegressor: mean, median, quantile or constant, of one target or several."""
    values = np.asarray(writer.model.constant_, dtype=np.float64).reshape(1, -1)
    writer.finish(0, constant_rows(writer, writer.numbers(values), values.shape[1]))
