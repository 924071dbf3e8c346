"""The columns of the rows as HistGradientBoosting lays them out for its trees: categories first, as numbers.

The rows may come as several lanes, texts beside numbers.
"""

from __future__ import annotations

import numpy as np

from convert.export.refusal import NotExportable
from convert.export.trees.fitted import Categories
from convert.export.writer import NUMPY, STRING, Lane, Writer


def numbered(writer: Writer, categories: Categories, element: int) -> str:
    """The rows as the trees read them: each category by its number (NaN for none), then the other columns."""
    if not categories.columns:
        return writer.cast(writer.input, element, writer.input_type)
    places = owners(writer)
    parts = []
    for column, values in zip(categories.columns, categories.values, strict=True):
        lane, place = places[column]
        given = _columns(writer, lane, [place])
        texts = values.dtype.kind == "O"
        if texts != (lane.element == STRING):
            raise NotExportable("its categories are of another kind than the column that they arrive in")
        keys = values if texts else values.astype(NUMPY[element])
        numbers = np.arange(1, len(keys) + 1, dtype=NUMPY[element])
        parts.append(writer.encode(given if texts else writer.cast(given, element, lane.element), keys, numbers))
    if categories.rest:
        parts.append(taken(writer, list(categories.rest), element))
    return writer.node("Concat", *parts, axis=1)


def taken(writer: Writer, columns: list[int], element: int) -> str:
    """These columns of numbers, in ascending order, in type `element`. Raises NotExportable for texts."""
    places = owners(writer)
    parts = []
    for lane in writer.lanes:
        here = [places[column][1] for column in columns if places[column][0] is lane]
        if here and lane.element == STRING:
            raise NotExportable("a column of texts is none of its categories")
        if here:
            parts.append(writer.cast(_columns(writer, lane, here), element, lane.element))
    return parts[0] if len(parts) == 1 else writer.node("Concat", *parts, axis=1)


def owners(writer: Writer) -> list[tuple[Lane, int]]:
    """For each column its lane and its place there."""
    if len(writer.lanes) == 1:
        return [(writer.lanes[0], place) for place in range(writer.model.n_features_in_)]
    if any(lane.width is None for lane in writer.lanes):
        raise NotExportable("its categories come from a step that mixes texts and numbers")
    return [(lane, place) for lane in writer.lanes for place in range(lane.width or 0)]


def _columns(writer: Writer, lane: Lane, places: list[int]) -> str:
    return lane.name if lane.width == len(places) else writer.columns(lane.name, places)
