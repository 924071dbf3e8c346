"""Classifiers of several targets: which they are, and their probabilities in one form. Touches nothing.

scikit-learn answers in two forms: a list of arrays, one for each target, or (for labels that are there or not) one
array with the probability that each is there. Here it is always one array: the classes of the first target, then those
of the second, and so on.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import StackingClassifier
from sklearn.multioutput import ClassifierChain

from convert.export.parts import answering
from edgekit.manifest import OutputRole

Targets = tuple[tuple[Any, ...], ...]

_ABSENT_OR_PRESENT = (0, 1)


def read(estimator: Any) -> Targets:
    """The classes of each target of a fitted classifier; empty when it has one target only."""
    last = answering(estimator)
    classes = getattr(last, "classes_", None)
    if isinstance(classes, list):
        return tuple(plain_classes(each) for each in classes)
    return (_ABSENT_OR_PRESENT,) * len(classes) if classes is not None and _is_indicator(last) else ()


def _is_indicator(last: Any) -> bool:
    """True when it was fitted to a table of 0 and 1: its classes are then the numbers of the columns."""
    binarizer = getattr(last, "_label_binarizer", None)  # private in MLPClassifier and RidgeClassifier
    return bool(getattr(last, "multilabel_", False)) or getattr(binarizer, "y_type_", "").startswith("multilabel")


def plain_classes(classes: NDArray[Any]) -> tuple[Any, ...]:
    """Class values as plain Python values, whole numbers as int."""
    return tuple(
        int(value) if isinstance(value, float) and value.is_integer() else value
        for value in np.asarray(classes).tolist()
    )


def role(estimator: Any, targets: Targets) -> OutputRole | None:
    """What its numbers are; None when it gives labels only, or numbers that mean something else."""
    last = answering(estimator)
    if isinstance(last, StackingClassifier):
        return None  # its predict_proba gives the probability that a label is absent
    if isinstance(last, ClassifierChain) and any(len(classes) != len(_ABSENT_OR_PRESENT) for classes in targets):
        return None  # its predict_proba fails for more classes
    if hasattr(estimator, "predict_proba"):
        return "probabilities"
    return "score" if hasattr(estimator, "decision_function") else None


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
    return width == len(targets) and all(len(classes) == len(_ABSENT_OR_PRESENT) for classes in targets)


def share_count(targets: Targets) -> int:
    """How many probabilities a row has."""
    return sum(len(classes) for classes in targets)
