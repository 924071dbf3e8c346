"""Golden rows and reference bins: the two JSON documents inside a bundle beside the model.

Golden rows are inputs with the *source* model's answers; a device runs them before it trusts a model. Reference bins
are counts of the training rows per feature; a device later counts its live rows into the same bins (raw values never
leave it).
"""

from __future__ import annotations

import msgspec

from edgekit.errors import BundleError

GOLDEN_SCHEMA = "edgekit.golden/1"
REFERENCE_SCHEMA = "edgekit.reference/1"

Value = float | int | str | bool | None


class Golden(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`rows`: one list per row, values in the order of `features`. `expected`: per output *role*, one entry per row:
    a scalar for `label` (a list over the targets, where there are several), a list for `probabilities`, `value` and
    `score`. A device may be off by `absolute + relative ×
    |expected|`; labels must be equal.
    """

    schema: str
    features: list[str]
    rows: list[list[Value]]
    expected: dict[str, list[Value | list[Value]]]
    absolute: float
    relative: float


class NumericBins(msgspec.Struct, frozen=True, kw_only=True, tag="numeric", tag_field="kind"):
    """`edges`: inner bin edges, ascending; `counts`: len(edges) + 1 counts of reference rows, value ≤ edge to the left.
    `low`/`high`: smallest and largest finite value seen.
    """

    name: str
    edges: list[float]
    counts: list[int]
    missing: int
    low: float
    high: float


class CategoricalBins(msgspec.Struct, frozen=True, kw_only=True, tag="categorical", tag_field="kind"):
    """The most frequent values with their counts, and the count of all others."""

    name: str
    values: list[str | int | bool]
    counts: list[int]
    other: int
    missing: int


class Reference(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Bins of every feature over the same `rows` reference rows, and how often each class was predicted (of several
    targets as `number:class`, numbers from 0).
    """

    schema: str
    rows: int
    features: list[NumericBins | CategoricalBins]
    predicted: dict[str, int] = {}


_ENCODER = msgspec.json.Encoder(order="sorted")
_GOLDEN = msgspec.json.Decoder(Golden)
_REFERENCE = msgspec.json.Decoder(Reference)


def encode(document: Golden | Reference) -> bytes:
    """Canonical JSON. NaN cannot be written: a missing value is null."""
    return _ENCODER.encode(document)


def decode_golden(content: bytes) -> Golden:
    """Parse golden rows. Raises BundleError."""
    try:
        golden = _GOLDEN.decode(content)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BundleError(f"golden rows are not readable ({error})", reason="golden_malformed") from error
    widths = {len(row) for row in golden.rows}
    if golden.schema != GOLDEN_SCHEMA or not golden.rows or widths != {len(golden.features)}:
        raise BundleError("golden rows are empty, ragged or of another schema", reason="golden_malformed")
    if not golden.expected or any(len(answers) != len(golden.rows) for answers in golden.expected.values()):
        raise BundleError("golden rows and their expected answers differ in number", reason="golden_malformed")
    return golden


def decode_reference(content: bytes) -> Reference:
    """Parse reference bins. Raises BundleError."""
    try:
        reference = _REFERENCE.decode(content)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BundleError(f"reference bins are not readable ({error})", reason="reference_malformed") from error
    if reference.schema != REFERENCE_SCHEMA:
        raise BundleError(f"reference bins have schema {reference.schema[:60]!r}", reason="reference_malformed")
    return reference
