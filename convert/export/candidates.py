"""Builds the ONNX form under each plan and chooses one by parity on the rows that may choose.

The first plan that agrees exactly is taken, among a few of these the one that also agrees where the source model stands
on a knife's edge, and then one that has room to spare: what uses up a fifth of the tolerance on a few hundred rows may
break it on the next million. Otherwise the one with the fewest changed rows is taken, if it fits the budget.
Nothing that fails parity gets through: the error names the step that differs first.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
import numpy as np
import pandas as pd
from onnx import ModelProto

from convert.check import session as sessions
from convert.check.edge_trial import EdgeAgreement
from convert.check.panel import Panel
from convert.check.parity import Agreement, Answers, compare
from convert.export import canonical, graph
from convert.export.foreign import own_code
from convert.export.naming import name_inputs
from convert.export.plans import Plan, converters_for, estimator_for, initial_types, plans_for, tensors_for
from convert.export.refusal import NotExportable
from convert.export.sklearn_onnx import export
from convert.export.trees.lifting import lift
from convert.progress import Progress, Stage, Step, quiet
from convert.read.columns import Column
from convert.read.source import Source
from convert.wording import cause
from edgekit.errors import ModelFault
from edgekit.manifest import Onnx, Output, Tensor

_PLANS_PAST_EXACT = 3
_AMPLE = 0.2


@dataclass(frozen=True)
class Export:
    """An ONNX model made under `plan`, with what its graph takes and gives."""

    plan: Plan
    content: bytes
    tensors: list[Tensor]
    outputs: list[Output]
    onnx: Onnx


def answer(made: Export, *frames: pd.DataFrame) -> list[Answers]:
    """Load the export once and run it on each frame. Raises what onnxruntime raises."""
    session = sessions.open_session(made.content)
    return [
        sessions.run(session, made.tensors, made.outputs, frame) if len(frame) else Answers(None, None)
        for frame in frames
    ]


@dataclass(frozen=True)
class Attempt:
    """What became of one plan: a fault (and what to do instead, where that is known), or how its answers agree on
    ordinary and on edge rows.
    """

    plan: Plan
    fault: str | None = None
    instead: str = ""
    made: Export | None = None
    ordinary: Agreement | None = None
    edge: EdgeAgreement | None = None

    @property
    def exact(self) -> bool:
        """No answer differs on any row that counts."""
        return self.ordinary is not None and self.edge is not None and self.ordinary.exact and self.edge.counted.exact

    @property
    def strict(self) -> bool:
        """Exact, also where the source model stands on a knife's edge."""
        return self.exact and self.edge is not None and self.edge.steering == 0

    @property
    def strain(self) -> float:
        """The share of the tolerance that it uses up on ordinary rows, 0 where that leaves room to spare."""
        used = np.inf if self.ordinary is None else self.ordinary.strain
        return 0.0 if used <= _AMPLE else used

    @property
    def badness(self) -> tuple[float, ...]:
        """Sorts attempts from best to worst; those with a fault come last, and of exact ones the size of a difference
        says nothing while there is room to spare.
        """
        if self.ordinary is None or self.edge is None:
            return (np.inf,)
        changes, off, largest = (a + b for a, b in zip(self.ordinary.badness, self.edge.counted.badness, strict=True))
        return (changes, off, 0.0, self.edge.steering, self.strain) if self.exact else (changes, off, largest, 0, 0.0)


def try_plans(source: Source, columns: tuple[Column, ...], panel: Panel, progress: Progress = quiet) -> list[Attempt]:
    """Try the plans in order up to the first that is exact even on a knife's edge and with room to spare, or a few past
    the first exact one.

    Raises ModelFault when none can be exported and run.
    """
    attempts: list[Attempt] = []
    plans = plans_for(source, columns)
    for number, plan in enumerate(plans):
        progress(Step(Stage.EXPORT, plan.name, number, len(plans)))
        attempts.append(_attempt(source, plan, columns, panel))
        first = next((place for place, attempt in enumerate(attempts) if attempt.exact), number)
        if (attempts[-1].strict and not attempts[-1].strain) or number - first >= _PLANS_PAST_EXACT:
            break
    if not any(attempt.made for attempt in attempts):
        raise ModelFault(_no_form(source, attempts), reason="not_exportable")
    return attempts


