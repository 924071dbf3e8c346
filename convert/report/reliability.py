"""How often probabilities come true: the reliability curve. Pure."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from convert.report.details import Calibration, Reliability, ReliabilityBin

BINS = 10
Number = NDArray[np.float64]
Index = NDArray[np.intp]


def calibrate(truth: Index, before: Number, after: Number, classes: tuple[str, ...]) -> Calibration:
    """Reliability of two sets of probabilities [rows, classes]; `truth` [rows] holds class positions, -1 for others.

    Of two classes the second one's probability is judged, as sklearn.calibration.calibration_curve does; of more the
    probability of the class with the highest one (Guo et al. 2017).
    """
    if len(classes) == 2:
        came = truth == 1
        return Calibration(of=classes[1], before=reliability(before[:, 1], came), after=reliability(after[:, 1], came))
    return Calibration(of=None, before=_of_predicted(truth, before), after=_of_predicted(truth, after))


def _of_predicted(truth: Index, probabilities: Number) -> Reliability:
    top = probabilities.argmax(axis=1)
    return reliability(probabilities[np.arange(len(top)), top], truth == top)


def reliability(probability: Number, came_true: NDArray[np.bool_]) -> Reliability:
    """The curve of probabilities [rows] in 0 to 1 in ten bins of equal width."""
    edges = np.linspace(0, 1, BINS + 1)
    places = np.clip(np.searchsorted(edges, probability, side="left") - 1, 0, BINS - 1)
    rows = np.bincount(places, minlength=BINS)
    predicted, observed = (np.bincount(places, weights=of, minlength=BINS) for of in (probability, came_true))
    return Reliability(
        bins=[
            ReliabilityBin(
                low=round(float(edges[i]), 6),
                high=round(float(edges[i + 1]), 6),
                rows=int(rows[i]),
                predicted=float(predicted[i] / rows[i]) if rows[i] else None,
                observed=float(observed[i] / rows[i]) if rows[i] else None,
            )
            for i in range(BINS)
        ],
        error=float(np.abs(observed - predicted).sum() / max(len(probability), 1)),
        brier=float(np.mean((probability - came_true) ** 2)) if len(probability) else 0.0,
    )
