"""Scalers and normalizers, in scikit-learn's order of operations, so that trees behind them see the same numbers."""

from __future__ import annotations

import numpy as np

from convert.export.refusal import NotExportable
from convert.export.steps.elementwise import clip, over
from convert.export.writer import INT64, Writer


def standardize(writer: Writer) -> None:
    """`StandardScaler`: (x - mean) / scale."""
    model, rows = writer.model, writer.rows
    if model.mean_ is not None and model.with_mean:
        rows = writer.node("Sub", rows, writer.numbers(model.mean_))
    if model.scale_ is not None and model.with_std:
        rows = writer.node("Div", rows, writer.numbers(model.scale_))
    writer.finish(0, rows)


def scale_to_range(writer: Writer) -> None:
    """`MinMaxScaler`: x * scale + min, clipped where it was told to."""
    model = writer.model
    rows = writer.node("Mul", writer.rows, writer.numbers(model.scale_))
    rows = writer.node("Add", rows, writer.numbers(model.min_))
    if model.clip:
        rows = clip(writer, rows, *model.feature_range)
    writer.finish(0, rows)


def scale_to_unit(writer: Writer) -> None:
    """`MaxAbsScaler`: x / scale."""
    rows = writer.node("Div", writer.rows, writer.numbers(writer.model.scale_))
    if getattr(writer.model, "clip", False):
        rows = clip(writer, rows, -1.0, 1.0)
    writer.finish(0, rows)


def scale_robustly(writer: Writer) -> None:
    """`RobustScaler`: (x - center) / scale."""
    model, rows = writer.model, writer.rows
    if model.with_centering:
        rows = writer.node("Sub", rows, writer.numbers(model.center_))
    if model.with_scaling:
        rows = writer.node("Div", rows, writer.numbers(model.scale_))
    writer.finish(0, rows)


def normalize(writer: Writer) -> None:
    """`Normalizer`: each row divided by its norm; a row of zeros stays."""
    writer.finish(0, normalized(writer, writer.rows, writer.model.norm))


def normalized(writer: Writer, rows: str, norm: str) -> str:
    """The rows, each divided by its `l1`, `l2` or `max` norm."""
    if norm == "max":
        length = over(writer, "ReduceMax", writer.node("Abs", rows))
    else:
        length = over(writer, {"l1": "ReduceL1", "l2": "ReduceL2"}[norm], rows)
    empty = writer.node("Equal", length, writer.numbers([0.0]))
    return writer.node("Div", rows, writer.node("Where", empty, writer.numbers([1.0]), length))


def binarize(writer: Writer) -> None:
    """`Binarizer`: 1 above the threshold, 0 otherwise."""
    above = writer.node("Greater", writer.rows, writer.numbers([writer.model.threshold]))
    writer.finish(0, writer.cast(above, writer.output_type(0)))


def center_kernel(writer: Writer) -> None:
    """`KernelCenterer`: the kernel's rows and columns moved to a mean of zero (Schölkopf et al. 1998)."""
    model = writer.model
    total = over(writer, "ReduceSum", writer.rows)
    mean = writer.node("Div", total, writer.numbers([len(model.K_fit_rows_)]))
    moved = writer.node("Sub", writer.node("Sub", writer.rows, writer.numbers(model.K_fit_rows_)), mean)
    writer.finish(0, writer.node("Add", moved, writer.numbers([model.K_fit_all_])))


def binarize_labels(writer: Writer) -> None:
    """`LabelBinarizer` for whole numbers: one column per class, one alone for two classes."""
    model = writer.model
    if model.sparse_input_ or model.y_type_ not in ("binary", "multiclass"):
        raise NotExportable(f"LabelBinarizer was fitted with {model.y_type_} labels")
    if np.asarray(model.classes_).dtype.kind not in "iu":
        raise NotExportable("LabelBinarizer was fitted with labels that are no whole numbers")
    labels = writer.cast(writer.input, INT64, writer.input_type)
    column = writer.node("Reshape", labels, writer.constant(np.array([-1, 1], dtype=np.int64)))
    classes = model.classes_[1:] if len(model.classes_) == 2 else model.classes_
    same = writer.node("Equal", column, writer.constant(np.asarray(classes, dtype=np.int64)))
    marks = (writer.numbers([label], writer.output_type(0)) for label in (model.pos_label, model.neg_label))
    writer.finish(0, writer.node("Where", same, *marks))
