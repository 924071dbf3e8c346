"""Trees with fewer distinct numbers: leaves rounded to a grid, thresholds moved to a few values per feature.

Snapped thresholds are values of the model's own (nearest-rank quantiles of each feature's), so that values on a grid
stay on their side of most of them. The topmost splits of large trees stay as they are: all rows pass them, and between
two of their rows is no room to move a threshold; they are a few of all.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto

from convert.shrink import tables
from convert.shrink.ensembles import Leaves, ensembles, numeric, read, read_leaves, topmost, write, write_leaves

_KEPT_SHARE = 1 / 12


def round_leaves(model: ModelProto, bits: int) -> bool:
    """Round what leaves add to multiples of a power of two: the largest that makes at least 2^(bits - 1) steps between
    the smallest and the largest, so that at most 2^bits + 1 numbers are left. Sums of such numbers are exact: they are
    the same on every processor. False when nothing changes.

    Leaves that are votes stay; those that name rows of a table of class shares have that table rounded.
    """
    changed = tables.round_shares(model, bits)
    for node in ensembles(model):
        leaves = read_leaves(node)
        if leaves.counted or len(np.unique(leaves.weights)) <= 1 << bits:
            continue
        write_leaves(node, Leaves(leaves.targets, _rounded(leaves.weights, bits)))
        changed = True
    return changed


def _rounded(weights: NDArray[Any], bits: int) -> NDArray[Any]:
    wide = weights.astype(np.float64)
    step = 2.0 ** (np.floor(np.log2(wide.max() - wide.min())) - bits + 1)
    rounded: NDArray[Any] = (np.rint(wide / step) * step + 0.0).astype(weights.dtype)  # no negative zero
    return rounded


def narrow_thresholds(model: ModelProto) -> None:
    """Move thresholds of float64 up to the next number of float32, which takes half the bytes. Values that equal a
    threshold stay on their side.
    """
    for node in ensembles(model):
        splits, marks = read(node, "nodes_splits").copy(), numeric(node)
        if splits.itemsize == 4:
            continue
        nearest = splits[marks].astype(np.float32)
        low = nearest < splits[marks]
        nearest[low] = np.nextafter(nearest[low], np.float32(np.inf))
        splits[marks] = nearest
        write(node, "nodes_splits", splits)


def snap_thresholds(model: ModelProto, most: int) -> bool:
    """Move the thresholds of each feature to at most `most` of them. False when there are no more than that."""
    changed = False
    for node in ensembles(model):
        splits, feature = read(node, "nodes_splits").copy(), read(node, "nodes_featureids")
        marks = numeric(node) & ~topmost(node, _KEPT_SHARE)
        for column in np.unique(feature[marks]):
            here = marks & (feature == column)
            if len(np.unique(splits[here])) > most:
                splits[here] = _snapped(splits[here], most)
                changed = True
        write(node, "nodes_splits", splits)
    return changed


def _snapped(values: NDArray[Any], most: int) -> NDArray[Any]:
    ordered = np.sort(values)
    ranks = np.ceil((np.arange(most) + 0.5) / most * len(ordered)).astype(int) - 1
    grid = np.unique(ordered[ranks])
    above = np.clip(np.searchsorted(grid, values), 1, len(grid) - 1)
    nearer_below = values.astype(np.float64) - grid[above - 1] <= grid[above].astype(np.float64) - values
    snapped: NDArray[Any] = np.where(nearer_below, grid[above - 1], grid[above])
    return snapped
