"""Steps that bend each column by itself: powers, quantiles and splines; and products of columns."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import PPoly
from scipy.stats import norm

from convert.export.refusal import NotExportable
from convert.export.steps.elementwise import clip, joined
from convert.export.steps.intervals import count_below, looked_up, rounded
from convert.export.steps.normal import quantile_of_normal
from convert.export.writer import NUMPY, Writer

_EDGE = 1e-7  # sklearn.preprocessing._data.BOUNDS_THRESHOLD
_MAX_POWERS = 4096


def power(writer: Writer) -> None:
    """`PowerTransformer`: Box-Cox or Yeo-Johnson (2000), standardized where it was told to."""
    model, rows = writer.model, writer.rows
    lambdas = np.asarray(model.lambdas_, dtype=np.float64)
    if model.method == "box-cox":
        bent = _boxcox(writer, rows, lambdas)
    else:
        low = writer.node("Less", rows, writer.numbers([0.0]))
        zero, one = writer.numbers([0.0]), writer.numbers([1.0])
        above = _boxcox(writer, writer.node("Add", writer.node("Where", low, zero, rows), one), lambdas)
        below = _boxcox(writer, writer.node("Sub", one, writer.node("Where", low, rows, zero)), 2.0 - lambdas)
        bent = writer.node("Where", low, writer.node("Neg", below), above)
    if model.standardize:
        bent = writer.node("Sub", bent, writer.numbers(model._scaler.mean_))
        bent = writer.node("Div", bent, writer.numbers(model._scaler.scale_))
    writer.finish(0, bent)


def _boxcox(writer: Writer, rows: str, lambdas: NDArray[np.float64]) -> str:
    """(x ** λ - 1) / λ, and log(x) for λ = 0 (Box and Cox 1964)."""
    flat = np.abs(lambdas) < 1e-12
    some = np.where(flat, 1.0, lambdas)
    raised = writer.node("Sub", writer.node("Pow", rows, writer.numbers(some)), writer.numbers([1.0]))
    raised = writer.node("Div", raised, writer.numbers(some))
    return writer.node("Where", writer.constant(flat), writer.node("Log", rows), raised) if flat.any() else raised


def quantile(writer: Writer) -> None:
    """`QuantileTransformer`: the mean of interpolating from either side, as repeated quantiles need."""
    model, rows = writer.model, writer.rows
    columns = [rounded(writer, column) for column in np.asarray(model.quantiles_).T]
    references = np.asarray(model.references_, dtype=np.float64)
    parts = []
    for equal in (True, False):
        lines = [_lines(column, references, equal=equal) for column in columns]
        place = count_below(writer, rows, columns, equal=equal)
        start, slope, base = (looked_up(writer, place, [line[i] for line in lines]) for i in range(3))
        rise = writer.node("Mul", slope, writer.node("Sub", rows, start))
        parts.append(writer.node("Add", base, rise))
    mean = writer.node("Mul", writer.node("Add", *parts), writer.numbers([0.5]))
    mean = writer.node("Where", writer.node("IsNaN", rows), rows, mean)
    writer.finish(0, _distributed(writer, rows, mean, columns))


def _lines(x: NDArray[np.float64], y: NDArray[np.float64], *, equal: bool) -> list[NDArray[np.float64]]:
    """Start, slope and base of the line for each number of quantiles below; flat outside.

    `equal`: a line starts where it stands; otherwise, where it ends, as the interpolation of the mirrored values does.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        slope = np.where(np.diff(x) > 0, np.diff(y) / np.diff(x), 0.0)
    slopes = np.concatenate([[0.0], slope, [0.0]])
    last = len(x) - 1
    anchors = np.clip(np.arange(len(x) + 1) - (1 if equal else 0), 0, last)
    return [x[anchors], slopes, y[anchors]]


def _distributed(writer: Writer, rows: str, share: str, columns: list[NDArray[np.float64]]) -> str:
    lowest, highest = (writer.numbers([column[i] for column in columns]) for i in (0, -1))
    if writer.model.output_distribution == "uniform":
        share = writer.node("Where", writer.node("Equal", rows, highest), writer.numbers([1.0]), share)
        return writer.node("Where", writer.node("Equal", rows, lowest), writer.numbers([0.0]), share)
    margin = writer.numbers([_EDGE])
    above = writer.node("Greater", writer.node("Add", rows, margin), highest)
    below = writer.node("Less", writer.node("Sub", rows, margin), lowest)
    share = writer.node("Where", above, writer.numbers([1.0]), share)
    share = writer.node("Where", below, writer.numbers([0.0]), share)
    # scikit-learn clips the result; clipping the share first keeps infinity out of the graph.
    bound = _EDGE - np.spacing(1.0)
    share = clip(writer, share, bound, 1 - bound)
    return clip(writer, quantile_of_normal(writer, share), float(norm.ppf(bound)), float(norm.ppf(1 - bound)))


def polynomial(writer: Writer) -> None:
    """`PolynomialFeatures`: each output is the product of the columns that its powers name."""
    powers = np.asarray(writer.model.powers_)
    degree = int(powers.sum(axis=1).max(initial=0))
    if len(powers) > _MAX_POWERS:
        raise NotExportable(f"PolynomialFeatures makes {len(powers)} columns")
    width = powers.shape[1]
    # A column of ones, so that every product has as many factors.
    nothing = writer.node("Mul", writer.columns(writer.rows, [0]), writer.numbers([0.0]))
    one = writer.node("Add", nothing, writer.numbers([1.0]))
    rows = joined(writer, [writer.rows, one]) if (powers.sum(axis=1) < degree).any() else writer.rows
    factors = np.array([list(_factors(line, degree, width)) for line in powers]).reshape(len(powers), -1)
    product = writer.columns(rows, factors[:, 0].tolist()) if degree else writer.columns(one, [0] * len(powers))
    for step in range(1, degree):
        product = writer.node("Mul", product, writer.columns(rows, factors[:, step].tolist()))
    writer.finish(0, product)


