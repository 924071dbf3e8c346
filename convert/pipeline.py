"""The steps from a fitted model to a bundle, in the order in which they happen.

read → ask the source model → export under each plan, chosen by parity → weigh smaller forms → judge the bytes that ship
on rows that chose nothing → measure → pack → report. Nothing is written here: `Conversion` holds everything and writes
when told.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any

from convert.check import comparisons
from convert.check import session as sessions
from convert.check.measure import measure
from convert.check.panel import Panel, empanel
from convert.check.trial import Trial, ask, halves
from convert.check.verdict import Candidate, Verdict, as_shipped, judge, pass_gate, turned_down
from convert.conversion import Conversion, Outcome, finish
from convert.export.candidates import Attempt, Export, best, try_plans
from convert.options import Options
from convert.pack.golden import choose_golden
from convert.pack.linear import take_apart
from convert.pack.manifest import Findings, make_manifest
from convert.pack.record import make_record, read_record
from convert.pack.reference import count_reference
from convert.progress import Progress, Stage, Step, quiet
from convert.read.columns import Column, describe
from convert.read.given import Given
from convert.read.model import read_model
from convert.read.rows import Rows, read_rows
from convert.read.source import Source, fit_rows, understand
from convert.report.evidence import Evidence
from convert.shrink.apart import Apart
from convert.shrink.ship import Choice, Exports, choose_again, choose_form
from convert.shrink.variants import EXACT
from edgekit import golden as documents
from edgekit import packing
from edgekit.manifest import File, FileRole, Measured

_MEASURED_ROWS = 256
_NOT_OF_A_NAME = re.compile(r"[^a-z0-9]+")

__all__ = ["Conversion", "convert"]


@dataclass(frozen=True)
class Case:
    """The source model with its rows, all of them asked, and two panels: one chooses and the other judges."""

    source: Source
    rows: Rows
    columns: tuple[Column, ...]
    everything: Trial
    choosing: Panel
    judging: Panel
    notes: tuple[str, ...]

    @property
    def closed(self) -> frozenset[str]:
        """The features that take no unseen category."""
        return self.choosing.edge.rows.closed | self.judging.edge.rows.closed

    @property
    def empties(self) -> frozenset[str]:
        """The features whose empty text means something else than a missing one."""
        return self.choosing.edge.rows.empties | self.judging.edge.rows.empties


def convert(model: Any, data: Given, options: Options, progress: Progress = quiet) -> Conversion:
    """Convert and judge. Raises UsageFault, ModelFault or JudgedBad."""
    record = None if options.measured is None else read_record(options.measured)
    with Apart() as apart:
        case = prepare(model, data, options, progress, None if record is not None else apart)
        attempts, exact = choose(case, options, progress)
        exports = Exports(exact, apart)
        if record is None:
            choice = choose_form(case.source, case.columns, case.choosing, exports, options, progress)
        else:
            choice = choose_again(record.form, case.source, case.columns, case.choosing, exports, options)
    progress(Step(Stage.JUDGE))
    verdict, remarks = ship(case, choice, exact, options)
    contents = entries(case, verdict)
    progress(Step(Stage.MEASURE))
    record = record or make_record(_measure(case, verdict), choice, verdict.candidate.name, [*choice.remarks, *remarks])
    progress(Step(Stage.PACK))
    manifest = make_manifest(_findings(case, verdict, options, contents, record.measured()))
    seen = Evidence(case.source, case.rows, case.columns, case.judging, verdict, options.metric_drop)
    outcome = Outcome(attempts, seen, record, (*case.notes, *record.remarks))
    packed = verdict.candidate.packed
    ready: dict[FileRole, tuple[File, bytes]] = {} if packed is None else {"model": packed}
    return finish(packing.build(manifest, contents, ready), outcome)


def prepare(model: Any, data: Given, options: Options, progress: Progress = quiet, apart: Apart | None = None) -> Case:
    """Read model and rows, and ask the source model everything that will be needed. `apart` begins with the plain
    export.
    """
    progress(Step(Stage.READ))
    source = understand(read_model(model, trust_pickle=options.trust_pickle))
    rows, notes = fit_rows(source, read_rows(data, options.target))
    columns = comparisons.mark(source.estimator, rows.frame, describe(rows.frame, source.known(rows.frame)))
    if apart is not None:
        apart.begin(source, columns)
    progress(Step(Stage.ASK))
    places = halves(rows)
    everything = ask(source, rows.frame)
    panels = [empanel(source, columns, everything, rows.target, picked) for picked in zip(places, (0, 1), strict=True)]
    return Case(source, rows, columns, everything, panels[0], panels[1], source.notes + notes)


def choose(case: Case, options: Options, progress: Progress = quiet) -> tuple[list[Attempt], Export]:
    """Try the plans; the best one must pass the gate. Its content is then what its stored form expands to."""
    attempts = try_plans(case.source, case.columns, case.choosing, progress)
    _, made = best(attempts)
    panel = replace(case.choosing, target=None)  # quality is judged once, on rows that chose nothing
    pass_gate(case.source, panel, judge(case.source, panel, Candidate(EXACT, made)), options)
    return attempts, made


def ship(case: Case, choice: Choice, exact: Export, options: Options) -> tuple[Verdict, list[str]]:
    """Judge the chosen form from the bytes that ship, on rows that chose nothing. One that rounds may be turned down:
    then the exact form ships, and a remark tells so.
    """
    remarks = []
    verdict = judge(case.source, case.judging, _from_wire(choice.candidate))
    why = None if choice.candidate.tolerance is None else turned_down(case.judging, verdict, options)
    if why is not None:
        remarks.append(
            f"the form {choice.candidate.name!r} was chosen and turned down by rows that chose nothing ({why})"
        )
        verdict = judge(case.source, case.judging, _from_wire(Candidate(EXACT, exact)))
    if verdict.candidate.tolerance is None:
        pass_gate(case.source, case.judging, verdict, options)
    return verdict, remarks


def _from_wire(candidate: Candidate) -> Candidate:
    """The candidate with the content that its stored form expands to."""
    packed = candidate.packed or packing.pack_entry("model", candidate.made.content)
    content = packing.expand_entry(*packed)
    return replace(candidate, made=replace(candidate.made, content=content), packed=packed)


def entries(case: Case, verdict: Verdict) -> dict[FileRole, bytes]:
    """The three entries of the bundle, expanded."""
    panel = as_shipped(case.judging, verdict)
    sure = replace(verdict.edge.counted, rows=len(panel.edge.counts), bad=verdict.edge.bad | ~panel.edge.counts)
    golden = choose_golden(
        case.source.role, (panel.rows, verdict.reported), (panel.edge.trial, sure), case.source.targets
    )
    linear = take_apart(case.source, case.everything, case.columns)
    reference = count_reference(case.rows.frame, case.columns, case.everything.expected.label, linear)
    content = verdict.candidate.made.content
    return {"model": content, "golden": documents.encode(golden), "reference": documents.encode(reference)}


def _measure(case: Case, verdict: Verdict) -> Measured:
    made = verdict.candidate.made
    return measure(made.content, sessions.feeds(made.tensors, case.judging.rows.frame.head(_MEASURED_ROWS)))


def _findings(
    case: Case, verdict: Verdict, options: Options, contents: dict[FileRole, bytes], measured: Measured
) -> Findings:
    return Findings(
        name=options.name or _slug(case.source.origin),
        version=options.version,
        source=case.source,
        rows=case.rows,
        columns=case.columns,
        closed=case.closed,
        empties=case.empties,
        made=verdict.candidate.made,
        agreement=verdict.reported,
        max_label_change=options.max_label_change,
        quality=() if verdict.quality is None else (verdict.quality,),
        measured=measured,
        expanded_bytes=sum(len(content) for content in contents.values()),
    )


def _slug(origin: str) -> str:
    return _NOT_OF_A_NAME.sub("-", origin.lower()).strip("-")[:63].rstrip("-") or "model"
