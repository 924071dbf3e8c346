"""The categories that a model knows of one column."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Known:
    """The categories of a column, in the order of the model's codes. `closed`: others have no answer."""

    values: NDArray[Any]
    closed: bool

    def beside(self, other: Known) -> Known:
        """What two models that know the same column answer: a closed one decides, otherwise both."""
        if np.array_equal(self.values, other.values):
            return Known(self.values, self.closed or other.closed)
        if self.closed and other.closed:
            return Known(self.values[np.isin(self.values, other.values)], closed=True)
        if self.closed or other.closed:
            return self if self.closed else other
        extra = other.values[~np.isin(other.values, self.values)]
        return Known(np.concatenate([self.values, extra]), closed=False)

    @property
    def texts(self) -> bool:
        """Whether they are texts; otherwise they are numbers or booleans."""
        return self.values.dtype.kind == "O"
