"""Fitted trees of scikit-learn as plain arrays, the same for every kind of model. Pure.

A row goes left when `x <= threshold`, or for a category when x is a member of the node's set. Forests and gradient
boosting read float32 rows, so the largest float32 that is not above a threshold decides exactly as the threshold does.
HistGradientBoosting reads float64 rows: where they reach ONNX as float32, rows and thresholds are rounded alike.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.export.refusal import NotExportable

Ints = NDArray[np.int64]
Reals = NDArray[np.float64]
_LARGEST = float(np.finfo(np.float32).max)


@dataclass(frozen=True)
class Tree:
    """One tree; node 0 is its root. All arrays are over nodes; `left` and `right` are -1 in leaves.

    `target`, `weight`: what a leaf adds to which sum. `missing_left`: NaN goes left. `members`: the left set of a node
    that splits categories; `threshold` does not count there.
    """

    feature: Ints
    threshold: Reals
    left: Ints
    right: Ints
    missing_left: NDArray[np.bool_]
    target: Ints
    weight: Reals
    members: Mapping[int, Reals] = field(default_factory=dict)

    @property
    def inner(self) -> NDArray[np.bool_]:
        """Marks the nodes that split."""
        return self.left >= 0


def grown(tree: Any, target: Ints, weight: Reals, features: Ints | None = None) -> Tree:
    """A tree of `sklearn.tree` with these leaves; `features`: which columns it was given, if not all."""
    feature = tree.feature.astype(np.int64)
    return Tree(
        feature=feature if features is None else features[np.maximum(feature, 0)],
        threshold=tree.threshold,
        left=tree.children_left.astype(np.int64),
        right=tree.children_right.astype(np.int64),
        missing_left=tree.missing_go_to_left.astype(bool),
        target=target,
        weight=weight,
    )


def boosted(predictor: Any, target: int, categories: Categories) -> Tree:
    """A tree of HistGradientBoosting that adds to sum number `target`; it reads what `categories` tells."""
    nodes = predictor.nodes
    split = nodes["is_leaf"] == 0
    left, right = (np.where(split, nodes[side].astype(np.int64), -1) for side in ("left", "right"))
    missing_left = nodes["missing_go_to_left"].astype(bool)
    members = {}
    for node in np.flatnonzero(split & (nodes["is_categorical"] != 0)):
        chosen = _chosen(predictor.raw_left_cat_bitsets[nodes["bitset_idx"][node]])
        # They count from 1: onnxruntime tests a set of up to 32 such numbers at once.
        numbers = np.arange(1, len(categories.values[nodes["feature_idx"][node]]) + 1)
        # NaN is no member of any set: where it has to go left, the set is that of the right.
        if missing_left[node]:
            chosen = ~chosen
            left[node], right[node], missing_left[node] = right[node], left[node], False
        members[int(node)] = numbers[chosen[: len(numbers)]].astype(np.float64)
    return Tree(
        feature=nodes["feature_idx"].astype(np.int64),
        threshold=nodes["num_threshold"].astype(np.float64),
        left=left,
        right=right,
        missing_left=missing_left,
        target=np.full(len(nodes), target, dtype=np.int64),
        weight=nodes["value"].astype(np.float64),
        members=members,
    )


def _chosen(words: NDArray[np.uint32]) -> NDArray[np.bool_]:
    """The bits of a bit set, the lowest of the first word first."""
    bits: NDArray[np.bool_] = ((words[:, None] >> np.arange(32, dtype=np.uint32)) & 1).ravel().astype(bool)
    return bits


@dataclass(frozen=True)
class Categories:
    """How HistGradientBoosting lays out its columns for its trees: categories first, each as its number among `values`
    from 1 (NaN for an unknown or missing one), then the rest. `values` are float64 numbers or objects, texts.
    """

    columns: tuple[int, ...]
    values: tuple[NDArray[Any], ...]
    rest: tuple[int, ...]


def categories_of(model: Any) -> Categories:
    """Read a fitted HistGradientBoosting model. Raises NotExportable when a column mixes texts and numbers."""
    # scikit-learn keeps its encoder private, and has no other place that tells the categories.
    encoder = getattr(model, "_preprocessor", None)
    if encoder is None:
        return Categories((), (), tuple(range(model.n_features_in_)))
    marked = np.asarray(model.is_categorical_)
    return Categories(
        columns=tuple(np.flatnonzero(marked).tolist()),
        values=tuple(_known(line) for line in encoder.named_transformers_["encoder"].categories_),
        rest=tuple(np.flatnonzero(~marked).tolist()),
    )


def _known(line: NDArray[Any]) -> NDArray[Any]:
    """A column's categories without the missing one."""
    values = [value for value in np.asarray(line).tolist() if not _is_missing(value)]
    if all(isinstance(value, str) for value in values):
        return np.array(values, dtype=object)
    if any(isinstance(value, str) for value in values):
        raise NotExportable("some of its categories are texts and others numbers")
    return np.array(values, dtype=np.float64)


def _is_missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and np.isnan(value).item())


def leaves(trees: list[Any]) -> Iterator[NDArray[np.intp]]:
    """The leaf nodes of each tree of `sklearn.tree`."""
    return (np.flatnonzero(tree.children_left < 0) for tree in trees)


def round_down(thresholds: Reals) -> NDArray[np.float32]:
    """The largest finite float32 that is not above each threshold."""
    rounded = _finite(thresholds).astype(np.float32)
    lower = np.nextafter(rounded, np.float32(-np.inf))
    return np.where(rounded.astype(np.float64) > thresholds, lower, rounded)


def round_nearest(thresholds: Reals) -> NDArray[np.float32]:
    """The finite float32 nearest to each threshold: `x <= t` stays true for a row rounded likewise."""
    return _finite(thresholds).astype(np.float32)


def _finite(thresholds: Reals) -> Reals:
    """A split of missing from known values has an infinite threshold."""
    return np.clip(thresholds, -_LARGEST, _LARGEST)
