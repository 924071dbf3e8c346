"""A panel: rows with the source model's answers, edge rows made from them, and the true answers where they are known.

There are two. One chooses the plan and the form; the other, of other rows, other base rows for edge rows and other
thresholds, judges what was chosen.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from convert.check.edge_trial import EdgeTrial, ask_edge_rows
from convert.check.trial import Trial
from convert.read.columns import Column
from convert.read.source import Source


@dataclass(frozen=True)
class Panel:
    """`target`: the true answer of each ordinary row [rows], or its answers [rows, targets]."""

    rows: Trial
    edge: EdgeTrial
    target: NDArray[Any] | None


def empanel(
    source: Source,
    columns: tuple[Column, ...],
    everything: Trial,
    target: pd.Series | pd.DataFrame | None,
    picked: tuple[NDArray[np.intp], int],
) -> Panel:
    """A panel of the rows at these places; `picked`: places and seed. Raises ModelFault."""
    places, seed = picked
    rows = everything.take(places)
    truth = None if target is None else target.iloc[places].to_numpy()
    return Panel(rows, ask_edge_rows(source, rows, columns, seed), truth)
