"""Isotonic steps, and projections onto latent variables."""

from __future__ import annotations

import numpy as np

from convert.export.affine import Reals
from convert.export.dense import answers
from convert.export.products import features, product
from convert.export.writer import BOOL, INT64, Writer


def isotonic(writer: Writer) -> None:
    """Linear interpolation between the fitted thresholds; beyond them the last value or NaN.

    Where scikit-learn raises (`out_of_bounds="raise"`), the answer is NaN.
    """
    model = writer.model
    x = np.asarray(model.X_thresholds_, dtype=np.float64)
    y = np.asarray(model.y_thresholds_, dtype=np.float64)
    if len(x) == 1:
        writer.finish(0, answers.constant_rows(writer, y))
        return
    rows = answers.flat(writer, features(writer))
    low, high = writer.numbers(np.array(x[0])), writer.numbers(np.array(x[-1]))
    inside = writer.node("Clip", rows, low, high)
    value = _interpolated(writer, inside, x, y)
    if model.out_of_bounds != "clip":
        same = writer.node("Unsqueeze", writer.node("Equal", inside, rows), writer.constant(np.array([1])))
        value = writer.node("Where", same, value, writer.numbers([np.nan]))
    writer.finish(0, value)


def _interpolated(writer: Writer, inside: str, x: Reals, y: Reals) -> str:
    column = writer.node("Unsqueeze", inside, writer.constant(np.array([1])))
    passed = writer.cast(writer.node("GreaterOrEqual", column, writer.numbers(x[1:])), INT64, BOOL)
    place = writer.node("ReduceSum", passed, writer.constant(np.array([1])), keepdims=1)
    start, value, slope = (
        writer.node("Gather", writer.numbers(table), place, axis=0)
        for table in (x, y, np.append(np.diff(y) / np.diff(x), 0.0))
    )
    return writer.node("Add", value, writer.node("Mul", slope, writer.node("Sub", column, start)))


def latent(writer: Writer) -> None:
    """`PLSSVD.transform`: centred, scaled and projected rows."""
    model = writer.model
    weights = np.asarray(model.x_weights_, dtype=np.float64) / np.asarray(model._x_std)[:, None]
    writer.finish(0, product(writer, weights, -np.asarray(model._x_mean) @ weights))


def latent_regress(writer: Writer) -> None:
    """Values [rows, targets] of partial least squares and canonical correlation."""
    model = writer.model
    weights = np.asarray(model.coef_, dtype=np.float64).T
    writer.finish(0, product(writer, weights, np.ravel(model.intercept_) - np.asarray(model._x_mean) @ weights))


def project(writer: Writer) -> None:
    """`NeighborhoodComponentsAnalysis.transform`."""
    weights = np.asarray(writer.model.components_, dtype=np.float64).T
    writer.finish(0, product(writer, weights, np.zeros(weights.shape[1])))
