"""The categories that a model knows of one column."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray


@dataclass(frozen=True)
class Known:
    """The categories of a column, in the order of the model's codes. `closed`: others have no answer."""

    values: NDArray[Any]
    closed: bool

    @property
    def texts(self) -> bool:
        """Whether they are texts; otherwise they are numbers or booleans."""
        return self.values.dtype.kind == "O"
