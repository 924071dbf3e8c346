"""Trees, forests and isolation forests of scikit-learn as ONNX operators.

- All leaves pure (fully grown trees): each leaf is one vote, so sums are small whole numbers and exact.
- Mixed leaves: one sum per tree tells which distribution its leaf has; they are looked up and added in float64 in the
  order of the trees, as scikit-learn does, so that near ties fall alike.
- Regression: float32 sums of the differences from a centre, where the values lie far from zero.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.export.refusal import NotExportable
from convert.export.trees import ensemble
from convert.export.trees.ensemble import Forest
from convert.export.trees.fitted import Reals, Tree, grown, leaves, round_down
from convert.export.writer import DOUBLE, FLOAT, INT64, Writer

_MAX_TABLE_ROWS = 1 << 24  # above this a row number is no exact float32
# The looked-up distributions of one row take trees × classes × 8 bytes, and batches have up to a thousand rows.
_MAX_LOOKED_UP = 8192
_CENTRE_SPREADS = 4.0


@dataclass(frozen=True)
class Table:
    """`rows[i]`: distinct rows of numbers; `index[t][n]`: the row of node n of tree t (0 where it is no leaf).
    `divisors`: what to divide the rows by, where that gives the numbers exactly and whole numbers take less room.
    """

    rows: NDArray[Any]
    index: list[Reals]
    divisors: NDArray[Any] | None = None


def members(model: Any) -> list[Any]:
    """The trees of a fitted model. Raises NotExportable when they answer several targets."""
    estimators = getattr(model, "estimators_", [model])
    if any(np.ndim(each.n_classes_) > 0 if hasattr(each, "n_classes_") else each.n_outputs_ > 1 for each in estimators):
        raise NotExportable("its trees answer several targets at once")
    return [each.tree_ for each in estimators]


def classify(writer: Writer) -> None:
    """A tree or forest that classifies."""
    trees = members(writer.model)
    values = [tree.value[:, 0, :] for tree in trees]
    pure = all((value[leaf].max(axis=1) == 1).all() for value, leaf in zip(values, leaves(trees), strict=True))
    if pure:
        _vote(writer, trees)
    else:
        _look_up(writer, trees)


def _vote(writer: Writer, trees: list[Any]) -> None:
    made = [grown(tree, tree.value[:, 0, :].argmax(axis=1), np.ones(tree.node_count)) for tree in trees]
    votes = ensemble.add(writer, _rows(writer), _forest(writer, made, len(writer.model.classes_)))
    writer.finish_label(writer.node("ArgMax", votes, axis=1, keepdims=0))
    element = writer.output_type(1)
    votes = writer.cast(votes, element, FLOAT)
    writer.finish(1, _divided(writer, votes, len(trees), element))


def _look_up(writer: Writer, trees: list[Any]) -> None:
    if len(trees) * len(writer.model.classes_) > _MAX_LOOKED_UP:
        raise NotExportable(f"{len(trees)} trees of {len(writer.model.classes_)} classes would take too much memory")
    made = [grown(tree, np.zeros(tree.node_count, dtype=np.int64), np.zeros(tree.node_count)) for tree in trees]
    sums = summed(writer, made, _distributions(trees))
    shares = _divided(writer, sums, len(trees), DOUBLE)
    writer.finish_label(writer.node("ArgMax", shares, axis=1, keepdims=0))
    writer.finish(1, writer.cast(shares, writer.output_type(1), DOUBLE))


def summed(writer: Writer, trees: list[Tree], table: Table) -> str:
    """The sums [rows, k] in float64 of the table's rows that the trees lead to, added in the order of the trees."""
    if len(table.rows) >= _MAX_TABLE_ROWS:
        raise NotExportable(f"its leaves hold {len(table.rows)} distinct answers")
    numbered = [
        Tree(**(vars(tree) | {"target": np.full(len(tree.left), place), "weight": index}))
        for place, (tree, index) in enumerate(zip(trees, table.index, strict=True))
    ]
    found = ensemble.add(writer, _rows(writer), _forest(writer, numbered, len(trees)))
    rows = writer.constant(table.rows)
    if table.divisors is not None:  # onnxruntime does this once, when it loads the model
        divisors = writer.cast(writer.constant(table.divisors), DOUBLE)
        rows = writer.node("Div", writer.cast(rows, DOUBLE), divisors)
    looked_up = writer.node("Gather", rows, writer.cast(found, INT64), axis=0)
    return writer.node("ReduceSum", looked_up, writer.constant(np.array([1])), keepdims=0)


