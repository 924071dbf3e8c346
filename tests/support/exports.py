"""Exports under one plan, judged on rows that the exporter never saw."""

from __future__ import annotations

from typing import Any

import pandas as pd
from sklearn.datasets import make_classification

from convert.check.parity import Agreement, compare, tolerance_for
from convert.export.candidates import Export, answer, build
from convert.export.plans import plans_for
from convert.read.columns import describe
from convert.read.model import LoadedModel
from convert.read.source import understand

FEATURES = [f"s{place}" for place in range(6)]
SINGLE, DOUBLE = "own, float32 matrix", "own, float64 matrix"
FOLDED = ", affine steps folded in"


def drawn(rows: int, *, fresh: bool = False) -> pd.DataFrame:
    """Rows of one problem with three classes as `target`; fresh ones are others of the same kind."""
    x, y = make_classification(3000, 6, n_informative=5, n_redundant=0, n_classes=3, random_state=3)
    start = 2000 if fresh else 0
    picked = slice(start, start + rows)
    return pd.DataFrame(x[picked], columns=FEATURES).assign(target=y[picked])


def exported(model: Any, seen: pd.DataFrame, plan: str = SINGLE) -> Export:
    """The ONNX form under the plan of this name. Raises NotExportable."""
    source, columns = understand(LoadedModel(model, "test")), describe(seen)
    chosen = next(line for line in plans_for(source, columns) if line.name == plan)
    return build(source, chosen, columns, seen)


def agreement(model: Any, made: Export, rows: pd.DataFrame) -> Agreement:
    """How the export's answers agree with the model's own."""
    source = understand(LoadedModel(model, "test"))
    expected = source.answers(rows)
    return compare(expected, answer(made, rows)[0], tolerance_for(source.role, expected.numbers))
