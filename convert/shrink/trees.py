"""Trees with fewer distinct numbers: leaves rounded to a grid, thresholds moved to a few values per feature.

Snapped thresholds are values of the model's own (nearest-rank quantiles of each feature's), so that values on a grid
stay on their side of most of them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto

from convert.shrink import tables
from convert.shrink.ensembles import Leaves, ensembles, numeric, read, read_leaves, write, write_leaves


def round_leaves(model: ModelProto, bits: int) -> bool:
    """Round what leaves add to multiples of (largest − smallest) / (2^bits − 1). False when nothing changes.

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
    step = (wide.max() - wide.min()) / ((1 << bits) - 1)
    rounded: NDArray[Any] = (np.rint(wide / step) * step).astype(weights.dtype)
    return rounded


def snap_thresholds(model: ModelProto, most: int) -> bool:
    """Move the thresholds of each feature to at most `most` of them. False when there are no more than that."""
    changed = False
    for node in ensembles(model):
        splits, feature, marks = read(node, "nodes_splits").copy(), read(node, "nodes_featureids"), numeric(node)
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
