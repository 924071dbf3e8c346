"""Numbered forests answer as the grown ones do, share what is alike, and no tree reaches a node twice."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from convert.export.trees.numbering import Grown, Numbered, number
from tests.support.forests import grown

SEEDS = st.integers(0, 2**32 - 1)
SIZES = st.tuples(st.integers(1, 6), st.integers(1, 12), st.integers(1, 3))


def drawn(seed: int, size: tuple[int, int, int]) -> Grown:
    """Few questions and answers, so that many subtrees are alike."""
    trees, splits, questions = size
    return grown(np.random.default_rng(seed), trees, splits, questions)


Shape = tuple[object, ...] | int


def grown_shape(forest: Grown, node: int) -> Shape:
    """All that a node asks and answers, as a value."""
    if forest.left[node] < 0:
        return int(forest.answer[node])
    sides = (grown_shape(forest, int(side[node])) for side in (forest.left, forest.right))
    return (int(forest.question[node]), *sides)


def numbered_shape(forest: Grown, found: Numbered, node: int) -> Shape:
    """The same of a node by its new number."""
    sides = (
        int(found.leaves[found.children[place]])
        if found.ends[place]
        else numbered_shape(forest, found, int(found.children[place]))
        for place in (2 * node, 2 * node + 1)
    )
    return (int(forest.question[found.nodes[node]]), *sides)


def reached(found: Numbered, node: int) -> list[int]:
    """The splits that a way from this one meets, as often as it does."""
    places = (2 * node, 2 * node + 1)
    return [node, *(each for k in places if not found.ends[k] for each in reached(found, int(found.children[k])))]


@settings(max_examples=60, deadline=None)
@given(SEEDS, SIZES)
def test_every_tree_asks_and_answers_as_before(seed: int, size: tuple[int, int, int]) -> None:
    forest = drawn(seed, size)
    found = number(forest)
    for old, new in zip(forest.roots.tolist(), found.roots.tolist(), strict=True):
        assert numbered_shape(forest, found, new) == grown_shape(forest, old)


@settings(max_examples=60, deadline=None)
@given(SEEDS, SIZES)
def test_no_tree_reaches_a_node_twice_and_every_node_is_reached(seed: int, size: tuple[int, int, int]) -> None:
    found = number(drawn(seed, size))
    every = [reached(found, root) for root in found.roots.tolist()]
    assert all(len(nodes) == len(set(nodes)) for nodes in every)
    assert set().union(*every) == set(range(len(found.nodes)))


@settings(max_examples=60, deadline=None)
@given(SEEDS, SIZES)
def test_leaves_are_numbered_as_they_first_occur(seed: int, size: tuple[int, int, int]) -> None:
    found = number(drawn(seed, size))
    leaves = found.children[found.ends]
    assert list(dict.fromkeys(leaves.tolist())) == list(range(len(found.leaves)))
    assert len(np.unique(found.leaves)) == len(found.leaves)


@settings(max_examples=60, deadline=None)
@given(SEEDS, SIZES)
def test_subtrees_that_are_not_to_be_shared_stay_apart(seed: int, size: tuple[int, int, int]) -> None:
    forest = drawn(seed, size)
    apart = Grown(**(vars(forest) | {"question": np.full_like(forest.question, -1)}))
    found = number(apart)
    assert len(found.nodes) == (forest.left >= 0).sum()
    assert len(np.unique(found.children[~found.ends])) == (~found.ends).sum()


@pytest.mark.parametrize("trees", [1, 2, 5])
def test_a_subtree_that_all_trees_have_alike_is_kept_once(trees: int) -> None:
    """Each tree: a question of its own, whose ways lead to one leaf and to a split that all trees have alike."""
    left, right = ([1, -1, 3, -1, -1], [2, -1, 4, -1, -1])
    starts = 5 * np.arange(trees)
    forest = Grown(
        left=np.concatenate([np.where(np.array(left) < 0, -1, np.array(left) + start) for start in starts]),
        right=np.concatenate([np.where(np.array(right) < 0, -1, np.array(right) + start) for start in starts]),
        answer=np.tile([0, 0, 0, 1, 2], trees),
        roots=starts,
        tree=np.repeat(np.arange(trees), 5),
        question=np.concatenate([[10 + k, 0, 7, 0, 0] for k in range(trees)]),
    )
    found = number(forest)
    assert len(found.nodes) == trees + 1
    wanted = np.bincount(found.children[~found.ends], minlength=len(found.nodes))
    assert wanted.max() == trees
