"""The oldest onnxruntime that answers a model as the one here does. Each line was tried with the versions around it."""

from __future__ import annotations

from onnx import ModelProto, NodeProto, helper, load_model_from_string

# The oldest runtime that edgekit's agent is installed with.
OLDEST = "1.20.0"
# The first to run the tree operator of ai.onnx.ml 5: 1.20.0 loads no such model.
OLDEST_WITH_TREES = "1.21.0"
# Before it, a root is taken for a leaf where its children bear the same number, though one is a leaf and one a node.
OLDEST_WITH_LIKE_CHILDREN = "1.24.1"


def oldest_runtime(content: bytes) -> str:
    """The version that a device must have at least."""
    model = load_model_from_string(content)
    if all(line.domain != "ai.onnx.ml" or line.version < 5 for line in model.opset_import):
        return OLDEST
    return OLDEST_WITH_LIKE_CHILDREN if _some_root_has_like_children(model) else OLDEST_WITH_TREES


def _some_root_has_like_children(model: ModelProto) -> bool:
    return any(_like_children(node) for node in model.graph.node if node.op_type == "TreeEnsemble")


def _like_children(node: NodeProto) -> bool:
    lists = {line.name: helper.get_attribute_value(line) for line in node.attribute if line.ints}
    true, false = lists["nodes_truenodeids"], lists["nodes_falsenodeids"]
    return any(true[root] == false[root] for root in lists["tree_roots"])
