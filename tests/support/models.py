"""Small real models for tests: ONNX graphs written out by hand, with the answers they must give worked out in numpy.

`make_bundle` is the usual one: three numbers in, one of three integer labels out. `make_text_bundle` answers with text
labels, `make_flag_bundle` with false and true, `make_mixed_bundle` takes columns of four kinds and answers a number,
`make_fragile_bundle` fails on some rows, `make_counter_bundle` takes three kinds of features in one tensor of floats.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, helper, parser

from edgekit import bundle as bundles
from edgekit import golden as goldens
from edgekit import manifest as manifests
from edgekit import packing
from edgekit.golden import Golden, NumericBins, Reference, Value
from edgekit.manifest import Feature, FileRole, Manifest, Output, Task, Tensor

FEATURES = ("pressure", "flow", "heat")
_WEIGHTS = np.array([[1.5, -0.5, -1.0], [-0.75, 1.25, -0.5], [-1.0, -0.25, 1.75]], dtype=np.float32)
_ROWS = np.array(
    [[0.0, 0.0, 0.0], [1.0, 0.5, -0.5], [-1.0, 2.0, 0.25], [0.1, -0.3, 3.0], [2.5, 2.5, -2.5], [-4.0, 1.0, 1.0]],
    dtype=np.float32,
)
_HEAD = '<ir_version: 8, opset_import: ["" : 17, "ai.onnx.ml" : 3]>'

Labels = Sequence[int] | Sequence[str] | Sequence[bool]
Expected = dict[str, list[Value | list[Value]]]


@dataclass(frozen=True)
class Parts:
    """All that goes into a bundle, before it is packed."""

    onnx: bytes
    task: Task
    inputs: list[Feature]
    tensors: list[Tensor]
    outputs: list[Output]
    rows: list[list[Value]]
    expected: Expected
    bins: list[NumericBins] = field(default_factory=list)


def make_bundle(
    name: str = "pump",
    version: str = "1.0.0",
    *,
    shift: float = 0.0,
    padding_bytes: int = 0,
    wrong_golden: bool = False,
) -> bytes:
    """A bundle of a three-class linear model with the labels 0, 1, 2.

    `shift` moves the score of class 2, so that versions can be told apart by their answers. `padding_bytes` of noise,
    which no codec makes smaller, make the download long. With `wrong_golden` the golden rows ask for other labels.
    """
    parts = _classifier((0, 1, 2), shift, padding_bytes)
    if wrong_golden:
        lies: list[Value | list[Value]] = [(int(str(label)) + 1) % 3 for label in parts.expected["label"]]
        parts.expected["label"] = lies
    return pack(name, version, parts)


def make_text_bundle(name: str = "pump", version: str = "1.0.0") -> bytes:
    """The same model with the labels `idle`, `busy` and `worn`."""
    return pack(name, version, _classifier(("idle", "busy", "worn"), 0.0, 0))


def make_flag_bundle(name: str = "alarm", version: str = "1.0.0") -> bytes:
    """A two-class model with the labels false and true, which its graph can only spell as 0 and 1."""
    return pack(name, version, _classifier((False, True), 0.0, 0))


def make_mixed_bundle(name: str = "meter", version: str = "1.0.0") -> bytes:
    """A regression over columns of four kinds: `2·temperature + cycles + weight(mode) + 10·running`; a missing
    temperature counts as 0. `mode` is one of `eco` (1), `boost` (5) and nothing else; a missing `site` counts 100.
    """
    return pack(name, version, _mixed())


def make_fragile_bundle(name: str = "dial", version: str = "1.0.0") -> bytes:
    """A regression that looks `step` up in a table of three (10, 20, 30) and fails on any other step, as a model may
    whose rows were never checked.
    """
    model = parser.parse_model(f"""{_HEAD}
        lookup (int64[N,1] steps) => (float[N,1] value)
        <float[3] table = {{10.0, 20.0, 30.0}}>
        {{ value = Gather(table, steps) }}""")
    parts = Parts(
        onnx=bytes(model.SerializeToString()),
        task="regression",
        inputs=[Feature(name="step", dtype="int64")],
        tensors=[Tensor(name="steps", dtype="int64", features=["step"])],
        outputs=[Output(name="value", role="value", dtype="float32")],
        rows=[[0], [1], [2]],
        expected={"value": [[10.0], [20.0], [30.0]]},
    )
    return pack(name, version, parts)


def make_counter_bundle(
    name: str = "counter", version: str = "1.0.0", *, dtype: Literal["float32", "float64"] = "float32"
) -> bytes:
    """A regression that adds up `level` (a number), `count` (an integer) and `open` (a flag), which all travel in one
    tensor of floats, as the columns of a data frame do.
    """
    kind = {"float32": "float", "float64": "double"}[dtype]
    model = parser.parse_model(f"""{_HEAD}
        total ({kind}[N,3] X) => ({kind}[N,1] value)
        <int64[1] row = {{1}}>
        {{ value = ReduceSum<keepdims = 1>(X, row) }}""")
    parts = Parts(
        onnx=bytes(model.SerializeToString()),
        task="regression",
        inputs=[
            Feature(name="level", dtype=dtype),
            Feature(name="count", dtype="int64"),
            Feature(name="open", dtype="bool"),
        ],
        tensors=[Tensor(name="X", dtype=dtype, features=["level", "count", "open"])],
        outputs=[Output(name="value", role="value", dtype=dtype)],
        rows=[[0.5, 2, True], [0.5, -3, False]],
        expected={"value": [[3.5], [-2.5]]},
    )
    return pack(name, version, parts)


def probabilities(rows: NDArray[np.float32], *, shift: float = 0.0, classes: int = 3) -> NDArray[np.float64]:
    """What `make_bundle`'s model must answer for rows [n, 3]: probabilities [n, classes]."""
    scores = rows.astype(np.float64) @ _WEIGHTS[:, :classes] + _bias(shift)[:classes]
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def expand_into(content: bytes, parent: Path) -> Path:
    """Lay a bundle out as a device keeps it: `parent/<sha256>/` with manifest, model, golden rows and reference."""
    bundle = bundles.parse(content)
    folder = parent / bundle.sha256
    folder.mkdir(parents=True)
    (folder / bundles.MANIFEST_PATH).write_bytes(bundle.manifest_bytes)
    for role, file_name in packing.EXPANDED_NAMES.items():
        (folder / file_name).write_bytes(packing.expand(bundle, role))
    return folder


