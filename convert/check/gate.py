"""The gate: what does not agree with its source model, or costs too much quality, raises JudgedBad here."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from convert.check.blame import blame, hint
from convert.check.edge_rows import EdgeRows
from convert.check.parity import Agreement, within
from convert.check.trial import Trial
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

    def pass_rows(self, trial: Trial, agreement: Agreement) -> None:
        """Ordinary rows must fit the budget."""
        if not within(agreement, self.budget):
            raise self._refusal(trial, agreement, f"{agreement.rows:,} rows")

    def pass_edge_rows(self, trial: Trial, agreement: Agreement, rows: EdgeRows) -> None:
        """Edge rows must fit the same budget; below a thousand of them that means none may change."""
        if not within(agreement, self.budget):
            special = rows.labels[int(np.flatnonzero(agreement.bad)[0])]
            raise self._refusal(trial, agreement, f"{agreement.rows:,} edge rows (first with {special})")

    def _refusal(self, trial: Trial, agreement: Agreement, rows: str) -> JudgedBad:
        return JudgedBad(
            f"the ONNX form of {self.source.kind} answers differently: of {rows}, {agreement.label_changes:,} change "
            f"their label and {agreement.rows_off:,} are off (by up to {agreement.max_absolute:.3g}), allowed are "
            f"{self.budget:.3%}; first to differ is {blame(self.source, self.made, trial.frame)}: "
            f"{hint(self.source)}, or allow more with --max-label-change",
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
