"""The steps from a fitted model to a bundle, in the order in which they happen.

read → ask the source model → export under each plan, chosen by parity → judge the bytes that ship on rows that chose
nothing → measure → pack → report. Nothing is written here: `Conversion` holds everything and writes when told.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from convert.check import session as sessions
from convert.check.edge_rows import EdgeRows, make_edge_rows
from convert.check.gate import Gate, pass_quality
from convert.check.measure import measure, read_measured
from convert.check.parity import Agreement, compare
from convert.check.quality import measure_quality
from convert.check.trial import Trial, ask, halves
from convert.conversion import Conversion, finish
from convert.export.candidates import Attempt, Export, answer, best, try_plans
from convert.options import Options
from convert.pack.golden import choose_golden
from convert.pack.manifest import Findings, make_manifest
from convert.pack.reference import count_reference
from convert.read.columns import Column, describe
from convert.read.model import read_model
from convert.read.rows import Rows, read_rows
from convert.read.source import Source, fit_rows, understand
from edgekit import golden as documents
from edgekit import packing
from edgekit.manifest import FileRole, Measured, Quality

_MEASURED_ROWS = 256
_NOT_OF_A_NAME = re.compile(r"[^a-z0-9]+")

__all__ = ["Conversion", "convert"]


@dataclass(frozen=True)
class Case:
    """The source model with its rows: those that choose a plan, those held out to judge it, and edge rows."""

    source: Source
    rows: Rows
    columns: tuple[Column, ...]
    everything: Trial
    selection: Trial
    held_out: Trial
    edge_rows: EdgeRows
    edge: Trial
    target: pd.Series | None
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Verdict:
    """What the held-out rows and the edge rows said about the bytes that ship."""

    reported: Agreement
    edge: Agreement
    quality: Quality | None


def convert(model: Any, data: pd.DataFrame | Path | str, options: Options) -> Conversion:
    """Convert and judge. Raises UsageFault, ModelFault or JudgedBad."""
    record = None if options.measured is None else read_measured(options.measured)
    case = prepare(model, data, options)
    attempts, made = choose(case, options)
    verdict = judge(case, made, options)
    contents = entries(case, made, verdict)
    measured = record or _measure(case, made)
    manifest = make_manifest(_findings(case, made, verdict, options, (contents, measured)))
    return finish(packing.build(manifest, contents), attempts, verdict.reported, case.notes)


def prepare(model: Any, data: pd.DataFrame | Path | str, options: Options) -> Case:
    """Read model and rows, and ask the source model everything that will be needed."""
    source = understand(read_model(model, trust_pickle=options.trust_pickle))
    rows, notes = fit_rows(source, read_rows(data, options.target))
    columns = describe(rows.frame)
    choosing, judging = halves(rows)
    everything = ask(source, rows.frame)
    selection = everything.take(choosing)
    edge_rows = make_edge_rows(source, selection.frame, columns)
    return Case(
        source=source,
        rows=rows,
        columns=columns,
        everything=everything,
        selection=selection,
        held_out=everything.take(judging),
        edge_rows=edge_rows,
        edge=ask(source, edge_rows.frame, everything.tolerance),
        target=None if rows.target is None else rows.target.iloc[judging],
        notes=source.notes + notes,
    )


def choose(case: Case, options: Options) -> tuple[list[Attempt], Export]:
    """Try the plans; the best one must pass the gate. Its content is then what the bundle's stored form expands to."""
    attempts = try_plans(case.source, case.columns, case.selection, case.edge)
    chosen, made = best(attempts)
    gate = Gate(case.source, made, options.max_label_change)
    if chosen.ordinary is not None and chosen.edge is not None:
        gate.pass_rows(case.selection, chosen.ordinary)
        gate.pass_edge_rows(case.edge, chosen.edge, case.edge_rows)
    return attempts, replace(made, content=packing.expand_entry(*packing.pack_entry("model", made.content)))


def judge(case: Case, made: Export, options: Options) -> Verdict:
    """Run the bytes that ship on rows that chose nothing."""
    gate = Gate(case.source, made, options.max_label_change)
    answers = answer(made, case.held_out.frame)
    reported = compare(case.held_out.expected, answers, case.held_out.tolerance)
    gate.pass_rows(case.held_out, reported)
    edge = compare(case.edge.expected, answer(made, case.edge.frame), case.edge.tolerance)
    gate.pass_edge_rows(case.edge, edge, case.edge_rows)
    quality = None
    if case.target is not None:
        truth = case.target.to_numpy()
        quality = measure_quality(case.source.task, truth, case.source.classes, case.held_out.expected, answers)
    pass_quality(quality, options.max_metric_drop)
    return Verdict(reported, edge, quality)


def entries(case: Case, made: Export, verdict: Verdict) -> dict[FileRole, bytes]:
    """The three entries of the bundle, expanded."""
    rows = (case.held_out, verdict.reported), (case.edge, verdict.edge)
    golden = choose_golden(case.source.role, *rows, case.source.targets)
    reference = count_reference(case.rows.frame, case.columns, case.everything.expected.label)
    return {"model": made.content, "golden": documents.encode(golden), "reference": documents.encode(reference)}


def _measure(case: Case, made: Export) -> Measured:
    return measure(made.content, sessions.feeds(made.tensors, case.held_out.frame.head(_MEASURED_ROWS)))


def _findings(
    case: Case, made: Export, verdict: Verdict, options: Options, packed: tuple[dict[FileRole, bytes], Measured]
) -> Findings:
    contents, measured = packed
    return Findings(
        name=options.name or _slug(case.source.origin),
        version=options.version,
        source=case.source,
        rows=case.rows,
        columns=case.columns,
        closed=case.edge_rows.closed,
        made=made,
        agreement=verdict.reported,
        max_label_change=options.max_label_change,
        quality=() if verdict.quality is None else (verdict.quality,),
        measured=measured,
        expanded_bytes=sum(len(content) for content in contents.values()),
    )


def _slug(origin: str) -> str:
    return _NOT_OF_A_NAME.sub("-", origin.lower()).strip("-")[:63].rstrip("-") or "model"
