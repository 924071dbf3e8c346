"""Tidies the graph that skl2onnx gives: fixed output names and shapes, one version per operator set, no locale trap.

Outputs become `label` [rows] and `probabilities`, `value` or `score` [rows, k]; another name is taken when a feature
is called so. Changes names and shapes, never numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from onnx import ModelProto, NodeProto, TensorProto, helper

from convert.check.targets import Targets, gives_presence, share_count
from convert.read.source import Source
from edgekit.manifest import Dtype, Onnx, Output, OutputRole

_DTYPES: dict[int, Dtype] = {
    TensorProto.FLOAT: "float32",
    TensorProto.DOUBLE: "float64",
    TensorProto.INT64: "int64",
    TensorProto.STRING: "string",
    TensorProto.BOOL: "bool",
}
# onnxruntime's default, en_US.UTF-8, is absent on slim systems, and the model would not even load there.
_LOCALE = "C.UTF-8"
# Reshape with a computed shape and the types used here exist since operator set 13.
_OLDEST_OPSET = 13


def tidy(model: ModelProto, source: Source) -> list[Output]:
    """Tidy `model` in place and describe its outputs; widths are not known yet. Raises ValueError when the graph does
    not give what the task needs.
    """
    _single_opsets(model)
    _portable_locale(model)
    roles: list[OutputRole] = [] if source.task in ("regression", "transformation") else ["label"]
    roles += [source.role] if source.role is not None else []
    if len(model.graph.output) < len(roles):
        raise ValueError(f"the graph has {len(model.graph.output)} outputs, expected {', '.join(roles)}")
    del model.graph.output[len(roles) :]
    _prune(model)
    _pass_over_identities(model)
    return [_settle(model, index, role, source) for index, role in enumerate(roles)]


def set_widths(model: ModelProto, outputs: Sequence[Output], widths: Sequence[int]) -> None:
    """Declare the output shapes that a run has shown (skl2onnx declares wrong ones for some binary classifiers)."""
    for line, output, width in zip(model.graph.output, outputs, widths, strict=True):
        flat = output.role == "label" and output.target_classes is None
        shape: list[str | int | None] = ["rows"] if flat else ["rows", width]
        line.CopyFrom(helper.make_tensor_value_info(line.name, line.type.tensor_type.elem_type, shape))


def spell_out(model: ModelProto, output: Output, shape: Sequence[int], targets: Targets) -> None:
    """Bring the probabilities of several targets into the form [rows, classes of all targets].

    They may be one table for each target [targets, rows, classes] (skl2onnx), or [rows, targets]: that each is there.
    """
    if len(shape) == 3 and len({len(classes) for classes in targets}) == 1:
        _append(model, output.name, [("Transpose", [], {"perm": [1, 0, 2]})], share_count(targets))
    elif len(shape) == 2 and gives_presence(shape[1], targets):
        _append(model, output.name, _BOTH, share_count(targets))


_Step = tuple[str, list[str], dict[str, Any]]
# p becomes [1 - p, p]; the names are those of constants that `_append` makes.
_BOTH: list[_Step] = [
    ("Unsqueeze", ["last_axis"], {}),
    ("Mul", ["signs"], {}),
    ("Add", ["starts"], {}),
]


def _append(model: ModelProto, name: str, steps: list[_Step], columns: int) -> None:
    """Operators after an output, which keeps its name, and a last one that makes its rows flat."""
    graph = model.graph
    element = next(line for line in graph.output if line.name == name).type.tensor_type.elem_type
    constants = {
        "last_axis": helper.make_tensor("last_axis", TensorProto.INT64, [1], [2]),
        "signs": helper.make_tensor("signs", element, [2], [-1.0, 1.0]),
        "starts": helper.make_tensor("starts", element, [2], [1.0, 0.0]),
        "flat": helper.make_tensor("flat", TensorProto.INT64, [2], [0, columns]),
    }
    places = {word: _free_name(model, f"{name}_{word}") for word in constants}
    inner = _free_name(model, f"{name}_found")
    line = next(line for line in graph.output if line.name == name)
    _rename(model, name, inner)
    line.name = name
    for kind, words, attributes in [*steps, ("Reshape", ["flat"], {})]:
        out = name if kind == "Reshape" else _free_name(model, f"{name}_{kind.lower()}")
        graph.node.append(helper.make_node(kind, [inner, *(places[word] for word in words)], [out], **attributes))
        for word in words:
            constants[word].name = places[word]
            graph.initializer.append(constants[word])
        inner = out


def describe(model: ModelProto) -> Onnx:
    """The versions that the model declares."""
    opsets = {line.domain: line.version for line in model.opset_import}
    return Onnx(ir_version=model.ir_version, opsets=opsets, producer=f"{model.producer_name} {model.producer_version}")


def _single_opsets(model: ModelProto) -> None:
    newest: dict[str, int] = {"": _OLDEST_OPSET}
    for line in model.opset_import:
        newest[line.domain] = max(line.version, newest.get(line.domain, 0))
    del model.opset_import[:]
    model.opset_import.extend(helper.make_opsetid(domain, newest[domain]) for domain in sorted(newest))


def _portable_locale(model: ModelProto) -> None:
    for node in model.graph.node:
        if node.op_type == "StringNormalizer" and not any(line.name == "locale" for line in node.attribute):
            node.attribute.append(helper.make_attribute("locale", _LOCALE))


def _prune(model: ModelProto) -> None:
    """Drop what no output needs: answers that nobody asks for, and their constants."""
    wanted = {line.name for line in model.graph.output}
    kept = []
    for node in reversed(model.graph.node):  # operators stand in the order of computation
        if wanted & set(node.output):
            kept.append(node)
            wanted |= set(node.input)
    initializers = [line for line in model.graph.initializer if line.name in wanted]
    nodes = [NodeProto.FromString(node.SerializeToString()) for node in reversed(kept)]
    constants = [TensorProto.FromString(line.SerializeToString()) for line in initializers]
    del model.graph.node[:], model.graph.initializer[:]
    model.graph.node.extend(nodes)
    model.graph.initializer.extend(constants)


def _pass_over_identities(model: ModelProto) -> None:
    """Drop operators that hand a tensor on under another name: onnxruntime keeps those before an output, and each call
    of one costs about a microsecond. Those that hand on an input, a constant or another output stay.
    """
    if any(line.HasField("g") or line.graphs for node in model.graph.node for line in node.attribute):
        return  # an inner graph may read any name of the outer one
    given = {line.name for line in (*model.graph.input, *model.graph.initializer, *model.graph.output)}
    for node in [node for node in model.graph.node if node.op_type == "Identity" and not node.domain]:
        (before,), (after,) = node.input, node.output
        outside = any(line.name == after for line in model.graph.output)
        if outside and before in given:
            continue
        model.graph.node.remove(node)
        _rename(model, *((before, after) if outside else (after, before)))


def _settle(model: ModelProto, index: int, role: OutputRole, source: Source) -> Output:
    line = model.graph.output[index]
    if role == "label":
        _settle_label(model, index, source)
    if line.name != role:
        _rename(model, line.name, _free_name(model, role))
    element = line.type.tensor_type.elem_type
    if element not in _DTYPES:
        raise ValueError(f"output {line.name!r} has an element type that no device reads")
    told = role in ("label", "probabilities")
    classes = list(source.classes) if told and source.classes else None
    targets = [list(each) for each in source.targets] if told and source.targets else None
    return Output(name=line.name, role=role, dtype=_DTYPES[element], classes=classes, target_classes=targets)


def _settle_label(model: ModelProto, index: int, source: Source) -> None:
    line = model.graph.output[index]
    raw = line.name
    if len(line.type.tensor_type.shape.dim) > 1 and not source.targets:  # outlier detectors answer [rows, 1]
        flat, shape = _free_name(model, "label_flat"), _free_name(model, "label_shape")
        model.graph.initializer.append(helper.make_tensor(shape, TensorProto.INT64, [1], [-1]))
        model.graph.node.append(helper.make_node("Reshape", [raw, shape], [flat]))
        line.name = flat
    classes = [*source.classes, *(value for each in source.targets for value in each)]
    if classes and all(isinstance(value, bool) for value in classes):
        boolean = _free_name(model, "label_bool")
        model.graph.node.append(helper.make_node("Cast", [line.name], [boolean], to=TensorProto.BOOL))
        line.name = boolean
        line.type.tensor_type.elem_type = TensorProto.BOOL


def _rename(model: ModelProto, old: str, new: str) -> None:
    for node in model.graph.node:
        node.input[:] = [new if name == old else name for name in node.input]
        node.output[:] = [new if name == old else name for name in node.output]
    for line in model.graph.output:
        line.name = new if line.name == old else line.name


def _free_name(model: ModelProto, wanted: str) -> str:
    taken = {line.name for line in (*model.graph.input, *model.graph.initializer)}
    taken |= {name for node in model.graph.node for name in (*node.input, *node.output)}
    name = wanted
    while name in taken:
        name = f"{name}_out"
    return name
