"""The body of `infer`, taken apart: the JSON object, and behind it the binary data of the tensors that have some.

Foreign bytes are bounded by the body's limit; nothing is made ready for a shape before the data were seen to fill it.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from edge_agent.serve.rows import RowsRefused
from edgekit.errors import MessageError

HEADER = "Inference-Header-Content-Length"
_MAX_LENGTH_DIGITS = 12
# Triton's extensions that would change the answer: leaving them out in silence would be a wrong one.
_REFUSED_PARAMETERS = {
    "classification": "the classification extension is not offered: read the probabilities instead",
    "shared_memory_region": "shared memory is not offered: send and take the data in the body",
}

Dimension = Annotated[int, msgspec.Meta(ge=-(1 << 63), le=(1 << 63) - 1)]
Parameters = dict[str, Any]


class InferInput(msgspec.Struct, frozen=True):
    """One input tensor of a request; `data` flattened in row-major order, or nested."""

    name: str
    shape: list[Dimension]
    datatype: str
    parameters: Parameters = {}
    data: list[Any] | msgspec.UnsetType = msgspec.UNSET


class InferOutput(msgspec.Struct, frozen=True):
    """An output that the client asks for."""

    name: str
    parameters: Parameters = {}


class InferRequest(msgspec.Struct, frozen=True):
    """The JSON object of `infer`."""

    inputs: list[InferInput]
    outputs: list[InferOutput] = []
    id: str | None = None
    parameters: Parameters = {}


_DECODER = msgspec.json.Decoder(InferRequest, float_hook=float)


class Sent(msgspec.Struct, frozen=True):
    """An input tensor as it came: cells from JSON, or the bytes of its binary data."""

    name: str
    shape: list[int]
    datatype: str
    data: list[Any] | bytes


class Asked(msgspec.Struct, frozen=True):
    """What a client wants: the answer to `tensors`. `outputs`: name → as binary data or not; empty: all of them,
    `binary` saying how.
    """

    tensors: list[Sent]
    outputs: dict[str, bool]
    binary: bool
    id: str | None


def read(body: bytes, json_bytes: bytes | None) -> Asked:
    """Take the body apart; `json_bytes` is the header `Inference-Header-Content-Length` as it was sent. Raises
    MessageError when it is not an inference request, RowsRefused when its parts contradict each other.
    """
    end = len(body) if json_bytes is None else _json_end(json_bytes, len(body))
    try:
        request = _DECODER.decode(body[:end])
    except (ValueError, RecursionError) as error:
        raise MessageError(f"not an inference request ({error}): see /openapi.json") from error
    binary = _flag(request.parameters, "binary_data_output", default=False, whose="the request")
    return Asked(
        tensors=_tensors(request.inputs, body[end:], told=json_bytes is not None),
        outputs=_outputs(request.outputs, binary),
        binary=binary,
        id=request.id,
    )


def _json_end(header: bytes, body_bytes: int) -> int:
    text = header.strip()
    if not text.isdigit() or len(text) > _MAX_LENGTH_DIGITS:
        raise MessageError(f"the header {HEADER} must be a number of bytes")
    if (end := int(text)) > body_bytes:
        raise MessageError(f"the header {HEADER} says {end}, but the body has {body_bytes} bytes")
    if end == 0:
        raise MessageError(f"the header {HEADER} says 0: send the JSON object before the binary data")
    return end


def _tensors(inputs: list[InferInput], binary: bytes, *, told: bool) -> list[Sent]:
    tensors, start = [], 0
    for tensor in inputs:
        _refuse_parameters(tensor.parameters, f"input {tensor.name[:60]!r}")
        size = _binary_size(tensor)
        if size is None:
            assert not isinstance(tensor.data, msgspec.UnsetType)
            tensors.append(Sent(tensor.name, tensor.shape, tensor.datatype, tensor.data))
            continue
        if start + size > len(binary):
            more = "" if told else f", and the header {HEADER} is missing"
            raise RowsRefused(
                f"input {tensor.name[:60]!r} has {size} bytes of binary data, {len(binary) - start} are left{more}"
            )
        tensors.append(Sent(tensor.name, tensor.shape, tensor.datatype, binary[start : start + size]))
        start += size
    if start != len(binary):
        raise RowsRefused(f"{len(binary) - start} bytes follow the binary data of the inputs")
    return tensors


def _binary_size(tensor: InferInput) -> int | None:
    """The size of the tensor's binary data; None when its data are in the JSON object."""
    given = not isinstance(tensor.data, msgspec.UnsetType)
    size = tensor.parameters.get("binary_data_size")
    if size is None and not given:
        raise RowsRefused(f"input {tensor.name[:60]!r} has no data: send data, or binary_data_size and binary data")
    if size is None:
        return None
    if given:
        raise RowsRefused(f"input {tensor.name[:60]!r} has data and binary_data_size: send one of them")
    if type(size) is not int or size < 0:
        raise RowsRefused(f"input {tensor.name[:60]!r}: binary_data_size must be a number of bytes")
    return size


def _outputs(outputs: list[InferOutput], binary: bool) -> dict[str, bool]:
    wanted: dict[str, bool] = {}
    for output in outputs:
        whose = f"output {output.name[:60]!r}"
        _refuse_parameters(output.parameters, whose)
        if output.name in wanted:
            raise RowsRefused(f"{whose} is asked for twice")
        wanted[output.name] = _flag(output.parameters, "binary_data", default=binary, whose=whose)
    return wanted


def _refuse_parameters(parameters: Parameters, whose: str) -> None:
    for name, reason in _REFUSED_PARAMETERS.items():
        if name in parameters:
            raise RowsRefused(f"{whose}: {reason}")


def _flag(parameters: Parameters, name: str, *, default: bool, whose: str) -> bool:
    value = parameters.get(name, default)
    if not isinstance(value, bool):
        raise RowsRefused(f"{whose}: {name} must be true or false")
    return value
