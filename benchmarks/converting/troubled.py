"""The composite cases with which the plain export was found to be silently wrong or without a form, and rows that
float32 cannot hold.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from sklearn import ensemble, gaussian_process, linear_model, neighbors
from sklearn import preprocessing as scaling
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.experimental import enable_iterative_imputer  # noqa: F401 - it makes the next import work
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import IterativeImputer, SimpleImputer
from sklearn.model_selection import RandomizedSearchCV
from sklearn.pipeline import make_pipeline

from benchmarks.converting.composing import (
    FLOATS,
    FOREST,
    GRADIENT,
    LOGISTIC,
    Entry,
    calibrated,
    columns,
    on_machines,
    on_table,
    on_texts,
    scaled,
)


def _two_voters(**words: Any) -> Any:
    voters = [("lr", scaled(LOGISTIC())), ("forest", FOREST())]
    return ensemble.VotingClassifier(voters, **words)


def _ordinal_forest() -> Any:
    filled = make_pipeline(SimpleImputer(), scaling.StandardScaler())
    coded = scaling.OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    return make_pipeline(columns(numbers=(filled, FLOATS), texts=(coded, ["mode"])), FOREST())


_CATEGORICAL = partial(GRADIENT, categorical_features=[4, 5])
_HIST_REGRESSION = partial(ensemble.HistGradientBoostingRegressor, max_iter=20, random_state=0)


# name, kind, how to make it
TROUBLED: tuple[Entry, ...] = (
    # once silently wrong
    ("HistGB categories, 3 classes", "classifier", partial(on_table, _CATEGORICAL, 3, "categories", 1500)),
    ("HistGB categories, 2 classes", "classifier", partial(on_table, _CATEGORICAL, 2, "categories", 1500)),
    (
        "HistGB regression, categories",
        "regressor",
        partial(on_table, partial(_HIST_REGRESSION, categorical_features=[4, 5]), 0, "categories", 1500),
    ),
    ("random forest, missing values", "classifier", partial(on_table, FOREST, 3, "missing")),
    (
        "random forest of 50, missing values",
        "classifier",
        partial(on_table, lambda: ensemble.RandomForestClassifier(50, random_state=1), 2, "missing"),
    ),
    (
        "extra trees, missing values",
        "classifier",
        partial(on_table, lambda: ensemble.ExtraTreesClassifier(25, random_state=0), 3, "missing"),
    ),
    (
        "KNN by distance",
        "classifier",
        partial(on_table, lambda: scaled(neighbors.KNeighborsClassifier(weights="distance")), 3),
    ),
    ("ordinal + imputer + scaler + forest", "classifier", partial(on_machines, _ordinal_forest)),
    ("calibrated forest, isotonic", "classifier", partial(on_table, lambda: calibrated(FOREST(), "isotonic"), 3)),
    (
        "tf-idf, stop words, sublinear",
        "classifier",
        partial(on_texts, lambda: make_pipeline(TfidfVectorizer(stop_words="english", sublinear_tf=True), LOGISTIC())),
    ),
    # once without a form
    ("soft voting", "classifier", partial(on_table, lambda: _two_voters(voting="soft"), 3)),
    ("hard voting", "classifier", partial(on_table, _two_voters, 3)),
    (
        "calibrated logistic, temperature",
        "classifier",
        partial(on_table, lambda: calibrated(scaled(LOGISTIC()), "temperature"), 3),
    ),
    (
        "random search",
        "classifier",
        partial(
            on_table,
            lambda: RandomizedSearchCV(
                scaled(LOGISTIC()), {"logisticregression__C": [0.1, 1.0, 9.0]}, n_iter=2, cv=3, random_state=0
            ),
            3,
        ),
    ),
    (
        "transformed target, log",
        "regressor",
        partial(
            on_table,
            lambda: TransformedTargetRegressor(scaled(linear_model.Ridge()), func=np.log, inverse_func=np.exp),
            0,
        ),
    ),
    (
        "splines + ridge",
        "regressor",
        partial(on_table, lambda: make_pipeline(scaling.SplineTransformer(), linear_model.Ridge()), 0),
    ),
    (
        "iterative imputer + ridge",
        "regressor",
        partial(
            on_table,
            lambda: make_pipeline(IterativeImputer(max_iter=3, random_state=0), linear_model.Ridge()),
            0,
            "missing",
        ),
    ),
    (
        "tf-idf, characters within words",
        "classifier",
        partial(on_texts, lambda: make_pipeline(TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 3)), LOGISTIC())),
    ),
    (
        "bins, one-hot + logistic",
        "classifier",
        partial(
            on_table,
            lambda: make_pipeline(scaling.KBinsDiscretizer(4, quantile_method="averaged_inverted_cdf"), LOGISTIC()),
            3,
        ),
    ),
    (
        "gaussian process, 3 classes",
        "classifier",
        partial(on_table, lambda: scaled(gaussian_process.GaussianProcessClassifier()), 3, count=120),
    ),
    (
        "isolation forest",
        "outlier",
        partial(on_table, lambda: ensemble.IsolationForest(n_estimators=30, random_state=0), 2),
    ),
    (
        "log1p + ridge",
        "regressor",
        partial(
            on_table,
            lambda: make_pipeline(
                ColumnTransformer(
                    [("log", scaling.FunctionTransformer(np.log1p), [5]), ("rest", "passthrough", [0, 1, 2])]
                ),
                linear_model.Ridge(),
            ),
            0,
        ),
    ),
    (
        "imputer with indicator + forest",
        "classifier",
        partial(on_table, lambda: make_pipeline(SimpleImputer(add_indicator=True), FOREST()), 3, "missing"),
    ),
    (
        "tf-idf as it comes + logistic",
        "classifier",
        partial(on_texts, lambda: make_pipeline(TfidfVectorizer(), LOGISTIC())),
    ),
    (
        "gaussian process, 2 classes",
        "classifier",
        partial(on_table, lambda: scaled(gaussian_process.GaussianProcessClassifier()), 2, count=120),
    ),
    # rows that float32 cannot hold
    ("HistGB, timestamps", "classifier", partial(on_table, GRADIENT, 3, "timestamps")),
    ("HistGB, far from zero", "classifier", partial(on_table, GRADIENT, 3, "far")),
    ("forest, timestamps", "classifier", partial(on_table, FOREST, 3, "timestamps")),
    ("scaler + forest, far from zero", "classifier", partial(on_table, lambda: scaled(FOREST()), 3, "far")),
    ("scaler + forest, tenths", "classifier", partial(on_table, lambda: scaled(FOREST()), 3, "grid")),
)
