"""Answers become output tensors: those asked for, in the order asked for, as JSON or as binary data behind it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain
from typing import Any

import msgspec

from edge_agent.serve.answers import Answers
from edge_agent.serve.message import Response, answer
from edge_agent.serve.rows import RowsRefused
from edge_agent.serve.v2.datatypes import DATATYPES, OF_DTYPE, binary_form
from edge_agent.serve.v2.request import HEADER, Asked
from edgekit.manifest import Manifest, Output

BINARY = "application/octet-stream"
# Flags beside whole numbers: a tensor has one type.
_ALIKE: dict[str, Callable[[Any], object]] = {"INT64": int, "FP64": float}


def check_outputs(manifest: Manifest, asked: Asked) -> None:
    """Raises RowsRefused when an output is asked for that the model does not give."""
    known = {output.name for output in manifest.outputs}
    unknown = next((name for name in asked.outputs if name not in known), None)
    if unknown is not None:
        raise RowsRefused(f"no output is called {unknown[:60]!r}: there is {', '.join(sorted(known))}")


def shape(manifest: Manifest, asked: Asked, answers: Answers) -> Response:
    """The answer to `asked`."""
    columns = dict(zip((output.name for output in manifest.outputs), answers.columns, strict=True))
    outputs = {output.name: output for output in manifest.outputs}
    wanted = asked.outputs or dict.fromkeys(outputs, asked.binary)
    tensors: list[dict[str, object]] = []
    binary: list[bytes] = []
    for name, as_binary in wanted.items():
        output = outputs[name]
        cells = _cells(output, columns[name])
        tensor = _described(output, cells, len(columns[name]))
        if as_binary:
            binary.append(binary_form(DATATYPES[datatype_of(output)], cells))
            tensors.append({**tensor, "parameters": {"binary_data_size": len(binary[-1])}})
        else:
            tensors.append({**tensor, "data": cells})
    head: dict[str, object] = {"model_name": manifest.name, "model_version": manifest.version, "outputs": tensors}
    if asked.id is not None:
        head["id"] = asked.id
    return _with_binary(msgspec.json.encode(head), binary) if binary else answer(head)


def _with_binary(head: bytes, binary: list[bytes]) -> Response:
    return Response(200, b"".join([head, *binary]), BINARY, headers=((HEADER, str(len(head))),))


def _described(output: Output, cells: list[Any], rows: int) -> dict[str, object]:
    shape = [rows] if _is_flat(output) else [rows, len(cells) // rows]
    return {"name": output.name, "datatype": datatype_of(output), "shape": shape}


def _cells(output: Output, column: list[Any]) -> list[Any]:
    cells = column if _is_flat(output) else list(chain.from_iterable(column))
    if output.role == "label" and output.target_classes is not None:
        spell = _ALIKE.get(datatype_of(output))
        return cells if spell is None else list(map(spell, cells))
    return cells


def metadata(manifest: Manifest) -> Iterator[dict[str, object]]:
    """The outputs as the model's metadata tell them."""
    for output in manifest.outputs:
        shape = [-1] if _is_flat(output) else [-1, output.width]
        yield {"name": output.name, "datatype": datatype_of(output), "shape": shape}


def _is_flat(output: Output) -> bool:
    """A label is [rows], of several targets [rows, targets]."""
    return output.role == "label" and output.target_classes is None


def datatype_of(output: Output) -> str:
    """The datatype of what is sent, which for labels is that of the classes, however the graph spells them."""
    kinds: list[tuple[Callable[[object], bool], str]] = [
        (lambda value: isinstance(value, bool), "BOOL"),
        (lambda value: isinstance(value, str), "BYTES"),
        (lambda value: isinstance(value, int), "INT64"),
    ]
    classes = [*(output.classes or ()), *chain.from_iterable(output.target_classes or ())]
    if output.role != "label" or not classes:
        return OF_DTYPE[output.dtype].name
    return next((word for holds, word in kinds if all(holds(value) for value in classes)), "FP64")
