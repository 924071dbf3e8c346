"""Classifiers of several targets: which they are, and what their numbers mean. Touches nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.ensemble import StackingClassifier
from sklearn.multioutput import ClassifierChain

from convert.check.targets import Targets, plain_classes
from convert.export.parts import answering
from edgekit.manifest import OutputRole

_ABSENT_OR_PRESENT = (0, 1)


def read(estimator: Any) -> Targets:
    """The classes of each target of a fitted classifier; empty when it has one target only."""
    last = answering(estimator)
    classes = getattr(last, "classes_", None)
    if isinstance(last, ClassifierChain):
        classes = [last.classes_[place] for place in np.argsort(last.order_)]  # they lie in the order of the chain
    if isinstance(classes, list):
        return tuple(plain_classes(each) for each in classes)
    return (_ABSENT_OR_PRESENT,) * len(classes) if classes is not None and _is_indicator(last) else ()


def _is_indicator(last: Any) -> bool:
    """True when it was fitted to a table of 0 and 1: its classes are then the numbers of the columns."""
    binarizer = getattr(last, "_label_binarizer", None)  # private in MLPClassifier and RidgeClassifier
    return bool(getattr(last, "multilabel_", False)) or getattr(binarizer, "y_type_", "").startswith("multilabel")


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
