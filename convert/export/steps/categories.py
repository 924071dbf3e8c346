"""Categories as numbers: every category is looked up in a table that the fitted encoder itself fills in.

Each column's table is what the encoder answers for rows that hold each category in turn, and one that it never saw:
infrequent and dropped categories, missing values and unknown ones are then all as scikit-learn has them. An encoder
that refuses unknown categories has zeros there, or NaN; the feature is marked closed and a device refuses such values.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import issparse

from convert.export.refusal import NotExportable
from convert.export.steps.elementwise import joined, marked, single_columns
from convert.export.writer import INT64, NUMPY, STRING, Lane, Writer

_UNSEEN = "edgekit-unseen"
_BATCH_ROWS = 256


@dataclass(frozen=True)
class Table:
    """`answers[i]`: what the encoder gives for category i of one column [categories + 1, width]; the last row is for an
    unknown one.
    """

    keys: NDArray[Any]
    answers: NDArray[np.float64]


def one_hot(writer: Writer) -> None:
    """`OneHotEncoder`: a column for each category that is not dropped."""
    parts = []
    for place, (lane, width) in enumerate(zip(single_columns(writer), writer.model._n_features_outs, strict=True)):
        if width == 0:
            continue
        keys, columns = _places(writer.model, place)
        parts.append(marked(writer, _number_of(writer, lane, keys, columns), width))
    if not parts:
        raise NotExportable("OneHotEncoder drops every category")
    writer.finish(0, writer.cast(joined(writer, parts), writer.output_type(0)))


def encode(writer: Writer) -> None:
    """`OrdinalEncoder` and `TargetEncoder`: one number, or one per class, for each category."""
    parts = []
    for place, lane in enumerate(single_columns(writer)):
        table = _table(writer.model, place)
        row = _number_of(writer, lane, table.keys, np.arange(len(table.answers)))
        found = writer.node("Gather", writer.numbers(table.answers), row, axis=0)
        width = table.answers.shape[1]
        parts.append(writer.node("Reshape", found, writer.constant(np.array([-1, width], dtype=np.int64))))
    writer.finish(0, writer.cast(joined(writer, parts), writer.output_type(0), writer.element))


def _places(model: Any, place: int) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """For each category and for an unknown one: its column among those of its feature, -1 for none."""
    start = sum(model._n_features_outs[:place])
    span = slice(start, start + model._n_features_outs[place])
    found = []
    for rows in _questions(model, place):
        marks = _answers(model, rows)[:, span]
        found.append(np.where(marks.any(axis=1), marks.argmax(axis=1), -1))
    if model.handle_unknown == "error":
        found.append(np.array([-1]))
    return model.categories_[place], np.concatenate(found).astype(np.int64)


def _table(model: Any, place: int) -> Table:
    count = len(model.classes_) if getattr(model, "target_type_", "") == "multiclass" else 1
    span = slice(place * count, (place + 1) * count)
    found = [_answers(model, rows)[:, span] for rows in _questions(model, place)]
    if getattr(model, "handle_unknown", "") == "error":
        found.append(np.full((1, count), np.nan))
    return Table(model.categories_[place], np.concatenate(found))


def _answers(model: Any, rows: pd.DataFrame) -> NDArray[np.float64]:
    found = model.transform(rows)
    return np.asarray(found.toarray() if issparse(found) else found, dtype=np.float64)


def _questions(model: Any, place: int) -> Iterator[pd.DataFrame]:
    """Rows with every category of this column, then an unknown one where the encoder takes that, in batches."""
    column = model.categories_[place]
    column = column.astype(object) if column.dtype.kind == "U" else column
    if getattr(model, "handle_unknown", "") != "error":
        column = np.append(column, np.array([_unknown(column)], dtype=column.dtype))
    names = getattr(model, "feature_names_in_", range(model.n_features_in_))
    for start in range(0, len(column), _BATCH_ROWS):
        part = column[start : start + _BATCH_ROWS]
        others = [np.repeat(values[:1], len(part)) for values in model.categories_]
        yield pd.DataFrame({name: part if i == place else others[i] for i, name in enumerate(names)})


def _unknown(column: NDArray[Any]) -> Any:
    if column.dtype.kind == "b":
        return column[0]  # no boolean is unknown
    if column.dtype.kind in "iuf":
        known = column[np.isfinite(column)]
        return known.max() + 1 if len(known) else 0
    if any(isinstance(value, str) for value in column):
        return _UNSEEN
    return max((value for value in column if not pd.isna(value)), default=0) + 1


def _number_of(writer: Writer, lane: Lane, keys: NDArray[Any], numbers: NDArray[np.int64]) -> str:
    """The number of each value's key [rows, 1] int64; the last number for what is no key."""
    if any(key is None for key in keys):
        raise NotExportable("an encoder has the category None: use NaN for missing values, and fit again")
    if lane.element == STRING:
        return _number_of_text(writer, lane.name, keys, numbers)
    chosen = [i for i, key in enumerate(keys) if not isinstance(key, str)]
    values = np.array([float(keys[i]) for i in chosen], dtype=NUMPY[lane.element])
    if len(np.unique(values)) < len(values):
        raise NotExportable("two of its categories are the same number in float32")
    return _looked_up(writer, lane.name, values, np.append(numbers[chosen], numbers[-1]))


def _number_of_text(writer: Writer, name: str, keys: NDArray[Any], numbers: NDArray[np.int64]) -> str:
    named = [(key if isinstance(key, str) else "", int(numbers[i])) for i, key in enumerate(keys) if _is_textual(key)]
    texts = dict(named)
    if len(texts) < len(named):
        raise NotExportable("it tells missing texts from empty ones, which a device cannot")
    words = {"keys_strings": list(texts), "values_int64s": list(texts.values()), "default_int64": int(numbers[-1])}
    return writer.node("LabelEncoder", name, domain="ai.onnx.ml", **words)


def _is_textual(key: Any) -> bool:
    """A text, or what stands for a missing one."""
    return isinstance(key, str) or pd.isna(key)


def _looked_up(writer: Writer, name: str, keys: NDArray[Any], numbers: NDArray[np.int64]) -> str:
    """Numbers as keys: compared one by one, as dictionaries of them take no NaN everywhere."""
    same = writer.node("Equal", name, writer.constant(keys[None, :]))
    if np.isnan(keys).any():
        gap = writer.node("And", writer.node("IsNaN", name), writer.constant(np.isnan(keys)[None, :]))
        same = writer.node("Or", same, gap)
    extra = writer.constant((numbers[:-1] - numbers[-1])[:, None])
    found = writer.node("MatMul", writer.cast(same, INT64), extra)
    return writer.node("Add", found, writer.constant(numbers[-1:]))
