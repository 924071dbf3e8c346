"""Takes a linear model apart into one term per feature, so that a device can tell exactly what each contributes.

Lundberg & Lee 2017 (Linear SHAP): with features taken as independent, the Shapley value of feature j is
w_j (x_j − E[x_j]). The weights are those of the whole pipeline, measured by asking the source model in double
precision, and they are believed only when they repeat its answers for the rows given. What is not linear in the numbers
of its table has no such terms: splines, products of columns, free text.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from convert.check.trial import Trial
from convert.read.columns import Column
from convert.read.source import Source, last_step
from edgekit.golden import Linear, LinearTerm

Reals = NDArray[np.float64]

_MOST_FEATURES = 1024
# Beyond this the terms would weigh more than the model, whose numbers take four bytes.
_MOST_NUMBERS = 4096
_MOST_VALUES = 1024
_CHECKED_ROWS = 5000
_AGREEMENT = 1e-6
_SHARES_AGREE = 1e-9
_DIGITS, _BASE_DIGITS = 9, 12


def take_apart(source: Source, everything: Trial, columns: tuple[Column, ...]) -> Linear | None:
    """The terms of a linear model, measured on all rows; None of any other model, and of one too large for it."""
    free_text = any(column.kind == "string" and column.categories is None for column in columns)
    if source.text or source.targets or source.role is None or len(columns) > _MOST_FEATURES or free_text:
        return None
    try:
        if not hasattr(last_step(source.estimator), "coef_"):
            return None
        return _measured(source, everything, [_Feature.of(everything.frame, column) for column in columns])
    except Exception:  # noqa: BLE001 - an estimator may raise anything for rows that it never saw: then it has no terms
        return None


@dataclass(frozen=True)
class _Feature:
    """A column, and which of its cells are asked about: positions in the frame. `neutral` stands in all other rows;
    `cells`: the lowest and the highest number, or each value once; `missing`: a missing one, if there is any.
    """

    column: Column
    cells: tuple[int, ...]
    missing: int | None

    @classmethod
    def of(cls, frame: pd.DataFrame, column: Column) -> _Feature:
        values = frame[column.name]
        absent = values.isna().to_numpy()
        there = np.flatnonzero(~absent)
        missing = int(np.argmax(absent)) if absent.any() else None
        present = values.iloc[there]
        if column.kind in ("number", "integer"):
            numbers = present.to_numpy(dtype=np.float64)
            return cls(column, (int(there[numbers.argmin()]), int(there[numbers.argmax()])), missing)
        return cls(column, tuple(there[~present.duplicated().to_numpy()].tolist()), missing)

    @property
    def neutral(self) -> int:
        return self.cells[0]

    @property
    def asked(self) -> tuple[int, ...]:
        return self.cells if self.missing is None else (*self.cells, self.missing)


def _measured(source: Source, everything: Trial, features: list[_Feature]) -> Linear | None:
    frame = everything.frame
    width = _outputs(source, frame.head(1)).shape[1]
    asked = sum(len(feature.asked) for feature in features)
    if len(features) * width > _MOST_NUMBERS or asked * width > _MOST_NUMBERS + _MOST_VALUES:
        return None
    answers = _outputs(source, _questions(frame, features))
    steps = np.split(answers[1:] - answers[0], np.cumsum([len(feature.asked) for feature in features])[:-1])
    found = [_term(frame[feature.column.name], feature, step) for feature, step in zip(features, steps, strict=True)]
    base = answers[0] + sum(mean for _, mean in found)
    linear = Linear(scale=_scale(source), base=_short(base, _BASE_DIGITS), terms=[term for term, _ in found])
    picked = np.linspace(0, len(frame) - 1, min(len(frame), _CHECKED_ROWS)).astype(np.intp)
    return linear if _repeats(linear, source, everything.take(picked)) else None


def _questions(frame: pd.DataFrame, features: list[_Feature]) -> pd.DataFrame:
    """The neutral row, then each feature's cells in it, one at a time: values that the model has seen, each in its own
    type.
    """
    count = 1 + sum(len(feature.asked) for feature in features)
    places = {feature.column.name: np.full(count, feature.neutral) for feature in features}
    start = 1
    for feature in features:
        end = start + len(feature.asked)
        places[feature.column.name][start:end] = feature.asked
        start = end
    return pd.DataFrame({name: frame[name].iloc[picked].reset_index(drop=True) for name, picked in places.items()})


def _term(values: pd.Series, feature: _Feature, step: Reals) -> tuple[LinearTerm, Reals]:
    """The term, and the mean step over the rows. `step`: the change of the outputs for each asked cell [cells, outputs]
    from the neutral row.
    """
    share = float(values.isna().mean())
    lost = np.zeros(step.shape[1]) if feature.missing is None else step[-1]
    numeric = feature.column.kind in ("number", "integer")
    term, present = (_of_numbers if numeric else _of_values)(values, feature, step)
    excess = lost - present
    if feature.missing is None:
        return term, present
    missing = _short((1 - share) * excess)
    if numeric:
        term = msgspec.structs.replace(term, shift=_short(-share * excess), missing=missing)
    else:
        parts = [_short(np.asarray(part) - share * excess) for part in term.parts]
        term = msgspec.structs.replace(term, parts=parts, missing=missing)
    return term, present + share * excess


def _of_numbers(values: pd.Series, feature: _Feature, step: Reals) -> tuple[LinearTerm, Reals]:
    """The term as if no value were missing, and the mean step over the values that are there."""
    low, high = (float(values.iloc[cell]) for cell in feature.cells)
    weights = (step[1] - step[0]) / (high - low) if high > low else np.zeros(step.shape[1])
    centre = float(values.dropna().to_numpy(dtype=np.float64).mean())
    term = LinearTerm(name=feature.column.name, weights=_short(weights), centre=centre)
    return term, weights * (centre - low)


def _of_values(values: pd.Series, feature: _Feature, step: Reals) -> tuple[LinearTerm, Reals]:
    """The same of texts and flags."""
    found = [values.iloc[cell] for cell in feature.cells]
    counts = values.value_counts()
    weights = np.array([float(counts[value]) for value in found])
    mean = weights @ step[: len(found)] / weights.sum()
    term = LinearTerm(
        name=feature.column.name,
        values=[bool(value) if feature.column.kind == "bool" else str(value) for value in found],
        parts=[_short(part - mean) for part in step[: len(found)]],
    )
    return term, mean


def _repeats(linear: Linear, source: Source, trial: Trial) -> bool:
    """True when the terms add up to the model's answers, and these to its probabilities."""
    frame, expected = trial.frame, _outputs(source, trial.frame)
    found = np.tile(np.asarray(linear.base), (len(frame), 1))
    for term in linear.terms:
        found += _added(term, frame[term.name])
    spread = np.abs(expected - np.asarray(linear.base)).max()
    if not np.abs(found - expected).max() <= _AGREEMENT * spread + 1e-12:
        return False
    if linear.scale != "log_odds":
        return True
    shares = trial.expected.numbers
    return shares is not None and bool(np.abs(_shares(expected) - shares).max() <= _SHARES_AGREE)


