"""A fitted LightGBM booster as plain trees, read from its text form (`Booster.model_to_string`). Pure.

Splits (include/LightGBM/tree.h, NumericalDecision and CategoricalDecision): `x <= threshold` in float64 goes left; a
missing value is 0 to a split that knows no missing ones; where zero means missing, so does |x| <= 1e-35. A category is
cut to a whole number, and goes right when it is missing, negative or not in the split's set.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.export.refusal import NotExportable
from convert.export.trees.categories import Codes, gathered
from convert.export.trees.fitted import Ints, Reals, Tree

_CATEGORY, _DEFAULT_LEFT = 1, 2
_NONE, _ZERO = 0, 1  # kinds of missing values; the third is NaN
_WORD_BITS = 32

Block = dict[str, str]


@dataclass(frozen=True)
class LightModel:
    """`objective`: its words. `zeros`: the columns where zero means missing. `turns`: what to divide the sums by."""

    trees: list[Tree]
    targets: int
    objective: list[str]
    codes: Codes
    zeros: tuple[int, ...]
    turns: int


@dataclass(frozen=True)
class _Splits:
    feature: Ints
    threshold: Reals
    kind: Ints
    block: Block

    @property
    def categorical(self) -> NDArray[np.bool_]:
        return np.asarray((self.kind & _CATEGORY) != 0)

    @property
    def missing(self) -> Ints:
        return (self.kind >> 2) & 3

    @property
    def default_left(self) -> NDArray[np.bool_]:
        return np.asarray((self.kind & _DEFAULT_LEFT) != 0)

    def codes(self, node: int) -> Ints:
        """The categories that go left."""
        words = _integers(self.block["cat_threshold"]).astype(np.uint32)
        start, stop = _integers(self.block["cat_boundaries"])[int(self.threshold[node]) :][:2]
        bits = (words[start:stop, None] >> np.arange(_WORD_BITS, dtype=np.uint32)) & 1
        return np.flatnonzero(bits.ravel()).astype(np.int64)


def read(text: str) -> LightModel:
    """Read a booster. Raises NotExportable."""
    head, *rest = text.split("\nTree=")
    header = _block(head)
    blocks = [_block(part.partition("\nend of trees")[0]) for part in rest]
    if not blocks:
        raise NotExportable("it has no trees")
    if any(block.get("is_linear", "0") != "0" for block in blocks):
        raise NotExportable("its leaves hold linear models (linear_tree)")
    splits = [_splits(block) for block in blocks]
    codes = gathered(
        (int(part.feature[node]), part.codes(node))
        for part in splits
        for node in np.flatnonzero(part.categorical).tolist()
    )
    targets = int(header["num_tree_per_iteration"])
    return LightModel(
        trees=[_tree(part, place % targets, codes) for place, part in enumerate(splits)],
        targets=targets,
        objective=header.get("objective", "").split(),
        codes=codes,
        zeros=_zeros(splits),
        turns=len(blocks) // targets if "average_output" in header else 1,
    )


def _block(text: str) -> Block:
    return {word: value for word, _, value in (line.partition("=") for line in text.splitlines())}


def _splits(block: Block) -> _Splits:
    inner = int(block["num_leaves"]) > 1
    return _Splits(
        feature=_integers(block["split_feature"] if inner else ""),
        threshold=_reals(block["threshold"] if inner else ""),
        kind=_integers(block["decision_type"] if inner else ""),
        block=block,
    )


def _zeros(splits: list[_Splits]) -> tuple[int, ...]:
    """The columns where zero means missing. It is a column's nature, unless boosters of two kinds were joined."""
    ordinary = [part.feature[~part.categorical] for part in splits]
    marked = [part.missing[~part.categorical] == _ZERO for part in splits]
    features, marks = np.concatenate(ordinary), np.concatenate(marked)
    zeros = np.unique(features[marks])
    if np.isin(zeros, features[~marks]).any():
        raise NotExportable("zero means missing to some of its splits on a feature and not to others")
    return tuple(zeros.tolist())


def _tree(part: _Splits, target: int, codes: Codes) -> Tree:
    values = _reals(part.block["leaf_value"])
    inner, count = len(part.feature), len(part.feature) + len(values)
    left, right = (
        (_children(part.block[f"{side}_child"], inner, count) for side in ("left", "right"))
        if inner
        else (
            np.full(1, -1),
            np.full(1, -1),
        )
    )
    missing_left = np.where(part.missing == _NONE, part.threshold >= 0, part.default_left)
    members = {}
    for node in np.flatnonzero(part.categorical).tolist():
        column = int(part.feature[node])
        members[node], whole = codes.sides(column, part.codes(node), others=False, missing=False)
        if not whole:
            left[node], right[node] = right[node], left[node]
        missing_left[node] = False
    leaves = np.zeros(len(values))
    return Tree(
        feature=np.concatenate([part.feature, leaves.astype(np.int64)]),
        threshold=np.concatenate([part.threshold, leaves]),
        left=left,
        right=right,
        missing_left=np.concatenate([missing_left, leaves.astype(bool)]),
        target=np.full(count, target, dtype=np.int64),
        weight=np.concatenate([np.zeros(inner), values]),
        members=members,
    )


def _children(text: str, inner: int, count: int) -> Ints:
    """Leaf number l is written as ~l, and follows the nodes here."""
    children = np.full(count, -1, dtype=np.int64)
    written = _integers(text)
    children[:inner] = np.where(written >= 0, written, inner + ~written)
    return children


def _integers(text: str) -> Ints:
    return np.array(text.split(), dtype=np.int64)


def _reals(text: str) -> Reals:
    return np.array(text.split(), dtype=np.float64)


def booster_of(model: Any) -> LightModel:
    """What a fitted LGBM estimator answers with. Raises NotExportable."""
    if callable(model.objective_):
        raise NotExportable("its objective is a function of your own")
    return read(model.booster_.model_to_string())