def _distributions(trees: list[Any]) -> Table:
    """The distinct class shares of all leaves: as counts with their sums where that is exact, otherwise as they are."""
    chosen = list(leaves(trees))
    shares = np.concatenate([tree.value[leaf, 0, :] for tree, leaf in zip(trees, chosen, strict=True)])
    sums = np.concatenate([tree.weighted_n_node_samples[leaf] for tree, leaf in zip(trees, chosen, strict=True)])
    counts = np.rint(shares * sums[:, None])
    if not np.array_equal(counts / sums[:, None], shares):
        rows, which = np.unique(shares, axis=0, return_inverse=True)
        return Table(rows, _index(trees, chosen, which))
    lines, which = np.unique(np.column_stack([sums, counts]), axis=0, return_inverse=True)
    return Table(_narrow(lines[:, 1:]), _index(trees, chosen, which), _narrow(lines[:, :1]))


def _narrow(numbers: Reals) -> NDArray[Any]:
    """Whole numbers in the narrowest unsigned type; others as they are."""
    if not np.array_equal(numbers, np.rint(numbers)) or numbers.max(initial=0) >= 1 << 32:
        return numbers
    return numbers.astype(np.min_scalar_type(int(numbers.max(initial=0))))


def _index(trees: list[Any], chosen: list[NDArray[np.intp]], which: NDArray[np.intp]) -> list[Reals]:
    found = []
    for tree, leaf, rows in zip(
        trees, chosen, np.split(which.ravel(), np.cumsum([len(leaf) for leaf in chosen])[:-1]), strict=True
    ):
        index = np.zeros(tree.node_count)
        index[leaf] = rows
        found.append(index)
    return found


def regress(writer: Writer) -> None:
    """A tree or forest that answers one number."""
    trees = members(writer.model)
    values = [tree.value[:, 0, 0] for tree in trees]
    centre = _centre(np.concatenate([value[leaf] for value, leaf in zip(values, leaves(trees), strict=True)]))
    nowhere = [np.zeros(tree.node_count, dtype=np.int64) for tree in trees]
    made = [grown(tree, *leaf) for tree, *leaf in zip(trees, nowhere, [v - centre for v in values], strict=True)]
    element = writer.output_type(0)
    total = writer.cast(ensemble.add(writer, _rows(writer), _forest(writer, made, 1)), element, FLOAT)
    total = _divided(writer, total, len(trees), element)
    if centre:
        total = writer.node("Add", total, writer.constant(np.array([centre], dtype=_numpy(element))))
    writer.finish(0, total)


def _centre(values: Reals) -> float:
    """Where float32 sums should start from: 0 for values that lie around it."""
    middle = float(np.mean(values))
    return middle if abs(middle) > _CENTRE_SPREADS * float(np.std(values)) else 0.0


def isolate(writer: Writer) -> None:
    """An isolation forest: label -1 for outliers, and the decision function, both [rows, 1]."""
    model = writer.model
    trees, chosen = members(model), list(leaves(members(model)))
    # scikit-learn keeps each node's path length (its depth, and what an unsplit leaf would have had) private.
    paths = [
        a + b - 1.0 for a, b in zip(model._decision_path_lengths, model._average_path_length_per_tree, strict=True)
    ]
    rows, which = np.unique(
        np.concatenate([path[leaf] for path, leaf in zip(paths, chosen, strict=True)]), return_inverse=True
    )
    made = [
        grown(tree, np.zeros(tree.node_count, dtype=np.int64), np.zeros(tree.node_count), np.asarray(features))
        for tree, features in zip(trees, model.estimators_features_, strict=True)
    ]
    depth = summed(writer, made, Table(rows[:, None], _index(trees, chosen, which)))
    share = writer.node("Div", depth, writer.constant(np.array([_longest(model) * len(trees)])))
    power = writer.node("Pow", writer.constant(np.array([2.0])), writer.node("Neg", share))
    decision = writer.node("Sub", writer.node("Neg", power), writer.constant(np.array([model.offset_])))
    outlying = writer.node("Less", decision, writer.constant(np.array([0.0])))
    signs = (writer.constant(np.array([sign], dtype=np.int64)) for sign in (-1, 1))
    writer.finish(0, writer.node("Where", outlying, *signs))
    writer.finish(1, writer.cast(decision, writer.output_type(1), DOUBLE))


def _longest(model: Any) -> float:
    """The mean length of an unsuccessful search among as many samples as a tree had (Liu et al. 2008, equation 1)."""
    samples = model.max_samples_
    if samples <= 2:
        raise NotExportable("each of its trees has seen two samples at most")
    harmonic = np.log(samples - 1.0) + np.euler_gamma
    return float(2.0 * harmonic - 2.0 * (samples - 1.0) / samples)


def _rows(writer: Writer) -> str:
    """The rows as scikit-learn's trees read them: float32, whatever came before."""
    return writer.cast(writer.input, FLOAT, writer.input_type)


def _forest(writer: Writer, trees: list[Tree], targets: int) -> Forest:
    return Forest(trees, [round_down(tree.threshold) for tree in trees], targets, writer.missing)


def _divided(writer: Writer, name: str, count: int, element: int) -> str:
    return name if count == 1 else writer.node("Div", name, writer.constant(np.array([count], dtype=_numpy(element))))


def _numpy(element: int) -> type[Any]:
    return np.float64 if element == DOUBLE else np.float32
