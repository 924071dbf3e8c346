"""Judges the bytes that ship on rows that chose nothing.

An exact form that does not fit is refused, and the conversion with it. A form that rounds is only turned down: the
exact form then ships, judged on the same rows. They have so chosen nothing but whether that one rounding is allowed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from convert.check.edge_trial import EdgeAgreement, lossy_edge_rows_fit
from convert.check.gate import Gate, pass_quality
from convert.check.panel import Panel
from convert.check.parity import Agreement, Answers, Tolerance, compare, rounding_within
from convert.check.quality import measure_quality
from convert.export.candidates import Export, answer
from convert.options import Options
from convert.read.source import Source
from edgekit.manifest import File, Quality


@dataclass(frozen=True)
class Candidate:
    """A form on trial; `tolerance`: how far its numbers may move, if it rounds (None: as little as an exact form's);
    `packed`: its entry of a bundle, if it was packed already.
    """

    name: str
    made: Export
    tolerance: Tolerance | None = None
    packed: tuple[File, bytes] | None = None


@dataclass(frozen=True)
class Verdict:
    """What the rows that chose nothing said about a form, with its answers to them."""

    candidate: Candidate
    got: Answers
    got_edge: Answers
    reported: Agreement
    edge: EdgeAgreement
    quality: Quality | None


def judge(source: Source, panel: Panel, candidate: Candidate) -> Verdict:
    """Run the form on the panel's rows."""
    got, got_edge = answer(candidate.made, panel.rows.frame, panel.edge.trial.frame)
    quality = None
    if panel.target is not None:
        expected = panel.rows.expected
        quality = measure_quality(source.task, panel.target, source.classes, expected, got, source.targets)
    tolerance = candidate.tolerance or panel.rows.tolerance
    return Verdict(
        candidate=candidate,
        got=got,
        got_edge=got_edge,
        reported=compare(panel.rows.expected, got, tolerance),
        edge=panel.edge.judge(got_edge, candidate.tolerance),
        quality=quality,
    )


def turned_down(panel: Panel, verdict: Verdict, options: Options) -> str | None:
    """Why a form that rounds does not ship; None when it does."""
    found, tolerance = verdict.reported, verdict.candidate.tolerance or panel.rows.tolerance
    if not rounding_within(found, options.max_label_change, labelled=panel.rows.expected.label is not None):
        return f"{found.label_changes:,} labels change and {found.rows_off:,} numbers move of {found.rows:,} rows"
    quality = verdict.quality
    if quality is not None and quality.source - quality.converted > options.metric_drop:
        return f"{quality.metric} falls from {quality.source:.4f} to {quality.converted:.4f}"
    if not lossy_edge_rows_fit(panel.edge, verdict.got_edge, tolerance, options.max_label_change):
        return "too many answers change on edge rows"
    return None


def pass_gate(source: Source, panel: Panel, verdict: Verdict, options: Options) -> None:
    """Raise JudgedBad when an exact form does not fit the budgets."""
    gate = Gate(source, verdict.candidate.made, options.max_label_change)
    gate.pass_rows(panel.rows, verdict.got, verdict.reported)
    gate.pass_edge_rows(panel.edge, verdict.got_edge, verdict.edge)
    pass_quality(verdict.quality, options.metric_drop)


def as_shipped(panel: Panel, verdict: Verdict) -> Panel:
    """The panel whose expected answers are those that a device has to repeat: of a form that rounds its own ones, held
    to the tolerance of an exact form.
    """
    if verdict.candidate.tolerance is None:
        return panel
    rows = replace(panel.rows, expected=verdict.got)
    edge = replace(panel.edge, trial=replace(panel.edge.trial, expected=verdict.got_edge))
    return replace(panel, rows=rows, edge=edge)
