"""The columns of the rows as the trees of LightGBM and XGBoost read them: categories first, as numbers, then the rest.

A category column arrives as codes, or with the texts or numbers that a pandas column had when the model was fitted: its
codes are then their places among the categories that the model remembers. The rows may come as several lanes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.export.refusal import NotExportable
from convert.export.trees.categories import Codes
from convert.export.trees.fitted import Tree
from convert.export.trees.inputs import owners, taken
from convert.export.writer import DOUBLE, FLOAT, NUMPY, STRING, Lane, Writer

# LightGBM's kZeroThreshold.
_ZERO = float(np.float32(1e-35))


@dataclass(frozen=True)
class Columns:
    """`codes`: the columns that are split by sets. `told`: the categories of pandas columns, in the order of their
    codes; of such a column without sets the codes are compared as numbers. `whole`: makes whole numbers of codes that
    arrive as numbers. `zeros`: the columns where zero means missing, `missing`: the number that does so.
    `unnamed`: a code that no split names goes where a missing value goes.
    """

    codes: Codes
    whole: Callable[[Writer, str], str]
    told: Mapping[int, NDArray[Any]] = field(default_factory=dict)
    zeros: tuple[int, ...] = ()
    missing: float = np.nan
    unnamed: bool = False


def numbered(writer: Writer, columns: Columns, trees: list[Tree], element: int) -> tuple[str, list[Tree]]:
    """The rows in type `element`, and the trees with their features where these columns are."""
    every = range(writer.model.n_features_in_)
    used = {int(feature) for tree in trees for feature in tree.feature[tree.inner]}
    tables = [*columns.codes.known, *(one for one in columns.told if one in used and one not in columns.codes.known)]
    rest = [one for one in every if one not in tables and one not in columns.told]
    if not tables and not columns.told:
        rows = writer.cast(writer.input, element, writer.input_type)
        return _cleaned(writer, rows, rest, columns, element), trees
    tables = tables or ([] if rest else list(columns.told)[:1])
    parts = [_table(writer, columns, column, element) for column in tables]
    if rest:
        parts.append(_cleaned(writer, taken(writer, rest, element), rest, columns, element))
    places = np.zeros(len(every), dtype=np.int64)
    places[[*tables, *rest]] = np.arange(len(tables) + len(rest))
    rows = parts[0] if len(parts) == 1 else writer.node("Concat", *parts, axis=1)
    return rows, [replace(tree, feature=places[tree.feature]) for tree in trees]


def _table(writer: Writer, columns: Columns, column: int, element: int) -> str:
    """One column of categories [rows, 1]: as numbers of its sets, or as its codes where these are compared."""
    if column not in columns.codes.known:
        return _looked_up(writer, columns, column, _as_numbers(columns, column), element)
    codes = columns.codes
    missing = writer.numbers([codes.missing(column)], element)
    if column in columns.told:
        found = _looked_up(writer, columns, column, _in_sets(columns, column), element)
        return writer.node("Where", writer.node("IsNaN", found), missing, found)
    given = _cleaned(writer, taken(writer, [column], element), [column], columns, element)
    keys = codes.known[column].astype(NUMPY[element])
    found = writer.encode(columns.whole(writer, given), keys, np.arange(1, len(keys) + 1, dtype=keys.dtype))
    other = writer.numbers([codes.unknown(column)], element)
    found = writer.node("Where", writer.node("IsNaN", found), other, found)
    return writer.node("Where", writer.node("IsNaN", given), missing, found)


def _as_numbers(columns: Columns, column: int) -> NDArray[np.float64]:
    """The code of each category; NaN where it means missing."""
    numbers = np.arange(len(columns.told[column]), dtype=np.float64)
    if column in columns.zeros:
        numbers[:1] = np.nan
    return numbers


def _in_sets(columns: Columns, column: int) -> NDArray[np.float64]:
    """The number of each category among the codes of all sets; NaN where it is as good as missing."""
    known = columns.codes.known[column]
    numbers = np.arange(len(columns.told[column]))
    named = np.isin(numbers, known)
    other = np.nan if columns.unnamed else columns.codes.unknown(column)
    return np.where(named, np.searchsorted(known, numbers) + 1.0, other)


def _looked_up(writer: Writer, columns: Columns, column: int, numbers: NDArray[np.float64], element: int) -> str:
    """The number of each category; NaN for what is none of them."""
    lane, place = owners(writer)[column]
    values = columns.told[column]
    texts = values.dtype.kind == "O"
    if texts != (lane.element == STRING):
        raise NotExportable("its categories are of another kind than the column that they arrive in")
    kept = ~np.isnan(numbers)
    if texts and writer.missing:  # a missing text arrives as the empty one
        kept &= values != ""
    if not kept.any():
        raise NotExportable("a category column of it knows no category")
    given = writer.columns(lane.name, [place]) if lane.width != 1 else lane.name
    if texts:
        return writer.encode(given, values[kept], numbers[kept].astype(NUMPY[element]))
    return _number_looked_up(writer, given, lane, (values[kept], numbers[kept]), element)


def _number_looked_up(
    writer: Writer, given: str, lane: Lane, table: tuple[NDArray[Any], NDArray[np.float64]], element: int
) -> str:
    kind = FLOAT if lane.element == FLOAT else DOUBLE  # whole numbers up to 2^53 stay apart
    keys, numbers = (part.astype(NUMPY[kind]) for part in table)
    if len(np.unique(keys)) < len(keys):
        raise NotExportable("two of its categories are the same number in float32")
    return writer.cast(writer.encode(writer.cast(given, kind, lane.element), keys, numbers), element, kind)


def _cleaned(writer: Writer, rows: str, places: list[int], columns: Columns, element: int) -> str:
    """These columns with NaN for what means missing."""
    if not np.isnan(columns.missing):
        equal = writer.node("Equal", rows, writer.numbers([columns.missing], element))
        rows = writer.node("Where", equal, writer.numbers([np.nan], element), rows)
    chosen = np.isin(places, columns.zeros)[None, :]
    if not chosen.any():
        return rows
    near = writer.node("LessOrEqual", writer.node("Abs", rows), writer.numbers([_ZERO], element))
    empty = writer.node("And", near, writer.constant(chosen))
    return writer.node("Where", empty, writer.numbers([np.nan], element), rows)
