"""Real models, converted once for all tests of explanations."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import make_column_transformer
from sklearn.ensemble import GradientBoostingRegressor, IsolationForest, RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from convert import convert
from edge_agent import LocalModel
from edgekit.golden import Reference
from tests.support.explained import Reals, reference_of, table


@dataclass(frozen=True)
class Taught:
    """A fitted model, the rows that it was fitted with, its bundle, and the bundle opened."""

    source: Any
    rows: pd.DataFrame
    content: bytes
    model: LocalModel

    @property
    def reference(self) -> Reference:
        return reference_of(self.content)

    def asked(self, column: int) -> Callable[[Reals], Reals]:
        """The number that is explained, as scikit-learn itself answers it."""
        names = self.rows.columns

        def ask(rows: Reals) -> Reals:
            frame = pd.DataFrame(rows, columns=names)
            if hasattr(self.source, "predict_proba"):
                return np.asarray(self.source.predict_proba(frame)[:, column])
            scores = hasattr(self.source, "decision_function")
            return np.asarray(self.source.decision_function(frame) if scores else self.source.predict(frame))

        return ask


def mixed_rows(rows: int = 400) -> tuple[pd.DataFrame, Any]:
    """Numbers, whole numbers, a flag and a text, some numbers and texts missing; and three classes."""
    x, y = table(rows, 3)
    rng = np.random.default_rng(5)
    frame = x.assign(
        site=rng.choice(["north", "south", "west"], rows),
        gear=rng.integers(1, 6, rows),
        heated=rng.random(rows) > 0.4,
    )
    frame.loc[rng.random(rows) < 0.1, "s0"] = np.nan
    drive = y + frame["gear"] / 2 + 2.0 * (frame["site"] == "west") - frame["heated"]
    return frame, pd.cut(drive, [-np.inf, 1.0, 3.0, np.inf], labels=["low", "mid", "high"]).astype(str)


def mixed_linear() -> Any:
    numbers = make_pipeline(SimpleImputer(add_indicator=True), StandardScaler())
    columns = make_column_transformer(
        (numbers, ["s0", "s1", "s2", "gear"]),
        (OneHotEncoder(handle_unknown="ignore"), ["site"]),
        remainder="passthrough",
    )
    return make_pipeline(columns, LogisticRegression(max_iter=2000))


def _forest() -> tuple[Any, Any, Any]:
    rows, y = table(500, 6)
    return RandomForestClassifier(20, max_depth=6, random_state=0), rows, (y > 0.5).astype(int)


def _boosting() -> tuple[Any, Any, Any]:
    return GradientBoostingRegressor(n_estimators=30, random_state=0), *table(500, 4)


def _network() -> tuple[Any, Any, Any]:
    rows, y = table(500, 3)
    model = make_pipeline(StandardScaler(), MLPClassifier((12,), max_iter=3000, random_state=0))
    return model, rows, np.digitize(y, [0.0, 2.0])


def _outliers() -> tuple[Any, Any, Any]:
    return IsolationForest(n_estimators=30, random_state=0), table(300, 3)[0], None


def _ridge() -> tuple[Any, Any, Any]:
    return make_pipeline(StandardScaler(), Ridge(alpha=0.1)), *table(300, 5)


def _mixed() -> tuple[Any, Any, Any]:
    return mixed_linear(), *mixed_rows()


MAKERS = {
    "forest": _forest,
    "boosting": _boosting,
    "network": _network,
    "outliers": _outliers,
    "ridge": _ridge,
    "mixed": _mixed,
}


@pytest.fixture(scope="session")
def taught(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Taught]:
    """Fits, converts and opens the model of that name, once."""
    ready: dict[str, Taught] = {}

    def teach(name: str) -> Taught:
        if name not in ready:
            model, rows, y = MAKERS[name]()
            model.fit(rows) if y is None else model.fit(rows, y)
            path: Path = tmp_path_factory.mktemp("bundles") / f"{name}.edgekit"
            done = convert(model, rows, y, name=name)
            done.save(path)
            ready[name] = Taught(model, rows, done.content, LocalModel.open(path))
        return ready[name]

    return teach
