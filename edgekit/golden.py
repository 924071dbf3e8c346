"""Golden rows and reference bins: the two JSON documents inside a bundle beside the model.

Golden rows are inputs with the *source* model's answers; a device runs them before it trusts a model. Reference bins
are counts of the training rows per feature; a device later counts its live rows into the same bins (raw values never
leave it).
"""

from __future__ import annotations

from typing import Literal

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


class NumericBins(msgspec.Struct, frozen=True, kw_only=True, tag="numeric", tag_field="kind", omit_defaults=True):
    """`edges`: inner bin edges, ascending; `counts`: len(edges) + 1 counts of reference rows, value ≤ edge to the left.
    `low`/`high`: smallest and largest finite value seen. `means`: per bin the mean of its rows, to about a hundredth of
    the bin's width (0 for an empty bin); none in bundles of older converters.
    """

    name: str
    edges: list[float]
    counts: list[int]
    missing: int
    low: float
    high: float
    means: list[float] = []


class CategoricalBins(msgspec.Struct, frozen=True, kw_only=True, tag="categorical", tag_field="kind"):
    """The most frequent values with their counts, and the count of all others."""

    name: str
    values: list[str | int | bool]
    counts: list[int]
    other: int
    missing: int


class LinearTerm(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one feature adds to the outputs of a linear model, beyond what it adds on average over the reference rows.

    A number x adds `weights × (x − centre) + shift` (one entry per output; no `shift`: zeros), a value of `values` the
    entry of `parts` at its place, a missing value `missing`. Anything else is not known here.
    """

    name: str
    weights: list[float] = []
    centre: float = 0.0
    shift: list[float] = []
    values: list[str | int | bool] = []
    parts: list[list[float]] = []
    missing: list[float] = []


class Linear(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A linear model taken apart: each output is `base`, its mean over the reference rows, plus one term per feature.

    `scale`: `value` and `score` are the outputs of those roles; `log_odds` has one output per class, log p of the class
    minus the mean of log p of the others (of two classes log p/(1 − p)).
    """

    scale: Literal["value", "score", "log_odds"]
    base: list[float]
    terms: list[LinearTerm]


class Reference(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Bins of every feature over the same `rows` reference rows, and how often each class was predicted (of several
    targets as `number:class`, numbers from 0). `linear`: the terms of a linear model that is not large.
    """

    schema: str
    rows: int
    features: list[NumericBins | CategoricalBins]
    predicted: dict[str, int] = {}
    linear: Linear | None = None


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
    if reference.linear is not None and not all(
        _fits(term, len(reference.linear.base)) for term in reference.linear.terms
    ):
        raise BundleError("a linear term is not as wide as the model's outputs", reason="reference_malformed")
    return reference


def _fits(term: LinearTerm, width: int) -> bool:
    optional = (term.weights, term.shift, term.missing)
    return len(term.values) == len(term.parts) and all(
        len(numbers) == width for numbers in (*term.parts, *(numbers for numbers in optional if numbers))
    )
