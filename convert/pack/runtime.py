"""The oldest onnxruntime that answers a model as the one here does.

Each version was tried with those around it; `tests/install/test_oldest_runtimes.py` runs models with all of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from onnx import NodeProto, helper, load_model_from_string

# Older ones were not tried. An agent is installed with 1.21 at least; the expanded file runs with this one too.
OLDEST = "1.20.0"
# The first to run the tree operator of ai.onnx.ml 5: 1.20 loads no such model. It runs other operators of that set.
OLDEST_WITH_TREES = "1.21.0"
# Before it, a root is taken for a leaf where its children bear the same number, though one is a leaf and one a node.
OLDEST_WITH_LIKE_CHILDREN = "1.24.1"
# Before it, a file of categories takes ten times longer to load for each further set of ten on a way: seconds for four
# of them in 1.22, for seven in 1.23; 1.24.1 is no better than that.
OLDEST_WITH_SETS = "1.25.0"
# Before it, there is no cosine of float64. Types are not looked up: float32 ones ask for it too.
OLDEST_WITH_COSINES = "1.29.0"
# Before it, a root whose both ways lead to one leaf answers with the leaf that bears the root's own number.
OLDEST_WITH_ONE_LEAF = "1.30.0"
_ASCENDING = (
    OLDEST,
    OLDEST_WITH_TREES,
    OLDEST_WITH_LIKE_CHILDREN,
    OLDEST_WITH_SETS,
    OLDEST_WITH_COSINES,
    OLDEST_WITH_ONE_LEAF,
)


@dataclass(frozen=True)
class _Root:
    """A root's number among the nodes, its children's numbers, and whether both are leaves."""

    number: int
    true: int
    false: int
    leaves: bool

    @property
    def oldest(self) -> str:
        if self.true != self.false or (self.leaves and self.true == self.number):
            return OLDEST_WITH_TREES
        return OLDEST_WITH_ONE_LEAF if self.leaves else OLDEST_WITH_LIKE_CHILDREN


def oldest_runtime(content: bytes) -> str:
    """The version that a device must have at least."""
    needed = {version for node in load_model_from_string(content).graph.node for version in _needed(node)}
    return max(needed, key=_ASCENDING.index, default=OLDEST)


def _needed(node: NodeProto) -> Iterator[str]:
    if node.op_type == "Cos":
        yield OLDEST_WITH_COSINES
    if node.op_type != "TreeEnsemble":
        return
    if any(line.name == "membership_values" for line in node.attribute):
        yield OLDEST_WITH_SETS
    for root in _roots(node):
        yield root.oldest


def _roots(node: NodeProto) -> Iterator[_Root]:
    lists = {line.name: helper.get_attribute_value(line) for line in node.attribute if line.ints}
    true, false = lists["nodes_truenodeids"], lists["nodes_falsenodeids"]
    ends = [a and b for a, b in zip(lists["nodes_trueleafs"], lists["nodes_falseleafs"], strict=True)]
    return (_Root(root, true[root], false[root], bool(ends[root])) for root in lists["tree_roots"])
