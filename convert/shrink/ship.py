"""The choice of the form that ships: weighed anew, or the one that a record of an earlier conversion names."""

from __future__ import annotations

from dataclasses import dataclass, replace

from convert.check.panel import Panel
from convert.check.parity import Tolerance, lossy_tolerance
from convert.check.verdict import Candidate
from convert.export.candidates import Export
from convert.options import Options
from convert.pack.report import PlainExport, VariantLine
from convert.progress import Progress, Stage, Step
from convert.read.columns import Column
from convert.read.source import Source
from convert.shrink.apart import Apart
from convert.shrink.plain import make_plain
from convert.shrink.scales import Scales
from convert.shrink.variants import EXACT, make
from convert.shrink.weigh import PLAIN, calibration, make_forms, weigh_forms
from edgekit.errors import UsageFault

_LATE = "skl2onnx did not finish the plain export in time: sizes and times are not compared with it"


@dataclass(frozen=True)
class Exports:
    """The exact form, and the process that makes the plain one of a large model."""

    exact: Export
    apart: Apart | None = None


@dataclass(frozen=True)
class Choice:
    """The form to judge, and what the report tells of all that were weighed, and of what could not be."""

    candidate: Candidate
    variants: list[VariantLine]
    plain: PlainExport | None
    remarks: tuple[str, ...] = ()


def choose_form(
    source: Source, columns: tuple[Column, ...], panel: Panel, exports: Exports, options: Options, progress: Progress
) -> Choice:
    """Weigh the forms and choose one. Raises what onnxruntime raises."""
    scales = Scales(source, exports.exact, panel, _tolerance(source, panel, options), options)
    exact, forms = make_forms(scales, progress)
    # Last, because that of a large model is being made meanwhile.
    progress(Step(Stage.PLAIN))
    plain = make_plain(source, columns, panel, exports.apart, options.max_label_change)
    progress(Step(Stage.TIME))
    shrunk = weigh_forms(scales, [exact, *forms], plain)
    tolerance = scales.tolerance if shrunk.form.lossy else None
    candidate = replace(_candidate(shrunk.form.name, shrunk.made, tolerance), packed=shrunk.form.packed)
    late = plain is None and exports.apart is not None and exports.apart.late
    return Choice(candidate, shrunk.variants, shrunk.plain, (_LATE,) if late else ())


def choose_again(
    form: str, source: Source, columns: tuple[Column, ...], panel: Panel, exports: Exports, options: Options
) -> Choice:
    """The form of this name. Raises UsageFault when there is none of it for this model."""
    exact = exports.exact
    scales = Scales(source, exact, panel, _tolerance(source, panel, options), options)
    if form == EXACT:
        return Choice(Candidate(EXACT, exact), [], None)
    if form == PLAIN:
        plain = make_plain(source, columns, panel, exports.apart, options.max_label_change)
        if plain is not None and plain.made is not None:
            return Choice(_candidate(PLAIN, plain.made, None), [], None)
    content = _made_again(scales, form)
    return Choice(_candidate(form, replace(exact, content=content), scales.tolerance), [], None)


def _made_again(scales: Scales, form: str) -> bytes:
    try:
        content = make(scales.exact.content, form, calibration(scales))
    except ValueError:
        content = None
    if content is None:
        raise UsageFault(
            f"the record names the form {form!r}, which this model has not: it was made from another model; measure "
            "anew without --measured",
            reason="measured_unreadable",
        )
    return content


def _candidate(name: str, made: Export, tolerance: Tolerance | None) -> Candidate:
    """The form with its name in its plan, where it is not the exact one."""
    if name == EXACT:
        return Candidate(name, made)
    plan = made.plan if name == PLAIN else replace(made.plan, name=f"{made.plan.name}; {name}")
    return Candidate(name, replace(made, plan=plan), tolerance)


def _tolerance(source: Source, panel: Panel, options: Options) -> Tolerance:
    return lossy_tolerance(source.role, panel.rows.expected.numbers, panel.rows.tolerance, options.max_drift)
