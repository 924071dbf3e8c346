"""The worst rows of a comparison: as data for the report, and one of them in words for a refusal. Touches nothing.

They are rows of the engineer's own, so they go to the report beside the bundle and never into it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from convert.check.parity import Agreement, Answers
from convert.check.trial import Trial

_FEW = 5
_SHOWN_FEATURES = 4
_MOST_NUMBERS = 64

Plain = str | int | float | bool | None


class WorstRow(msgspec.Struct, frozen=True, kw_only=True):
    """`about`: what is special about the row (empty for an ordinary one); `row`: its features; `expected` and `got`:
    label and numbers of the source model and of the ONNX form; `difference`: the largest among the numbers, None where
    it is not finite; `within`: the row agrees, within the tolerance.
    """

    about: str
    row: dict[str, Plain]
    expected_label: Plain
    got_label: Plain
    expected: list[float | None]
    got: list[float | None]
    difference: float | None
    within: bool


def worst_rows(trial: Trial, got: Answers, bad: NDArray[np.bool_], about: Sequence[str] = ()) -> list[WorstRow]:
    """At most five rows: those marked as bad first, then the largest differences above zero."""
    if len(trial.expected) == 0:
        return []
    sizes = _sizes(trial.expected, got)
    order = np.lexsort((-sizes, ~bad))[:_FEW]
    return [
        _line(trial, got, bool(bad[place]), int(place), about[place] if about else "")
        for place in order
        if bad[place] or sizes[place] > 0
    ]


def worst_row(trial: Trial, got: Answers, agreement: Agreement) -> str:
    """The worst row in words: `s0=1.5, s1=2, …: 1 instead of 0`."""
    lines = worst_rows(trial, got, agreement.bad)
    if not lines:
        return "none"
    line = lines[0]
    shown = ", ".join(f"{name}={_short(value)}" for name, value in list(line.row.items())[:_SHOWN_FEATURES])
    more = ", …" if len(line.row) > _SHOWN_FEATURES else ""
    if line.expected_label != line.got_label:
        return f"the row {shown}{more}: {_short(line.got_label)} instead of {_short(line.expected_label)}"
    return f"the row {shown}{more}: off by {_short(line.difference)}"


def _sizes(expected: Answers, got: Answers) -> NDArray[np.float64]:
    """The largest difference of each row's numbers."""
    if expected.numbers is None or got.numbers is None:
        return np.zeros(len(expected))
    with np.errstate(invalid="ignore"):
        difference = np.abs(expected.numbers - got.numbers)
    same = (expected.numbers == got.numbers) | (np.isnan(expected.numbers) & np.isnan(got.numbers))
    sizes: NDArray[np.float64] = np.where(same, 0.0, np.nan_to_num(difference, nan=np.inf)).max(axis=1)
    return sizes


def _line(trial: Trial, got: Answers, bad: bool, place: int, about: str) -> WorstRow:
    size = float(_sizes(trial.expected.take(np.array([place])), got.take(np.array([place])))[0])
    return WorstRow(
        about=about,
        row={str(name): _plain(trial.frame[name].iloc[place]) for name in trial.frame.columns},
        expected_label=_label(trial.expected, place),
        got_label=_label(got, place),
        expected=_numbers(trial.expected, place),
        got=_numbers(got, place),
        difference=size if np.isfinite(size) else None,
        within=not bad,
    )


def _label(answers: Answers, place: int) -> Plain:
    return None if answers.label is None else _plain(answers.label[place])


def _numbers(answers: Answers, place: int) -> list[float | None]:
    if answers.numbers is None:
        return []
    return [float(value) if np.isfinite(value) else None for value in answers.numbers[place][:_MOST_NUMBERS]]


def _plain(value: Any) -> Plain:
    if isinstance(value, np.ndarray):  # the labels of several targets
        return ", ".join(map(str, value.tolist()))
    held = value.item() if isinstance(value, np.generic) else value
    if isinstance(held, float):
        return None if not np.isfinite(held) else held
    return held if isinstance(held, str | int | bool) else str(held)


def _short(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)[:40]
