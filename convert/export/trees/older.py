"""Tree operators of ai.onnx.ml 3, which skl2onnx writes, read as plain trees. Pure.

onnxruntime runs them under ai.onnx.ml 3 only, so beside own trees they have to be written anew. Raises NotExportable
for what the two versions say differently.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import NodeProto, helper, numpy_helper

from convert.export.refusal import NotExportable
from convert.export.trees.fitted import Ints, Reals, Tree

_SWAPPED = ("BRANCH_GTE", "BRANCH_GT", "BRANCH_NEQ")
_STRICT = ("BRANCH_LT", "BRANCH_GTE")
_EQUAL = ("BRANCH_EQ", "BRANCH_NEQ")
_MODES = (*_SWAPPED, *_STRICT, *_EQUAL, "BRANCH_LEQ")

Words = dict[str, Any]


@dataclass(frozen=True)
class Older:
    """One operator. `places[t][n]`: the row of `table` [rows, targets] that node n of tree t adds, where it is a leaf.

    `ids`: the targets that some leaf adds to. `wide`: numbers are float64. `labels`: of a classifier.
    """

    trees: list[Tree]
    places: list[Reals]
    table: Reals
    ids: Ints
    base: Reals
    transform: str
    average: bool
    wide: bool
    labels: NDArray[Any] | None

    @property
    def targets(self) -> int:
        """How many sums it makes."""
        return int(self.table.shape[1])


def read(node: NodeProto) -> Older:
    """Read a TreeEnsembleClassifier or TreeEnsembleRegressor."""
    words: Words = {line.name: helper.get_attribute_value(line) for line in node.attribute}
    kind = "class" if node.op_type == "TreeEnsembleClassifier" else "target"
    labels = _labels(words) if kind == "class" else None
    targets = int(words["n_targets"]) if labels is None else len(labels)
    owners = np.array(words["nodes_treeids"], dtype=np.int64)
    rows = _rows(words, kind, owners, targets)
    table, place = np.unique(rows, axis=0, return_inverse=True)
    trees, places = [], []
    for owner in dict.fromkeys(owners.tolist()):
        mine = np.flatnonzero(owners == owner)
        trees.append(_tree(words, mine))
        places.append(place.ravel()[mine].astype(np.float64))
    aggregate = _text(words, "aggregate_function", "SUM")
    if aggregate not in ("SUM", "AVERAGE"):
        raise NotExportable(f"its trees are joined by {aggregate}")
    return Older(
        trees=trees,
        places=places,
        table=table,
        ids=np.unique(np.array(words[f"{kind}_ids"], dtype=np.int64)),
        base=_numbers(words, "base_values"),
        transform=_text(words, "post_transform", "NONE"),
        average=aggregate == "AVERAGE",
        wide="nodes_values_as_tensor" in words,
        labels=labels,
    )


def _labels(words: Words) -> NDArray[Any]:
    if words.get("classlabels_strings"):
        return np.array([text.decode() for text in words["classlabels_strings"]], dtype=object)
    return np.array(words["classlabels_int64s"], dtype=np.int64)


def _text(words: Words, name: str, default: str) -> str:
    value = words.get(name, default.encode())
    return str(value.decode())


def _numbers(words: Words, name: str) -> Reals:
    if f"{name}_as_tensor" in words:
        return numpy_helper.to_array(words[f"{name}_as_tensor"]).astype(np.float64)
    return np.array(words.get(name, []), dtype=np.float64)


def _rows(words: Words, kind: str, owners: Ints, targets: int) -> Reals:
    """What each node adds to each target: nothing, where it is no leaf."""
    numbers = np.array(words["nodes_nodeids"], dtype=np.int64)
    where = {pair: i for i, pair in enumerate(zip(owners.tolist(), numbers.tolist(), strict=True))}
    rows = np.zeros((len(owners), targets))
    entries = zip(words[f"{kind}_treeids"], words[f"{kind}_nodeids"], words[f"{kind}_ids"], strict=True)
    places = np.array([where[owner, number] for owner, number, _ in entries], dtype=np.int64)
    np.add.at(rows, (places, np.array(words[f"{kind}_ids"], dtype=np.int64)), _numbers(words, f"{kind}_weights"))
    return rows


def _tree(words: Words, mine: Ints) -> Tree:
    numbers = np.array(words["nodes_nodeids"], dtype=np.int64)[mine]
    local = {number: i for i, number in enumerate(numbers.tolist())}
    modes = np.array([words["nodes_modes"][i].decode() for i in mine])
    leaf = modes == "LEAF"
    odd = set(modes[~leaf]) - set(_MODES)
    if odd:
        raise NotExportable(f"its nodes split by {sorted(odd)[0]}")
    sides = [
        np.array([-1 if end else local[words[name][i]] for end, i in zip(leaf, mine, strict=True)], dtype=np.int64)
        for name in ("nodes_truenodeids", "nodes_falsenodeids")
    ]
    tracks = np.array(words.get("nodes_missing_value_tracks_true") or np.zeros(len(words["nodes_modes"])), dtype=bool)[
        mine
    ]
    swapped, strict, equal = (np.isin(modes, group) for group in (_SWAPPED, _STRICT, _EQUAL))
    if (tracks & equal).any():
        raise NotExportable("one of its nodes compares for equality and sends missing values along")
    values = _numbers(words, "nodes_values")[mine]
    before = np.nextafter(values, -np.inf)
    if "nodes_values_as_tensor" not in words:
        before = np.nextafter(values.astype(np.float32), np.float32(-np.inf)).astype(np.float64)
    return Tree(
        feature=np.array(words["nodes_featureids"], dtype=np.int64)[mine],
        threshold=np.where(strict, before, values),
        left=np.where(swapped, sides[1], sides[0]),
        right=np.where(swapped, sides[0], sides[1]),
        missing_left=np.where(swapped & ~equal, ~tracks, tracks) & ~leaf,
        target=np.zeros(len(mine), dtype=np.int64),
        weight=np.zeros(len(mine)),
        members={int(node): values[node : node + 1] for node in np.flatnonzero(equal)},
    )
