"""Linear models, networks, naive Bayes and the scaler folded into them, judged on rows the exporter never saw."""

from __future__ import annotations

import pickle
import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn import linear_model as linear
from sklearn import naive_bayes
from sklearn.base import clone
from sklearn.cross_decomposition import CCA, PLSSVD, PLSCanonical, PLSRegression
from sklearn.decomposition import PCA, FactorAnalysis, FastICA, TruncatedSVD
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis, QuadraticDiscriminantAnalysis
from sklearn.dummy import DummyClassifier
from sklearn.isotonic import IsotonicRegression
from sklearn.neighbors import KNeighborsClassifier, NeighborhoodComponentsAnalysis
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler, MinMaxScaler, PolynomialFeatures, RobustScaler, StandardScaler
from sklearn.svm import SVC, LinearSVC, LinearSVR

from convert.export.affine import Affine, projection, scaling
from convert.export.fold import carry, folded
from convert.export.own import folds
from tests.support.exports import DOUBLE, FEATURES, FOLDED, SINGLE, agreement, drawn, exported

SEEN, FRESH = drawn(600), drawn(900, fresh=True)
LABELS = {
    "two": np.array([0, 1, 1]),
    "three texts": np.array(["low", "mid", "high"]),
    "odd": np.array([7, -2, 40]),
    "booleans": np.array([False, True, True]),
}
VALUES = (SEEN["s0"] ** 2 + 3 * SEEN["s1"]).abs() + 1.0


def fitted(model: Any, rows: pd.DataFrame, target: Any = None) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # iterations stopped early, and classes that scikit-learn will drop
        return clone(model).fit(rows, target)


CLASSIFIERS: dict[str, Any] = {
    "logistic regression": linear.LogisticRegression(),
    "ridge": linear.RidgeClassifier(),
    "hinge by gradient": linear.SGDClassifier(random_state=0),
    "log loss by gradient": linear.SGDClassifier(loss="log_loss", random_state=0),
    "modified Huber by gradient": linear.SGDClassifier(loss="modified_huber", random_state=0),
    "support vectors": LinearSVC(),
    "perceptron": linear.Perceptron(),
    "linear discriminants": LinearDiscriminantAnalysis(),
    "quadratic discriminants": QuadraticDiscriminantAnalysis(),
    "normal distributions": naive_bayes.GaussianNB(),
    "switches": naive_bayes.BernoulliNB(binarize=0.5),
    "network": MLPClassifier((8,), max_iter=20, random_state=0),
    "deep network": MLPClassifier((6, 5), "tanh", max_iter=20, random_state=0),
    "logistic network": MLPClassifier((6,), "logistic", max_iter=20, random_state=0),
}


@pytest.mark.parametrize(
    ("labels", "plan"), [("two", SINGLE), ("three texts", SINGLE), ("odd", DOUBLE), ("booleans", SINGLE)]
)
@pytest.mark.parametrize("kind", CLASSIFIERS)
def test_a_classifier_answers_alike_on_rows_it_never_saw(kind: str, labels: str, plan: str) -> None:
    model = fitted(CLASSIFIERS[kind], SEEN[FEATURES], LABELS[labels][SEEN["target"]])
    assert agreement(model, exported(model, SEEN[FEATURES], plan), FRESH[FEATURES]).exact


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("name", ["PassiveAggressiveClassifier", "PassiveAggressiveRegressor"])
def test_models_that_scikit_learn_will_drop_answer_alike_while_it_has_them(name: str) -> None:
    if not hasattr(linear, name):
        pytest.skip("this scikit-learn has it no more")
    model = getattr(linear, name)(random_state=0).fit(SEEN[FEATURES], SEEN["target"])
    assert agreement(model, exported(model, SEEN[FEATURES]), FRESH[FEATURES]).exact


COUNTS: dict[str, Any] = {
    "multinomial": naive_bayes.MultinomialNB(),
    "complement": naive_bayes.ComplementNB(),
    "categories": naive_bayes.CategoricalNB(min_categories=20),
    "one-hot": naive_bayes.BernoulliNB(binarize=None),
}


def counts(frame: pd.DataFrame, kind: str) -> pd.DataFrame:
    whole = (frame[FEATURES].abs() * 2).clip(upper=19).astype(int)
    return (whole > 1).astype(int) if kind == "one-hot" else whole


@pytest.mark.parametrize("plan", [SINGLE, "own, int64 matrix"])
@pytest.mark.parametrize("kind", COUNTS)
def test_naive_bayes_of_counts_answers_alike(kind: str, plan: str) -> None:
    seen = counts(SEEN, kind)
    model = fitted(COUNTS[kind], seen, SEEN["target"])
    assert agreement(model, exported(model, seen, plan), counts(FRESH, kind)).exact