def pack(name: str, version: str, parts: Parts) -> bytes:
    """The bytes of the bundle."""
    golden = Golden(
        schema=goldens.GOLDEN_SCHEMA,
        features=[feature.name for feature in parts.inputs],
        rows=parts.rows,
        expected=parts.expected,
        absolute=1e-4,
        relative=1e-3,
    )
    reference = Reference(schema=goldens.REFERENCE_SCHEMA, rows=len(parts.rows), features=list(parts.bins))
    contents: Mapping[FileRole, bytes] = {
        "model": parts.onnx,
        "golden": goldens.encode(golden),
        "reference": goldens.encode(reference),
    }
    return packing.build(_manifest(name, version, parts), contents)


def _manifest(name: str, version: str, parts: Parts) -> Manifest:
    created = "2026-01-01T00:00:00.000Z"
    return Manifest(
        schema=manifests.SCHEMA,
        name=name,
        version=version,
        created=created,
        task=parts.task,
        inputs=parts.inputs,
        tensors=parts.tensors,
        outputs=parts.outputs,
        onnx=manifests.Onnx(ir_version=8, opsets={"": 17, "ai.onnx.ml": 3}),
        requires=manifests.Requires(
            onnxruntime_min="1.20.0", arch=["x86_64", "aarch64"], free_memory_bytes=1 << 20, free_disk_bytes=1 << 20
        ),
        measured=manifests.Measured(
            created=created,
            host="a test",
            load_peak_bytes=1 << 20,
            p50_us=10,
            p99_us=20,
            onnxruntime="1.20.0",
            zstd="1.5",
        ),
        parity=manifests.Parity(
            rows=len(parts.rows),
            label_changes=0,
            max_abs_difference=0.0,
            max_relative_difference=0.0,
            max_label_change=0.001,
        ),
        plan="by hand",
        files=[],
    )


# ---- the classifier ---------------------------------------------------------------------------------------------


def _bias(shift: float) -> NDArray[np.float32]:
    return np.array([0.1, 0.0, -0.2 + shift], dtype=np.float32)


def _classifier(labels: Labels, shift: float, padding_bytes: int) -> Parts:
    answers = probabilities(_ROWS, shift=shift, classes=len(labels))
    chosen: list[Value | list[Value]] = [labels[index] for index in answers.argmax(axis=1)]
    dtype: Literal["string", "int64"] = "string" if isinstance(labels[0], str) else "int64"
    classes: list[str | int | bool | float] = list(labels)
    return Parts(
        onnx=_classifier_graph(labels, shift, padding_bytes),
        task="binary" if len(labels) == 2 else "multiclass",
        inputs=[Feature(name=name, dtype="float32", range=(-4.0, 4.0)) for name in FEATURES],
        tensors=[Tensor(name="X", dtype="float32", features=list(FEATURES))],
        outputs=[
            Output(name="label", role="label", dtype=dtype, classes=classes),
            Output(name="probabilities", role="probabilities", dtype="float32", width=len(labels), classes=classes),
        ],
        rows=[[float(value) for value in row] for row in _ROWS],
        expected={"label": chosen, "probabilities": [[float(p) for p in row] for row in answers]},
        bins=[_bins(name, _ROWS[:, column]) for column, name in enumerate(FEATURES)],
    )


