"""Which class a label is, however it is spelled. Pure."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Index = NDArray[np.intp]


def class_places(labels: NDArray[Any], classes: tuple[Any, ...]) -> Index:
    """The position of each label [rows] in `classes`, -1 for what is none.

    Numbers are compared as numbers: a class 1 may come as 1.0 or True, as a column of a file may have it.
    """
    known, given = _comparable(labels, classes)
    order = np.argsort(known, kind="stable")
    found = np.searchsorted(known, given, sorter=order)
    places = order[np.minimum(found, len(known) - 1)]
    return np.where(known[places] == given, places, -1)


def _comparable(labels: NDArray[Any], classes: tuple[Any, ...]) -> tuple[NDArray[Any], NDArray[Any]]:
    if all(isinstance(value, int | float) for value in classes):
        try:
            return np.asarray(classes, dtype=np.float64), np.asarray(labels, dtype=np.float64)
        except (TypeError, ValueError):
            pass  # texts that are no numbers: compared as texts below
    return np.asarray([str(value) for value in classes]), np.asarray(labels).astype(str)
