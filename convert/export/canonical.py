"""The one way in which edgekit writes an ONNX file: equal models give equal bytes, and lists of numbers are packed.

onnx's own serialiser writes a tag before every number of an attribute's list, because the schema is proto2 and does not
ask for packing. Protobuf requires its parsers to read both forms and fields in any order, and a packed list takes a
byte less for each number: a quarter of a forest's file.
"""

from __future__ import annotations

import numpy as np
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto

from edgekit.wire.layout import fixed, varints
from edgekit.wire.streams import varint

_Message = ModelProto | GraphProto | NodeProto | AttributeProto
_BYTES = 2  # protobuf's wire type of everything that has a length


def serialise(model: ModelProto) -> bytes:
    """The bytes of a model. Deterministic."""
    return _without(model, "graph") + _field(model, "graph", _graph(model.graph))


def _graph(graph: GraphProto) -> bytes:
    nodes = (_field(graph, "node", _node(node)) for node in graph.node)
    return _without(graph, "node") + b"".join(nodes)


def _node(node: NodeProto) -> bytes:
    attributes = sorted(node.attribute, key=lambda line: str(line.name))
    return _without(node, "attribute") + b"".join(_field(node, "attribute", _attribute(line)) for line in attributes)


def _attribute(attribute: AttributeProto) -> bytes:
    content = _without(attribute, "ints", "floats")
    if attribute.ints:
        packed = varints(np.array(attribute.ints, dtype=np.int64))
        content += _field(attribute, "ints", b"".join(packed))
    if attribute.floats:
        packed = fixed(np.array(attribute.floats, dtype=np.float32), "<f4")
        content += _field(attribute, "floats", b"".join(packed))
    return content


def _without(message: _Message, *names: str) -> bytes:
    """The message without some of its fields."""
    rest = type(message)()
    rest.CopyFrom(message)
    for name in names:
        rest.ClearField(name)
    content: bytes = rest.SerializeToString(deterministic=True)
    return content


def _field(message: _Message, name: str, content: bytes) -> bytes:
    tag = message.DESCRIPTOR.fields_by_name[name].number << 3 | _BYTES
    return varint(tag) + varint(len(content)) + content
