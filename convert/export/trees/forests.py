"""Trees, forests and isolation forests of scikit-learn as ONNX operators.

- All leaves pure (fully grown trees): each leaf is one vote, so sums are small whole numbers and exact.
- Two classes: one float32 sum tells which one leads, where rows on which they tie are not likely.
- A small tree alone: a copy for each class gives its shares at once.
- Mixed leaves otherwise: one sum per tree tells which distribution its leaf has; they are looked up and added in
  float64 in the order of the trees, as scikit-learn does, so that near ties fall alike.
- Regression: float32 sums of the differences from a centre, where the values lie far from zero.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.export.refusal import NotExportable
from convert.export.trees import ensemble, several, ties
from convert.export.trees.ensemble import Forest
from convert.export.trees.fitted import Ints, Reals, grown, leaves
from convert.export.trees.lookup import Table, divided, float32_rows, forest, indexed, summed
from convert.export.writer import DOUBLE, FLOAT, NUMPY, Writer

_MAX_COPIED = 4096  # nodes times classes
_CENTRE_SPREADS = 4.0


def members(model: Any) -> list[Any]:
    """The trees of a fitted model of one target."""
    return [each.tree_ for each in getattr(model, "estimators_", [model])]


def classify(writer: Writer) -> None:
    """A tree or forest that classifies."""
    if several.has_several(writer.model):
        several.classify(writer)
        return
    trees = members(writer.model)
    values = [tree.value[:, 0, :] for tree in trees]
    pure = all((value[leaf].max(axis=1) == 1).all() for value, leaf in zip(values, leaves(trees), strict=True))
    if len(trees) == 1 and not pure and _small(trees[0]):
        _spread(writer, trees[0])
    elif len(writer.model.classes_) == 2 and (pure or _narrow_enough(writer, trees)):
        _balance(writer, trees, ensemble.add_votes if pure else ensemble.add)
    elif pure:
        _vote(writer, trees)
    else:
        _look_up(writer, trees)


def _small(tree: Any) -> bool:
    """A copy for each class costs less than operators after it, and float32 shares lead to the same class."""
    shares = tree.value[:, 0, :]
    same = np.array_equal(shares.astype(np.float32).argmax(axis=1), shares.argmax(axis=1))
    return bool(shares.size <= _MAX_COPIED and same)


def _spread(writer: Writer, tree: Any) -> None:
    """A single tree: a copy for each class, which holds that class's shares."""
    count = len(writer.model.classes_)
    made = [grown(tree, np.full(tree.node_count, k), tree.value[:, 0, k]) for k in range(count)]
    shares = ensemble.add(writer, float32_rows(writer), forest(writer, made, count))
    writer.finish_label(writer.node("ArgMax", shares, axis=1, keepdims=0))
    writer.finish(1, writer.cast(shares, writer.output_type(1), FLOAT))


def _narrow_enough(writer: Writer, trees: list[Any]) -> bool:
    """Where the rows keep float64, so do the sums, in scikit-learn's order: the plan for whom float32 is not enough."""
    return writer.input_type != DOUBLE and not ties.likely(trees)


def _balance(writer: Writer, trees: list[Any], add: Callable[[Writer, str, Forest], str]) -> None:
    """Of two classes: one sum, of by how much the second one's share in each leaf is larger."""
    made = [grown(tree, _nowhere(tree), tree.value[:, 0, 1] - tree.value[:, 0, 0]) for tree in trees]
    lead = add(writer, float32_rows(writer), forest(writer, made, 1))
    half = 0.5 / len(trees)
    shares = writer.node("Gemm", lead, writer.numbers([[-half, half]], FLOAT), writer.numbers([0.5, 0.5], FLOAT))
    writer.finish_label(writer.node("ArgMax", shares, axis=1, keepdims=0))
    writer.finish(1, writer.cast(shares, writer.output_type(1), FLOAT))


