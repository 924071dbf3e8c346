"""Small real models that answer with several targets, with clusters or with transformed rows.

Like those of `tests.support.models` they are written out by hand; what they must answer is worked out beside them.
"""

from __future__ import annotations

from onnx import parser

from edgekit.golden import Value
from edgekit.manifest import ClassValue, Feature, Output, Tensor
from tests.support.models import Parts, pack

HEAD = '<ir_version: 8, opset_import: ["" : 17, "ai.onnx.ml" : 3]>'
_FEATURES = ("flow", "heat")
ROWS: list[list[Value]] = [[2.0, -1.0], [-1.0, 3.0], [-2.0, -2.0], [0.5, 0.25]]
TARGETS: list[list[ClassValue]] = [[False, True], [3, 5, 9]]


def make_targets_bundle(name: str = "mill", version: str = "1.0.0") -> bytes:
    """Two targets: whether `flow` is above 0 (a flag), and 3, 5 or 9 as the largest of (flow, heat, 0). Probabilities
    are 0.75 for the label, and the rest in equal parts for the others.
    """
    return pack(name, version, _targets(texts=False))


def make_text_targets_bundle(name: str = "loom", version: str = "1.0.0") -> bytes:
    """The same answers as texts: `dry` or `wet`, and `flow`, `heat` or `none`."""
    return pack(name, version, _targets(texts=True))


def make_cluster_bundle(name: str = "fleet-mode", version: str = "1.0.0") -> bytes:
    """Two clusters: 1 where `flow` is above 0; probabilities 0.75 and 0.25."""
    model = parser.parse_model(f"""{HEAD}
        clusters (float[N,2] X) => (int64[N] label, float[N,2] probabilities)
        <float zero = {{0}}, int64[1] first = {{0}}, int64[1] flat = {{-1}},
         float[2,2] shares = {{0.75, 0.25, 0.25, 0.75}}>
        {{
            flow = Gather<axis = 1>(X, first)
            above = Greater(flow, zero)
            numbers = Cast<to = 7>(above)
            label = Reshape(numbers, flat)
            probabilities = Gather<axis = 0>(shares, label)
        }}""")
    outputs = [
        Output(name="label", role="label", dtype="int64"),
        Output(name="probabilities", role="probabilities", dtype="float32", width=2),
    ]
    labels: list[Value | list[Value]] = [int(_number(row[0]) > 0) for row in ROWS]
    shares: list[Value | list[Value]] = [[0.25, 0.75] if label else [0.75, 0.25] for label in labels]
    return pack(
        name,
        version,
        Parts(
            onnx=bytes(model.SerializeToString()),
            task="clustering",
            inputs=_inputs(),
            tensors=_tensors(),
            outputs=outputs,
            rows=ROWS,
            expected={"label": labels, "probabilities": shares},
        ),
    )


def make_transformation_bundle(name: str = "scaler", version: str = "1.0.0", *, width: int = 2) -> bytes:
    """Doubles `flow` and `heat`; with a `width` of 1, their sum is all that it gives."""
    tail = "value = Mul(X, two)" if width == 2 else "value = ReduceSum<keepdims = 1>(X, row)"
    model = parser.parse_model(f"""{HEAD}
        twice (float[N,2] X) => (float[N,{width}] value)
        <float two = {{2}}, int64[1] row = {{1}}>
        {{ {tail} }}""")
    numbers = [[_number(cell) for cell in row] for row in ROWS]
    values: list[Value | list[Value]] = [[sum(row)] if width == 1 else [2 * cell for cell in row] for row in numbers]
    return pack(
        name,
        version,
        Parts(
            onnx=bytes(model.SerializeToString()),
            task="transformation",
            inputs=_inputs(),
            tensors=_tensors(),
            outputs=[Output(name="value", role="value", dtype="float32", width=width)],
            rows=ROWS,
            expected={"value": values},
        ),
    )


def labels_of(row: list[Value], *, texts: bool = False) -> list[Value]:
    """What both models of two targets must answer."""
    flow, heat = (_number(cell) for cell in row)
    places = int(flow > 0), max(range(3), key=(flow, heat, 0.0).__getitem__)
    return [classes[place] for classes, place in zip(_classes(texts=texts), places, strict=True)]


def _classes(*, texts: bool) -> list[list[ClassValue]]:
    return [["dry", "wet"], ["flow", "heat", "none"]] if texts else TARGETS


def _targets(*, texts: bool) -> Parts:
    classes = _classes(texts=texts)
    labels: list[Value | list[Value]] = [list(labels_of(row, texts=texts)) for row in ROWS]
    return Parts(
        onnx=_targets_graph(texts=texts),
        task="multioutput",
        inputs=_inputs(),
        tensors=_tensors(),
        outputs=[
            Output(name="label", role="label", dtype="string" if texts else "int64", width=2, target_classes=classes),
            Output(name="probabilities", role="probabilities", dtype="float32", width=5, target_classes=classes),
        ],
        rows=ROWS,
        expected={"label": labels, "probabilities": [shares_of(row) for row in ROWS]},
    )


def shares_of(row: list[Value]) -> list[Value]:
    """The probabilities of both targets, side by side."""
    shares: list[Value] = []
    for label, classes in zip(labels_of(row), TARGETS, strict=True):
        rest = 0.25 / (len(classes) - 1)
        shares += [0.75 if value == label else rest for value in classes]
    return shares


def _targets_graph(*, texts: bool) -> bytes:
    kind = "string" if texts else "int64"
    spell = (
        """flags = Where(wet, wet_text, dry_text)
            words = Gather<axis = 0>(names, best)"""
        if texts
        else """flags = Cast<to = 7>(wet)
            words = Gather<axis = 0>(numbers, best)"""
    )
    model = parser.parse_model(f"""{HEAD}
        several (float[N,2] X) => ({kind}[N,2] label, float[N,5] probabilities)
        <float zero = {{0}}, int64[1] first = {{0}}, float[1,1] nothing = {{0}}, int64[3] numbers = {{3, 5, 9}},
         string[3] names = {{"flow", "heat", "none"}},
         string[1,1] wet_text = {{"wet"}}, string[1,1] dry_text = {{"dry"}},
         float[2,2] shares_a = {{0.75, 0.25, 0.25, 0.75}}, int64[1] flat = {{-1}},
         float[3,3] shares_b = {{0.75, 0.125, 0.125, 0.125, 0.75, 0.125, 0.125, 0.125, 0.75}}>
        {{
            flow = Gather<axis = 1>(X, first)
            wet = Greater(flow, zero)
            none = Mul(flow, zero)
            all = Concat<axis = 1>(X, none)
            best = ArgMax<axis = 1, keepdims = 1>(all)
            {spell}
            label = Concat<axis = 1>(flags, words)
            wet_number = Cast<to = 7>(wet)
            wet_flat = Reshape(wet_number, flat)
            best_flat = Reshape(best, flat)
            a = Gather<axis = 0>(shares_a, wet_flat)
            b = Gather<axis = 0>(shares_b, best_flat)
            probabilities = Concat<axis = 1>(a, b)
        }}""")
    return bytes(model.SerializeToString())


def _inputs() -> list[Feature]:
    return [Feature(name=name, dtype="float32", range=(-2.0, 3.0)) for name in _FEATURES]


def _tensors() -> list[Tensor]:
    return [Tensor(name="X", dtype="float32", features=list(_FEATURES))]


def _number(cell: Value) -> float:
    return float(cell or 0.0)
