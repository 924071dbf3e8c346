"""Decides whether two sets of answers agree, and whether the disagreement fits a budget. Touches nothing.

A row counts as changed when its label differs, and as off when one of its numbers differs by more than
`absolute + relative × |expected|`. Both shares are held to the same budget: a changed answer of a regressor is a number
that is off.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.check.targets import Targets, by_target
from edgekit.manifest import OutputRole

Number = NDArray[np.float64]
Label = NDArray[Any]

_MOVED_TIMES = 10.0


@dataclass(frozen=True)
class Answers:
    """`label` [rows] (or [rows, targets]: it changes when that of any target does) and `numbers` [rows, k]
    (probabilities, values or scores); at least one of them.
    """

    label: Label | None
    numbers: Number | None

    def __len__(self) -> int:
        return len(self.label) if self.label is not None else 0 if self.numbers is None else len(self.numbers)

    def take(self, rows: NDArray[np.intp]) -> Answers:
        """The answers for some of the rows, in that order."""
        return Answers(
            None if self.label is None else self.label[rows], None if self.numbers is None else self.numbers[rows]
        )


@dataclass(frozen=True)
class Tolerance:
    """How far a number may be off: `absolute + relative × |expected|`."""

    absolute: float
    relative: float


PROBABILITY = Tolerance(1e-4, 1e-3)
_SPREAD_SHARE = 1e-3
_SPREAD_FLOOR = 1e-6


@dataclass(frozen=True)
class Agreement:
    """The comparison of `rows` rows. Differences are infinite where one side has a number and the other has none.

    `bad` marks the rows that changed or are off; `worst` is the row to show to people. `strain`: the largest difference
    as a share of what is allowed, where of several values each is measured by its own column's spread.
    """

    rows: int
    label_changes: int
    rows_off: int
    max_absolute: float
    max_relative: float
    bad: NDArray[np.bool_]
    worst: int
    strain: float = 0.0

    @property
    def exact(self) -> bool:
        """No label changed and no number is off."""
        return self.label_changes == 0 and self.rows_off == 0

    @property
    def badness(self) -> tuple[int, int, float]:
        """Sorts agreements from best to worst."""
        return self.label_changes, self.rows_off, self.max_absolute


def tolerance_for(role: OutputRole | None, expected: Number | None) -> Tolerance:
    """Probabilities: 1e-4 + 0.1 %. Values and scores have no fixed scale: 0.1 % of their spread + 1e-6 of the value.

    float32 carries 6e-8 of a value, and sums over a hundred terms lose about ten times that.
    """
    if role == "probabilities" or expected is None:
        return PROBABILITY
    finite = expected[np.isfinite(expected)]
    if finite.size == 0:
        return Tolerance(1e-6, 1e-6)
    return Tolerance(max(_SPREAD_SHARE * float(np.std(finite)), 1e-6 * float(np.median(np.abs(finite))), 1e-12), 1e-6)


def lossy_tolerance(role: OutputRole | None, expected: Number | None, exact: Tolerance, drift: float) -> Tolerance:
    """How far a form that rounds may move a number: `drift` of a probability (0.02 is two percentage points), or for
    values and scores that share of the standard deviation of `expected`. Never less than what an exact form may.
    """
    if role == "probabilities" or expected is None:
        return Tolerance(max(drift, exact.absolute), exact.relative)
    finite = expected[np.isfinite(expected)]
    spread = float(np.std(finite)) if finite.size else 0.0
    return Tolerance(max(drift * spread, exact.absolute), exact.relative)


def compare(expected: Answers, got: Answers, tolerance: Tolerance, among: NDArray[np.bool_] | None = None) -> Agreement:
    """Compare answers row by row, or only those rows that `among` marks. Raises ValueError when shapes do not fit."""
    if among is not None:
        picked = np.flatnonzero(among)
        return compare(expected.take(picked), got.take(picked), tolerance)
    changed = _changed(expected.label, got.label, len(expected))
    difference, scale = _differences(expected.numbers, got.numbers, len(expected))
    off = (difference > tolerance.absolute + tolerance.relative * scale).any(axis=1)
    relative = difference / np.maximum(scale, np.finfo(np.float64).tiny)
    by_row = difference.max(axis=1, initial=0.0)
    return Agreement(
        rows=len(expected),
        label_changes=int(changed.sum()),
        rows_off=int(off.sum()),
        max_absolute=float(by_row.max(initial=0.0)),
        max_relative=float(relative[difference > tolerance.absolute].max(initial=0.0)),
        bad=changed | off,
        worst=int(np.argmax(np.where(changed, np.inf, by_row))) if len(expected) else 0,
        strain=_strain(expected.numbers, difference, tolerance),
    )


def _strain(expected: Number | None, difference: Number, tolerance: Tolerance) -> float:
    """Shares of the tolerance, which fits the largest of several columns of values, and hides what small ones lose."""
    if expected is None or difference.size == 0:
        return 0.0
    scale = np.where(np.isfinite(expected), np.abs(expected), 0.0)
    allowed = np.full(expected.shape[1], tolerance.absolute)
    if tolerance.relative < PROBABILITY.relative:
        spread = np.nan_to_num(np.nanstd(np.where(np.isfinite(expected), expected, np.nan), axis=0))
        allowed = np.minimum(allowed, _SPREAD_SHARE * spread + _SPREAD_FLOOR * tolerance.absolute)
    return float((difference / (allowed + tolerance.relative * scale)).max())


def _changed(expected: Label | None, got: Label | None, rows: int) -> NDArray[np.bool_]:
    if expected is None or got is None:
        return np.zeros(rows, dtype=bool)
    if expected.shape != got.shape:
        raise ValueError(f"labels of shape {got.shape} against {expected.shape}")
    texts = {"O", "U", "S"} & {expected.dtype.kind, got.dtype.kind}
    changed: NDArray[np.bool_] = expected.astype(str) != got.astype(str) if texts else expected != got
    by_row: NDArray[np.bool_] = changed if changed.ndim == 1 else np.any(changed, axis=1)
    return by_row


def _differences(expected: Number | None, got: Number | None, rows: int) -> tuple[Number, Number]:
    if expected is None or got is None:
        return np.zeros((rows, 1)), np.zeros((rows, 1))
    if expected.shape != got.shape:
        raise ValueError(f"numbers of shape {got.shape} against {expected.shape}")
    same = (expected == got) | (np.isnan(expected) & np.isnan(got))
    with np.errstate(invalid="ignore", over="ignore"):
        difference = np.where(same, 0.0, np.abs(expected - got))
    difference = np.where(np.isnan(difference), np.inf, difference)
    return difference, np.where(np.isfinite(expected), np.abs(expected), 0.0)


def spelled(label: Label) -> NDArray[np.str_]:
    """One text for each row's label, or for its labels of several targets."""
    texts: NDArray[np.str_] = label.astype(str)
    return texts if texts.ndim == 1 else np.array(["\x1f".join(row) for row in texts.tolist()], dtype=str)


