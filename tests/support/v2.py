"""Requests of the Open Inference Protocol written out by hand, and answers read back by the letter of the
specification, knowing nothing of the agent's own reader.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx
import numpy as np

HEADER = "Inference-Header-Content-Length"
# The datatypes that numpy reads by itself. `<u1` for flags: anything but 0 and 1 must not pass as one.
CODES = {
    "BOOL": "<u1",
    "INT8": "<i1",
    "INT16": "<i2",
    "INT32": "<i4",
    "INT64": "<i8",
    "UINT8": "<u1",
    "UINT16": "<u2",
    "UINT32": "<u4",
    "UINT64": "<u8",
    "FP16": "<f2",
    "FP32": "<f4",
    "FP64": "<f8",
}


@dataclass(frozen=True)
class Part:
    """An input tensor: its description, and its binary data if it has some."""

    described: dict[str, Any]
    raw: bytes | None = None


@dataclass(frozen=True)
class Body:
    """A body and the headers that go with it."""

    content: bytes
    headers: Mapping[str, str] = field(default_factory=lambda: {"Content-Type": "application/json"})


def part(name: str, datatype: str, shape: Sequence[int], cells: Sequence[Any], *, binary: bool) -> Part:
    """An input tensor of these cells, in row-major order."""
    described: dict[str, Any] = {"name": name, "datatype": datatype, "shape": list(shape)}
    if not binary:
        return Part({**described, "data": list(cells)})
    raw = packed(datatype, cells)
    return Part({**described, "parameters": {"binary_data_size": len(raw)}}, raw)


def packed(datatype: str, cells: Sequence[Any]) -> bytes:
    """The cells as binary data."""
    if datatype == "BYTES":
        texts = [cell if isinstance(cell, bytes) else str(cell).encode() for cell in cells]
        return b"".join(struct.pack("<I", len(text)) + text for text in texts)
    return np.array(cells, dtype=CODES[datatype]).tobytes()


def unpacked(datatype: str, raw: bytes) -> list[Any]:
    """The cells of binary data. Raises ValueError when they are not whole."""
    if datatype != "BYTES":
        cells: list[Any] = np.frombuffer(raw, dtype=CODES[datatype]).tolist()
        return [{0: False, 1: True}[cell] for cell in cells] if datatype == "BOOL" else cells
    texts = []
    while raw:
        (length,) = struct.unpack("<I", raw[:4])
        if len(raw) < 4 + length:
            raise ValueError("a text is cut short")
        texts.append(raw[4 : 4 + length].decode())
        raw = raw[4 + length :]
    return texts


def body(*parts: Part, **more: Any) -> Body:
    """The body of a request with these inputs; `more` are its other members."""
    head = json.dumps({"inputs": [one.described for one in parts], **more}).encode()
    raw = [one.raw for one in parts if one.raw is not None]
    if not raw:
        return Body(head)
    return Body(head + b"".join(raw), {"Content-Type": "application/octet-stream", HEADER: str(len(head))})


def post(client: httpx.Client, model: str, sent: Body, version: str = "") -> httpx.Response:
    """Ask for an inference."""
    path = f"/v2/models/{model}/versions/{version}/infer" if version else f"/v2/models/{model}/infer"
    return client.post(path, content=sent.content, headers=dict(sent.headers))


def tensors_of(answered: httpx.Response) -> dict[str, dict[str, Any]]:
    """The output tensors by name, each with its cells as `data`, in whichever form they came."""
    length = answered.headers.get(HEADER)
    end = len(answered.content) if length is None else int(length)
    start, tensors = end, {}
    for tensor in json.loads(answered.content[:end])["outputs"]:
        size = tensor.pop("parameters", {}).get("binary_data_size")
        if size is not None:
            assert start + size <= len(answered.content)
            tensor["data"] = unpacked(tensor["datatype"], answered.content[start : start + size])
            start += size
        tensors[tensor["name"]] = tensor
    assert start == len(answered.content)
    return tensors
