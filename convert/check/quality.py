"""A quality figure on rows with known targets, before and after conversion. Touches nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.check.classes import class_places
from convert.check.parity import Answers
from edgekit.errors import ModelFault
from edgekit.manifest import Quality, Task


def measure_quality(
    task: Task, target: NDArray[Any], classes: tuple[Any, ...], before: Answers, after: Answers
) -> Quality | None:
    """Accuracy for classifiers, R² for regressors with one value, None for what has no such figure.

    Raises ModelFault when no target is one of the model's classes: then the column holds something else.
    """
    if task == "regression":
        return _r2(target, before, after)
    if (
        task in ("multioutput", "anomaly", "clustering", "transformation")
        or before.label is None
        or after.label is None
    ):
        return None
    truth = class_places(target, classes)
    if (truth < 0).all():
        raise ModelFault(
            f"the target column holds values such as {str(target[0])!r}, none of which is a class of the model "
            f"({', '.join(str(value) for value in classes[:8])}): name the column with the true labels",
            reason="target_unknown",
        )
    return Quality(
        metric="accuracy",
        rows=len(target),
        source=float(np.mean(truth == class_places(before.label, classes))),
        converted=float(np.mean(truth == class_places(after.label, classes))),
    )


def _r2(target: NDArray[Any], before: Answers, after: Answers) -> Quality | None:
    numbers = [answers.numbers for answers in (before, after) if answers.numbers is not None]
    if len(numbers) != 2 or numbers[0].shape[1] != 1 or target.dtype.kind not in "fiub":
        return None
    truth = target.astype(np.float64)
    spread = float(np.sum((truth - truth.mean()) ** 2))
    if spread == 0:
        return None
    source, converted = (1 - float(np.sum((truth - values[:, 0]) ** 2)) / spread for values in numbers)
    return Quality(metric="r2", rows=len(target), source=source, converted=converted)