def _vote(writer: Writer, trees: list[Any]) -> None:
    made = [grown(tree, tree.value[:, 0, :].argmax(axis=1), np.ones(tree.node_count)) for tree in trees]
    votes = ensemble.add_votes(writer, float32_rows(writer), forest(writer, made, len(writer.model.classes_)))
    writer.finish_label(writer.node("ArgMax", votes, axis=1, keepdims=0))
    element = writer.output_type(1)
    votes = writer.cast(votes, element, FLOAT)
    writer.finish(1, divided(writer, votes, len(trees), element))


def _look_up(writer: Writer, trees: list[Any]) -> None:
    made = [grown(tree, _nowhere(tree), np.zeros(tree.node_count)) for tree in trees]
    sums = summed(writer, made, _distributions(trees))
    shares = divided(writer, sums, len(trees), DOUBLE)
    writer.finish_label(writer.node("ArgMax", shares, axis=1, keepdims=0))
    writer.finish(1, writer.cast(shares, writer.output_type(1), DOUBLE))


def _distributions(trees: list[Any]) -> Table:
    """The distinct class shares of all leaves: as counts with their sums where that is exact, otherwise as they are."""
    chosen = list(leaves(trees))
    shares = np.concatenate([tree.value[leaf, 0, :] for tree, leaf in zip(trees, chosen, strict=True)])
    sums = np.concatenate([tree.weighted_n_node_samples[leaf] for tree, leaf in zip(trees, chosen, strict=True)])
    counts = np.rint(shares * sums[:, None])
    if not np.array_equal(counts / sums[:, None], shares):
        rows, which = np.unique(shares, axis=0, return_inverse=True)
        return Table(rows, indexed(trees, chosen, which))
    lines, which = np.unique(np.column_stack([sums, counts]), axis=0, return_inverse=True)
    return Table(_narrow(lines[:, 1:]), indexed(trees, chosen, which), _narrow(lines[:, :1]))


def _narrow(numbers: Reals) -> NDArray[Any]:
    """Whole numbers in the narrowest unsigned type; others as they are."""
    if not np.array_equal(numbers, np.rint(numbers)) or numbers.max(initial=0) >= 1 << 32:
        return numbers
    return numbers.astype(np.min_scalar_type(int(numbers.max(initial=0))))


def regress(writer: Writer) -> None:
    """A tree or forest that answers numbers."""
    if several.has_several(writer.model):
        several.regress(writer)
        return
    trees = members(writer.model)
    values = [tree.value[:, 0, 0] for tree in trees]
    centre = _centre(np.concatenate([value[leaf] for value, leaf in zip(values, leaves(trees), strict=True)]))
    made = [grown(tree, _nowhere(tree), value - centre) for tree, value in zip(trees, values, strict=True)]
    element = writer.output_type(0)
    if element == FLOAT:
        total = ensemble.add_mean(writer, float32_rows(writer), forest(writer, made, 1))
    else:
        total = writer.cast(ensemble.add(writer, float32_rows(writer), forest(writer, made, 1)), element, FLOAT)
        total = divided(writer, total, len(trees), element)
    if centre:
        total = writer.node("Add", total, writer.constant(np.array([centre], dtype=NUMPY[element])))
    writer.finish(0, total)


def _nowhere(tree: Any) -> Ints:
    return np.zeros(tree.node_count, dtype=np.int64)


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
        grown(tree, _nowhere(tree), np.zeros(tree.node_count), np.asarray(features))
        for tree, features in zip(trees, model.estimators_features_, strict=True)
    ]
    depth = summed(writer, made, Table(rows[:, None], indexed(trees, chosen, which)))
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
    if samples < 2:
        raise NotExportable("each of its trees has seen one sample only")
    if samples == 2:
        return 1.0
    harmonic = np.log(samples - 1.0) + np.euler_gamma
    return float(2.0 * harmonic - 2.0 * (samples - 1.0) / samples)
