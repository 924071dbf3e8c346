"""skl2onnx's own export, as anybody would make it: the yardstick for bytes and time; a candidate where it is right."""

from __future__ import annotations

from dataclasses import dataclass

import onnx
import zstandard

from convert.check.edge_trial import edge_rows_fit
from convert.check.panel import Panel
from convert.check.parity import compare, within
from convert.export.candidates import Export, answer, settle, write_model
from convert.export.plans import Plan, plain_plan
from convert.pack.report import PlainExport
from convert.read.columns import Column
from convert.read.source import Source
from convert.shrink.apart import Apart
from edgekit import wire

# zstd level 19 packs about 1.4 MB in a second.
_MOST_PACKED_BYTES = 8 << 20


@dataclass(frozen=True)
class Plain:
    """`content`: the file as skl2onnx gives it; `packed_bytes`: of its zstd-19 frame; `made`: that graph with edgekit's
    names, None where it does not run; `right`: its answers fit the budget on the rows that choose.
    """

    content: bytes
    packed_bytes: int | None
    made: Export | None
    label_changes: int | None
    right: bool

    def line(self, b1_us: float | None) -> PlainExport:
        """Its line of the report."""
        return PlainExport(
            onnx_bytes=len(self.content), zstd_bytes=self.packed_bytes, b1_us=b1_us, label_changes=self.label_changes
        )


def make_plain(
    source: Source, columns: tuple[Column, ...], panel: Panel, apart: Apart | None, budget: float
) -> Plain | None:
    """The plain export, judged; None when skl2onnx has no form for the model, or takes too long (`apart` makes large
    ones).
    """
    plan = plain_plan(source, columns)
    if plan is None:
        return None
    content = apart.content() if apart is not None and apart.begun else _written(source, plan, columns)
    if content is None:
        return None
    try:
        made = settle(onnx.load_from_string(content), source, plan, columns, panel.rows.frame)
        got, got_edge = answer(made, panel.rows.frame, panel.edge.trial.frame)
        found, edge = compare(panel.rows.expected, got, panel.rows.tolerance), panel.edge.judge(got_edge)
    except Exception:  # noqa: BLE001 - onnxruntime raises anything; the file's size counts all the same
        return Plain(content, _packed(content, apart), None, None, right=False)
    right = within(found, budget) and edge_rows_fit(panel.edge, edge, budget)
    return Plain(content, _packed(content, apart), made, found.label_changes, right)


def _written(source: Source, plan: Plan, columns: tuple[Column, ...]) -> bytes | None:
    try:
        content: bytes = write_model(source, plan, columns).SerializeToString()
    except Exception:  # noqa: BLE001 - skl2onnx raises anything; then there is no yardstick
        return None
    return content


def _packed(content: bytes, apart: Apart | None) -> int | None:
    if apart is not None and apart.begun:
        return apart.packed_bytes()
    if len(content) > _MOST_PACKED_BYTES:
        return None
    return len(zstandard.ZstdCompressor(level=wire.LEVEL).compress(content))
