"""skl2onnx's own export, as anybody would make it: the yardstick for bytes and time; a candidate where it is right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import zstandard

from convert.check.edge_trial import edge_rows_fit
from convert.check.panel import Panel
from convert.check.parity import compare, within
from convert.export.candidates import Attempt, Export, answer, settle, write_model
from convert.export.plans import plans_for
from convert.pack.report import PlainExport
from convert.read.columns import Column
from convert.read.source import Source

# zstd level 19 packs about 1.4 MB in a second.
_MOST_PACKED_BYTES = 8 << 20
_LEVEL = 19


@dataclass(frozen=True)
class Plain:
    """`content`: the file as skl2onnx gives it; `made`: that graph with edgekit's names, None where it does not run;
    `right`: its answers fit the budget on the rows that choose.
    """

    content: bytes
    made: Export | None
    label_changes: int | None
    right: bool

    def line(self, b1_us: float | None) -> PlainExport:
        """Its line of the report."""
        small = len(self.content) <= _MOST_PACKED_BYTES
        packed = len(zstandard.ZstdCompressor(level=_LEVEL).compress(self.content)) if small else None
        return PlainExport(
            onnx_bytes=len(self.content), zstd_bytes=packed, b1_us=b1_us, label_changes=self.label_changes
        )


def make_plain(
    source: Source, columns: tuple[Column, ...], panel: Panel, attempts: Sequence[Attempt], budget: float
) -> Plain | None:
    """The first plan without own exporters that fits the rows; None when skl2onnx has no form for the model.

    It is not made anew where it was among the attempts.
    """
    plan = next((plan for plan in plans_for(source, columns) if not plan.own and not plan.cast), None)
    known = next((attempt for attempt in attempts if attempt.plan == plan and attempt.made is not None), None)
    if known is not None and known.made is not None and known.ordinary is not None and known.edge is not None:
        right = within(known.ordinary, budget) and edge_rows_fit(panel.edge, known.edge, budget)
        return Plain(known.made.content, known.made, known.ordinary.label_changes, right)
    if plan is None:
        return None
    try:
        model = write_model(source, plan, columns)
    except Exception:  # noqa: BLE001 - skl2onnx raises anything; then there is no yardstick
        return None
    content = model.SerializeToString()
    try:
        made = settle(model, source, plan, columns, panel.rows.frame)
        got, got_edge = answer(made, panel.rows.frame, panel.edge.trial.frame)
        found, edge = compare(panel.rows.expected, got, panel.rows.tolerance), panel.edge.judge(got_edge)
    except Exception:  # noqa: BLE001 - onnxruntime raises anything; the file's size counts all the same
        return Plain(content, None, None, right=False)
    right = within(found, budget) and edge_rows_fit(panel.edge, edge, budget)
    return Plain(content, made, found.label_changes, right)
