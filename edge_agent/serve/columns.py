"""One column of a model's input: which values a client may send for it, and what to say about the others.

Types are strict. A JSON integer is welcome where a float is asked for; nothing else is converted, so that a text "5"
or a flag never becomes a number by accident.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec

from edgekit.errors import BundleError
from edgekit.manifest import Dtype, Feature, Manifest, Tensor

Cell = float | int | str | bool

_GOT_CHARS = 60
_FLOAT32_MAX = 3.4028234663852886e38
_FLOAT64_MAX = 1.7976931348623157e308
_INT64_MIN, _INT64_MAX = -(1 << 63), (1 << 63) - 1
# Which features may travel in a tensor of which dtype: what struct and numpy convert without a change of sense.
_NUMBERS: frozenset[Dtype] = frozenset({"float32", "float64", "int64", "bool"})
_CARRIES: dict[Dtype, frozenset[Dtype]] = {
    "float32": _NUMBERS,
    "float64": _NUMBERS,
    "int64": frozenset({"int64", "bool"}),
    "bool": frozenset({"bool"}),
    "string": frozenset({"string"}),
}


_PLAIN_TYPES: dict[Dtype, type] = {"float32": float, "float64": float, "int64": int, "bool": bool}


class FeatureProblem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One thing wrong with one feature. `problem` is one of `missing`, `unknown`, `null`, `wrong_type`, `not_finite`,
    `out_of_range`, `unknown_category`, `empty`, `wrong_length`, `duplicate`. `row`: position from 0, when several rows
    were sent.
    """

    feature: str
    problem: str
    expected: str
    got: str
    row: int | None = None


@dataclass(frozen=True)
class Column:
    """A feature as the model takes it. `fill` stands in for a missing value (None: it must not be missing), `allowed`
    holds the only values that are let through (None: all), `largest` bounds floats.
    """

    feature: Feature
    fill: Cell | None
    allowed: frozenset[Cell] | None
    largest: float

    @property
    def expected(self) -> str:
        """What a client should have sent, in words."""
        kind = {"float32": "a number", "float64": "a number", "int64": "an integer", "bool": "true or false"}
        words = kind.get(self.feature.dtype, "a text that is not empty" if self.feature.refuses_empty else "text")
        if self.allowed is not None:
            words = "one of " + ", ".join(sorted(map(str, self.allowed)))
        return shorten(words if self.fill is None else words + ", or null")

    def json_type(self) -> Any:
        """The type by which msgspec decodes this column as strictly as `read` does, categories apart."""
        kinds: dict[Dtype, Any] = {
            "float32": Annotated[float, msgspec.Meta(ge=-self.largest, le=self.largest)],
            "float64": Annotated[float, msgspec.Meta(ge=-self.largest, le=self.largest)],
            "int64": Annotated[int, msgspec.Meta(ge=_INT64_MIN, le=_INT64_MAX)],
            "bool": bool,
            "string": str,
        }
        kind = kinds[self.feature.dtype]
        return kind if self.fill is None else kind | None

    def read(self, value: object) -> Cell | FeatureProblem:
        """The cell for `value` (None and NaN: missing), or what is wrong with it."""
        if value is None or (isinstance(value, float) and math.isnan(value)):
            return self.fill if self.fill is not None else self.problem("null", value)
        cell = _READERS[self.feature.dtype](value)
        if cell is None:
            return self.problem("wrong_type", value)
        if isinstance(cell, float) and math.isinf(cell):
            return self.problem("not_finite", value)
        if not isinstance(cell, str) and not self._smallest <= cell <= self.largest:
            return self.problem("out_of_range", value)
        return self._read_known(cell)

    @property
    def _smallest(self) -> float:
        return _INT64_MIN if self.feature.dtype == "int64" else -self.largest

    def takes_all(self, values: Sequence[Any]) -> bool:
        """True when `read` would give back each of these numbers or flags as it is; False when it may not."""
        kind = _PLAIN_TYPES.get(self.feature.dtype)
        if self.allowed is not None or not values or set(map(type, values)) != {kind}:
            return False
        if kind is float and not math.isfinite(sum(values)):
            return False
        return kind is bool or (self._smallest <= min(values) and max(values) <= self.largest)

    def _read_known(self, cell: Cell) -> Cell | FeatureProblem:
        if self.allowed is not None and cell not in self.allowed:
            return self.problem("unknown_category", cell)
        return self.problem("empty", cell) if cell == "" and self.feature.refuses_empty else cell

    def absent(self) -> Cell | FeatureProblem:
        """The cell for a feature that was not sent at all."""
        if self.fill is not None:
            return self.fill
        return FeatureProblem(feature=self.feature.name, problem="missing", expected=self.expected, got="nothing")

    def problem(self, word: str, value: object) -> FeatureProblem:
        """What is wrong, with the value as the client would recognise it."""
        return FeatureProblem(feature=self.feature.name, problem=word, expected=self.expected, got=spell(value))


