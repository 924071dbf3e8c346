"""Judges the ONNX forms that edgekit's own exporters make, on rows that took no part in making them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from convert.check import session as sessions
from convert.check.parity import Agreement, compare, tolerance_for
from convert.export.candidates import Export, build
from convert.export.plans import plans_for
from convert.export.refusal import NotExportable
from convert.read.columns import describe
from convert.read.model import LoadedModel
from convert.read.rows import plain_columns
from convert.read.source import understand


def own_forms(model: Any, seen: pd.DataFrame) -> list[Export]:
    """The forms under every own plan that can be built and loaded. Raises NotExportable when there is none."""
    source = understand(LoadedModel(model, "test"))
    rows = plain_columns(seen, "test")
    made, refusals = [], []
    for plan in plans_for(source, describe(rows)):
        if plan.own:
            try:
                made.append(build(source, plan, describe(rows), rows))
            except NotExportable as refusal:
                refusals.append(refusal)
    if not made:
        raise refusals[0]
    return made


def agreement(model: Any, made: Export, seen: pd.DataFrame, unseen: pd.DataFrame) -> Agreement:
    """How the form's answers for unseen rows agree with the model's."""
    source = understand(LoadedModel(model, "test"))
    rows = plain_columns(unseen, "test")
    tolerance = tolerance_for(source.role, source.answers(plain_columns(seen, "test")).numbers)
    got = sessions.run(sessions.open_session(made.content), made.tensors, made.outputs, rows)
    return compare(source.answers(rows), got, tolerance)


def assert_exact(model: Any, seen: pd.DataFrame, unseen: pd.DataFrame, plan: str | None = None) -> None:
    """Some own form (the one of `plan`) answers alike on every unseen row, and so does every form within float32."""
    made = [form for form in own_forms(model, seen) if plan in (None, form.plan.name)]
    found = {form.plan.name: agreement(model, form, seen, unseen) for form in made}
    best = min(found.values(), key=lambda each: each.badness)
    assert best.exact, {name: (each.label_changes, each.rows_off, each.max_absolute) for name, each in found.items()}


def holed(frame: pd.DataFrame, seed: int = 0) -> pd.DataFrame:
    """The rows with a tenth of the values missing."""
    return frame.mask(np.random.default_rng(seed).random(frame.shape) < 0.1)
