"""Rows where the source model's label turns: found on the way between two rows of different labels."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from convert.check.parity import Answers, spelled
from convert.read.source import Source

_PAIRS = 12
# Twice 48 steps at once: 0.04 % of the way, near a tie and yet apart by more than the noise of float32. Some models
# take their time per call, however few rows it has: they are asked twice only.
_STEPS = 48
_REFINEMENTS = 2
# Between two whole numbers this share hardly ever falls on a third one.
_UNEVEN = 0.377


def find_ties(source: Source, frame: pd.DataFrame, answers: Answers, rng: np.random.Generator) -> pd.DataFrame:
    """Pairs of rows, one on each side of a turn, mixed from rows of `frame` whose `answers` are known."""
    categories = source.known(frame)
    fractions = [name for name in frame.columns if frame[name].dtype.kind == "f" and name not in categories]
    if answers.label is None or answers.label.ndim > 1 or not fractions:
        return frame.head(0)
    labels = spelled(answers.label)
    ends = _pairs(labels, rng)
    if len(ends[0]) == 0:
        return frame.head(0)
    start, end = (frame.iloc[places].reset_index(drop=True) for places in ends)
    label = labels[ends[0]]
    whole = [name for name in fractions if (frame[name].dropna() % 1 == 0).all()]
    if whole and source.refuses(_mixed(start, end, fractions, np.full((1, len(start)), _UNEVEN))):
        # Whole numbers may be categories, and a model may refuse others.
        fractions = [name for name in fractions if name not in whole]
    if not fractions:
        return frame.head(0)
    low, high = np.zeros(len(start)), np.ones(len(start))
    for _ in range(_REFINEMENTS):
        shares = low + (high - low) * np.linspace(0, 1, _STEPS + 1)[1:, None]
        found = spelled(np.asarray(source.answers(_mixed(start, end, fractions, shares)).label))
        turned = found.reshape(shares.shape) != label
        first = np.where(turned.any(axis=0), turned.argmax(axis=0), _STEPS - 1)
        step = (high - low) / _STEPS
        low, high = low + step * first, low + step * (first + 1)
    return _mixed(start, end, fractions, np.stack([low, high]))


def _pairs(label: NDArray[np.str_], rng: np.random.Generator) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Rows of different labels, two by two."""
    order = rng.permutation(len(label))[: 8 * _PAIRS]
    left, right = order[: len(order) // 2], order[len(order) // 2 :][: len(order) // 2]
    apart = np.flatnonzero(label[left] != label[right])[:_PAIRS]
    return left[apart], right[apart]


def _mixed(start: pd.DataFrame, end: pd.DataFrame, fractions: list[str], shares: NDArray[np.float64]) -> pd.DataFrame:
    """`start` moved by shares [steps, rows] of the way to `end`, in the columns that hold fractions; step by step.

    Values are rounded to float32: what float64 alone can tell from a threshold is no fair question.
    """
    steps = len(shares)
    share = shares.ravel()
    moved = {}
    for name in fractions:
        a, b = (np.tile(frame[name].to_numpy(), steps) for frame in (start, end))
        moved[name] = (
            np.where(np.isnan(a) | np.isnan(b), a, a * (1 - share) + b * share).astype(np.float32).astype(a.dtype)
        )
    return start.iloc[np.tile(np.arange(len(start)), steps)].reset_index(drop=True).assign(**moved)
