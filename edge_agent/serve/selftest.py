"""The golden rows: does the model, on this device and in this process, answer as the source model did?"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from edge_agent.serve.answers import Answers
from edge_agent.serve.inference import Predictor
from edge_agent.serve.rows import RowsRefused
from edgekit.errors import DeviceFault
from edgekit.golden import Golden


@dataclass(frozen=True)
class GoldenResult:
    """`rows`: how many were run. `worst_row`: the first row at fault, else the one furthest off, from 0 (None: nothing
    differs at all). `max_abs`: the largest difference of a number. `detail`: one sentence when it did not pass.
    """

    passed: bool
    rows: int
    worst_row: int | None
    max_abs: float
    detail: str | None = None


def run_golden(predictor: Predictor, golden: Golden) -> GoldenResult:
    """Run every golden row singly, the way that `/predict` serves, then all of them as one batch.

    A number may differ by `golden.absolute + golden.relative × |expected|`; labels must be equal.
    """
    named = [dict(zip(golden.features, row, strict=True)) for row in golden.rows]
    try:
        rows = predictor.rows.from_values(named).rows
        answered = [(number, predictor.run([row]), 0) for number, row in enumerate(rows)]
        batch = predictor.run(rows)
    except (RowsRefused, DeviceFault) as error:
        return GoldenResult(False, len(named), None, 0.0, f"golden rows cannot be run: {error.message}")
    comparison = _Comparison(golden)
    for number, answers, place in [*answered, *((number, batch, number) for number in range(len(rows)))]:
        comparison.compare(number, answers, place)
    return comparison.result(len(rows))


class _Comparison:
    """Collects the differences."""

    def __init__(self, golden: Golden) -> None:
        self._golden = golden
        self._max_abs = 0.0
        self._furthest: int | None = None
        self._fault: tuple[int, str] | None = None

    def compare(self, number: int, answers: Answers, place: int) -> None:
        """Judge golden row `number` by the answer at `place`."""
        for role, expected in self._golden.expected.items():
            given = answers.of(role)
            if given is None:
                self._blame(number, f"the model gives no {role}")
            elif role == "label":
                self._label(number, expected[number], given[place])
            else:
                self._numbers(number, role, expected[number], given[place])

    def result(self, rows: int) -> GoldenResult:
        """The judgement over all that was compared."""
        if self._fault is None:
            return GoldenResult(True, rows, self._furthest, self._max_abs)
        number, text = self._fault
        return GoldenResult(False, rows, number, self._max_abs, f"golden row {number}: {text}")

    def _label(self, number: int, expected: Any, given: Any) -> None:
        if given != expected:
            self._blame(number, f"label {given!r} instead of {expected!r}")

    def _numbers(self, number: int, role: str, expected: Any, given: list[float]) -> None:
        wanted = expected if isinstance(expected, list) else [expected]
        if len(wanted) != len(given):
            self._blame(number, f"{len(given)} numbers in {role} instead of {len(wanted)}")
            return
        for want, got in zip(wanted, given, strict=True):
            if not (want is None and math.isnan(got)):  # JSON has no NaN: null stands for it
                self._number(number, role, want, got)

    def _number(self, number: int, role: str, want: float | None, got: float) -> None:
        off = math.inf if want is None or math.isnan(got) else abs(got - want)
        if math.isfinite(off) and off > self._max_abs:
            self._max_abs, self._furthest = off, number
        if not off <= self._golden.absolute + self._golden.relative * abs(want or 0.0):
            self._blame(number, f"{role} {got!r} instead of {want!r}")

    def _blame(self, number: int, text: str) -> None:
        if self._fault is None:
            self._fault = (number, text)