def columns_of(manifest: Manifest) -> list[Column]:
    """The columns in packing order: the features of the first tensor, then those of the second, and so on. Raises
    BundleError when a tensor cannot carry one of its features.
    """
    features = {feature.name: feature for feature in manifest.inputs}
    return [_column(features[name], tensor) for tensor in manifest.tensors for name in tensor.features]


def _column(feature: Feature, tensor: Tensor) -> Column:
    if feature.dtype not in _CARRIES[tensor.dtype]:
        raise BundleError(
            f"feature {feature.name!r} ({feature.dtype}) cannot travel in tensor {tensor.name!r} ({tensor.dtype}): "
            "make the bundle again",
            reason="manifest_malformed",
        )
    closed = feature.closed and feature.categories is not None
    return Column(
        feature=feature,
        fill=_fill(feature, tensor),
        allowed=frozenset(feature.categories or ()) if closed else None,
        largest=_largest(feature.dtype, tensor.dtype),
    )


def _fill(feature: Feature, tensor: Tensor) -> Cell | None:
    if not feature.nullable or feature.missing == "error":
        return None
    fits = tensor.dtype == "string" if feature.missing == "empty" else tensor.dtype in ("float32", "float64")
    if not fits:
        raise BundleError(
            f"a missing {feature.name!r} cannot become {feature.missing!r} in a tensor of {tensor.dtype}: "
            "make the bundle again",
            reason="manifest_malformed",
        )
    return "" if feature.missing == "empty" else math.nan


def _largest(feature: Dtype, tensor: Dtype) -> float:
    if feature == "int64":
        return _INT64_MAX
    return _FLOAT32_MAX if "float32" in (feature, tensor) else _FLOAT64_MAX


def _read_float(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value)
    except OverflowError:
        return math.inf


def _read_int(value: object) -> int | None:
    return int(value) if isinstance(value, int) and not isinstance(value, bool) else None


def _read_bool(value: object) -> bool | None:
    return value if isinstance(value, bool) else None


def _read_text(value: object) -> str | None:
    # A lone surrogate has no UTF-8 form, and the model runtime takes UTF-8.
    return str(value) if isinstance(value, str) and not any("\ud800" <= char <= "\udfff" for char in value) else None


_READERS = {
    "float32": _read_float,
    "float64": _read_float,
    "int64": _read_int,
    "bool": _read_bool,
    "string": _read_text,
}


def spell(value: object) -> str:
    """A value as a JSON client would recognise it, cut short."""
    words = {None: "null", True: "true", False: "false"}
    if value is None or isinstance(value, bool):
        return words[value]
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list | tuple):
        return f"a list of {len(value)}"
    try:
        return shorten(json.dumps(value, ensure_ascii=False) if isinstance(value, str) else repr(value))
    except ValueError:  # an integer of more digits than Python spells out
        return "a very long integer"


def shorten(text: str, limit: int = _GOT_CHARS) -> str:
    """`text`, or its beginning with an ellipsis."""
    return text if len(text) <= limit else text[: limit - 1] + "…"
