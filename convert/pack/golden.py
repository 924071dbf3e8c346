"""Chooses golden rows: questions with the source model's answers that a device repeats before it trusts a bundle.

Rows are spread evenly over the model's answers, every predicted class among them, with edge rows added. A row within
a hair of a tie is left out: another processor may round it to the other side without being wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from convert.check.parity import Agreement, Answers, Number, Tolerance
from convert.check.targets import Targets, by_target
from convert.check.trial import Trial
from edgekit.errors import JudgedBad
from edgekit.golden import GOLDEN_SCHEMA, Golden, Value
from edgekit.manifest import OutputRole

ORDINARY_ROWS = 24
EDGE_ROWS = 8
_TIE_MARGIN = 1e-3


def choose_golden(
    role: OutputRole | None,
    ordinary: tuple[Trial, Agreement],
    edge: tuple[Trial, Agreement],
    targets: Targets = (),
) -> Golden:
    """Golden rows from the reported and edge rows on which both models agree. Raises JudgedBad if none is left."""
    frames: list[pd.DataFrame] = []
    answers: list[Answers] = []
    for (trial, agreement), count in ((ordinary, ORDINARY_ROWS), (edge, EDGE_ROWS)):
        if agreement.rows == 0:
            continue
        eligible = np.flatnonzero(~agreement.bad & ~_near_tie(role, trial.expected, targets))
        picks = _spread(trial.expected, eligible, count)
        frames.append(trial.frame.iloc[picks])
        answers.append(trial.expected.take(picks))
    rows = [row for frame in frames for row in _json_rows(frame)]
    if not rows:
        raise JudgedBad("no row is left on which the model is sure enough to be a golden row: give more rows")
    return Golden(
        schema=GOLDEN_SCHEMA,
        features=[str(name) for name in ordinary[0].frame.columns],
        rows=rows,
        expected=_expected(role, answers),
        **_tolerance(ordinary[0].tolerance),
    )


def _tolerance(tolerance: Tolerance) -> dict[str, float]:
    return {"absolute": tolerance.absolute, "relative": tolerance.relative}


def _near_tie(role: OutputRole | None, expected: Answers, targets: Targets) -> NDArray[np.bool_]:
    """Rows whose label, or that of any of several targets, hangs by a hair."""
    numbers = expected.numbers
    if expected.label is None or numbers is None or not numbers.size:
        return np.zeros(len(expected), dtype=bool)
    near: NDArray[np.bool_] = np.any([_hangs(role, part) for part in by_target(role, numbers, targets)], axis=0)
    return near


def _hangs(role: OutputRole | None, numbers: Number) -> NDArray[np.bool_]:
    if numbers.shape[1] == 1:
        return np.abs(numbers[:, 0]) < _TIE_MARGIN if role == "score" else np.zeros(len(numbers), dtype=bool)
    top = np.sort(numbers, axis=1)[:, -2:]
    near: NDArray[np.bool_] = top[:, 1] - top[:, 0] < _TIE_MARGIN
    return near


def _spread(expected: Answers, eligible: NDArray[np.intp], count: int) -> NDArray[np.intp]:
    """At most `count` of the eligible rows: one of each label, the rest evenly along the sorted answers."""
    if len(eligible) <= count:
        return eligible
    first = _one_of_each(expected, eligible)[: count // 2]
    key = eligible if expected.numbers is None else expected.numbers[eligible, -1]
    ordered = eligible[np.argsort(key, kind="stable")]
    evenly = ordered[np.linspace(0, len(ordered) - 1, count).astype(int)]
    rest = evenly[~np.isin(evenly, first)][: count - len(first)]
    return np.concatenate([first, rest])


def _one_of_each(expected: Answers, eligible: NDArray[np.intp]) -> NDArray[np.intp]:
    if expected.label is None:
        return eligible[:0]
    _, first = np.unique(expected.label[eligible].astype(str), return_index=True, axis=0)
    return eligible[np.sort(first)]


def _json_rows(frame: pd.DataFrame) -> list[list[Value]]:
    columns = [[_plain(value) for value in frame[name].tolist()] for name in frame.columns]
    return [list(row) for row in zip(*columns, strict=True)]


def _plain(value: Any) -> Value:
    return None if isinstance(value, float) and np.isnan(value) else value


def _expected(role: OutputRole | None, answers: Sequence[Answers]) -> dict[str, list[Value | list[Value]]]:
    expected: dict[str, list[Value | list[Value]]] = {}
    labels = [answer.label for answer in answers if answer.label is not None]
    if labels:
        expected["label"] = [_plain_label(value) for value in np.concatenate(labels).tolist()]
    numbers = [answer.numbers for answer in answers if answer.numbers is not None]
    if role is not None and numbers:
        expected[role] = [list(row) for row in np.concatenate(numbers).tolist()]
    return expected


def _plain_label(value: Any) -> Value | list[Value]:
    return [_plain_class(each) for each in value] if isinstance(value, list) else _plain_class(value)


def _plain_class(value: Any) -> Value:
    return int(value) if isinstance(value, float) and value.is_integer() else _plain(value)
