"""The smaller forms that an exported model may take: each a name and a rewriting of the graph.

A form is made from the exact export and its name alone, so that a record of an earlier conversion rebuilds it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import onnx
from onnx import ModelProto

from convert.export import canonical
from convert.shrink import ensembles, operators, subsets, trees, weights
from convert.shrink.operators import Feeds

EXACT = "exact"
HALF, INTEGERS, GRID = "fp16 weights", "16-bit weights", "int8 grid weights"
DYNAMIC, STATIC = "dynamic int8", "static int8"
LEAF_BITS = (5, 6, 7, 8, 9, 10, 11, 12, 16)
THRESHOLDS = (63, 127, 255, 383, 511, 767, 1023)
TREE_SHARES = (25, 50, 75)
# Below this integer operators cost more than they save.
_WORTHWHILE_BYTES = 16 << 10
_PARTS = re.compile(r"(?:(\d+) % of the trees)?(?:, )?(?:(\d+) thresholds)?(?:, )?(?:(\d+)-bit leaves)?")


@dataclass(frozen=True)
class Trim:
    """How trees are made smaller: `percent` of them kept, at most `thresholds` for a feature, leaves of `bits`; None:
    as they are.
    """

    thresholds: int | None = None
    bits: int | None = None
    percent: int | None = None

    @property
    def name(self) -> str:
        """The form's name: `255 thresholds, 8-bit leaves`."""
        parts = [
            (self.percent, f"{self.percent} % of the trees"),
            (self.thresholds, f"{self.thresholds} thresholds"),
            (self.bits, f"{self.bits}-bit leaves"),
        ]
        return ", ".join(text for value, text in parts if value is not None)


def make(content: bytes, name: str, batches: Sequence[Feeds] = ()) -> bytes | None:
    """The form of this name, from the exact export; None when the model has nothing to change in that way.

    `batches`: input rows to calibrate on. Raises ValueError for an unknown name, and what onnxruntime raises.
    """
    if name == EXACT:
        return content
    model = onnx.load_from_string(content)
    made = _make(model, name, batches)
    return None if made is None else canonical.serialise(made)


def _make(model: ModelProto, name: str, batches: Sequence[Feeds]) -> ModelProto | None:
    if name in _WEIGHTS:
        return model if _WEIGHTS[name](model) else None
    if name in (DYNAMIC, STATIC):
        if weights.weight_bytes(model) < _WORTHWHILE_BYTES:
            return None
        return (
            operators.quantize_dynamically(model) if name == DYNAMIC else operators.quantize_statically(model, batches)
        )
    return model if _trim(model, parse_trim(name)) else None


_WEIGHTS: dict[str, Callable[[ModelProto], bool]] = {
    HALF: weights.halve,
    INTEGERS: weights.to_integers,
    GRID: weights.to_grid,
}


def parse_trim(name: str) -> Trim:
    """The trim of this name. Raises ValueError."""
    found = _PARTS.fullmatch(name)
    if found is None or not name:
        raise ValueError(f"there is no form called {name!r}")
    percent, thresholds, bits = (None if part is None else int(part) for part in found.groups())
    return Trim(thresholds, bits, percent)


def trim_or_none(name: str) -> Trim | None:
    """The trim of this name; None when it is the name of another kind of form."""
    try:
        return parse_trim(name)
    except ValueError:
        return None


def _trim(model: ModelProto, trim: Trim) -> bool:
    """All the wanted changes; False when one of them finds nothing to change."""
    done = (
        (trim.percent is None or subsets.keep_trees(model, trim.percent))
        and (trim.thresholds is None or trees.snap_thresholds(model, trim.thresholds))
        and (trim.bits is None or trees.round_leaves(model, trim.bits))
    )
    if done:
        trees.narrow_thresholds(model)
    return done


def weight_forms(content: bytes) -> list[str]:
    """Names of the forms with smaller weights that may apply."""
    model = onnx.load_from_string(content)
    large = weights.weight_bytes(model) > 0
    return [HALF, INTEGERS, *([GRID, DYNAMIC, STATIC] if large else [])]


def has_trees(content: bytes) -> bool:
    """True when the graph has tree operators that can be made smaller."""
    return next(ensembles.ensembles(onnx.load_from_string(content)), None) is not None
