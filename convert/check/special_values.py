"""Values of one column that models stumble over: its rim, beyond it, far away, missing, unseen and odd texts. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np

from convert.read.columns import Column

UNSEEN = "edgekit-unseen"
_NON_ASCII = "Größe-Ωμέγα-漢字"
_FAR = 1e6
_MOST_CATEGORIES = 32
_LARGE = 1e37  # a tenth of float32's largest: sums of a few such features stay finite
_BORDER = 1 << 24  # above it float32 skips whole numbers
_INT64 = 1 << 62


class Kind(StrEnum):
    """What is special about an edge row; the values are words for people.

    `RIM`: at the rim of the data, missing or unseen; `BEYOND`: one range past it; `BORDER`: whole numbers that float32
    can no longer tell apart, in a column that reaches so far; `STORED`: a training row that the model keeps;
    `THRESHOLD`: on a threshold of a tree or beside it; `TIE`: where the answer turns; `FAR`: far from all data.
    """

    RIM = "rim"
    BEYOND = "beyond"
    BORDER = "border"
    STORED = "stored row"
    THRESHOLD = "threshold"
    TIE = "tie"
    FAR = "far"


@dataclass(frozen=True)
class Special:
    """A value to put into a column, and what is special about it: `about` follows the column's name."""

    kind: Kind
    about: str
    value: Any


def special_values(column: Column) -> Iterator[Special]:
    """The special values of a column, in a fixed order."""
    if column.told:
        yield from (
            Special(Kind.RIM, f"at the category {value!r}", value) for value in _spread(column.categories or ())
        )
    if column.kind == "string":
        yield from _texts(column)
    elif column.kind == "bool":
        yield from (Special(Kind.RIM, str(value).lower(), value) for value in (False, True))
    elif column.told:
        pass  # numbers that are categories have no rim, and a model that is told of no others answers no others
    elif column.low is not None and column.high is not None:
        yield from _numbers(column, column.low, column.high)
    if column.missing:
        yield Special(Kind.RIM, "missing", np.nan)


def _spread(categories: Sequence[Any]) -> Iterator[Any]:
    """Some of many categories, evenly spread."""
    yield from categories[:: -(-len(categories) // _MOST_CATEGORIES) or 1]


def _texts(column: Column) -> Iterator[Special]:
    if column.categories is not None or column.told:
        yield Special(Kind.RIM, "of an unseen category", UNSEEN)
        yield Special(Kind.RIM, "not in ASCII", _NON_ASCII)
    else:  # free text: a tokenizer may know other letters than the data hold
        yield Special(Kind.FAR, "not in ASCII", _NON_ASCII)
    if not column.missing:  # otherwise the empty text is how a missing one reaches the graph
        yield Special(Kind.RIM if column.categories is not None else Kind.FAR, "empty", "")


def _numbers(column: Column, low: float, high: float) -> Iterator[Special]:
    whole = column.kind == "integer"
    spread = high - low or abs(high) or 1.0
    yield Special(Kind.RIM, "at its smallest", low)
    yield Special(Kind.RIM, "at its largest", high)
    if low < 0 < high:
        yield Special(Kind.RIM, "zero", 0.0)
    yield Special(Kind.BEYOND, "one range below its smallest", low - spread)
    yield Special(Kind.BEYOND, "one range above its largest", high + spread)
    reach = max(abs(low), abs(high))
    for value in (_BORDER - 1, _BORDER, _BORDER + 1) if whole else ():
        kind = Kind.BORDER if low <= value <= high else Kind.FAR
        yield Special(kind, f"at {value}, by the border of float32's whole numbers", value)
    for sign in (-1, 1):
        far = min(sign * _FAR * reach, _INT64) if whole else sign * _FAR * reach
        yield Special(Kind.FAR, f"at {far:g}, far from all data", max(far, -_INT64) if whole else far)
        if not whole:
            yield Special(Kind.FAR, f"at {sign * _LARGE:g}, near float32's limit", sign * _LARGE)
