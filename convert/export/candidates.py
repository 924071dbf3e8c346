"""Builds the ONNX form under each plan and chooses one by parity on the rows that may choose.

The first plan that agrees exactly is taken; otherwise the one with the fewest changed rows, if it fits the budget.
Nothing that fails parity gets through: the error names the step that differs first.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import msgspec
import numpy as np
import pandas as pd

from convert.check import session as sessions
from convert.check.parity import Agreement, Answers, compare, within
from convert.check.trial import Trial
from convert.export import graph
from convert.export.plans import Plan, converters_for, estimator_for, initial_types, plans_for, tensors_for
from convert.export.refusal import NotExportable
from convert.export.sklearn_onnx import export
from convert.export.trees.lifting import lift
from convert.read.columns import Column
from convert.read.source import Source
from convert.wording import cause
from edgekit.errors import ModelFault
from edgekit.manifest import Onnx, Output, Tensor


@dataclass(frozen=True)
class Export:
    """An ONNX model made under `plan`, with what its graph takes and gives."""

    plan: Plan
    content: bytes
    tensors: list[Tensor]
    outputs: list[Output]
    onnx: Onnx


def answer(made: Export, frame: pd.DataFrame) -> Answers:
    """Load the export and run it on these rows. Raises what onnxruntime raises."""
    if len(frame) == 0:
        return Answers(None, None)
    return sessions.run(sessions.open_session(made.content), made.tensors, made.outputs, frame)


@dataclass(frozen=True)
class Attempt:
    """What became of one plan: a fault, or how its answers agree on ordinary and on edge rows."""

    plan: Plan
    fault: str | None = None
    made: Export | None = None
    ordinary: Agreement | None = None
    edge: Agreement | None = None

    @property
    def exact(self) -> bool:
        """No answer differs on any row."""
        return all(found is not None and found.exact for found in (self.ordinary, self.edge))

    @property
    def badness(self) -> tuple[float, ...]:
        """Sorts attempts from best to worst; those with a fault come last."""
        if self.ordinary is None or self.edge is None:
            return (np.inf,)
        return tuple(a + b for a, b in zip(self.ordinary.badness, self.edge.badness, strict=True))

    def within(self, budget: float) -> bool:
        """Both kinds of rows fit the budget."""
        return all(found is not None and within(found, budget) for found in (self.ordinary, self.edge))


def try_plans(source: Source, columns: tuple[Column, ...], ordinary: Trial, edge: Trial) -> list[Attempt]:
    """Try the plans in order up to the first exact one. Raises ModelFault when none can be exported and run."""
    attempts: list[Attempt] = []
    for attempt in _attempts(source, columns, ordinary, edge):
        attempts.append(attempt)
        if attempt.exact:
            break
    if not any(attempt.made for attempt in attempts):
        raise ModelFault(_no_form(source, attempts), reason="not_exportable")
    return attempts


def best(attempts: list[Attempt]) -> tuple[Attempt, Export]:
    """The attempt with the least disagreement (the earlier one on a tie)."""
    made = [(attempt, attempt.made) for attempt in attempts if attempt.made is not None]
    return min(made, key=lambda pair: pair[0].badness)


def _attempts(source: Source, columns: tuple[Column, ...], ordinary: Trial, edge: Trial) -> Iterator[Attempt]:
    for plan in plans_for(source, columns):
        try:
            made = build(source, plan, columns, ordinary.frame)
            found = [compare(trial.expected, answer(made, trial.frame), trial.tolerance) for trial in (ordinary, edge)]
            yield Attempt(plan, None, made, *found)
        except Exception as error:  # noqa: BLE001 - skl2onnx and onnxruntime raise anything; the next plan may do
            yield Attempt(plan, fault=str(error) if isinstance(error, NotExportable) else cause(error))


def build(source: Source, plan: Plan, columns: tuple[Column, ...], sample: pd.DataFrame) -> Export:
    """Export under one plan and settle the graph's shapes by a run. Raises NotExportable or what onnxruntime raises."""
    tensors = tensors_for(plan, columns)
    own = converters_for(plan, source, columns)
    model = export(estimator_for(plan, source.estimator), initial_types(tensors), own)
    if own is not None:
        lift(model)
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
    return Export(plan, model.SerializeToString(deterministic=True), tensors, settled, graph.describe(model))


def _no_form(source: Source, attempts: list[Attempt]) -> str:
    why = attempts[0].fault if attempts else "its rows fit no plan"
    return (
        f"{source.kind} has no ONNX form that edgekit can make ({why}): replace the step that is named, "
        "or train a model of another kind"
    )
