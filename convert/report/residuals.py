"""How far a regressor is from the truth, before and after conversion. Pure."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from convert.report.details import Residuals

BINS = 25
Number = NDArray[np.float64]


def residuals(truth: Number, before: Number, after: Number) -> Residuals:
    """Truth minus prediction, all [rows]; bins reach from the 1st to the 99th percentile of the source model's."""
    errors = truth - before, truth - after
    low, high = (float(value) for value in np.percentile(errors[0], [1, 99]))
    if not low < high:
        margin = max(abs(low) * 1e-6, 1e-12)
        low, high = low - margin, high + margin
    edges = np.linspace(low, high, BINS + 1)
    counts = [np.histogram(np.clip(error, edges[0], edges[-1]), edges)[0].tolist() for error in errors]
    return Residuals(
        edges=edges.tolist(),
        before=counts[0],
        after=counts[1],
        rmse=(_rmse(errors[0]), _rmse(errors[1])),
        mae=(float(np.mean(np.abs(errors[0]))), float(np.mean(np.abs(errors[1])))),
    )


def _rmse(errors: Number) -> float:
    return float(np.sqrt(np.mean(errors**2)))
