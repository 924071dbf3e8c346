"""Which classes are taken for which: confusion matrices. Pure."""

from __future__ import annotations

from typing import Any

import numpy as np

from convert.check.classes import Index
from convert.report.details import Confusion

MAX_CLASSES = 12


def confuse(truth: Index | None, before: Index, after: Index, classes: tuple[Any, ...]) -> Confusion:
    """Confusion of predicted class positions [rows] with the truth, or of both predictions with each other.

    Rows whose true label is no class of the model (-1) are left out.
    """
    names = [str(value) for value in classes]
    rows = before if truth is None else truth
    kept, others = _most_frequent(rows, len(names))
    return Confusion(
        with_target=truth is not None,
        classes=[names[i] for i in kept] + ([f"{others} others"] if others else []),
        before=None if truth is None else _matrix(truth, before, kept, others),
        after=_matrix(rows, after, kept, others),
        others=others,
    )


def _most_frequent(rows: Index, count: int) -> tuple[list[int], int]:
    """Positions of the classes to show, in their own order, and how many are left."""
    if count <= MAX_CLASSES:
        return list(range(count)), 0
    frequent = np.argsort(-np.bincount(rows[rows >= 0], minlength=count), kind="stable")[: MAX_CLASSES - 1]
    return sorted(frequent.tolist()), count - len(frequent)


def _matrix(rows: Index, columns: Index, kept: list[int], others: int) -> list[list[int]]:
    width = len(kept) + (others > 0)
    place = np.full(max([*kept, int(rows.max(initial=0)), int(columns.max(initial=0))]) + 1, len(kept))
    place[kept] = np.arange(len(kept))
    known = (rows >= 0) & (columns >= 0)
    flat = place[rows[known]] * width + place[columns[known]]
    counts: list[list[int]] = np.bincount(flat, minlength=width * width).reshape(width, width).tolist()
    return counts
