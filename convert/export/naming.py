"""What the graph's inputs are called where each feature has its own: by the feature's name if that is a plain word.

Feature names are anything (spaces, `|`, line breaks, `<script>`). skl2onnx replaces what is no letter, digit or `_`;
so that input and feature stay together, the graph's inputs get names from here instead, in their order.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from onnx import ModelProto

from edgekit.manifest import Tensor

_WORD = re.compile(r"[A-Za-z_]\w{0,127}")


def input_names(features: Sequence[str]) -> list[str]:
    """A name for each feature, all different: its own where that is a plain word, `input_3` (its place) otherwise."""
    taken = {feature for feature in features if _WORD.fullmatch(feature)}
    names = []
    for place, feature in enumerate(features):
        name = feature if feature in taken else f"input_{place}"
        while name != feature and name in taken:
            name = f"{name}_"
        taken.add(name)
        names.append(name)
    return names


def name_inputs(model: ModelProto, tensors: Sequence[Tensor]) -> None:
    """Call the graph's inputs as the tensors are called, in their order. Raises ValueError when they do not fit."""
    if len(model.graph.input) != len(tensors):
        raise ValueError(f"the graph has {len(model.graph.input)} inputs, expected {len(tensors)}")
    renamed = {line.name: tensor.name for line, tensor in zip(model.graph.input, tensors, strict=True)}
    inner = {name for node in model.graph.node for name in node.output} | {
        line.name for line in model.graph.initializer
    }
    # skl2onnx gives way itself where an output is called as an input is: it changes the input's name.
    renamed |= {name: f"{name}_inner" for name in inner & set(renamed.values())}
    for line in (*model.graph.input, *model.graph.output, *model.graph.initializer):
        line.name = renamed.get(line.name, line.name)
    for node in model.graph.node:
        node.input[:] = [renamed.get(name, name) for name in node.input]
        node.output[:] = [renamed.get(name, name) for name in node.output]
