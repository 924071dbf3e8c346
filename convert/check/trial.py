"""Rows with the source model's answers, split into those that choose a plan and those that judge the choice."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from convert.check.parity import Answers, Tolerance, tolerance_for
from convert.read.rows import Rows
from convert.read.source import Source
from convert.wording import cause
from edgekit.errors import ModelFault

MIN_ROWS = 20
_SEED = 0
# Enough to tell a change of 0.1 % apart from none, in seconds.
_MOST_CHOOSING = 20_000
_MOST_JUDGING = 50_000


@dataclass(frozen=True)
class Trial:
    """Rows, the source model's answers to them, and how near an ONNX answer must come."""

    frame: pd.DataFrame
    expected: Answers
    tolerance: Tolerance

    def take(self, rows: NDArray[np.intp]) -> Trial:
        """The trial on some of the rows."""
        return Trial(self.frame.iloc[rows].reset_index(drop=True), self.expected.take(rows), self.tolerance)


def ask(source: Source, frame: pd.DataFrame, tolerance: Tolerance | None = None) -> Trial:
    """Ask the source model about rows; without a tolerance, the one that fits its answers. Raises ModelFault."""
    if len(frame) == 0:
        return Trial(frame, Answers(None, None), tolerance or tolerance_for(None, None))
    try:
        expected = source.answers(frame)
    except Exception as error:
        raise ModelFault(
            f"the model refuses some of its rows ({cause(error)}): give rows like those it was trained on",
            reason="rows_refused",
        ) from error
    return Trial(frame, expected, tolerance or tolerance_for(source.role, expected.numbers))


def halves(rows: Rows) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Positions of rows of two random halves, always the same for the same number of rows: those that choose and those
    that judge, as many as are needed. Raises ModelFault when there are too few.
    """
    count = len(rows.frame)
    if count < MIN_ROWS:
        raise ModelFault(
            f"{rows.origin} has {count} rows, and parity on so few proves nothing: give at least {MIN_ROWS}, "
            "better some thousands",
            reason="too_few_rows",
        )
    order = np.random.default_rng(_SEED).permutation(count)
    choosing, judging = order[: count // 2], order[count // 2 :]
    return np.sort(choosing[:_MOST_CHOOSING]), np.sort(judging[:_MOST_JUDGING])
