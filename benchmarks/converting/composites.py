"""Seventy models as they are put together in practice: pipelines, settings beyond the defaults, awkward rows.

They are the cases on which the plain export was studied: 48 were right, 15 failed, 7 answered differently in silence.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from lightgbm import LGBMClassifier
from sklearn import decomposition, ensemble, linear_model, naive_bayes, neighbors
from sklearn import preprocessing as scaling
from sklearn.compose import ColumnTransformer
from sklearn.experimental import enable_iterative_imputer  # noqa: F401 - it makes the next import work
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.feature_selection import SelectKBest
from sklearn.impute import KNNImputer, SimpleImputer
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import GridSearchCV
from sklearn.multiclass import OneVsOneClassifier, OneVsRestClassifier
from sklearn.multioutput import MultiOutputRegressor
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.svm import SVC, SVR, LinearSVC, NuSVC, OneClassSVM
from xgboost import XGBRegressor

from benchmarks.converting.cases import Case, Suite, suite
from benchmarks.converting.composing import (
    FLOATS,
    FOREST,
    LOGISTIC,
    TEXT,
    Entry,
    calibrated,
    columns,
    on_machines,
    on_table,
    on_texts,
    scaled,
    with_named_labels,
    with_several_answers,
)
from benchmarks.converting.troubled import TROUBLED


def _imputed_one_hot(last: Any) -> Any:
    numbers = (make_pipeline(SimpleImputer(strategy="median"), scaling.StandardScaler()), FLOATS)
    return make_pipeline(columns(numbers=numbers, **TEXT), last)


# with which the plain export was found to be right
SOUND: tuple[Entry, ...] = (
    ("scaler + logistic", "classifier", partial(on_table, lambda: scaled(LOGISTIC()), 3)),
    ("one-hot + logistic", "classifier", partial(on_machines, lambda: _imputed_one_hot(LOGISTIC()))),
    (
        "one-hot, rare categories together",
        "classifier",
        partial(
            on_machines,
            lambda: make_pipeline(
                scaling.OneHotEncoder(min_frequency=0.12, handle_unknown="infrequent_if_exist"), LOGISTIC()
            ),
            gaps=False,
            columns=["site", "mode"],
        ),
    ),
    (
        "target encoder, 2 classes",
        "classifier",
        partial(
            on_table,
            lambda: make_pipeline(
                ColumnTransformer([("code", scaling.TargetEncoder(random_state=0), [4])], remainder="passthrough"),
                scaled(LOGISTIC()),
            ),
            2,
        ),
    ),
    (
        "stacking",
        "classifier",
        partial(
            on_table, lambda: ensemble.StackingClassifier([("lr", scaled(LOGISTIC())), ("forest", FOREST())], cv=3), 3
        ),
    ),
    (
        "stacking, regression",
        "regressor",
        partial(
            on_table,
            lambda: ensemble.StackingRegressor(
                [("ridge", linear_model.Ridge()), ("forest", ensemble.RandomForestRegressor(15, random_state=0))], cv=3
            ),
            0,
        ),
    ),
    (
        "grid search",
        "classifier",
        partial(on_table, lambda: GridSearchCV(scaled(SVC()), {"svc__C": [1.0, 5.0]}, cv=3), 3),
    ),
    ("SVC, RBF", "classifier", partial(on_table, lambda: scaled(SVC()), 3)),
    (
        "SVC with probabilities, 2 classes",
        "classifier",
        partial(on_table, lambda: scaled(SVC(probability=True, random_state=0)), 2),
    ),
    ("SVC, polynomial", "classifier", partial(on_table, lambda: scaled(SVC(kernel="poly")), 3)),
    ("NuSVC, polynomial", "classifier", partial(on_table, lambda: scaled(NuSVC(nu=0.3, kernel="poly")), 2)),
    ("SVR, polynomial", "regressor", partial(on_table, lambda: scaled(SVR(kernel="poly", C=50)), 0)),
    ("PCA + SVC", "classifier", partial(on_table, lambda: scaled(decomposition.PCA(4), SVC()), 3)),
    (
        "linear SVC",
        "classifier",
        partial(on_table, lambda: make_pipeline(scaling.Normalizer(), LinearSVC(random_state=0)), 3),
    ),
    ("MLP", "classifier", partial(on_table, lambda: scaled(MLPClassifier((32, 16), max_iter=150, random_state=0)), 3)),
    (
        "MLP, regression",
        "regressor",
        partial(
            on_table,
            lambda: scaled(MLPRegressor(hidden_layer_sizes=(24,), activation="tanh", max_iter=300, random_state=0)),
            0,
        ),
    ),
    ("KNN", "classifier", partial(on_table, lambda: scaled(neighbors.KNeighborsClassifier()), 3)),
    (
        "KNN, cosine",
        "classifier",
        partial(on_table, lambda: scaled(neighbors.KNeighborsClassifier(metric="cosine")), 3),
    ),
    (
        "KNN, manhattan",
        "regressor",
        partial(on_table, lambda: scaled(neighbors.KNeighborsRegressor(metric="manhattan")), 0),
    ),
    ("one-class SVM", "outlier", partial(on_table, lambda: scaled(OneClassSVM(nu=0.1)), 2)),
    ("local outlier factor", "outlier", partial(on_table, lambda: neighbors.LocalOutlierFactor(novelty=True), 2)),
    (
        "KNN imputer + logistic",
        "classifier",
        partial(on_table, lambda: make_pipeline(KNNImputer(), scaling.StandardScaler(), LOGISTIC()), 3, "missing"),
    ),
    (
        "bagging",
        "classifier",
        partial(on_table, lambda: ensemble.BaggingClassifier(n_estimators=10, max_features=5, random_state=0), 3),
    ),
    (
        "AdaBoost",
        "classifier",
        partial(on_table, lambda: ensemble.AdaBoostClassifier(n_estimators=20, random_state=0), 3),
    ),
    (
        "gradient boosting",
        "classifier",
        partial(on_table, lambda: ensemble.GradientBoostingClassifier(n_estimators=20, random_state=0), 3),
    ),
    (
        "several numbers at once",
        "regressor",
        partial(with_several_answers, lambda: MultiOutputRegressor(linear_model.Ridge()), numbers=True),
    ),
    ("several labels at once, forest", "classifier", partial(with_several_answers, FOREST, numbers=False)),
    ("forest with words as labels", "classifier", partial(with_named_labels, FOREST)),
    (
        "quantiles + logistic",
        "classifier",
        partial(on_table, lambda: make_pipeline(scaling.QuantileTransformer(n_quantiles=50), LOGISTIC()), 3),
    ),
    (
        "power transform + logistic",
        "classifier",
        partial(on_table, lambda: make_pipeline(scaling.PowerTransformer(), LOGISTIC()), 3),
    ),
    (
        "polynomials + lasso",
        "regressor",
        partial(
            on_table,
            lambda: make_pipeline(scaling.StandardScaler(), scaling.PolynomialFeatures(), linear_model.Lasso(0.1)),
            0,
        ),
    ),
    (
        "union + logistic",
        "classifier",
        partial(
            on_table,
            lambda: scaled(FeatureUnion([("pca", decomposition.PCA(3)), ("best", SelectKBest(k=3))]), LOGISTIC()),
            3,
        ),
    ),
    ("one against one", "classifier", partial(on_table, lambda: scaled(OneVsOneClassifier(LOGISTIC())), 3)),
    ("one against the rest", "classifier", partial(on_table, lambda: scaled(OneVsRestClassifier(SVC())), 3)),
    ("calibrated SVC, sigmoid", "classifier", partial(on_table, lambda: calibrated(scaled(SVC()), "sigmoid"), 3)),
    ("mixture of gaussians", "mixture", partial(on_table, lambda: scaled(GaussianMixture(3, random_state=0)), 2)),
    (
        "counts without lowercasing + bayes",
        "classifier",
        partial(on_texts, lambda: make_pipeline(CountVectorizer(lowercase=False), naive_bayes.MultinomialNB())),
    ),
    (
        "robust scaler + SGD",
        "classifier",
        partial(on_table, lambda: make_pipeline(scaling.RobustScaler(), linear_model.SGDClassifier(random_state=0)), 3),
    ),
    (
        "scaler + LightGBM",
        "classifier",
        partial(on_table, lambda: scaled(LGBMClassifier(n_estimators=20, verbose=-1, n_jobs=1, random_state=0)), 3),
    ),
    (
        "imputer + XGBoost",
        "regressor",
        partial(
            on_table,
            lambda: make_pipeline(SimpleImputer(), XGBRegressor(n_estimators=20, n_jobs=1, random_state=0)),
            0,
            "missing",
        ),
    ),
)


def composite_suite() -> Suite:
    """The seventy composite cases."""
    return suite([Case(*case) for case in (*TROUBLED, *SOUND)])