def best(attempts: list[Attempt]) -> tuple[Attempt, Export]:
    """The attempt with the least disagreement (the earlier one on a tie)."""
    made = [(attempt, attempt.made) for attempt in attempts if attempt.made is not None]
    return min(made, key=lambda pair: pair[0].badness)


def _attempt(source: Source, plan: Plan, columns: tuple[Column, ...], panel: Panel) -> Attempt:
    ordinary, edge = panel.rows, panel.edge
    try:
        made = build(source, plan, columns, ordinary.frame)
        got, got_edge = answer(made, ordinary.frame, edge.trial.frame)
        found = compare(ordinary.expected, got, ordinary.tolerance)
        return Attempt(plan, made=made, ordinary=found, edge=edge.judge(got_edge))
    except NotExportable as refusal:
        return Attempt(plan, fault=str(refusal), instead=refusal.instead)
    except Exception as error:  # noqa: BLE001 - skl2onnx and onnxruntime raise anything; the next plan may do
        return Attempt(plan, fault=cause(error))


def build(source: Source, plan: Plan, columns: tuple[Column, ...], sample: pd.DataFrame) -> Export:
    """Export under one plan and settle the graph. Raises NotExportable or what onnxruntime raises."""
    return settle(write_model(source, plan, columns), source, plan, columns, sample)


def write_model(source: Source, plan: Plan, columns: tuple[Column, ...]) -> ModelProto:
    """The graph as the exporters write it under this plan. Raises NotExportable."""
    own = converters_for(plan, source, columns)
    tensors = tensors_for(plan, columns)
    model = export(estimator_for(plan, source.estimator), initial_types(tensors), own)
    name_inputs(model, tensors)
    if own is not None:
        lift(model)
    return model


def settle(model: ModelProto, source: Source, plan: Plan, columns: tuple[Column, ...], sample: pd.DataFrame) -> Export:
    """Tidy the graph and find its shapes by a run. Raises NotExportable or what onnxruntime raises."""
    tensors = tensors_for(plan, columns)
    outputs = graph.tidy(model, source)
    session = sessions.open_session(model.SerializeToString())
    arrays = session.run([output.name for output in outputs], sessions.feeds(tensors, sample.head(2)))
    for output, array in zip(outputs, arrays, strict=True):
        if source.targets and output.role == "probabilities":
            graph.spell_out(model, output, array.shape, source.targets)
    if source.targets:
        session = sessions.open_session(model.SerializeToString())
        arrays = session.run([output.name for output in outputs], sessions.feeds(tensors, sample.head(2)))
    widths = [1 if array.ndim == 1 else array.shape[1] for array in arrays]
    wrong = [
        output.name
        for output, array in zip(outputs, arrays, strict=True)
        if array.ndim != 2 - (output.role == "label" and not source.targets)
    ]
    if wrong:
        raise NotExportable(f"output {wrong[0]!r} has an unexpected shape")
    graph.set_widths(model, outputs, widths)
    settled = [msgspec.structs.replace(output, width=width) for output, width in zip(outputs, widths, strict=True)]
    return Export(plan, canonical.serialise(model), tensors, settled, graph.describe(model))


def _no_form(source: Source, attempts: list[Attempt]) -> str:
    why = (attempts[0].fault if attempts else None) or "its rows fit no plan"
    instead = attempts[0].instead if attempts else ""
    foreign = own_code(source.estimator)
    if foreign is not None:
        return (
            f"{source.kind} contains {foreign}, Python code that no device runs, and has no ONNX form: say the same "
            "with scikit-learn's own steps, or do it before the rows reach the model, in training and on the device"
        )
    told = why.removeprefix(f"{source.kind}: ")
    return (
        f"{source.kind} has no ONNX form that edgekit can make ({told}): "
        f"{instead or 'replace the step that is named, or train a model of another kind'}"
    )
