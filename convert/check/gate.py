"""The gate: what does not agree with its source model, or costs too much quality, raises JudgedBad here."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from convert.check.blame import blame
from convert.check.edge_trial import EdgeAgreement, EdgeTrial, first_kind_over
from convert.check.parity import Agreement, Answers, within
from convert.check.trial import Trial
from convert.check.worst import worst_row
from convert.export.candidates import Export
from convert.read.source import Source
from edgekit.errors import JudgedBad
from edgekit.manifest import Quality


@dataclass(frozen=True)
class Gate:
    """The source model, the export on trial, and the share of rows whose answers may change."""

    source: Source
    made: Export
    budget: float

    def pass_rows(self, trial: Trial, got: Answers, agreement: Agreement) -> None:
        """Ordinary rows must fit the budget."""
        if not within(agreement, self.budget):
            raise self._refusal(trial, got, agreement, f"{agreement.rows:,} rows")

    def pass_edge_rows(self, edge: EdgeTrial, got: Answers, found: EdgeAgreement) -> None:
        """Each kind of edge rows that count must fit the same budget; below a thousand of them none may change."""
        kind = first_kind_over(edge, found, self.budget)
        if kind is None:
            return
        counted = edge.trial.take(np.flatnonzero(edge.counts))
        labels = [edge.rows.labels[place] for place in np.flatnonzero(edge.counts)]
        first = labels[int(np.flatnonzero(found.counted.bad)[0])]
        rows = f"{found.counted.rows:,} edge rows (first with {first})"
        raise self._refusal(counted, got.take(np.flatnonzero(edge.counts)), found.counted, rows)

    def _refusal(self, trial: Trial, got: Answers, agreement: Agreement, rows: str) -> JudgedBad:
        return JudgedBad(
            f"the ONNX form of {self.source.kind} answers differently: of {rows}, {agreement.label_changes:,} change "
            f"their label and {agreement.rows_off:,} are off (by up to {agreement.max_absolute:.3g}), allowed are "
            f"{self.budget:.3%}; the worst is {worst_row(trial, got, agreement)}; first to differ is "
            f"{blame(self.source, self.made, trial.frame)}, or allow more with --max-label-change",
            reason="parity",
        )


def pass_quality(quality: Quality | None, allowed_drop: float) -> None:
    """The figure may not fall by more than `allowed_drop`."""
    if quality is not None and quality.source - quality.converted > allowed_drop:
        raise JudgedBad(
            f"{quality.metric} falls from {quality.source:.4f} to {quality.converted:.4f} on {quality.rows:,} held-out "
            f"rows, allowed is a drop of {allowed_drop:g}: use a simpler model, or allow more with --max-metric-drop",
            reason="quality",
        )