def _factors(powers: NDArray[Any], degree: int, one: int) -> Iterator[int]:
    named = itertools.chain.from_iterable(itertools.repeat(i, int(times)) for i, times in enumerate(powers))
    return itertools.islice(itertools.chain(named, itertools.repeat(one)), degree)


def spline(writer: Writer) -> None:
    """`SplineTransformer`: one polynomial per interval of knots and basis function (scipy.interpolate.PPoly)."""
    model, rows = writer.model, writer.rows
    if model.degree == 0 and model.extrapolation == "linear":
        raise NotExportable("SplineTransformer of degree 0 has no slope to continue: use extrapolation='constant'")
    pieces = [_pieces(model, feature) for feature in range(len(model.bsplines_))]
    if model.extrapolation == "periodic":
        rows = _wrapped(writer, rows, model)
    edges = [_closed(writer, breaks) for breaks, _, _ in pieces]
    place = count_below(writer, rows, edges, equal=True)
    start = looked_up(writer, place, [starts for _, starts, _ in pieces])
    step = writer.node("Unsqueeze", writer.node("Sub", rows, start), writer.constant(np.array([2])))
    count = pieces[0][2].shape[2]
    value = ""
    for order in range(pieces[0][2].shape[0]):
        coefficient = looked_up(writer, place, [coefficients[order] for _, _, coefficients in pieces])
        value = writer.node("Add", writer.node("Mul", value, step), coefficient) if value else coefficient
    if getattr(model, "handle_missing", "error") == "zeros":
        hole = writer.node("Unsqueeze", writer.node("IsNaN", rows), writer.constant(np.array([2])))
        value = writer.node("Where", hole, writer.numbers([0.0]), value)
    flat = writer.node("Reshape", value, writer.constant(np.array([0, -1], dtype=np.int64)))
    if not model.include_bias:
        flat = writer.columns(flat, [i for i in range(len(pieces) * count) if (i + 1) % count])
    writer.finish(0, flat)


def _closed(writer: Writer, breaks: NDArray[np.float64]) -> NDArray[np.float64]:
    """The knots, with the last moved up to the next number: it belongs to the last interval itself."""
    edges = np.asarray(breaks, dtype=NUMPY[writer.element])
    edges[-1] = np.nextafter(edges[-1], NUMPY[writer.element](np.inf))
    return edges.astype(np.float64)


def _wrapped(writer: Writer, rows: str, model: Any) -> str:
    """x moved by whole periods into the knots' span, by the floor modulo of numpy."""
    first = np.array([curve.t[curve.k] for curve in model.bsplines_])
    last = np.array([curve.t[curve.t.size - curve.k - 1] for curve in model.bsplines_])
    if (last <= first).any():
        raise NotExportable("SplineTransformer saw a constant column with periodic extrapolation")
    period = writer.numbers(last - first)
    moved = writer.node("Sub", rows, writer.numbers(first))
    turns = writer.node("Floor", writer.node("Div", moved, period))
    return writer.node("Add", writer.node("Sub", moved, writer.node("Mul", turns, period)), writer.numbers(first))


def _pieces(model: Any, feature: int) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """The knots [m], the start of each interval [m + 1] and its coefficients [degree + 1, m + 1, functions], from the
    highest power down; the first and last interval are what lies outside.
    """
    curve, reach = model.bsplines_[feature], _reach(model, feature)
    degree, knots = curve.k, curve.t
    breaks = np.unique(knots[reach : len(knots) - reach])
    starts = breaks[:-1]
    parts = [PPoly.from_spline((knots, column, degree)) for column in curve.c.T]
    inside = np.searchsorted(parts[0].x, starts, side="right") - 1
    middle = np.stack([part.c[:, inside] for part in parts], axis=-1)
    if degree == 0:  # room for a slope
        middle = np.concatenate([np.zeros_like(middle), middle])
    if model.extrapolation in ("continue", "periodic"):
        edges, outside = (starts[:1], starts[-1:]), [middle[:, :1], middle[:, -1:]]
    else:
        edges = (breaks[:1], breaks[-1:])
        outside = [_beyond(model, feature, breaks[end], len(middle)) for end in (0, -1)]
    return (
        breaks,
        np.concatenate([edges[0], starts, edges[1]]),
        np.concatenate([outside[0], middle, outside[1]], axis=1),
    )


def _reach(model: Any, feature: int) -> int:
    """How many knots at either end lie outside: as many as the degree says.

    scikit-learn 1.9 raises a degree below 2 by one with every feature that it continues linearly.
    """
    degree = int(model.degree)
    return max(degree, min(degree + feature, 2)) if model.extrapolation == "linear" else degree


def _beyond(model: Any, feature: int, edge: float, powers: int) -> NDArray[np.float64]:
    """The functions outside, as polynomials from the edge: as many as scikit-learn continues, the others are zero."""
    curve, reach = model.bsplines_[feature], _reach(model, feature)
    linear = model.extrapolation == "linear"
    count = reach + 1 if linear and reach <= 1 else reach
    piece = np.zeros((powers, 1, curve.c.shape[1]))
    low = edge == curve.t[reach]
    chosen = slice(None, count) if low else slice(curve.c.shape[1] - count, None)
    if model.extrapolation == "error" or count == 0:
        piece[-1] = np.nan  # scikit-learn refuses such a row
        return piece
    piece[-1, 0, chosen] = curve(edge)[chosen]
    if linear:
        piece[-2, 0, chosen] = curve(edge, nu=1)[chosen]
    return piece