def _classifier_graph(labels: Labels, shift: float, padding_bytes: int) -> bytes:
    count = len(labels)
    spelled = (
        "label = ai.onnx.ml.LabelEncoder<keys_int64s = [{}], values_strings = [{}]>(index)".format(
            ", ".join(str(number) for number in range(count)), ", ".join(f'"{label}"' for label in labels)
        )
        if isinstance(labels[0], str)
        else "label = Identity(index)"
    )
    kind = "string" if isinstance(labels[0], str) else "int64"
    model = parser.parse_model(f"""{_HEAD}
        linear (float[N,3] X) => ({kind}[N] label, float[N,{count}] probabilities)
        <float[3,{count}] W = {_floats(_WEIGHTS[:, :count])}, float[{count}] B = {_floats(_bias(shift)[:count])}>
        {{
            scores = Gemm(X, W, B)
            probabilities = Softmax<axis = 1>(scores)
            index = ArgMax<axis = 1, keepdims = 0>(scores)
            {spelled}
        }}""")
    if padding_bytes:
        noise = np.random.default_rng(padding_bytes).bytes(padding_bytes)
        model.graph.initializer.append(
            helper.make_tensor("padding", TensorProto.UINT8, [padding_bytes], noise, raw=True)
        )
    return bytes(model.SerializeToString())


def _floats(values: NDArray[np.float32]) -> str:
    return "{" + ", ".join(f"{float(value):.9g}" for value in values.ravel()) + "}"


def _bins(name: str, values: NDArray[np.float32]) -> NumericBins:
    left = int((values <= 0).sum())
    return NumericBins(
        name=name,
        edges=[0.0],
        counts=[left, len(values) - left],
        missing=0,
        low=float(values.min()),
        high=float(values.max()),
    )


# ---- the regression over mixed columns ----------------------------------------------------------------------------


def _mixed() -> Parts:
    rows: list[list[Value]] = [
        [20.0, 3, "eco", True, "north"],
        [-5.5, 0, "boost", False, ""],
        [None, 7, "eco", False, None],
    ]
    answers: list[Value | list[Value]] = [[54.0], [94.0], [108.0]]
    return Parts(
        onnx=_mixed_graph(),
        task="regression",
        inputs=[
            Feature(name="temperature", dtype="float32", nullable=True, missing="nan"),
            Feature(name="cycles", dtype="int64"),
            Feature(name="mode", dtype="string", categories=["eco", "boost"], closed=True),
            Feature(name="running", dtype="bool"),
            Feature(name="site", dtype="string", nullable=True, missing="empty"),
        ],
        tensors=[
            Tensor(name="numbers", dtype="float32", features=["temperature"]),
            Tensor(name="counts", dtype="int64", features=["cycles"]),
            Tensor(name="texts", dtype="string", features=["mode", "site"]),
            Tensor(name="flags", dtype="bool", features=["running"]),
        ],
        outputs=[Output(name="value", role="value", dtype="float32")],
        rows=rows,
        expected={"value": answers},
    )


def _mixed_graph() -> bytes:
    model = parser.parse_model(f"""{_HEAD}
        mixed (float[N,1] numbers, int64[N,1] counts, string[N,2] texts, bool[N,1] flags) => (float[N,1] value)
        <float zero = {{0}}, float two = {{2}}, float ten = {{10}}, int64[1] row = {{1}}>
        {{
            absent = IsNaN(numbers)
            known = Where(absent, zero, numbers)
            heat = Mul(known, two)
            cycles = Cast<to = 1>(counts)
            weights = ai.onnx.ml.LabelEncoder<keys_strings = ["eco", "boost", ""],
                values_floats = [1.0, 5.0, 100.0], default_float = 0.0>(texts)
            weight = ReduceSum<keepdims = 1>(weights, row)
            running = Cast<to = 1>(flags)
            bonus = Mul(running, ten)
            value = Sum(heat, cycles, weight, bonus)
        }}""")
    return bytes(model.SerializeToString())
