"""What forms are weighed against, and whether one that rounds may ship.

It has to stay within four fifths of the budget on the rows that choose, by the labels that change and by those that are
likely to (`check.margins`), so that other rows of the same kind most likely fit the whole of it; and within the whole
of it among rows that the model has not seen (`check.strangers`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from convert.check.edge_trial import lossy_edge_rows_fit
from convert.check.margins import likely_changes
from convert.check.panel import Panel
from convert.check.parity import Answers, Tolerance, compare, rounding_within
from convert.check.quality import measure_quality
from convert.check.strangers import ask_strangers
from convert.check.trial import Trial
from convert.export.candidates import Export, answer
from convert.options import Options
from convert.read.source import Source
from convert.shrink.choose import Form
from edgekit.errors import ModelFault

_MARGIN = 0.8


@dataclass(frozen=True)
class Scales:
    """What forms are weighed against: the source model's answers to the rows that may choose, and the budgets.
    `tolerance`: how far the numbers of a form that rounds may move.
    """

    source: Source
    exact: Export
    panel: Panel
    tolerance: Tolerance
    options: Options

    @cached_property
    def strangers(self) -> Trial | None:
        """None where the source model refuses them: forms that round are then not weighed."""
        try:
            return ask_strangers(self.source, self.panel.rows)
        except ModelFault:
            return None


def judge_rounding(scales: Scales, form: Form, made: Export) -> Form:
    """The form with what it changes, refused where that is too much. Raises what onnxruntime raises."""
    got, got_edge = answer(made, scales.panel.rows.frame, scales.panel.edge.trial.frame)
    judged = _judged(scales, form, got, got_edge)
    return judged if judged.refused is not None else replace(judged, refused=_strange(scales, made))


def _judged(scales: Scales, form: Form, got: Answers, got_edge: Answers) -> Form:
    found = compare(scales.panel.rows.expected, got, scales.tolerance)
    before, after = _quality(scales, got)
    budget, drop = scales.options.max_label_change, scales.options.metric_drop
    refused = None
    labelled = scales.panel.rows.expected.label is not None
    likely = likely_changes(scales.panel.rows.expected, got)
    if likely > _MARGIN * budget:
        refused = f"{likely:.3%} of the labels of such rows are likely to change"
    elif not rounding_within(found, _MARGIN * budget, labelled=labelled):
        shares = found.label_changes / found.rows, found.rows_off / found.rows
        refused = f"{shares[0]:.3%} of the labels change and {shares[1]:.3%} of the numbers move too far"
    elif before is not None and after is not None and before - after > drop:
        refused = f"the metric falls from {before:.4f} to {after:.4f}, allowed is a drop of {drop:g}"
    elif not lossy_edge_rows_fit(scales.panel.edge, got_edge, scales.tolerance, budget):
        refused = "too many answers change on edge rows"
    largest = found.max_absolute if np.isfinite(found.max_absolute) else None
    changed = found.label_changes / found.rows if labelled else float(found.bad.mean())
    return replace(form, changed=changed, max_absolute=largest, quality=after, refused=refused)


def _strange(scales: Scales, made: Export) -> str | None:
    """Why a form may not ship for what it does to rows that the model has not seen; None when it may. These keep the
    whole budget: they are not drawn from what devices will meet.
    """
    if scales.strangers is None:
        return None
    (got,) = answer(made, scales.strangers.frame)
    expected, budget = scales.strangers.expected, scales.options.max_label_change
    found, likely = compare(expected, got, scales.tolerance), likely_changes(expected, got)
    if likely <= budget and rounding_within(found, budget, labelled=expected.label is not None):
        return None
    labels, numbers = max(likely, found.label_changes / found.rows), found.rows_off / found.rows
    return f"of unseen rows {labels:.3%} of the labels change and {numbers:.3%} of the numbers move too far"


def judge_exact(scales: Scales, form: Form) -> Form:
    """The exact form with what it changes."""
    (got,) = answer(scales.exact, scales.panel.rows.frame)
    found = compare(scales.panel.rows.expected, got, scales.panel.rows.tolerance)
    largest = found.max_absolute if np.isfinite(found.max_absolute) else None
    _, after = _quality(scales, got)
    return replace(form, changed=float(found.bad.mean()), max_absolute=largest, quality=after)


def _quality(scales: Scales, got: Answers) -> tuple[float | None, float | None]:
    if scales.panel.target is None:
        return None, None
    source = scales.source
    expected = scales.panel.rows.expected
    found = measure_quality(source.task, scales.panel.target, source.classes, expected, got, source.targets)
    return (None, None) if found is None else (found.source, found.converted)
