"""The ONNX file is short, and yet an ordinary one."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

from convert.export.canonical import serialise
from convert.export.trees.numbering import number
from tests.support.forests import grown, onnx_file


def test_packed_lists_say_the_same_to_onnx_and_take_less() -> None:
    model = onnx.load_from_string(onnx_file(np.random.default_rng(3)))
    packed, unpacked = serialise(model), model.SerializeToString(deterministic=True)
    assert onnx.load_from_string(packed) == model
    assert serialise(onnx.load_from_string(packed)) == packed
    assert len(packed) < len(unpacked) - sum(len(line.ints) for node in model.graph.node for line in node.attribute) / 2


def test_onnxruntime_reads_packed_lists_like_others() -> None:
    model = onnx.load_from_string(onnx_file(np.random.default_rng(3)))
    del model.graph.node[1]  # an operator with words, there for the wire form
    onnx.checker.check_model(model)
    rows = np.random.default_rng(0).normal(size=(50, 4)).astype(np.float32)
    answers = [
        onnxruntime.InferenceSession(content).run(None, {"rows": rows})[0]
        for content in (serialise(model), model.SerializeToString())
    ]
    assert np.array_equal(*answers)
    assert len(np.unique(answers[0], axis=0)) > 1


@pytest.mark.parametrize("seed", range(8))
def test_shared_splits_keep_every_tree_s_paths_and_come_once_a_tree(seed: int) -> None:
    forest = grown(np.random.default_rng(seed), trees=10, splits=20, questions=4)
    found = number(forest)
    assert len(found.nodes) < 10 * 20
    for root, new_root in zip(forest.roots.tolist(), found.roots.tolist(), strict=True):
        reached: list[int] = []
        _walk((forest.left, forest.right, forest.answer, forest.question, found), root, new_root, reached)
        assert len(reached) == len(set(reached))


def _walk(trees: tuple[Any, ...], node: int, new: int, reached: list[int]) -> None:
    left, right, answer, question, found = trees
    reached.append(new)
    assert question[found.nodes[new]] == question[node]
    for side, child in enumerate((left[node], right[node])):
        there = int(found.children[2 * new + side])
        assert found.ends[2 * new + side] == (left[child] < 0)
        if found.ends[2 * new + side]:
            assert found.leaves[there] == answer[child]
        else:
            _walk(trees, child, there, reached)
