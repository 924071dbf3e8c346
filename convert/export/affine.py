"""Affine maps z = (x − centre) · weights + offset in float64, such as scalers and projections are.

`weights` [n] scale each feature by itself; `weights` [n, k] mix them. Pure arithmetic.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Reals = NDArray[np.float64]


@dataclass(frozen=True)
class Affine:
    """From rows of n features to rows of k: `centre` [n], `weights` [n] (then k = n) or [n, k], `offset` [k]."""

    centre: Reals
    weights: Reals
    offset: Reals

    @property
    def diagonal(self) -> bool:
        """Each feature is scaled by itself."""
        return self.weights.ndim == 1

    def then(self, after: Affine) -> Affine:
        """This map followed by another."""
        moved = self.offset - after.centre
        if after.diagonal:
            return Affine(self.centre, self.weights * after.weights, moved * after.weights + after.offset)
        mixed = self.weights[:, None] * after.weights if self.diagonal else self.weights @ after.weights
        return Affine(self.centre, mixed, moved @ after.weights + after.offset)

    def before(self, weights: Reals, offset: Reals) -> tuple[Reals, Reals]:
        """W [n, h] and b [h] with x · W + b equal to z · weights + offset."""
        through = self.weights[:, None] * weights if self.diagonal else self.weights @ weights
        return through, offset + self.offset @ weights - self.centre @ through

    def centred(self) -> Affine:
        """The same map with all that is taken off taken off before the multiplication: float32 loses least there."""
        if not self.diagonal or not np.all(self.weights):
            return self
        return Affine(self.centre - self.offset / self.weights, self.weights, np.zeros_like(self.offset))


def scaling(centre: Any, weights: Any, width: int) -> Affine:
    """(x − centre) · weights, feature by feature; None stands for no centre or no scale."""
    shape = np.zeros(width)
    return Affine(shape + _real(centre, shape), shape + _real(weights, shape + 1.0), shape)


def projection(centre: Any, weights: Any) -> Affine:
    """(x − centre) · weights [n, k]; None stands for no centre."""
    weights = np.asarray(weights, dtype=np.float64)
    return Affine(_real(centre, np.zeros(len(weights))), weights, np.zeros(weights.shape[1]))


def _real(values: Any, default: Reals) -> Reals:
    return default if values is None else np.asarray(values, dtype=np.float64)
