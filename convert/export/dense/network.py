"""Multi-layer perceptrons: a matrix product and an activation for each layer."""

from __future__ import annotations

from typing import Any

import numpy as np

from convert.export.affine import Reals
from convert.export.dense import answers
from convert.export.products import gemm, product
from convert.export.refusal import NotExportable
from convert.export.writer import BOOL, INT64, Writer
from convert.read.targets import read

_ACTIVATIONS = {"identity": None, "logistic": "Sigmoid", "tanh": "Tanh", "relu": "Relu", "exp": "Exp"}


def regress(writer: Writer) -> None:
    """Values [rows, targets]."""
    value = _through(writer, _layers(writer.model))
    writer.finish(0, _activate(writer, value, writer.model.out_activation_))


def classify(writer: Writer) -> None:
    """Label and probabilities of two or more classes, or of several labels that are there or not."""
    model = writer.model
    *hidden, last = _layers(model)
    if read(model):
        scores = _through(writer, [*hidden, last])
        writer.finish(0, writer.cast(answers.above_zero(writer, scores), INT64, BOOL))
        writer.finish(1, writer.node("Sigmoid", scores))
        return
    if model.out_activation_ == "softmax":
        answers.softmax(writer, _through(writer, [*hidden, last]))
    elif (pair := answers.paired(*last)) is not None:
        answers.softmax(writer, _through(writer, [*hidden, pair]))
    else:
        answers.logistic(writer, _through(writer, [*hidden, last]))


def _layers(model: Any) -> list[tuple[Reals, Reals]]:
    return [
        (np.asarray(weights, dtype=np.float64), np.asarray(offset, dtype=np.float64))
        for weights, offset in zip(model.coefs_, model.intercepts_, strict=True)
    ]


def _through(writer: Writer, layers: list[tuple[Reals, Reals]]) -> str:
    """The last layer's values before its own activation."""
    value = product(writer, *layers[0])
    for weights, offset in layers[1:]:
        value = gemm(writer, _activate(writer, value, writer.model.activation), weights, offset)
    return value


def _activate(writer: Writer, value: str, activation: str) -> str:
    if activation not in _ACTIVATIONS:
        raise NotExportable(f"its activation {activation!r} is unknown")
    kind = _ACTIVATIONS[activation]
    return value if kind is None else writer.node(kind, value)
