"""Edge rows with the source model's answers, and the rule which of them count.

A difference on an edge row counts towards the budget unless the row says nothing about the conversion:

- `FAR` rows are told and never count: no data come near them.
- A row on a knife's edge counts not: the source model's own answer changes when its fractions move by one step of
  float32, which is less than a device can tell. It helps to choose between plans all the same.
- On a row within the tolerance of a tie the label may fall either way; its numbers count.

Each kind of edge row is held to the budget by itself, so that many rows of one kind excuse none of another.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from joblib import parallel_config
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from convert.check.edge_rows import EdgeRows, make_edge_rows
from convert.check.parity import Agreement, Answers, Tolerance, compare, near_tie, rounding_within
from convert.check.special_values import Kind
from convert.check.trial import Trial, ask
from convert.read.columns import Column
from convert.read.source import Source

_LOSSLESS_ONLY = (Kind.THRESHOLD.value, Kind.TIE.value)
_LOSSY_SHARE = 10.0


@dataclass(frozen=True)
class EdgeTrial:
    """`counts` marks the rows that count, `steers` those that help to choose a plan, `tied` those whose label may fall
    either way.
    """

    trial: Trial
    rows: EdgeRows
    counts: NDArray[np.bool_]
    steers: NDArray[np.bool_]
    tied: NDArray[np.bool_]

    def judge(self, got: Answers, tolerance: Tolerance | None = None) -> EdgeAgreement:
        """Compare answers to all edge rows, within the trial's tolerance or another."""
        expected, tolerance = self.trial.expected, tolerance or self.trial.tolerance
        excused = got
        if got.label is not None and expected.label is not None and got.label.shape == expected.label.shape:
            label = got.label.astype(expected.label.dtype) if expected.label.dtype.kind in "OU" else got.label
            tied = self.tied.reshape(-1, *[1] * (label.ndim - 1))
            excused = Answers(np.where(tied, expected.label, label), got.numbers)
        everything = compare(expected, excused, tolerance)
        return EdgeAgreement(
            counted=compare(expected, excused, tolerance, self.counts),
            steering=int((everything.bad & self.steers).sum()),
            told=int(everything.bad.sum()),
            bad=everything.bad,
        )

    def by_kind(self, found: EdgeAgreement) -> list[dict[str, Any]]:
        """For each kind of edge row how many there are, count, and differ."""
        return [
            {
                "kind": kind,
                "rows": int((self.rows.kinds == kind).sum()),
                "counting": int((self.counts & (self.rows.kinds == kind)).sum()),
                "differ": int((found.bad & (self.rows.kinds == kind)).sum()),
            }
            for kind in dict.fromkeys(self.rows.kinds.tolist())
        ]


@dataclass(frozen=True)
class EdgeAgreement:
    """`counted`: over the rows that count; `steering`, `told`: how many rows differ among those that steer, and among
    all; `bad` marks them.
    """

    counted: Agreement
    steering: int
    told: int
    bad: NDArray[np.bool_]


def ask_edge_rows(source: Source, rows: Trial, columns: tuple[Column, ...], seed: int) -> EdgeTrial:
    """Make edge rows from the rows of a trial and ask the source model about them. Raises ModelFault."""
    # For some thousand rows threads cost more than they save: boosting of 300 trees took 48 s on a busy machine, and a
    # forest that was told to use all cores starts its threads anew at each call.
    with threadpool_limits(1), parallel_config(backend="sequential"):
        trial, made = _finite(source, make_edge_rows(source, rows, columns, seed), rows.tolerance)
        sharp = _on_a_knifes_edge(source, trial)
    far = made.kinds == Kind.FAR.value
    return EdgeTrial(
        trial=trial,
        rows=made,
        counts=~far & ~sharp,
        steers=(~far & ~sharp) | (made.kinds == Kind.THRESHOLD.value),
        tied=near_tie(source.role, trial.expected, trial.tolerance, source.targets),
    )


def _finite(source: Source, rows: EdgeRows, tolerance: Tolerance) -> tuple[Trial, EdgeRows]:
    """Without the rows to which the source model itself has no finite answer."""
    trial = ask(source, rows.frame, tolerance)
    numbers = trial.expected.numbers
    if numbers is None or np.isfinite(numbers).all():
        return trial, rows
    kept = np.flatnonzero(np.isfinite(numbers).all(axis=1))
    labels = tuple(rows.labels[place] for place in kept)
    taken = trial.take(kept)
    return taken, EdgeRows(taken.frame, labels, rows.kinds[kept], rows.closed, rows.empties)


def _on_a_knifes_edge(source: Source, trial: Trial) -> NDArray[np.bool_]:
    """Marks the rows whose own answer changes when every fraction moves by one step of float32."""
    sharp = np.zeros(len(trial.frame), dtype=bool)
    if len(trial.frame) == 0:
        return sharp
    for direction in (-np.inf, np.inf):
        moved = ask(source, _moved(trial.frame, direction), trial.tolerance)
        sharp |= compare(trial.expected, moved.expected, trial.tolerance).bad
    return sharp


def _moved(frame: pd.DataFrame, direction: float) -> pd.DataFrame:
    """Whole numbers stay: one more is another value, not a rounding."""
    moved = {}
    for name in frame.columns:
        if frame[name].dtype.kind != "f":
            continue
        values = frame[name].to_numpy()
        narrow = values.astype(np.float32)
        moved[name] = np.where(
            values == np.rint(values), values, np.nextafter(narrow, np.float32(direction)).astype(values.dtype)
        )
    return frame.assign(**moved)


def edge_rows_fit(edge: EdgeTrial, found: EdgeAgreement, budget: float) -> bool:
    """True when each kind of counting edge rows fits the budget."""
    return first_kind_over(edge, found, budget) is None


def first_kind_over(edge: EdgeTrial, found: EdgeAgreement, budget: float) -> str | None:
    """The first kind of edge rows that does not fit the budget."""
    for kind in dict.fromkeys(edge.rows.kinds.tolist()):
        here = edge.counts & (edge.rows.kinds == kind)
        if int((found.bad & here).sum()) > budget * int(here.sum()):
            return str(kind)
    return None if np.isfinite(found.counted.max_absolute) else "numbers that are not finite"


def lossy_edge_rows_fit(edge: EdgeTrial, got: Answers, tolerance: Tolerance, budget: float) -> bool:
    """The rule for forms that round: their thresholds have moved and their ties lie elsewhere, so those rows do not
    count; on the others ten times the budget may change, because they lie at the rim of what the model knows.
    """
    here = edge.counts & ~np.isin(edge.rows.kinds, _LOSSLESS_ONLY)
    found = compare(edge.trial.expected, got, tolerance, here)
    return rounding_within(found, _LOSSY_SHARE * budget, labelled=edge.trial.expected.label is not None)
