"""The checks that a conversion passed, one line each: what was found and what is allowed. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from convert.pack.report import Disagreement, Report
from convert.report.words import METRICS, bytes_of, disagreed, share
from edgekit.manifest import Quality


@dataclass(frozen=True)
class Check:
    """`name` is stable, for machines; `title`, `found` and `allowed` are words for people."""

    name: str
    title: str
    holds: bool
    found: str
    allowed: str


def checks(report: Report) -> list[Check]:
    """Every check that applies to this model, the most telling first."""
    lines = [_parity("parity", "answers on held-out rows", report, report.reported)]
    if report.edge is not None and report.edge.rows:
        lines.append(_parity("edge_rows", "answers on edge rows", report, report.edge))
    drop = None if report.details is None else report.details.max_metric_drop
    lines += [_quality(line, drop) for line in report.manifest.quality]
    return [*lines, _size(report)]


def _parity(name: str, title: str, report: Report, found: Disagreement) -> Check:
    budget = report.manifest.parity.max_label_change
    allowed = budget * found.rows
    holds = found.label_changes <= allowed and found.rows_off <= allowed and found.max_abs_difference is not None
    return Check(name, title, holds, disagreed(found, report.manifest.task), f"{share(budget)} of the rows")


def _quality(line: Quality, drop: float | None) -> Check:
    metric = METRICS.get(line.metric, line.metric)
    found = f"{metric} {line.source:.4f} before, {line.converted:.4f} after, {line.rows:,} rows"
    holds = drop is None or line.source - line.converted <= drop
    return Check("quality", f"{metric} against the target", holds, found, "" if drop is None else f"a drop of {drop:g}")


def _size(report: Report) -> Check:
    found = f"{bytes_of(report.bundle_bytes)} bundle, {bytes_of(report.onnx_bytes)} ONNX"
    if report.plain is not None:
        found += f"; plain export {bytes_of(report.plain.onnx_bytes)}"
        found += "" if report.plain.zstd_bytes is None else f", {bytes_of(report.plain.zstd_bytes)} with zstd"
    return Check("size", "size", holds=True, found=found, allowed="no limit")
