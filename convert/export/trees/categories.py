"""Columns of category codes as the trees of LightGBM and XGBoost read them.

The codes that some split names are numbered from 1 (onnxruntime tests a set of small whole numbers at once), every
other code gets the next number, and a missing value the one after it: so each split has a whole set on either side.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from convert.export.trees.fitted import Ints, Reals

_NOBODY = np.zeros(0, dtype=np.int64)


@dataclass(frozen=True)
class Codes:
    """The codes of each column that the splits name, sorted."""

    known: Mapping[int, Ints]

    def number(self, column: int, codes: Ints) -> Ints:
        """The numbers of some of the column's codes."""
        return np.searchsorted(self.known[column], codes) + 1

    def unknown(self, column: int) -> int:
        """The number of all codes that no split names."""
        return len(self.known[column]) + 1

    def missing(self, column: int) -> int:
        """The number of a missing value."""
        return len(self.known[column]) + 2

    def sides(self, column: int, codes: Ints, *, others: bool, missing: bool) -> tuple[Reals, bool]:
        """The smaller side of a split, as numbers, and whether it is the one that holds `codes`.

        `others`, `missing`: unknown codes and missing values belong to that side too.
        """
        extra = [self.unknown(column)] * others + [self.missing(column)] * missing
        chosen = np.union1d(self.number(column, codes), np.array(extra, dtype=np.int64))
        rest = np.setdiff1d(np.arange(1, self.missing(column) + 1), chosen)
        smaller = chosen if len(chosen) <= len(rest) else rest
        return smaller.astype(np.float64), smaller is chosen


def gathered(splits: Iterable[tuple[int, Ints]]) -> Codes:
    """The codes of these splits, each a column and codes."""
    found: dict[int, list[NDArray[np.int64]]] = {}
    for column, codes in splits:
        found.setdefault(column, [_NOBODY]).append(codes)
    return Codes({column: np.unique(np.concatenate(parts)) for column, parts in sorted(found.items())})