def test_a_category_code_outside_the_table_is_refused_as_in_scikit_learn() -> None:
    seen = counts(SEEN, "categories")
    model = fitted(COUNTS["categories"], seen, SEEN["target"])
    made, outside = exported(model, seen), seen.head(2).assign(s1=20)
    with pytest.raises(IndexError):
        model.predict(outside)
    with pytest.raises(Exception, match="out of data bounds"):
        agreement(fitted(DummyClassifier(), seen, SEEN["target"]), made, outside)


def test_scores_far_below_zero_share_alike_as_in_scikit_learn() -> None:
    seen = SEEN[FEATURES] * 1e5
    model = fitted(linear.SGDClassifier(loss="log_loss", random_state=0), seen, SEEN["target"])
    fresh = FRESH[FEATURES] * 1e5
    assert (model.decision_function(fresh).max(axis=1) < -1000).any(), "otherwise this proves nothing"
    assert agreement(model, exported(model, seen), fresh).exact


REGRESSORS: dict[str, Any] = {
    "least squares": linear.LinearRegression(),
    "ridge": linear.Ridge(),
    "lasso": linear.Lasso(),
    "elastic net": linear.ElasticNet(),
    "least angles": linear.Lars(),
    "matching pursuit": linear.OrthogonalMatchingPursuit(),
    "Bayesian ridge": linear.BayesianRidge(),
    "relevance": linear.ARDRegression(),
    "Huber": linear.HuberRegressor(),
    "consensus": linear.RANSACRegressor(random_state=0),
    "medians of subsets": linear.TheilSenRegressor(max_subpopulation=40, random_state=0),
    "gradient": linear.SGDRegressor(random_state=0),
    "counts": linear.PoissonRegressor(),
    "gamma": linear.GammaRegressor(),
    "Tweedie, identity": linear.TweedieRegressor(),
    "Tweedie, log": linear.TweedieRegressor(power=1.5),
    "quantile": linear.QuantileRegressor(alpha=0.01),
    "support vectors": LinearSVR(),
    "network": MLPRegressor(hidden_layer_sizes=(8,), max_iter=20, random_state=0),
    "partial least squares": PLSRegression(),
}


@pytest.mark.parametrize("kind", REGRESSORS)
def test_a_regressor_answers_alike_on_rows_it_never_saw(kind: str) -> None:
    model = fitted(REGRESSORS[kind], SEEN[FEATURES], VALUES)
    assert agreement(model, exported(model, SEEN[FEATURES]), FRESH[FEATURES]).exact


SEVERAL: dict[str, Any] = {
    "least squares": linear.LinearRegression(),
    "lasso": linear.MultiTaskLasso(),
    "network": MLPRegressor(hidden_layer_sizes=(8,), max_iter=20, random_state=0),
    "partial least squares": PLSRegression(),
    "correlation": CCA(),
    "canonical": PLSCanonical(),
    "latent": PLSSVD(),
}


@pytest.mark.parametrize("kind", SEVERAL)
def test_several_targets_answer_alike(kind: str) -> None:
    model = fitted(SEVERAL[kind], SEEN[FEATURES], np.column_stack([VALUES, SEEN["s2"] - VALUES]))
    made = exported(model, SEEN[FEATURES])
    assert made.outputs[0].width == 2
    assert agreement(model, made, FRESH[FEATURES]).exact


@pytest.mark.parametrize("beyond", ["clip", "nan"])
@pytest.mark.parametrize("distinct", [600, 2, 1])
def test_isotonic_steps_answer_alike_also_beyond_their_ends(distinct: int, beyond: str) -> None:
    seen = SEEN[["s0"]].iloc[:distinct]
    model = fitted(IsotonicRegression(out_of_bounds=beyond), seen, VALUES.iloc[:distinct])
    assert agreement(model, exported(model, SEEN[["s0"]]), FRESH[["s0"]] * 3).exact


@pytest.mark.parametrize(
    "model",
    [NeighborhoodComponentsAnalysis(2, max_iter=3), linear.SGDOneClassSVM(random_state=0)],
    ids=["components", "outliers"],
)
def test_other_affine_models_answer_alike(model: Any) -> None:
    made_of = fitted(model, SEEN[FEATURES], SEEN["target"])
    assert agreement(made_of, exported(made_of, SEEN[FEATURES]), FRESH[FEATURES]).exact


@pytest.mark.parametrize("kind", ["logistic regression", "quadratic discriminants", "network", "normal distributions"])
def test_one_feature_and_a_constant_one_are_no_special_case(kind: str) -> None:
    one, constant = SEEN[["s0"]], SEEN[["s0", "s1"]].assign(s1=4.0)
    for seen, fresh in ((one, FRESH[["s0"]]), (constant, FRESH[["s0", "s1"]].assign(s1=4.0))):
        if kind == "quadratic discriminants" and seen is constant:
            continue  # scikit-learn itself refuses a class without spread
        model = fitted(CLASSIFIERS[kind], seen, SEEN["target"] > 0)
        assert agreement(model, exported(model, seen), fresh).exact


