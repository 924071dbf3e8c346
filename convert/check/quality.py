"""A quality figure on rows with known targets, before and after conversion. Touches nothing.

Of several targets it is the mean of their figures, as `sklearn.metrics.accuracy_score` of each, and as
`sklearn.metrics.r2_score(multioutput="uniform_average")`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.check.classes import class_places
from convert.check.parity import Answers
from convert.check.targets import Targets
from edgekit.errors import ModelFault
from edgekit.manifest import Quality, Task


def measure_quality(
    task: Task,
    target: NDArray[Any],
    classes: tuple[Any, ...],
    before: Answers,
    after: Answers,
    targets: Targets = (),
) -> Quality | None:
    """Accuracy for classifiers, R² for regressors, None for what has no such figure or a target of another shape.

    `target`: [rows], or [rows, targets] for several, whose classes `targets` tells. Raises ModelFault when no target is
    one of the model's classes: then the column holds something else.
    """
    if task == "regression":
        return _r2(target, before, after)
    known = targets if task == "multioutput" else (classes,)
    if task in ("anomaly", "clustering", "transformation") or before.label is None or after.label is None:
        return None
    truth, *labels = (_columns(values) for values in (target, before.label, after.label))
    if not known or any(values.shape != (len(target), len(known)) for values in (truth, *labels)):
        return None
    places = np.stack([_places(truth[:, k], each) for k, each in enumerate(known)], axis=1)
    source, converted = (
        float(np.mean([places[:, k] == class_places(values[:, k], each) for k, each in enumerate(known)]))
        for values in labels
    )
    return Quality(metric="accuracy", rows=len(target), source=source, converted=converted)


def _columns(values: NDArray[Any]) -> NDArray[Any]:
    return values.reshape(len(values), -1)


def _places(truth: NDArray[Any], classes: tuple[Any, ...]) -> NDArray[np.intp]:
    """Which class each true label is. Raises ModelFault when none of them is any."""
    places = class_places(truth, classes)
    if (places < 0).all():
        raise ModelFault(
            f"the target column holds values such as {str(truth[0])!r}, none of which is a class of the model "
            f"({', '.join(str(value) for value in classes[:8])}): name the column with the true labels",
            reason="target_unknown",
        )
    return places


def _r2(target: NDArray[Any], before: Answers, after: Answers) -> Quality | None:
    numbers = [answers.numbers for answers in (before, after) if answers.numbers is not None]
    if target.dtype.kind not in "fiub" or len(numbers) != 2:
        return None
    truth = _columns(target.astype(np.float64))
    if any(values.shape != truth.shape for values in numbers):
        return None
    spread = np.sum((truth - truth.mean(axis=0)) ** 2, axis=0)
    if (spread == 0).any():
        return None
    source, converted = (float(np.mean(1 - np.sum((truth - values) ** 2, axis=0) / spread)) for values in numbers)
    return Quality(metric="r2", rows=len(target), source=source, converted=converted)