def _added(term: LinearTerm, values: pd.Series) -> Reals:
    missing = values.isna().to_numpy()
    if term.weights:
        numbers = np.where(missing, 0.0, values.to_numpy(dtype=np.float64, na_value=0.0))
        added = np.outer(numbers - term.centre, term.weights) + (term.shift or 0.0)
    else:
        parts = dict(zip(term.values, term.parts, strict=True))
        nothing = [0.0] * len(term.parts[0])
        added = np.array([parts.get(value, nothing) for value in values])
    if missing.any():
        added[missing] = term.missing
    return np.asarray(added)


def _outputs(source: Source, frame: pd.DataFrame) -> Reals:
    """What the terms are of [rows, outputs]: values, scores or log-odds of every class."""
    if source.role != "probabilities":
        numbers = source.answers(frame).numbers
        assert numbers is not None
        return np.asarray(numbers)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # as in Source.answers
        scores: Any = np.asarray(source.estimator.decision_function(source.rows(frame)), dtype=np.float64)
    if scores.ndim == 1:
        return np.column_stack([-scores, scores])
    count = scores.shape[1]
    return np.asarray((scores - scores.mean(axis=1, keepdims=True)) * (count / (count - 1)))


def _shares(log_odds: Reals) -> Reals:
    """Probabilities from log-odds: the Softmax of the scores they were made of."""
    count = log_odds.shape[1]
    scores = log_odds * ((count - 1) / count)
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def _scale(source: Source) -> Any:
    return "log_odds" if source.role == "probabilities" else source.role


def _short(numbers: Reals, digits: int = _DIGITS) -> list[float]:
    return [float(f"{number:.{digits}g}") for number in numbers]
