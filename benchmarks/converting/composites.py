"""Seventy models as they are put together in practice: pipelines, settings beyond the defaults, awkward rows.

They are the cases on which the plain export was studied: 48 were right, 15 failed, 7 answered differently in silence.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Literal

import numpy as np
import pandas as pd
from lightgbm import LGBMClassifier
from sklearn import calibration, decomposition, ensemble, gaussian_process, linear_model, naive_bayes, neighbors
from sklearn import preprocessing as scaling
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.experimental import enable_iterative_imputer  # noqa: F401 - it makes the next import work
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.feature_selection import SelectKBest
from sklearn.impute import IterativeImputer, KNNImputer, SimpleImputer
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import GridSearchCV, RandomizedSearchCV
from sklearn.multiclass import OneVsOneClassifier, OneVsRestClassifier
from sklearn.multioutput import MultiOutputRegressor
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.svm import SVC, SVR, LinearSVC, NuSVC, OneClassSVM
from xgboost import XGBRegressor

from benchmarks.converting import rows
from benchmarks.converting.cases import Case, Fitted, Suite, suite, table

Make = Callable[[], Any]
Numbers = Literal["plain", "missing", "timestamps", "far", "grid", "categories"]
_SHOWN = 400
_LOGISTIC = partial(linear_model.LogisticRegression, max_iter=500)
_FOREST = partial(ensemble.RandomForestClassifier, 25, random_state=0)
_GRADIENT = partial(ensemble.HistGradientBoostingClassifier, max_iter=20, random_state=0)


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


def _table(make: Make, classes: int, kind: Numbers = "plain", count: int = _SHOWN) -> Fitted:
    shown, unseen = _numbers(kind, 1, count), _numbers(kind, 2, rows.UNSEEN)
    return Fitted(make().fit(shown, _answers(shown, classes)), table(shown), table(unseen), "matrix")


def _words(make: Make) -> Fitted:
    shown, unseen = rows.texts(1), rows.texts(2)
    model = make().fit(shown, rows.topics_of(shown))
    return Fitted(model, pd.DataFrame({"text": shown}), pd.DataFrame({"text": unseen}), "texts")


def _mixed(make: Make, *, gaps: bool = True, columns: list[str] | None = None) -> Fitted:
    shown, unseen = rows.machines(1, gaps=gaps), rows.machines(2, gaps=gaps)
    answers = np.searchsorted(np.quantile(rows.wear(shown), [0.4, 0.8]), rows.wear(shown))
    kept = columns or list(shown)
    return Fitted(make().fit(shown[kept], answers), shown[kept], unseen[kept])


def _relabelled(make: Make) -> Fitted:
    shown, unseen = _numbers("plain", 1, _SHOWN), _numbers("plain", 2, rows.UNSEEN)
    names = np.array(["idle", "worn", "broken"])[_answers(shown, 3)]
    return Fitted(make().fit(shown, names), table(shown), table(unseen), "matrix")


def _several(make: Make, *, numbers: bool) -> Fitted:
    shown, unseen = _numbers("plain", 1, _SHOWN), _numbers("plain", 2, rows.UNSEEN)
    first, second = (_answers(part, 0 if numbers else 2) for part in (shown, shown[:, ::-1]))
    return Fitted(make().fit(shown, np.column_stack([first, second])), table(shown), table(unseen), "matrix")


def _scaled(*steps: Any) -> Any:
    return make_pipeline(scaling.StandardScaler(), *steps)


def _calibrated(model: Any, method: str) -> Any:
    return calibration.CalibratedClassifierCV(model, method=method, cv=3)


def _two_voters(**words: Any) -> Any:
    voters = [("lr", _scaled(_LOGISTIC())), ("forest", _FOREST())]
    return ensemble.VotingClassifier(voters, **words)


def _columns(**steps: Any) -> Any:
    """`name=(transformer, columns)`."""
    return ColumnTransformer([(name, *step) for name, step in steps.items()])


_TEXT = {"site": (scaling.OneHotEncoder(handle_unknown="ignore"), ["site", "mode"])}
_FLOATS = ["temperature", "pressure"]


def _ordinal_forest() -> Any:
    filled = make_pipeline(SimpleImputer(), scaling.StandardScaler())
    coded = scaling.OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    return make_pipeline(_columns(numbers=(filled, _FLOATS), texts=(coded, ["mode"])), _FOREST())


def _imputed_one_hot(last: Any) -> Any:
    numbers = (make_pipeline(SimpleImputer(strategy="median"), scaling.StandardScaler()), _FLOATS)
    return make_pipeline(_columns(numbers=numbers, **_TEXT), last)


_CATEGORICAL = partial(_GRADIENT, categorical_features=[4, 5])
_HIST_REGRESSION = partial(ensemble.HistGradientBoostingRegressor, max_iter=20, random_state=0)

# name, kind, how to make it
_CASES: tuple[tuple[str, str, Callable[[], Fitted]], ...] = (
    # once silently wrong
    ("HistGB categories, 3 classes", "classifier", partial(_table, _CATEGORICAL, 3, "categories", 1500)),
    ("HistGB categories, 2 classes", "classifier", partial(_table, _CATEGORICAL, 2, "categories", 1500)),
    (
        "HistGB regression, categories",
        "regressor",
        partial(_table, partial(_HIST_REGRESSION, categorical_features=[4, 5]), 0, "categories", 1500),
    ),
    ("random forest, missing values", "classifier", partial(_table, _FOREST, 3, "missing")),
    (
        "random forest of 50, missing values",
        "classifier",
        partial(_table, lambda: ensemble.RandomForestClassifier(50, random_state=1), 2, "missing"),
    ),
    (
        "extra trees, missing values",
        "classifier",
        partial(_table, lambda: ensemble.ExtraTreesClassifier(25, random_state=0), 3, "missing"),
    ),
    (
        "KNN by distance",
        "classifier",
        partial(_table, lambda: _scaled(neighbors.KNeighborsClassifier(weights="distance")), 3),
    ),
    ("ordinal + imputer + scaler + forest", "classifier", partial(_mixed, _ordinal_forest)),
    ("calibrated forest, isotonic", "classifier", partial(_table, lambda: _calibrated(_FOREST(), "isotonic"), 3)),
    (
        "tf-idf, stop words, sublinear",
        "classifier",
        partial(_words, lambda: make_pipeline(TfidfVectorizer(stop_words="english", sublinear_tf=True), _LOGISTIC())),
    ),
    # once without a form
    ("soft voting", "classifier", partial(_table, lambda: _two_voters(voting="soft"), 3)),
    ("hard voting", "classifier", partial(_table, _two_voters, 3)),
    (
        "calibrated logistic, temperature",
        "classifier",
        partial(_table, lambda: _calibrated(_scaled(_LOGISTIC()), "temperature"), 3),
    ),
    (
        "random search",
        "classifier",
        partial(
            _table,
            lambda: RandomizedSearchCV(
                _scaled(_LOGISTIC()), {"logisticregression__C": [0.1, 1.0, 9.0]}, n_iter=2, cv=3, random_state=0
            ),
            3,
        ),
    ),
    (
        "transformed target, log",
        "regressor",
        partial(
            _table,
            lambda: TransformedTargetRegressor(_scaled(linear_model.Ridge()), func=np.log, inverse_func=np.exp),
            0,
        ),
    ),
    (
        "splines + ridge",
        "regressor",
        partial(_table, lambda: make_pipeline(scaling.SplineTransformer(), linear_model.Ridge()), 0),
    ),
    (
        "iterative imputer + ridge",
        "regressor",
        partial(
            _table,
            lambda: make_pipeline(IterativeImputer(max_iter=3, random_state=0), linear_model.Ridge()),
            0,
            "missing",
        ),
    ),
    (
        "tf-idf, characters within words",
        "classifier",
        partial(_words, lambda: make_pipeline(TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 3)), _LOGISTIC())),
    ),
    (
        "bins, one-hot + logistic",
        "classifier",
        partial(
            _table,
            lambda: make_pipeline(scaling.KBinsDiscretizer(4, quantile_method="averaged_inverted_cdf"), _LOGISTIC()),
            3,
        ),
    ),
    (
        "gaussian process, 3 classes",
        "classifier",
        partial(_table, lambda: _scaled(gaussian_process.GaussianProcessClassifier()), 3, count=120),
    ),
    (
        "isolation forest",
        "outlier",
        partial(_table, lambda: ensemble.IsolationForest(n_estimators=30, random_state=0), 2),
    ),
    (
        "log1p + ridge",
        "regressor",
        partial(
            _table,
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
        partial(_table, lambda: make_pipeline(SimpleImputer(add_indicator=True), _FOREST()), 3, "missing"),
    ),
    (
        "tf-idf as it comes + logistic",
        "classifier",
        partial(_words, lambda: make_pipeline(TfidfVectorizer(), _LOGISTIC())),
    ),
    (
        "gaussian process, 2 classes",
        "classifier",
        partial(_table, lambda: _scaled(gaussian_process.GaussianProcessClassifier()), 2, count=120),
    ),
    # rows that float32 cannot hold
    ("HistGB, timestamps", "classifier", partial(_table, _GRADIENT, 3, "timestamps")),
    ("HistGB, far from zero", "classifier", partial(_table, _GRADIENT, 3, "far")),
    ("forest, timestamps", "classifier", partial(_table, _FOREST, 3, "timestamps")),
    ("scaler + forest, far from zero", "classifier", partial(_table, lambda: _scaled(_FOREST()), 3, "far")),
    ("scaler + forest, tenths", "classifier", partial(_table, lambda: _scaled(_FOREST()), 3, "grid")),
    # once right
    ("scaler + logistic", "classifier", partial(_table, lambda: _scaled(_LOGISTIC()), 3)),
    ("one-hot + logistic", "classifier", partial(_mixed, lambda: _imputed_one_hot(_LOGISTIC()))),
    (
        "one-hot, rare categories together",
        "classifier",
        partial(
            _mixed,
            lambda: make_pipeline(
                scaling.OneHotEncoder(min_frequency=0.12, handle_unknown="infrequent_if_exist"), _LOGISTIC()
            ),
            gaps=False,
            columns=["site", "mode"],
        ),
    ),
    (
        "target encoder, 2 classes",
        "classifier",
        partial(
            _table,
            lambda: make_pipeline(
                ColumnTransformer([("code", scaling.TargetEncoder(random_state=0), [4])], remainder="passthrough"),
                _scaled(_LOGISTIC()),
            ),
            2,
        ),
    ),
    (
        "stacking",
        "classifier",
        partial(
            _table, lambda: ensemble.StackingClassifier([("lr", _scaled(_LOGISTIC())), ("forest", _FOREST())], cv=3), 3
        ),
    ),
    (
        "stacking, regression",
        "regressor",
        partial(
            _table,
            lambda: ensemble.StackingRegressor(
                [("ridge", linear_model.Ridge()), ("forest", ensemble.RandomForestRegressor(15, random_state=0))], cv=3
            ),
            0,
        ),
    ),
    (
        "grid search",
        "classifier",
        partial(_table, lambda: GridSearchCV(_scaled(SVC()), {"svc__C": [1.0, 5.0]}, cv=3), 3),
    ),
    ("SVC, RBF", "classifier", partial(_table, lambda: _scaled(SVC()), 3)),
    (
        "SVC with probabilities, 2 classes",
        "classifier",
        partial(_table, lambda: _scaled(SVC(probability=True, random_state=0)), 2),
    ),
    ("SVC, polynomial", "classifier", partial(_table, lambda: _scaled(SVC(kernel="poly")), 3)),
    ("NuSVC, polynomial", "classifier", partial(_table, lambda: _scaled(NuSVC(nu=0.3, kernel="poly")), 2)),
    ("SVR, polynomial", "regressor", partial(_table, lambda: _scaled(SVR(kernel="poly", C=50)), 0)),
    ("PCA + SVC", "classifier", partial(_table, lambda: _scaled(decomposition.PCA(4), SVC()), 3)),
    (
        "linear SVC",
        "classifier",
        partial(_table, lambda: make_pipeline(scaling.Normalizer(), LinearSVC(random_state=0)), 3),
    ),
    ("MLP", "classifier", partial(_table, lambda: _scaled(MLPClassifier((32, 16), max_iter=150, random_state=0)), 3)),
    (
        "MLP, regression",
        "regressor",
        partial(
            _table,
            lambda: _scaled(MLPRegressor(hidden_layer_sizes=(24,), activation="tanh", max_iter=300, random_state=0)),
            0,
        ),
    ),
    ("KNN", "classifier", partial(_table, lambda: _scaled(neighbors.KNeighborsClassifier()), 3)),
    ("KNN, cosine", "classifier", partial(_table, lambda: _scaled(neighbors.KNeighborsClassifier(metric="cosine")), 3)),
    (
        "KNN, manhattan",
        "regressor",
        partial(_table, lambda: _scaled(neighbors.KNeighborsRegressor(metric="manhattan")), 0),
    ),
    ("one-class SVM", "outlier", partial(_table, lambda: _scaled(OneClassSVM(nu=0.1)), 2)),
    ("local outlier factor", "outlier", partial(_table, lambda: neighbors.LocalOutlierFactor(novelty=True), 2)),
    (
        "KNN imputer + logistic",
        "classifier",
        partial(_table, lambda: make_pipeline(KNNImputer(), scaling.StandardScaler(), _LOGISTIC()), 3, "missing"),
    ),
    (
        "bagging",
        "classifier",
        partial(_table, lambda: ensemble.BaggingClassifier(n_estimators=10, max_features=5, random_state=0), 3),
    ),
    (
        "AdaBoost",
        "classifier",
        partial(_table, lambda: ensemble.AdaBoostClassifier(n_estimators=20, random_state=0), 3),
    ),
    (
        "gradient boosting",
        "classifier",
        partial(_table, lambda: ensemble.GradientBoostingClassifier(n_estimators=20, random_state=0), 3),
    ),
    (
        "several numbers at once",
        "regressor",
        partial(_several, lambda: MultiOutputRegressor(linear_model.Ridge()), numbers=True),
    ),
    ("several labels at once, forest", "classifier", partial(_several, _FOREST, numbers=False)),
    ("forest with words as labels", "classifier", partial(_relabelled, _FOREST)),
    (
        "quantiles + logistic",
        "classifier",
        partial(_table, lambda: make_pipeline(scaling.QuantileTransformer(n_quantiles=50), _LOGISTIC()), 3),
    ),
    (
        "power transform + logistic",
        "classifier",
        partial(_table, lambda: make_pipeline(scaling.PowerTransformer(), _LOGISTIC()), 3),
    ),
    (
        "polynomials + lasso",
        "regressor",
        partial(
            _table,
            lambda: make_pipeline(scaling.StandardScaler(), scaling.PolynomialFeatures(), linear_model.Lasso(0.1)),
            0,
        ),
    ),
    (
        "union + logistic",
        "classifier",
        partial(
            _table,
            lambda: _scaled(FeatureUnion([("pca", decomposition.PCA(3)), ("best", SelectKBest(k=3))]), _LOGISTIC()),
            3,
        ),
    ),
    ("one against one", "classifier", partial(_table, lambda: _scaled(OneVsOneClassifier(_LOGISTIC())), 3)),
    ("one against the rest", "classifier", partial(_table, lambda: _scaled(OneVsRestClassifier(SVC())), 3)),
    ("calibrated SVC, sigmoid", "classifier", partial(_table, lambda: _calibrated(_scaled(SVC()), "sigmoid"), 3)),
    ("mixture of gaussians", "mixture", partial(_table, lambda: _scaled(GaussianMixture(3, random_state=0)), 2)),
    (
        "counts without lowercasing + bayes",
        "classifier",
        partial(_words, lambda: make_pipeline(CountVectorizer(lowercase=False), naive_bayes.MultinomialNB())),
    ),
    (
        "robust scaler + SGD",
        "classifier",
        partial(_table, lambda: make_pipeline(scaling.RobustScaler(), linear_model.SGDClassifier(random_state=0)), 3),
    ),
    (
        "scaler + LightGBM",
        "classifier",
        partial(_table, lambda: _scaled(LGBMClassifier(n_estimators=20, verbose=-1, n_jobs=1, random_state=0)), 3),
    ),
    (
        "imputer + XGBoost",
        "regressor",
        partial(
            _table,
            lambda: make_pipeline(SimpleImputer(), XGBRegressor(n_estimators=20, n_jobs=1, random_state=0)),
            0,
            "missing",
        ),
    ),
)


def composite_suite() -> Suite:
    """The seventy composite cases."""
    return suite([Case(*case) for case in _CASES])
