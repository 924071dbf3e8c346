"""Whole models beside the plain export of the same model: bytes on disk and on the air, loading, one row, answers.

A form's bundle is judged by `judge` on rows that the converter never saw. Bytes on the air are those of the model's
wire form against zstd-19 of the plain export; the whole bundle, with golden rows and reference bins, is told beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import zstandard
from onnx import TensorProto, helper

from benchmarks.converting import loading, plain
from benchmarks.converting.cases import Fitted
from benchmarks.converting.judge import feed, judge_bundle, open_session
from benchmarks.converting.sets import Set
from benchmarks.measurement import Row, below
from convert import convert
from edgekit import bundle as bundles
from edgekit import packing

EXACT: Mapping[str, Any] = {"max_label_change": 0.0}
_UNSEEN = 4000
_PEER, _PACKED = "the plain export", "zstd-19 of the plain export"


@dataclass(frozen=True)
class Goals:
    """Upper bounds for ratios against the plain export (None: the figure is only told), and for the share of labels
    that change.
    """

    disk: float | None = None
    wire: float | None = None
    load_time: float | None = None
    load_memory: float | None = None
    one_row: float | None = 1.2
    changed: float = 0.0


@dataclass(frozen=True)
class Form:
    """A model of a family on a set. `converted`: the converter's options. `peer`: the converter's options of the plain
    export, its best for this family. `loads`: loading is measured too.
    """

    name: str
    make: Callable[[], Any]
    rows: Callable[[], Set]
    goals: Goals
    converted: Mapping[str, Any] = field(default_factory=lambda: EXACT)
    peer: Mapping[str, Any] = field(default_factory=dict)
    loads: bool = False


@dataclass(frozen=True)
class Made:
    """A form in both ways: `plain` is the peer's file, `ours` what the bundle's model expands to."""

    fitted: Fitted
    plain: bytes
    content: bytes
    ours: bytes

    @property
    def wire_bytes(self) -> int:
        """The model's bytes in the bundle."""
        return bundles.parse(self.content).manifest.file("model").bytes


def make(form: Form) -> Made:
    """Fit, export and convert."""
    source = form.rows()
    model = form.make().fit(source.shown.to_numpy(), source.answers)
    fitted = Fitted(model, source.shown, source.unseen.head(_UNSEEN), "matrix")
    exported = plain.export(model, plain.matrix_type(source.shown.shape[1]), dict(form.peer))
    options: dict[str, Any] = {"name": "form", **form.converted}
    content = convert(model, source.shown, **options).content
    return Made(fitted, exported, content, packing.expand(bundles.parse(content), "model"))


def measure(form: Form) -> list[Row]:
    """All rows of one form."""
    made = make(form)
    return [_kept(form, made), *_sizes(form, made), _one_row(form, made), *_loading(form, made)]


def _kept(form: Form, made: Made) -> Row:
    found, plan = judge_bundle(made.fitted, made.content), bundles.parse(made.content).manifest.plan
    ok = found.agrees if form.goals.changed == 0 else found.changed <= form.goals.changed
    detail = f"of {found.rows:,} unseen rows; numbers off by up to {found.furthest:.2g}; {plan}"
    return Row(f"{form.name}: labels changed", round(found.changed, 6), "share", None, form.goals.changed, ok, detail)


def _sizes(form: Form, made: Made) -> list[Row]:
    disk = f"{len(made.ours):,} against {len(made.plain):,} bytes"
    packed = len(zstandard.ZstdCompressor(level=19).compress(made.plain))
    air = f"{made.wire_bytes:,} against {packed:,} bytes; whole bundle {len(made.content):,}"
    return [
        _ratio(f"{form.name}: on disk", (len(made.ours), len(made.plain)), form.goals.disk, disk),
        _ratio(f"{form.name}: on the air", (made.wire_bytes, packed), form.goals.wire, air, _PACKED),
    ]


def _ratio(name: str, pair: tuple[float, float], goal: float | None, detail: str, peer: str = _PEER) -> Row:
    ours, theirs = pair
    if goal is not None:
        return below(name, ours, theirs, peer, goal, detail)
    return Row(name, round(ours / theirs, 4), "ratio", peer, detail=detail)


def _feeds(made: Made) -> tuple[loading.Feeds, loading.Feeds]:
    """The unseen rows for our graph and for the peer's."""
    rows = made.fitted.unseen.head(64)
    ours = {tensor.name: feed(tensor, rows) for tensor in bundles.parse(made.content).manifest.tensors}
    return ours, {"X": rows.to_numpy(dtype=np.float32)}


def _one_row(form: Form, made: Made) -> Row:
    feeds = _feeds(made)
    sessions = [(open_session(content), given) for content, given in zip((made.ours, made.plain), feeds, strict=True)]
    pair = loading.one_row_us(sessions)
    detail = f"{pair[0]:.1f} against {pair[1]:.1f} µs CPU"
    return _ratio(f"{form.name}: one row", (pair[0], pair[1]), form.goals.one_row, detail)


def _loading(form: Form, made: Made) -> list[Row]:
    """What loading costs; that of a graph of one operator is told, since no model's can be less."""
    if not form.loads:
        return []
    feeds = _feeds(made)
    ours, theirs, none = loading.load([(made.ours, feeds[0]), (made.plain, feeds[1]), (_nothing(), feeds[1])])
    time = f"{ours[0] * 1000:.0f} against {theirs[0] * 1000:.0f} ms CPU; a graph of one operator {none[0] * 1000:.0f}"
    memory = f"{ours[1] / 2**20:.1f} against {theirs[1] / 2**20:.1f} MiB; a graph of one operator {none[1] / 2**20:.1f}"
    return [
        _ratio(f"{form.name}: loading, time", (ours[0], theirs[0]), form.goals.load_time, time),
        _ratio(f"{form.name}: loading, memory", (ours[1], theirs[1]), form.goals.load_memory, memory),
    ]


def _nothing() -> bytes:
    """A graph that hands its rows on."""
    rows, copy = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["rows", None]) for name in ("X", "Y"))
    graph = helper.make_graph([helper.make_node("Identity", ["X"], ["Y"])], "nothing", [rows], [copy])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    content: bytes = model.SerializeToString()
    return content