def near_tie(
    role: OutputRole | None, expected: Answers, tolerance: Tolerance, targets: Targets = ()
) -> NDArray[np.bool_]:
    """Marks the rows whose label, or that of any of several targets, hangs on a difference within the tolerance."""
    numbers = expected.numbers
    if expected.label is None or numbers is None or role not in ("probabilities", "score"):
        return np.zeros(len(expected), dtype=bool)
    near: NDArray[np.bool_] = np.any([_near(part, tolerance) for part in by_target(role, numbers, targets)], axis=0)
    return near


def _near(numbers: Number, tolerance: Tolerance) -> NDArray[np.bool_]:
    if numbers.shape[1] == 1:
        alone: NDArray[np.bool_] = np.abs(numbers[:, 0]) <= tolerance.absolute
        return alone
    top = np.sort(numbers, axis=1)[:, -2:]
    near: NDArray[np.bool_] = top[:, 1] - top[:, 0] <= tolerance.absolute + tolerance.relative * np.abs(top[:, 1])
    return near


def within(agreement: Agreement, budget: float, moved: float | None = None) -> bool:
    """True when the shares of changed and of off rows are at most `budget` and every difference is finite; `moved`: an
    own budget for rows that are off.
    """
    few = agreement.label_changes <= budget * agreement.rows
    few = few and agreement.rows_off <= (budget if moved is None else moved) * agreement.rows
    return few and np.isfinite(agreement.max_absolute).item()


def rounding_within(agreement: Agreement, budget: float, *, labelled: bool) -> bool:
    """The rule for forms that round. Where rows have labels, these are what the budget is about: ten times as many rows
    may have a number that moved.
    """
    return within(agreement, budget, _MOVED_TIMES * budget if labelled else budget)
