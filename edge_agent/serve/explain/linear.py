"""The exact contributions to a linear model's output, from the terms in its bundle. Pure.

Lundberg & Lee 2017: φ_j = w_j (x_j − E[x_j]). They are believed for a row only when they add up to what the model
itself answers for it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edge_agent.serve.columns import Cell, Column
from edgekit.golden import Linear, LinearTerm

Reals = NDArray[np.float64]

# The model on the device computes in float32; parity is judged in probabilities, and so is this.
_SHARES_AGREE = 1e-4
_NUMBERS_AGREE = 1e-4


def contributions(linear: Linear, columns: Sequence[Column], row: Sequence[Cell]) -> Reals | None:
    """Contributions [features, outputs] in packing order; None when a value of the row has no term."""
    terms = {term.name: term for term in linear.terms}
    added = [
        _added(terms[column.feature.name], column, cell) if column.feature.name in terms else None
        for column, cell in zip(columns, row, strict=True)
    ]
    known = [part for part in added if part is not None]
    return np.array(known, dtype=np.float64) if len(known) == len(added) else None


def _added(term: LinearTerm, column: Column, cell: Cell) -> list[float] | None:
    if isinstance(cell, float) and math.isnan(cell):
        return term.missing or None
    if term.weights and not isinstance(cell, str):
        shift = term.shift or [0.0] * len(term.weights)
        return [weight * (cell - term.centre) + more for weight, more in zip(term.weights, shift, strict=True)]
    for value, part in zip(term.values, term.parts, strict=True):
        if value == cell:
            return part
    return term.missing or None if cell == column.fill else None


def agrees(linear: Linear, added: Reals, answered: Reals) -> bool:
    """True when base and contributions add up to what the model answered [outputs]: the values or scores, or the
    probabilities of all classes.
    """
    total = np.asarray(linear.base) + added.sum(axis=0)
    if total.shape != answered.shape or not np.isfinite(total).all():
        return False
    if linear.scale == "log_odds":
        return bool(np.abs(_shares(total) - answered).max() <= _SHARES_AGREE)
    size = np.abs(added).sum(axis=0) + np.abs(total)
    return bool((np.abs(total - answered) <= _NUMBERS_AGREE * size).all())


def _shares(log_odds: Reals) -> Reals:
    """Probabilities from log p of each class minus the mean of log p of the others."""
    count = len(log_odds)
    scores = log_odds * ((count - 1) / count)
    powers = np.exp(scores - scores.max())
    return np.asarray(powers / powers.sum())
