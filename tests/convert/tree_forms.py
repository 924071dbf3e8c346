"""What the tests of tree exporters share: a model under one plan, judged on rows that it never saw."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from sklearn.datasets import make_classification

from convert.check import session as sessions
from convert.check.parity import Answers
from convert.export.candidates import build
from convert.export.plans import PLANS
from convert.read.columns import describe
from convert.read.model import LoadedModel
from convert.read.rows import plain_columns
from convert.read.source import understand

NARROW, WIDE = "own, float32 matrix", "own, float64 matrix"
FEATURES = [f"s{i}" for i in range(6)]


def drawn(seed: int, rows: int = 1200) -> pd.DataFrame:
    """Rows of one problem with `target`: the same rule for every seed, other rows."""
    x, y = make_classification(6000, 6, n_informative=5, n_redundant=0, n_classes=3, random_state=3)
    picked = np.random.default_rng(seed).choice(3000, rows, replace=False) + (3000 if seed else 0)
    return pd.DataFrame(x[picked], columns=FEATURES).assign(target=y[picked])


def holed(frame: pd.DataFrame, value: float = np.nan, seed: int = 5) -> pd.DataFrame:
    """The rows with a tenth of their values replaced."""
    return frame.mask(np.random.default_rng(seed).random(frame.shape) < 0.1, value)


def answered(plan: str, model: Any, rows: pd.DataFrame) -> Answers:
    """What the model's ONNX form under the plan of this name answers."""
    chosen = next(line for line in PLANS if line.name == plan)
    plain = plain_columns(rows, "rows")
    made = build(understand(LoadedModel(model, "test")), chosen, describe(plain), plain)
    return sessions.run(sessions.open_session(made.content), made.tensors, made.outputs, plain)


def differences(plan: str, model: Any, rows: pd.DataFrame) -> tuple[int, float]:
    """How many labels differ from the model's own, and the largest difference of a number, in their spread."""
    source = understand(LoadedModel(model, "test"))
    expected, got = source.answers(plain_columns(rows, "rows")), answered(plan, model, rows)
    changed = 0
    if expected.label is not None and got.label is not None:
        changed = int((expected.label.astype(str) != got.label.astype(str)).sum())
    assert expected.numbers is not None
    assert got.numbers is not None
    scale = 1.0 if source.role == "probabilities" else max(float(np.std(expected.numbers)), 1e-12)
    return changed, float(np.abs(expected.numbers - got.numbers).max()) / scale


def assert_alike(plan: str, model: Any, rows: pd.DataFrame) -> None:
    """No label differs, and numbers differ by float32 rounding only."""
    changed, largest = differences(plan, model, rows)
    assert changed == 0
    assert largest < 3e-6
