"""What a conversion saw, and its reduction to the figures of a report. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from convert.check.classes import class_places
from convert.check.panel import Panel
from convert.check.verdict import Verdict
from convert.read.columns import Column
from convert.read.rows import Rows
from convert.read.source import Source
from convert.report.confusion import confuse
from convert.report.details import Calibration, Confusion, Details, Residuals, StepLine
from convert.report.features import describe_features
from convert.report.reliability import calibrate
from convert.report.residuals import residuals


@dataclass(frozen=True)
class Evidence:
    """`panel`: the rows that judged, with the source model's answers; `verdict`: what the bytes that ship answered to
    them; `max_metric_drop`: how far the metric was allowed to fall.
    """

    source: Source
    rows: Rows
    columns: tuple[Column, ...]
    panel: Panel
    verdict: Verdict
    max_metric_drop: float


def examine(seen: Evidence) -> Details:
    """Everything that a report tells beside parity."""
    return Details(
        rows=len(seen.rows.frame),
        selection_rows=len(seen.rows.frame) - len(seen.panel.rows.frame),
        edge_rows=len(seen.panel.edge.trial.frame),
        max_metric_drop=seen.max_metric_drop,
        steps=_steps(seen.source.estimator),
        features=describe_features(seen.rows.frame, seen.columns),
        calibration=_calibration(seen),
        confusion=_confusion(seen),
        residuals=_residuals(seen),
    )


def _steps(estimator: Any) -> list[StepLine]:
    named = getattr(estimator, "steps", [("", estimator)])
    return [
        StepLine(name=str(name), kind=step if isinstance(step, str) else type(step).__name__) for name, step in named
    ]


def _calibration(seen: Evidence) -> Calibration | None:
    before, after, target = seen.panel.rows.expected.numbers, seen.verdict.got.numbers, seen.panel.target
    if target is None or seen.source.targets or seen.source.role != "probabilities" or before is None or after is None:
        return None
    if before.shape != after.shape or before.shape[1] != len(seen.source.classes):
        return None
    truth = class_places(target, seen.source.classes)
    return calibrate(truth, before, after, tuple(str(value) for value in seen.source.classes))


def _confusion(seen: Evidence) -> Confusion | None:
    before, after, target = seen.panel.rows.expected.label, seen.verdict.got.label, seen.panel.target
    if before is None or after is None or seen.source.targets:
        return None
    classes = seen.source.classes or tuple(np.unique(before).tolist())
    truth = class_places(target, classes) if target is not None and seen.source.classes else None
    return confuse(truth, class_places(before, classes), class_places(after, classes), classes)


def _residuals(seen: Evidence) -> Residuals | None:
    before, after, target = seen.panel.rows.expected.numbers, seen.verdict.got.numbers, seen.panel.target
    if seen.source.task != "regression" or target is None or before is None or after is None:
        return None
    if target.dtype.kind not in "fiub" or before.shape[1] != 1:
        return None
    return residuals(target.astype(np.float64), before[:, 0], after[:, 0])
