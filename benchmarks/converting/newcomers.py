"""Twenty-eight first models of a newcomer: a DataFrame of doubles, whole numbers, texts, booleans and missing values
goes into an ordinary pipeline, and the pipeline into the converter, with no thought of tensor types.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from sklearn import ensemble, linear_model, neighbors, svm, tree
from sklearn import preprocessing as scaling
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor, make_column_selector
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline

from benchmarks.converting import rows
from benchmarks.converting.cases import Case, Fitted, Suite, suite

NUMBERS, WHOLE, TEXTS = ["temperature", "pressure"], ["cycles", "age"], ["site", "mode"]
ALL_NUMBERS = NUMBERS + WHOLE
_LOGISTIC = partial(linear_model.LogisticRegression, max_iter=500)
_FOREST = partial(ensemble.RandomForestClassifier, 25, random_state=0)
_HIST = partial(ensemble.HistGradientBoostingClassifier, max_iter=20, random_state=0)


def _classify(make: Callable[[], Any], columns: list[str] | None = None, **words: Any) -> Fitted:
    shown, unseen = _machines(1, columns, **words), _machines(2, columns, **words)
    score = rows.wear(rows.machines(1))
    return Fitted(make().fit(shown, np.searchsorted(np.quantile(score, [0.4, 0.8]), score)), shown, unseen)


def _named(make: Callable[[], Any]) -> Fitted:
    shown, unseen = _machines(1, None), _machines(2, None)
    answers = np.where(rows.wear(rows.machines(1)) > 7, "worn", "fine")
    return Fitted(make().fit(shown, answers), shown, unseen)


def _flag(make: Callable[[], Any]) -> Fitted:
    shown, unseen = _machines(1, None), _machines(2, None)
    return Fitted(make().fit(shown, rows.wear(rows.machines(1)) > 7), shown, unseen)


def _predict(make: Callable[[], Any], columns: list[str] | None = None, **words: Any) -> Fitted:
    shown, unseen = _machines(1, columns, **words), _machines(2, columns, **words)
    return Fitted(make().fit(shown, rows.wear(rows.machines(1)) * 10 + 50), shown, unseen)


def _machines(seed: int, columns: list[str] | None, *, gaps: bool = True, category: bool = False) -> pd.DataFrame:
    frame = rows.machines(seed, gaps=gaps)
    if category:
        kinds = {"site": pd.CategoricalDtype(list(rows.SITES)), "mode": pd.CategoricalDtype(list(rows.MODES))}
        frame = frame.astype(kinds)
    return frame[columns] if columns else frame


def _table(*, scale: Any = None, gaps: Any = None, code: Any = None, whole: Any = "passthrough") -> ColumnTransformer:
    """The column transformer of the tutorials."""
    numbers = make_pipeline(gaps or SimpleImputer(), scale or scaling.StandardScaler())
    texts = make_pipeline(
        SimpleImputer(strategy="constant", fill_value="unknown"),
        code or scaling.OneHotEncoder(handle_unknown="ignore"),
    )
    return ColumnTransformer(
        [
            ("numbers", numbers, NUMBERS),
            ("whole", whole, WHOLE),
            ("texts", texts, TEXTS),
            ("flag", "passthrough", ["running"]),
        ]
    )


def _selected() -> ColumnTransformer:
    """By type, as the tutorials do it."""
    numbers = make_pipeline(SimpleImputer(strategy="median"), scaling.StandardScaler())
    return ColumnTransformer(
        [
            ("numbers", numbers, make_column_selector(dtype_include="number")),
            ("texts", scaling.OneHotEncoder(handle_unknown="ignore"), make_column_selector(dtype_include=object)),
        ],
        remainder="passthrough",
    )


def _ordinal() -> Any:
    return scaling.OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)


def _coded(last: Any) -> Any:
    """Texts as numbers, the rest as it is: missing values reach the model."""
    return make_pipeline(ColumnTransformer([("code", _ordinal(), TEXTS)], remainder="passthrough"), last)


def _native() -> Any:
    """Boosting with categories of its own."""
    coder = ColumnTransformer([("code", _ordinal(), TEXTS)], remainder="passthrough")
    return make_pipeline(coder, _HIST(categorical_features=[0, 1]))


def _remarks(make: Callable[[], Any]) -> Fitted:
    frames = []
    for seed in (1, 2):
        frame = rows.machines(seed, 300)[["pressure", "mode"]]
        frames.append(frame.assign(remark=rows.texts(seed, 300)))
    shown, unseen = frames
    return Fitted(make().fit(shown, rows.topics_of(list(shown["remark"]))), shown, unseen)


def _remark_table() -> ColumnTransformer:
    return ColumnTransformer(
        [
            ("remark", TfidfVectorizer(), "remark"),
            ("mode", scaling.OneHotEncoder(), ["mode"]),
            ("pressure", scaling.StandardScaler(), ["pressure"]),
        ]
    )


_CASES: tuple[tuple[str, str, Callable[[], Fitted]], ...] = (
    ("table + logistic", "classifier", partial(_classify, lambda: make_pipeline(_table(), _LOGISTIC()))),
    ("table + forest", "classifier", partial(_classify, lambda: make_pipeline(_table(), _FOREST()))),
    (
        "table + boosting",
        "classifier",
        partial(
            _classify,
            lambda: make_pipeline(_table(), ensemble.GradientBoostingClassifier(n_estimators=20, random_state=0)),
        ),
    ),
    (
        "table + HistGB",
        "classifier",
        partial(
            _classify,
            lambda: make_pipeline(
                _table(code=scaling.OneHotEncoder(handle_unknown="ignore", sparse_output=False)), _HIST()
            ),
        ),
    ),
    (
        "table + SVC",
        "classifier",
        partial(_classify, lambda: make_pipeline(_table(whole=scaling.StandardScaler()), svm.SVC())),
    ),
    (
        "table + KNN",
        "classifier",
        partial(
            _classify, lambda: make_pipeline(_table(whole=scaling.MinMaxScaler()), neighbors.KNeighborsClassifier())
        ),
    ),
    (
        "table + MLP",
        "classifier",
        partial(
            _classify,
            lambda: make_pipeline(
                _table(whole=scaling.StandardScaler()), MLPClassifier((24,), max_iter=150, random_state=0)
            ),
        ),
    ),
    (
        "table + tree",
        "classifier",
        partial(_classify, lambda: make_pipeline(_table(), tree.DecisionTreeClassifier(max_depth=6, random_state=0))),
    ),
    ("columns by type + logistic", "classifier", partial(_classify, lambda: make_pipeline(_selected(), _LOGISTIC()))),
    ("columns by type + forest", "classifier", partial(_classify, lambda: make_pipeline(_selected(), _FOREST()))),
    ("ordinal codes + forest, gaps left in", "classifier", partial(_classify, lambda: _coded(_FOREST()))),
    ("ordinal codes + HistGB, gaps left in", "classifier", partial(_classify, lambda: _coded(_HIST()))),
    ("ordinal codes as categories of HistGB", "classifier", partial(_classify, _native)),
    (
        "pandas categories + HistGB",
        "classifier",
        partial(_classify, lambda: _HIST(categorical_features="from_dtype"), category=True),
    ),
    ("numbers only + forest", "classifier", partial(_classify, _FOREST, ALL_NUMBERS)),
    ("numbers only + HistGB", "classifier", partial(_classify, _HIST, ALL_NUMBERS)),
    (
        "numbers only, imputed + logistic",
        "classifier",
        partial(_classify, lambda: make_pipeline(SimpleImputer(), scaling.StandardScaler(), _LOGISTIC()), ALL_NUMBERS),
    ),
    ("numbers and flag + forest", "classifier", partial(_classify, _FOREST, [*ALL_NUMBERS, "running"])),
    (
        "texts only + logistic",
        "classifier",
        partial(_classify, lambda: make_pipeline(scaling.OneHotEncoder(handle_unknown="ignore"), _LOGISTIC()), TEXTS),
    ),
    ("words as answers + forest", "classifier", partial(_named, lambda: make_pipeline(_table(), _FOREST()))),
    ("true or false as answers + logistic", "classifier", partial(_flag, lambda: make_pipeline(_table(), _LOGISTIC()))),
    ("table + ridge", "regressor", partial(_predict, lambda: make_pipeline(_table(), linear_model.Ridge()))),
    (
        "table + forest regression",
        "regressor",
        partial(_predict, lambda: make_pipeline(_table(), ensemble.RandomForestRegressor(25, random_state=0))),
    ),
    (
        "ordinal codes + HistGB regression",
        "regressor",
        partial(_predict, lambda: _coded(ensemble.HistGradientBoostingRegressor(max_iter=20, random_state=0))),
    ),
    (
        "log of the target",
        "regressor",
        partial(
            _predict,
            lambda: TransformedTargetRegressor(
                make_pipeline(_table(), linear_model.Ridge()), func=np.log1p, inverse_func=np.expm1
            ),
        ),
    ),
    (
        "indicator of gaps + forest",
        "classifier",
        partial(_classify, lambda: make_pipeline(_table(gaps=SimpleImputer(add_indicator=True)), _FOREST())),
    ),
    (
        "target encoder + logistic",
        "regressor",
        partial(
            _predict,
            lambda: make_pipeline(
                ColumnTransformer(
                    [("code", scaling.TargetEncoder(random_state=0), TEXTS), ("rest", SimpleImputer(), ALL_NUMBERS)]
                ),
                scaling.StandardScaler(),
                linear_model.Ridge(),
            ),
        ),
    ),
    (
        "remarks, modes and pressure + logistic",
        "classifier",
        partial(_remarks, lambda: make_pipeline(_remark_table(), _LOGISTIC())),
    ),
)


def newcomer_suite() -> Suite:
    """The twenty-eight newcomers' models."""
    return suite([Case(*case) for case in _CASES])
