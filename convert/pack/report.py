"""The report of a conversion as one value, and as JSON. Pages for people are made from it in `convert/report`. Pure."""

from __future__ import annotations

import math

import msgspec

from convert.check.parity import Agreement
from convert.check.worst import WorstRow
from convert.export.candidates import Attempt
from convert.report.details import Details
from edgekit.manifest import Manifest

SCHEMA = "edgekit.report/1"


class Disagreement(msgspec.Struct, frozen=True, kw_only=True):
    """How an ONNX form agreed on one set of rows. Differences that are not finite are null."""

    rows: int
    label_changes: int
    rows_off: int
    max_abs_difference: float | None
    max_relative_difference: float | None


class PlanOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one plan: a fault, or its agreement on the rows that chose and on the edge rows."""

    plan: str
    fault: str | None
    selection: Disagreement | None
    edge: Disagreement | None


class VariantLine(msgspec.Struct, frozen=True, kw_only=True):
    """One form of the model that was weighed. `lossy`: it rounds; `wire_bytes`: as it travels, None where it was
    refused before it was worth packing; `b1_us`, `b32_us`: CPU microseconds of one call with 1 and 32 rows;
    `label_change`: share of the selection rows whose answer changes; `quality`: the metric on them; `refused`: why it
    may not be chosen (over a budget, or it does not run), None otherwise.
    """

    name: str
    lossy: bool = False
    onnx_bytes: int
    wire_bytes: int | None
    load_peak_bytes: int | None
    b1_us: float | None
    b32_us: float | None
    label_change: float | None
    max_abs_difference: float | None
    quality: float | None
    pareto: bool
    chosen: bool
    refused: str | None


class PlainExport(msgspec.Struct, frozen=True, kw_only=True):
    """What skl2onnx alone makes of the model: the yardstick. `zstd_bytes`: that file under zstd level 19, None for a
    large one (packing 40 MB takes half a minute); `label_changes`: of the selection rows, None where it does not run.
    """

    onnx_bytes: int
    zstd_bytes: int | None
    b1_us: float | None
    label_changes: int | None


class EdgeKind(msgspec.Struct, frozen=True, kw_only=True):
    """Edge rows of one kind among those that judged: how many there are, how many of them count towards the budget, and
    how many differ (whether they count or not).
    """

    kind: str
    rows: int
    counting: int
    differ: int


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """`reported`: rows that chose nothing, run from the bytes that ship; `edge`: edge rows that count, likewise.
    `bundle_sha256` names the bundle meant. `worst` and `worst_edge` hold rows of the user's data: they belong in the
    report folder alone.
    """

    schema: str
    bundle_sha256: str
    bundle_bytes: int
    onnx_bytes: int
    manifest: Manifest
    reported: Disagreement
    plans: list[PlanOutcome]
    notes: list[str]
    variants: list[VariantLine] = []
    plain: PlainExport | None = None
    worst: list[WorstRow] = []
    worst_edge: list[WorstRow] = []
    edge_kinds: list[EdgeKind] = []
    edge: Disagreement | None = None
    details: Details | None = None


def disagreement(agreement: Agreement) -> Disagreement:
    """The figures of a comparison, fit for JSON."""
    return Disagreement(
        rows=agreement.rows,
        label_changes=agreement.label_changes,
        rows_off=agreement.rows_off,
        max_abs_difference=_finite(agreement.max_absolute),
        max_relative_difference=_finite(agreement.max_relative),
    )


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def outcome(attempt: Attempt) -> PlanOutcome:
    """One line of the report for a plan that was tried."""
    return PlanOutcome(
        plan=attempt.plan.name,
        fault=attempt.fault,
        selection=None if attempt.ordinary is None else disagreement(attempt.ordinary),
        edge=None if attempt.edge is None else disagreement(attempt.edge.counted),
    )


def as_json(report: Report) -> bytes:
    """Indented JSON with sorted keys."""
    return msgspec.json.format(msgspec.json.encode(report, order="sorted"), indent=2) + b"\n"
