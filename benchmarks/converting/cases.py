"""A case: a fitted model, the rows that the converter may see, and rows of another seed that judge it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Form = Literal["frame", "matrix", "texts", "flat"]


@dataclass(frozen=True)
class Fitted:
    """`shown` goes to the converter, `unseen` to the judge alone. `form`: how the model wants its rows, by name, as a
    matrix, as a flat list of texts or as a flat column.
    """

    model: Any
    shown: pd.DataFrame
    unseen: pd.DataFrame
    form: Form = "frame"

    def rows(self, frame: pd.DataFrame) -> Any:
        """These rows as the model was fitted with them."""
        if self.form == "frame":
            return frame
        return frame.iloc[:, 0].to_numpy() if self.form in ("texts", "flat") else frame.to_numpy()

    def ask(self, method: str) -> NDArray[Any]:
        """What the model answers for the unseen rows, a sparse answer made dense, several targets side by side."""
        found = getattr(self.model, method)(self.rows(self.unseen))
        found = found.toarray() if hasattr(found, "toarray") else found
        if isinstance(found, list):
            return np.concatenate([np.asarray(part) for part in found], axis=1)
        return np.asarray(found)


@dataclass(frozen=True)
class Case:
    """`fit` makes the model anew, always the same."""

    name: str
    kind: str
    fit: Callable[[], Fitted]


Suite = Mapping[str, Case]


def suite(cases: list[Case]) -> Suite:
    """Cases by name. Raises ValueError when two have the same name."""
    named = {case.name: case for case in cases}
    if len(named) != len(cases):
        names = [case.name for case in cases]
        raise ValueError(f"two cases are called {next(name for name in names if names.count(name) > 1)!r}")
    return named


def table(rows: NDArray[Any]) -> pd.DataFrame:
    """A matrix as the columns x0, x1, …"""
    return pd.DataFrame(rows, columns=[f"x{place}" for place in range(rows.shape[1])])
