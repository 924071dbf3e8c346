"""The report of a conversion: one value, as JSON for machines and Markdown for people. Touches nothing."""

from __future__ import annotations

import math
from typing import Any

import msgspec

from convert.check.parity import Agreement
from convert.check.worst import WorstRow
from convert.export.candidates import Attempt
from edgekit.console import size
from edgekit.manifest import Manifest, Quality

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
    """`reported`: rows that chose nothing, run from the bytes that ship. `bundle_sha256` names the bundle meant."""

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


def as_markdown(report: Report) -> bytes:
    """The report for people."""
    lines = [
        f"# {report.manifest.name} {report.manifest.version}: conversion report",
        "",
        *table(("what", "value"), summary(report)),
        "",
        "## Plans tried",
        "",
        *table(("plan", "ordinary rows", "edge rows"), [_plan_row(line) for line in report.plans]),
    ]
    if report.notes:
        lines += ["", "## Remarks", "", *(f"- {note}" for note in report.notes)]
    return ("\n".join(lines) + "\n").encode()


def summary(report: Report) -> list[tuple[str, str]]:
    """The figures that people ask for first, as pairs of name and value."""
    manifest, measured = report.manifest, report.manifest.measured
    return [
        ("plan", manifest.plan),
        ("parity", f"{_words(report.reported)}, on rows that chose nothing"),
        *((line.metric, _quality(line)) for line in manifest.quality),
        ("size", f"{size(report.bundle_bytes)} bundle, {size(report.onnx_bytes)} ONNX"),
        ("memory", f"{size(measured.load_peak_bytes)} to load"),
        ("latency", f"{measured.p50_us:g} µs median, {measured.p99_us:g} µs p99, one row"),
        ("measured on", measured.host),
        ("sha256", report.bundle_sha256),
    ]


def _quality(line: Quality) -> str:
    return f"{line.source:.4f} before, {line.converted:.4f} after (on {line.rows:,} of the rows given)"


def table(head: tuple[str, ...], rows: list[Any]) -> list[str]:
    """Lines of a Markdown table."""
    lines = [head, ("---",) * len(head), *rows]
    return [
        "| " + " | ".join(str(cell).replace("|", "\\|").replace("\n", " ") for cell in line) + " |" for line in lines
    ]


def _plan_row(line: PlanOutcome) -> tuple[str, str, str]:
    if line.selection is None or line.edge is None:
        return line.plan, f"not possible: {line.fault}", ""
    return line.plan, _words(line.selection), _words(line.edge)


def _words(found: Disagreement) -> str:
    largest = "not finite" if found.max_abs_difference is None else f"{found.max_abs_difference:.2g}"
    off = f", {found.rows_off} off" if found.rows_off else ""
    return f"{found.label_changes} of {found.rows:,} labels changed{off}, largest difference {largest}"
