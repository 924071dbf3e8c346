"""One case for every estimator of scikit-learn that answers for new rows: how to make it, and on which rows.

The rest has no case: what answers only for the rows it was fitted on, and what takes dictionaries, images or sets of
labels instead of a table.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn import linear_model, preprocessing
from sklearn.base import clone, is_classifier, is_clusterer, is_outlier_detector, is_regressor
from sklearn.decomposition import PCA
from sklearn.feature_selection import SelectKBest, f_classif
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.pipeline import Pipeline
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor
from sklearn.utils import all_estimators

from benchmarks.converting import rows
from benchmarks.converting.cases import Case, Fitted, Suite, suite, table

NO_TABLE = ("DictVectorizer", "FeatureHasher", "MultiLabelBinarizer", "PatchExtractor")
_LOGISTIC = linear_model.LogisticRegression(max_iter=300)
_RIDGE = linear_model.Ridge()
_TREE = DecisionTreeClassifier(max_depth=4, random_state=0)


def _given(**words: Any) -> Callable[[type[Any]], Any]:
    return lambda kind: kind(**words)


def _over(estimator: Any, **words: Any) -> Callable[[type[Any]], Any]:
    return lambda kind: kind(clone(estimator), **words)


_VOTERS = [("lr", _LOGISTIC), ("tree", _TREE)]
_REGRESSORS = [("ridge", _RIDGE), ("tree", DecisionTreeRegressor(max_depth=4, random_state=0))]
_DELEGATES = [
    "CalibratedClassifierCV",
    "FixedThresholdClassifier",
    "TunedThresholdClassifierCV",
    "OneVsOneClassifier",
    "OneVsRestClassifier",
    "OutputCodeClassifier",
    "SelfTrainingClassifier",
    "ClassifierChain",
    "MultiOutputClassifier",
    "RFE",
    "RFECV",
    "SelectFromModel",
]
# Estimators that cannot be made without arguments, or only with a warning.
_MAKE: dict[str, Callable[[type[Any]], Any]] = {
    **dict.fromkeys(_DELEGATES, _over(_LOGISTIC)),
    "SequentialFeatureSelector": _over(_TREE, n_features_to_select=3),
    "GridSearchCV": _over(_LOGISTIC, param_grid={"C": [0.1, 1.0]}),
    "RandomizedSearchCV": _over(_LOGISTIC, param_distributions={"C": [0.1, 1.0, 5.0]}, n_iter=2, random_state=0),
    "MultiOutputRegressor": _over(_RIDGE),
    "RegressorChain": _over(_RIDGE),
    "StackingClassifier": lambda kind: kind(_VOTERS),
    "VotingClassifier": lambda kind: kind(_VOTERS),
    "StackingRegressor": lambda kind: kind(_REGRESSORS),
    "VotingRegressor": lambda kind: kind(_REGRESSORS),
    "ColumnTransformer": lambda kind: kind(
        [("a", preprocessing.StandardScaler(), [0, 1, 2]), ("b", preprocessing.MinMaxScaler(), [5, 3])]
    ),
    "FeatureUnion": lambda kind: kind([("pca", PCA(2)), ("best", SelectKBest(f_classif, k=2))]),
    "Pipeline": lambda kind: kind([("scale", preprocessing.StandardScaler()), ("lr", _LOGISTIC)]),
    "FrozenEstimator": lambda kind: kind(Pipeline([("s", preprocessing.StandardScaler()), ("lr", clone(_LOGISTIC))])),
    "SparseCoder": lambda kind: kind(np.eye(13)[::2] + 0.1),
    "SparseRandomProjection": _given(n_components=5, random_state=0),
    "GaussianRandomProjection": _given(n_components=5, random_state=0),
    "HashingVectorizer": _given(n_features=1024),
    "CategoricalNB": _given(min_categories=17),
    "PLSSVD": _given(n_components=2),
    "LocalOutlierFactor": _given(novelty=True),
    "GenericUnivariateSelect": _given(mode="k_best", param=4),
    "LogisticRegression": _given(max_iter=300),
    "RadiusNeighborsClassifier": _given(radius=1e6),
    "RadiusNeighborsRegressor": _given(radius=0.5),
    "RadiusNeighborsTransformer": _given(radius=100.0),
    "DictionaryLearning": _given(n_components=6, max_iter=20, random_state=0),
    "MiniBatchDictionaryLearning": _given(n_components=6, max_iter=20, random_state=0),
    "NMF": _given(n_components=6, max_iter=400, random_state=0),
    "MiniBatchNMF": _given(n_components=6, random_state=0),
}
_POSITIVE = [
    "AdditiveChi2Sampler",
    "SkewedChi2Sampler",
    "NMF",
    "MiniBatchNMF",
    "LatentDirichletAllocation",
    "MultinomialNB",
    "ComplementNB",
    "TfidfTransformer",
    "BernoulliNB",
    "BernoulliRBM",
    "CategoricalNB",
]
_SEVERAL_NUMBERS = [
    "CCA",
    "PLSCanonical",
    "PLSSVD",
    "MultiOutputRegressor",
    "RegressorChain",
    "MultiTaskElasticNet",
    "MultiTaskElasticNetCV",
    "MultiTaskLasso",
    "MultiTaskLassoCV",
]
_SEVERAL_LABELS = ("ClassifierChain", "MultiOutputClassifier")
_BINARY = ("FixedThresholdClassifier", "TunedThresholdClassifierCV")
# On raw rows every distance is so large that all answers are ties.
_SCALED = ("GaussianProcessClassifier", "GaussianProcessRegressor")
_TEXTS = ("CountVectorizer", "TfidfVectorizer", "HashingVectorizer")
_CATEGORIES = ("OneHotEncoder", "OrdinalEncoder", "TargetEncoder")
_GAPS = ("SimpleImputer", "KNNImputer", "MissingIndicator")
_LABELS = ("LabelEncoder", "LabelBinarizer")


def estimator_suite() -> Suite:
    """A case for every estimator of scikit-learn that has predict or transform and takes a table."""
    found = [(name, kind) for name, kind in all_estimators() if _answers(name, kind)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # deprecated estimators are in use for years yet
        return suite([Case(name, _kind(kind), partial(_fit, name, kind)) for name, kind in found])


def _answers(name: str, kind: type[Any]) -> bool:
    return name not in NO_TABLE and (hasattr(kind, "predict") or hasattr(kind, "transform"))


def _kind(kind: type[Any]) -> str:
    model = _make(kind.__name__, kind)
    tests = {
        "classifier": is_classifier,
        "regressor": is_regressor,
        "outlier": is_outlier_detector,
        "cluster": is_clusterer,
    }
    known = next((word for word, holds in tests.items() if holds(model)), None)
    return known or ("mixture" if hasattr(model, "predict") else "transformer")


def _make(name: str, kind: type[Any]) -> Any:
    model = _MAKE.get(name, _given())(kind)
    taken = inspect.signature(kind).parameters
    settings = {"random_state": 0} if "random_state" in taken else {}
    return model.set_params(**settings) if settings and model.get_params().get("random_state") is None else model


def _fit(name: str, kind: type[Any]) -> Fitted:
    model = _make(name, kind)
    shown: NDArray[Any]
    answers: NDArray[Any]
    special = next((fit for names, fit in _SPECIAL if name in names), None)
    if special is not None:
        return special(model)
    shown, answers, unseen = rows.diabetes() if _kind(kind) == "regressor" else rows.wine()
    if name in _SCALED:
        scale = preprocessing.StandardScaler().fit(shown)
        shown, unseen = scale.transform(shown), scale.transform(unseen)
    if name in _BINARY:
        answers = answers > 0
    if name == "FrozenEstimator":
        model.estimator.fit(shown, answers)
    return Fitted(model.fit(shown, answers), table(shown), table(unseen), "matrix")


def _positive(model: Any) -> Fitted:
    shown, answers, unseen = rows.counts()
    return Fitted(model.fit(shown, answers), table(shown), table(unseen), "matrix")


def _several_numbers(model: Any) -> Fitted:
    shown, answer, unseen = rows.diabetes()
    answers = np.column_stack([answer, shown @ np.arange(10) * 100 + answer / 2])
    return Fitted(model.fit(shown, answers), table(shown), table(unseen), "matrix")


def _several_labels(model: Any) -> Fitted:
    shown, answer, unseen = rows.wine()
    answers = np.column_stack([answer == 0, shown[:, 0] > 13]).astype(np.int64)
    return Fitted(model.fit(shown, answers), table(shown), table(unseen), "matrix")


def _texts(model: Any) -> Fitted:
    shown, unseen = rows.texts(1), rows.texts(2)
    return Fitted(model.fit(shown), pd.DataFrame({"text": shown}), pd.DataFrame({"text": unseen}), "texts")


def _categories(model: Any) -> Fitted:
    shown, unseen = (rows.machines(seed, gaps=False)[["site", "mode"]] for seed in (1, 2))
    answers = rows.wear(rows.machines(1, gaps=False)) > 6
    return Fitted(model.fit(shown, answers), shown, unseen)


def _gaps(model: Any) -> Fitted:
    shown, _, unseen = rows.wine()
    gappy = rows.with_gaps(shown, 3)
    return Fitted(model.fit(gappy), table(gappy), table(rows.with_gaps(unseen, 4)), "matrix")


def _one_column(model: Any) -> Fitted:
    shown, answers, unseen = rows.diabetes()
    return Fitted(model.fit(shown[:, [2]], answers), table(shown[:, [2]]), table(unseen[:, [2]]), "matrix")


def _kernel(model: Any) -> Fitted:
    shown, _, unseen = rows.wine()
    kernel, other = (rbf_kernel(part, shown, gamma=1e-5) for part in (shown, unseen))
    return Fitted(model.fit(kernel), table(kernel), table(other), "matrix")


def _labels(model: Any) -> Fitted:
    shown = np.random.default_rng(1).integers(2, 9, 300)
    unseen = np.random.default_rng(2).integers(2, 9, 300)
    return Fitted(model.fit(shown), table(shown.reshape(-1, 1)), table(unseen.reshape(-1, 1)), "flat")


_SPECIAL: tuple[tuple[Any, Callable[[Any], Fitted]], ...] = (
    (_POSITIVE, _positive),
    (_SEVERAL_NUMBERS, _several_numbers),
    (_SEVERAL_LABELS, _several_labels),
    (_TEXTS, _texts),
    (_CATEGORIES, _categories),
    (_GAPS, _gaps),
    (("IsotonicRegression",), _one_column),
    (("KernelCenterer",), _kernel),
    (_LABELS, _labels),
)
