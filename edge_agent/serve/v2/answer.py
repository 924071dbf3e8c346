"""Answers become output tensors: those asked for, in the order asked for, as JSON or as binary data behind it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain
from typing import Any

import msgspec

from edge_agent.serve.answers import Answers
from edge_agent.serve.message import Response, answer
from edge_agent.serve.rows import RowsRefused
from edge_agent.serve.v2.datatypes import DATATYPES, OF_DTYPE, Datatype, binary_form
from edge_agent.serve.v2.request import HEADER, Asked
from edgekit.manifest import Manifest, Output

BINARY = "application/octet-stream"
# Flags beside whole numbers: a tensor has one type.
_ALIKE: dict[str, Callable[[Any], object]] = {"INT64": int, "FP64": float}


@dataclass(frozen=True)
class _Form:
    """How one output is sent. `flat`: [rows], not [rows, width]; `spell` makes cells of several kinds alike."""

    place: int
    datatype: Datatype
    flat: bool
    width: int
    spell: Callable[[Any], object] | None


class Outputs:
    """Writes the output tensors of one model."""

    def __init__(self, manifest: Manifest) -> None:
        self._name, self._version = manifest.name, manifest.version
        self._forms = {output.name: _form(place, output) for place, output in enumerate(manifest.outputs)}

    def metadata(self) -> list[dict[str, object]]:
        """The outputs as the model's metadata tell them."""
        return [
            {"name": name, "datatype": form.datatype.name, "shape": [-1] if form.flat else [-1, form.width]}
            for name, form in self._forms.items()
        ]

    def check(self, asked: Asked) -> None:
        """Raises RowsRefused when an output is asked for that the model does not give."""
        unknown = next((name for name in asked.outputs if name not in self._forms), None)
        if unknown is not None:
            raise RowsRefused(f"no output is called {unknown[:60]!r}: there is {', '.join(sorted(self._forms))}")

    def shape(self, asked: Asked, answers: Answers) -> Response:
        """The answer to what was asked."""
        wanted = asked.outputs or dict.fromkeys(self._forms, asked.binary)
        tensors: list[dict[str, object]] = []
        binary: list[bytes] = []
        for name, as_binary in wanted.items():
            form = self._forms[name]
            column = answers.columns[form.place]
            cells = _cells(form, column)
            rows = len(column)
            shape = [rows] if form.flat else [rows, len(cells) // rows]
            tensor: dict[str, object] = {"name": name, "datatype": form.datatype.name, "shape": shape}
            if as_binary:
                binary.append(binary_form(form.datatype, cells))
                tensor["parameters"] = {"binary_data_size": len(binary[-1])}
            else:
                tensor["data"] = cells
            tensors.append(tensor)
        head: dict[str, object] = {"model_name": self._name, "model_version": self._version, "outputs": tensors}
        if asked.id is not None:
            head["id"] = asked.id
        return _with_binary(msgspec.json.encode(head), binary) if binary else answer(head)


def _with_binary(head: bytes, binary: list[bytes]) -> Response:
    return Response(200, b"".join([head, *binary]), BINARY, headers=((HEADER, str(len(head))),))


def _cells(form: _Form, column: list[Any]) -> list[Any]:
    if form.flat:
        return column
    cells = chain.from_iterable(column)
    return list(cells if form.spell is None else map(form.spell, cells))


def _form(place: int, output: Output) -> _Form:
    several = output.role == "label" and output.target_classes is not None
    datatype = _datatype_of(output)
    return _Form(
        place=place,
        datatype=DATATYPES[datatype],
        flat=output.role == "label" and not several,  # a label is [rows], of several targets [rows, targets]
        width=output.width,
        spell=_ALIKE.get(datatype) if several else None,
    )


def _datatype_of(output: Output) -> str:
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
