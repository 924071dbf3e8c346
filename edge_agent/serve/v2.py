"""The Open Inference Protocol, version 2, over REST with JSON tensors.

https://github.com/kserve/open-inference-protocol (specification/protocol/inference_rest.md). A model's inputs are the
tensors of its graph; a client may send one input per feature instead, by the feature's name. The protocol's errors are
`{"error": text}` with a 4xx status.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from itertools import chain
from typing import Any

import msgspec

from edge_agent.serve.answering import Answering
from edge_agent.serve.answers import Answers
from edge_agent.serve.inference import Predictor
from edge_agent.serve.message import Request, Response, answer
from edge_agent.serve.rows import Batch, RowsRefused
from edgekit import __version__
from edgekit.errors import MessageError, NotFound
from edgekit.manifest import Dtype, Output

_DATATYPES: dict[Dtype, str] = {
    "float32": "FP32",
    "float64": "FP64",
    "int64": "INT64",
    "bool": "BOOL",
    "string": "BYTES",
}
_INTEGERS = frozenset({"INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64"})
_FLOATS = frozenset({"FP16", "FP32", "FP64"})
_ACCEPTED: dict[Dtype, frozenset[str]] = {
    "float32": _FLOATS | _INTEGERS,
    "float64": _FLOATS | _INTEGERS,
    "int64": _INTEGERS,
    "bool": frozenset({"BOOL"}),
    "string": frozenset({"BYTES"}),
}


class InferInput(msgspec.Struct, frozen=True):
    """One input tensor of a request; `data` flattened in row-major order, or nested."""

    name: str
    shape: list[int]
    datatype: str
    data: list[Any]


class InferOutput(msgspec.Struct, frozen=True):
    """An output that the client asks for."""

    name: str


class InferRequest(msgspec.Struct, frozen=True):
    """The body of `infer`. Parameters are accepted and have no effect."""

    inputs: list[InferInput]
    outputs: list[InferOutput] = []
    id: str | None = None


_DECODER = msgspec.json.Decoder(InferRequest, float_hook=float)


class V2:
    """The protocol's endpoints over the models that are being served."""

    def __init__(self, answering: Answering) -> None:
        self._answering = answering

    def server(self, _: Request) -> Response:
        """`GET /v2`"""
        return answer({"name": "edgekit", "version": __version__, "extensions": []})

    def live(self, _: Request) -> Response:
        """`GET /v2/health/live`"""
        return answer({"live": True})

    def ready(self, _: Request) -> Response:
        """`GET /v2/health/ready`: every model that the device is meant to serve is being served."""
        models = self._answering.models
        serving = {predictor.manifest.name for predictor in models.all()}
        ready = bool(serving) and serving >= set(models.configured)
        # The specification's text says `ready` and its example `live`: both are given.
        return answer({"ready": ready, "live": ready}, 200 if ready else 503)

    def model(self, name: str, version: str | None) -> Response:
        """`GET /v2/models/{name}[/versions/{version}]`"""
        predictor = self._find(name, version)
        manifest = predictor.manifest
        return answer(
            {
                "name": manifest.name,
                "versions": [manifest.version],
                "platform": "onnxruntime_onnx",
                "inputs": [
                    {
                        "name": tensor.name,
                        "datatype": _DATATYPES[tensor.dtype],
                        "shape": [-1, len(tensor.features)],
                        "parameters": {"features": tensor.features},
                    }
                    for tensor in manifest.tensors
                ],
                "outputs": [
                    {"name": output.name, "datatype": _output_datatype(output), "shape": _shape_of(output, -1)}
                    for output in manifest.outputs
                ],
            }
        )

    def model_ready(self, name: str, version: str | None) -> Response:
        """`GET /v2/models/{name}[/versions/{version}]/ready`"""
        return answer({"name": self._find(name, version).manifest.name, "ready": True})

    def infer(self, request: Request, name: str, version: str | None) -> Response | Awaitable[Response]:
        """`POST /v2/models/{name}[/versions/{version}]/infer`"""
        exchange = _Exchange()
        return self._answering.answer(self._find(name, version), request, exchange.read, exchange.shape)

    def _find(self, name: str, version: str | None) -> Predictor:
        predictor = self._answering.find(name)
        if version not in (None, predictor.manifest.version):
            raise NotFound(
                f"version {str(version)[:64]!r} of {name} is not being served: {predictor.manifest.version} is"
            )
        return predictor


