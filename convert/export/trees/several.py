"""Trees and forests that answer several targets at once, and the embedding of rows by the leaves they reach.

Each leaf stands for a row of a table that holds its answers to all targets side by side.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from convert.export.trees import ensemble
from convert.export.trees.fitted import Tree, grown, leaves, round_down
from convert.export.trees.lookup import Table, divided, float32_rows, indexed, summed
from convert.export.writer import DOUBLE, FLOAT, NUMPY, Writer


def has_several(model: Any) -> bool:
    """True for a tree or forest of several targets."""
    return bool(getattr(model, "n_outputs_", 1) > 1)


def classify(writer: Writer) -> None:
    """Labels [rows, targets], and the targets' probabilities side by side [rows, sum of classes]."""
    model = writer.model
    trees = _trees(model)
    counts = [int(count) for count in model.n_classes_]
    table = _table(trees, lambda value: np.concatenate([value[:, t, :n] for t, n in enumerate(counts)], axis=1))
    shares = divided(writer, summed(writer, _bare(trees), table), len(trees), DOUBLE)
    stops = np.cumsum(counts).tolist()
    parts = [_between(writer, shares, stop - count, stop) for count, stop in zip(counts, stops, strict=True)]
    writer.finish_labels([writer.node("ArgMax", part, axis=1, keepdims=1) for part in parts])
    writer.finish(1, writer.cast(shares, writer.output_type(1), DOUBLE))


def regress(writer: Writer) -> None:
    """The values of all targets [rows, targets], as differences from their means where float32 is added."""
    trees = _trees(writer.model)
    table = _table(trees, lambda value: value[:, :, 0])
    element = writer.output_type(0)
    centre = table.rows.mean(axis=0, keepdims=True)
    narrow = Table((table.rows - centre).astype(NUMPY[element]), table.index)
    total = divided(writer, summed(writer, _bare(trees), narrow), len(trees), element)
    writer.finish(0, writer.node("Add", total, writer.numbers(centre, element)))


def embed(writer: Writer) -> None:
    """RandomTreesEmbedding: one column for each leaf of each tree, 1 where the row reaches it."""
    trees = [each.tree_ for each in writer.model.estimators_]
    known = [np.asarray(line, dtype=np.int64) for line in writer.model.one_hot_encoder_.categories_]
    numbered = []
    for place, (tree, ends) in enumerate(zip(trees, known, strict=True)):
        number = np.zeros(tree.node_count)
        number[ends] = np.arange(len(ends))
        numbered.append(grown(tree, np.full(tree.node_count, place), number))
    splits = [round_down(tree.threshold) for tree in numbered]
    forest = ensemble.Forest(numbered, splits, len(trees), writer.missing)
    reached = ensemble.add(writer, float32_rows(writer), forest)
    owners = np.repeat(np.arange(len(trees)), [len(ends) for ends in known])
    own = writer.node("Gather", reached, writer.constant(owners), axis=1)
    wanted = writer.numbers(np.concatenate([np.arange(len(ends)) for ends in known]), FLOAT)
    hit = writer.node("Equal", own, wanted)
    writer.finish(0, writer.node("Cast", hit, to=writer.output_type(0)))


def _trees(model: Any) -> list[Any]:
    return [each.tree_ for each in getattr(model, "estimators_", [model])]


def _bare(trees: list[Any]) -> list[Tree]:
    return [grown(tree, np.zeros(tree.node_count, dtype=np.int64), np.zeros(tree.node_count)) for tree in trees]


def _table(trees: list[Any], answers: Any) -> Table:
    chosen = list(leaves(trees))
    rows = np.concatenate([answers(tree.value[leaf]) for tree, leaf in zip(trees, chosen, strict=True)])
    distinct, which = np.unique(rows, axis=0, return_inverse=True)
    return Table(distinct, indexed(trees, chosen, which))


def _between(writer: Writer, shares: str, start: int, stop: int) -> str:
    bounds = [writer.constant(np.array([bound])) for bound in (start, stop, 1)]
    return writer.node("Slice", shares, *bounds)
