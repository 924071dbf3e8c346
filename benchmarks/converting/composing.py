"""What composite cases are made of: how a model meets its rows, and pieces of pipelines."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Literal

import numpy as np
import pandas as pd
from sklearn import calibration, ensemble, linear_model
from sklearn import preprocessing as scaling
from sklearn.compose import ColumnTransformer
from sklearn.experimental import enable_iterative_imputer  # noqa: F401 - it makes the next import work
from sklearn.pipeline import make_pipeline

from benchmarks.converting import rows
from benchmarks.converting.cases import Fitted, table

Make = Callable[[], Any]
Numbers = Literal["plain", "missing", "timestamps", "far", "grid", "categories"]
_SHOWN = 400
LOGISTIC = partial(linear_model.LogisticRegression, max_iter=500)
FOREST = partial(ensemble.RandomForestClassifier, 25, random_state=0)
GRADIENT = partial(ensemble.HistGradientBoostingClassifier, max_iter=20, random_state=0)
Entry = tuple[str, str, Callable[[], Fitted]]


def _numbers(kind: Numbers, seed: int, count: int) -> np.ndarray[Any, Any]:
    plain = rows.synthetic(seed, count)
    if kind == "missing":
        return rows.with_gaps(plain, seed + 50)
    if kind == "timestamps":
        plain[:, 0] = np.floor(1.7e9 + np.random.default_rng(seed).uniform(0, 3e5, count))
    if kind == "far":
        plain += 1e5
    if kind == "grid":
        plain = np.round(plain, 1)
    if kind == "categories":
        random = np.random.default_rng(seed)
        plain[:, 4] = random.integers(0, 12, count)
        plain[:, 5] = np.where(random.uniform(size=count) < 0.05, np.nan, random.integers(0, 60, count))
    return plain


def _answers(shown: np.ndarray[Any, Any], classes: int) -> np.ndarray[Any, Any]:
    whole = np.where(np.isnan(shown), np.nanmean(shown, axis=0), shown)
    if classes == 0:
        return rows.score_of(whole) * 20 + 200
    codes = rows.classes_of(whole, classes)
    # which category it is matters, not how large its number is
    return (codes + (shown[:, 4] * 7 % 5 > 2)) % classes if classes > 1 else codes


def on_table(make: Make, classes: int, kind: Numbers = "plain", count: int = _SHOWN) -> Fitted:
    shown, unseen = _numbers(kind, 1, count), _numbers(kind, 2, rows.UNSEEN)
    return Fitted(make().fit(shown, _answers(shown, classes)), table(shown), table(unseen), "matrix")


def on_texts(make: Make) -> Fitted:
    shown, unseen = rows.texts(1), rows.texts(2)
    model = make().fit(shown, rows.topics_of(shown))
    return Fitted(model, pd.DataFrame({"text": shown}), pd.DataFrame({"text": unseen}), "texts")


def on_machines(make: Make, *, gaps: bool = True, columns: list[str] | None = None) -> Fitted:
    shown, unseen = rows.machines(1, gaps=gaps), rows.machines(2, gaps=gaps)
    answers = np.searchsorted(np.quantile(rows.wear(shown), [0.4, 0.8]), rows.wear(shown))
    kept = columns or list(shown)
    return Fitted(make().fit(shown[kept], answers), shown[kept], unseen[kept])


def with_named_labels(make: Make) -> Fitted:
    shown, unseen = _numbers("plain", 1, _SHOWN), _numbers("plain", 2, rows.UNSEEN)
    names = np.array(["idle", "worn", "broken"])[_answers(shown, 3)]
    return Fitted(make().fit(shown, names), table(shown), table(unseen), "matrix")


def with_several_answers(make: Make, *, numbers: bool) -> Fitted:
    shown, unseen = _numbers("plain", 1, _SHOWN), _numbers("plain", 2, rows.UNSEEN)
    first, second = (_answers(part, 0 if numbers else 2) for part in (shown, shown[:, ::-1]))
    return Fitted(make().fit(shown, np.column_stack([first, second])), table(shown), table(unseen), "matrix")


def scaled(*steps: Any) -> Any:
    return make_pipeline(scaling.StandardScaler(), *steps)


def calibrated(model: Any, method: str) -> Any:
    return calibration.CalibratedClassifierCV(model, method=method, cv=3)


def columns(**steps: Any) -> Any:
    """`name=(transformer, columns)`."""
    return ColumnTransformer([(name, *step) for name, step in steps.items()])


FLOATS = ["temperature", "pressure"]
TEXT = {"site": (scaling.OneHotEncoder(handle_unknown="ignore"), ["site", "mode"])}