class _Exchange:
    """One `infer`: what was asked shapes what is answered."""

    def read(self, predictor: Predictor, body: bytes) -> Batch:
        try:
            self.asked = _DECODER.decode(body)
        except (ValueError, RecursionError) as error:
            raise MessageError(f"not an inference request ({error}): see /openapi.json") from error
        known = {output.name for output in predictor.manifest.outputs}
        unknown = [output.name for output in self.asked.outputs if output.name not in known]
        if unknown:
            raise RowsRefused(f"no output is called {unknown[0][:60]!r}: there is {', '.join(sorted(known))}")
        return predictor.rows.from_values(_rows(predictor, self.asked.inputs))

    def shape(self, predictor: Predictor, batch: Batch, answers: Answers) -> dict[str, object]:
        wanted = {output.name for output in self.asked.outputs}
        shaped: dict[str, object] = {
            "model_name": predictor.manifest.name,
            "model_version": predictor.manifest.version,
            "outputs": [
                _tensor(output, column, len(batch.rows))
                for output, column in zip(predictor.manifest.outputs, answers.columns, strict=True)
                if not wanted or output.name in wanted
            ],
        }
        return shaped if self.asked.id is None else {**shaped, "id": self.asked.id}


def _rows(predictor: Predictor, inputs: Sequence[InferInput]) -> list[dict[str, object]]:
    """The inputs as rows by feature name. Raises RowsRefused."""
    manifest = predictor.manifest
    takes = {feature.name: ([feature.name], feature.dtype) for feature in manifest.inputs}
    takes |= {tensor.name: (tensor.features, tensor.dtype) for tensor in manifest.tensors}
    columns: dict[str, list[object]] = {}
    for tensor in inputs:
        if tensor.name not in takes:
            raise RowsRefused(f"no input is called {tensor.name[:60]!r}: there is {', '.join(list(takes)[-20:])}")
        features, dtype = takes[tensor.name]
        if tensor.datatype not in _ACCEPTED[dtype]:
            raise RowsRefused(f"input {tensor.name!r} is {_DATATYPES[dtype]}, not {tensor.datatype[:20]!r}")
        cells = _flat(tensor, len(features))
        if not columns.keys().isdisjoint(features):
            raise RowsRefused(f"input {tensor.name!r} holds a feature that another input has given already")
        columns.update((feature, cells[place :: len(features)]) for place, feature in enumerate(features))
    counts = {len(column) for column in columns.values()}
    if len(counts) != 1:
        raise RowsRefused("the inputs must all have the same number of rows, and at least one")
    return [dict(zip(columns, cells, strict=True)) for cells in zip(*columns.values(), strict=True)]


def _flat(tensor: InferInput, width: int) -> list[object]:
    """The cells in row-major order, of a tensor [rows, width] (or [rows], of a single feature)."""
    shape, cells = tensor.shape, tensor.data
    fits = shape[1:] == [width] or (width == 1 and len(shape) == 1)
    if not fits or shape[0] < 1:
        raise RowsRefused(f"input {tensor.name!r} must have shape [rows, {width}], not {str(shape)[:60]}")
    if cells and all(isinstance(cell, list) for cell in cells):
        if any(len(cell) != width for cell in cells):
            raise RowsRefused(f"input {tensor.name!r} has a row that is not {width} long")
        cells = list(chain.from_iterable(cells))
    if len(cells) != shape[0] * width:
        raise RowsRefused(f"input {tensor.name!r} has {len(cells)} values, its shape says {shape[0] * width}")
    return cells


# Flags beside whole numbers: a tensor has one type.
_ALIKE: dict[str, Callable[[Any], object]] = {"INT64": int, "FP64": float}


def _as_is(cell: object) -> object:
    return cell


def _tensor(output: Output, column: list[Any], rows: int) -> dict[str, object]:
    flat = column if _is_flat(output) else list(chain.from_iterable(column))
    if output.role == "label" and output.target_classes is not None:
        flat = [_ALIKE.get(_output_datatype(output), _as_is)(cell) for cell in flat]
    shape = [rows] if _is_flat(output) else [rows, len(flat) // rows]
    return {"name": output.name, "datatype": _output_datatype(output), "shape": shape, "data": flat}


def _shape_of(output: Output, rows: int) -> list[int]:
    return [rows] if _is_flat(output) else [rows, output.width]


def _is_flat(output: Output) -> bool:
    """A label is [rows], of several targets [rows, targets]."""
    return output.role == "label" and output.target_classes is None


def _output_datatype(output: Output) -> str:
    """The datatype of what is sent, which for labels is that of the classes, however the graph spells them."""
    kinds: list[tuple[Callable[[object], bool], str]] = [
        (lambda value: isinstance(value, bool), "BOOL"),
        (lambda value: isinstance(value, str), "BYTES"),
        (lambda value: isinstance(value, int), "INT64"),
    ]
    classes = [*(output.classes or ()), *chain.from_iterable(output.target_classes or ())]
    if output.role != "label" or not classes:
        return _DATATYPES[output.dtype]
    return next((word for holds, word in kinds if all(holds(value) for value in classes)), "FP64")
