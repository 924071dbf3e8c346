"""What is tidied in a graph that the exporters give."""

from __future__ import annotations

import onnx
import pytest
from onnx import ModelProto, TensorProto, helper
from sklearn.ensemble import RandomForestClassifier

from convert.export import graph
from convert.read.model import LoadedModel
from convert.read.source import understand
from tests.convert.agreement import own_forms
from tests.convert.tree_forms import FEATURES, drawn

SEEN = drawn(0, 200)
MODEL = RandomForestClassifier(3, random_state=0).fit(SEEN[FEATURES], SEEN["s0"] > 0)


def handed_on(*names: tuple[str, str]) -> ModelProto:
    """A graph with outputs `a` (labels) and `b` (shares), and operators that hand tensors on."""
    nodes = [
        helper.make_node("ArgMax", ["X"], ["labels"], axis=1, keepdims=0),
        helper.make_node("Neg", ["X"], ["shares"]),
        *(helper.make_node("Identity", [before], [after]) for before, after in names),
    ]
    rows = helper.make_tensor_value_info("X", TensorProto.FLOAT, ["rows", 2])
    outputs = [
        helper.make_tensor_value_info("a", TensorProto.INT64, ["rows"]),
        helper.make_tensor_value_info("b", TensorProto.FLOAT, ["rows", 2]),
    ]
    return helper.make_model(helper.make_graph(nodes, "g", [rows], outputs))


@pytest.mark.parametrize(
    ("names", "kept"),
    [
        pytest.param([("labels", "a"), ("shares", "b")], 0, id="before outputs"),
        pytest.param([("labels", "a"), ("shares", "c"), ("c", "b")], 0, id="two in a row"),
        pytest.param([("labels", "a"), ("X", "b")], 1, id="an input that is an output"),
    ],
)
def test_operators_that_only_hand_on_are_dropped_where_that_is_possible(
    names: list[tuple[str, str]], kept: int
) -> None:
    model = handed_on(*names)
    graph.tidy(model, understand(LoadedModel(MODEL, "test")))
    onnx.checker.check_model(model)
    assert [node.op_type for node in model.graph.node].count("Identity") == kept
    assert [line.name for line in model.graph.output] == ["label", "probabilities"]


def test_no_own_form_of_a_forest_hands_a_tensor_on() -> None:
    for form in own_forms(MODEL, SEEN[FEATURES]):
        assert "Identity" not in [node.op_type for node in onnx.load_from_string(form.content).graph.node]
