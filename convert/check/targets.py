"""The numbers of classifiers of several targets, in one form. Touches nothing.

scikit-learn answers in two forms: a list of arrays, one for each target, or (for labels that are there or not) one
array with the probability that each is there. Here it is always one array: the classes of the first target, then those
of the second, and so on.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.manifest import OutputRole

Targets = tuple[tuple[Any, ...], ...]

_TWO = 2


def plain_classes(classes: NDArray[Any]) -> tuple[Any, ...]:
    """Class values as plain Python values, whole numbers as int."""
    return tuple(
        int(value) if isinstance(value, float) and value.is_integer() else value
        for value in np.asarray(classes).tolist()
    )


def side_by_side(found: Any, targets: Targets) -> NDArray[np.float64]:
    """What `predict_proba` gave, as [rows, classes of all targets]."""
    if isinstance(found, list):
        return np.hstack([np.asarray(each, dtype=np.float64) for each in found])
    present = np.asarray(found, dtype=np.float64)
    if not gives_presence(present.shape[1], targets):
        return present
    return np.stack([1 - present, present], axis=2).reshape(len(present), -1)


def gives_presence(width: int, targets: Targets) -> bool:
    """True when so many columns are one for each target, of two classes."""
    return width == len(targets) and all(len(classes) == _TWO for classes in targets)


def by_target(role: OutputRole | None, numbers: NDArray[np.float64], targets: Targets) -> list[NDArray[np.float64]]:
    """The columns of each target: its probabilities, or its one score. All of them where there is one target."""
    if not targets:
        return [numbers]
    widths = [1 if role == "score" else len(classes) for classes in targets]
    return np.split(numbers, np.cumsum(widths)[:-1], axis=1)


def share_count(targets: Targets) -> int:
    """How many probabilities a row has."""
    return sum(len(classes) for classes in targets)