# ---- folding ----------------------------------------------------------------------------------------------------

STEPS: dict[str, list[Any]] = {
    "standard": [StandardScaler()],
    "without mean": [StandardScaler(with_mean=False)],
    "without scale": [StandardScaler(with_std=False)],
    "range": [MinMaxScaler((-1, 2))],
    "greatest": [MaxAbsScaler()],
    "quartiles": [RobustScaler()],
    "chain": [MinMaxScaler(), StandardScaler(), PCA(4)],
    "whitened": [PCA(5, whiten=True, random_state=0), RobustScaler()],
    "independent": [FastICA(4, random_state=0)],
    "factors": [FactorAnalysis(2)],
    "truncated": [StandardScaler(), TruncatedSVD(3, random_state=0)],
    "discriminants": [LinearDiscriminantAnalysis()],
}
LAST: dict[str, Any] = {
    "logistic regression": linear.LogisticRegression(),
    "network": MLPClassifier((8,), max_iter=20, random_state=0),
    "kernel": SVC(),
    "neighbours": KNeighborsClassifier(weights="distance"),
}


@pytest.mark.parametrize("last", LAST)
@pytest.mark.parametrize("steps", STEPS)
def test_affine_steps_become_part_of_the_model_with_the_same_answers(steps: str, last: str) -> None:
    model = fitted(make_pipeline(*STEPS[steps], LAST[last]), SEEN[FEATURES] * 3 + 2, SEEN["target"])
    made = exported(model, SEEN[FEATURES] * 3 + 2, SINGLE + FOLDED)
    assert agreement(model, made, FRESH[FEATURES] * 3 + 2).exact


def test_folding_leaves_the_users_model_as_it_was_and_shares_its_arrays() -> None:
    model = fitted(make_pipeline(StandardScaler(), linear.LogisticRegression()), SEEN[FEATURES], SEEN["target"])
    before = pickle.dumps(model)
    twin: Any = folded(model, folds)
    exported(model, SEEN[FEATURES], SINGLE + FOLDED)
    assert pickle.dumps(model) == before
    assert twin.coef_ is model[-1].coef_


def test_a_wrongly_folded_scaler_is_noticed() -> None:
    model = fitted(make_pipeline(StandardScaler(), linear.LogisticRegression()), SEEN[FEATURES] + 2, SEEN["target"])
    rows = FRESH[FEATURES] + 2
    forgetful = carry(model[-1], scaling(None, None, len(FEATURES)))
    assert not agreement(model, exported(forgetful, SEEN[FEATURES]), rows).exact


@pytest.mark.parametrize(
    "steps",
    [
        [MinMaxScaler(clip=True), linear.LogisticRegression()],
        [PolynomialFeatures(2), linear.LogisticRegression()],
        [StandardScaler(), linear.LogisticRegression(), "no pipeline"],
    ],
    ids=["clipped", "squares", "bare model"],
)
def test_what_is_no_affine_step_is_not_folded(steps: list[Any]) -> None:
    model = fitted(make_pipeline(*steps[:2]), SEEN[FEATURES], SEEN["target"])
    assert folded(model[-1] if len(steps) == 3 else model, folds) is None


def test_steps_before_the_affine_ones_stay() -> None:
    pipeline = make_pipeline(PolynomialFeatures(2), StandardScaler(), linear.Ridge())
    model = fitted(pipeline, SEEN[FEATURES], VALUES)
    twin: Any = folded(model, folds)
    assert [name for name, _ in twin.steps] == ["polynomialfeatures", "ridge"]
    assert agreement(model, exported(model, SEEN[FEATURES], SINGLE + FOLDED), FRESH[FEATURES]).exact


@pytest.mark.parametrize("first", ["scale", "mix"])
@pytest.mark.parametrize("second", ["scale", "mix"])
def test_maps_compose_as_functions_do(first: str, second: str) -> None:
    rng = np.random.default_rng(0)
    maps: dict[str, Affine] = {
        "scale": scaling(rng.normal(size=3), rng.normal(size=3), 3),
        "mix": projection(rng.normal(size=3), rng.normal(size=(3, 3))),
    }
    rows = rng.normal(size=(5, 3))
    joined = maps[first].then(maps[second])
    assert np.allclose(applied(joined, rows), applied(maps[second], applied(maps[first], rows)))
    assert np.allclose(applied(joined.centred(), rows), applied(joined, rows))
    weights, offset = rng.normal(size=(3, 2)), rng.normal(size=2)
    into, constant = joined.before(weights, offset)
    assert np.allclose(rows @ into + constant, applied(joined, rows) @ weights + offset)


def applied(affine: Affine, rows: Any) -> Any:
    away = rows - affine.centre
    return (away * affine.weights if affine.diagonal else away @ affine.weights) + affine.offset
