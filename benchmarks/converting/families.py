"""The models whose sizes and times are measured, with the goals of each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from sklearn import ensemble, linear_model, naive_bayes, neighbors, svm, tree
from sklearn.decomposition import PCA
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks.converting import sets
from benchmarks.converting.forms import EXACT, Form, Goals
from benchmarks.converting.sets import Set

_SMALLEST: Mapping[str, Any] = {"objective": "size", "max_label_change": 0.001}
_FULL = Goals(disk=0.12, wire=0.5, load_time=0.35, load_memory=0.45)
_BOOSTED = Goals(disk=0.35, wire=0.6)
_FOREST = partial(ensemble.RandomForestClassifier, 100, random_state=0, n_jobs=1)
_BOOSTING = partial(ensemble.HistGradientBoostingClassifier, random_state=0)


def _generated(rows: int) -> Callable[[], Set]:
    return lambda: sets.generated().first(rows)


def _flights(rows: int) -> Callable[[], Set]:
    return lambda: sets.flights().first(rows)


def _delays(rows: int) -> Callable[[], Set]:
    return lambda: sets.delays().first(rows)


def _scaled(make: Callable[[], Any]) -> Callable[[], Any]:
    return lambda: make_pipeline(StandardScaler(), make())


def exact_forms() -> list[Form]:
    """Trees, answers unchanged."""
    return [
        Form("forest, digits", _FOREST, sets.digits, _FULL, loads=True),
        Form("boosting, digits", partial(_BOOSTING, max_iter=60), sets.digits, _BOOSTED),
        Form("forest, Shuttle", _FOREST, sets.shuttle, _FULL, loads=True),
        Form("forest, generated", _FOREST, _generated(5000), _FULL, loads=True),
        Form("forest, flights", _FOREST, _flights(10_000), _FULL, loads=True),
        Form("boosting, Shuttle", partial(_BOOSTING, max_iter=100), sets.shuttle, _BOOSTED),
        Form("boosting, generated", partial(_BOOSTING, max_iter=60), _generated(20_000), _BOOSTED),
        Form("boosting, flights", partial(_BOOSTING, max_iter=300), sets.flights, _BOOSTED),
        Form(
            "forest regression, flights",
            partial(ensemble.RandomForestRegressor, 100, min_samples_leaf=2, random_state=0, n_jobs=1),
            _delays(4000),
            Goals(disk=0.32),
        ),
    ]


def budgeted_forms() -> list[Form]:
    """The smallest form with at most 0.1 % of the labels changed."""
    forest, boosted = Goals(wire=0.30, one_row=1.2, changed=0.001), Goals(wire=0.34, one_row=1.2, changed=0.001)
    return [
        Form("forest within 0.1 %, flights", partial(_FOREST, min_samples_leaf=10), sets.flights, forest, _SMALLEST),
        Form("boosting within 0.1 %, flights", partial(_BOOSTING, max_iter=300), sets.flights, boosted, _SMALLEST),
    ]


_SVC, _KNN = svm.SVC, neighbors.KNeighborsClassifier
_MLP = partial(MLPClassifier, (256, 128), max_iter=15, random_state=0)
_CDIST = {"optim": "cdist"}


def halved_forms() -> list[Form]:
    """Models that are mostly weights, as small as 0.1 % of changed labels allows."""
    goals = Goals(disk=0.57, changed=0.001)
    return [
        Form("MLP within 0.1 %, generated", _scaled(_MLP), _generated(6000), goals, _SMALLEST),
        Form("SVC within 0.1 %, generated", _scaled(_SVC), _generated(6000), goals, _SMALLEST),
        Form("KNN within 0.1 %, generated", _KNN, _generated(6000), goals, _SMALLEST, _CDIST),
    ]


def default_forms() -> list[Form]:
    """Every family as it is converted by default: nothing may be slower for one row by over 20 %."""
    usual, fast = Goals(changed=0.001), Goals(one_row=0.3, changed=0.001)
    few = _generated(6000)
    made: list[tuple[str, Callable[[], Any], Goals, Mapping[str, Any]]] = [
        ("SVC", _scaled(_SVC), fast, {}),
        ("KNN", _KNN, fast, _CDIST),
        ("logistic", _scaled(partial(linear_model.LogisticRegression, max_iter=300)), usual, {}),
        ("MLP", _scaled(_MLP), usual, {}),
        ("forest", partial(_FOREST, min_samples_leaf=5), usual, {}),
        ("scaler + forest", _scaled(partial(_FOREST, min_samples_leaf=5)), usual, {}),
        ("extra trees", partial(ensemble.ExtraTreesClassifier, 50, min_samples_leaf=3, random_state=0), usual, {}),
        ("boosting", partial(_BOOSTING, max_iter=60), usual, {}),
        ("gradient boosting", partial(ensemble.GradientBoostingClassifier, n_estimators=15, random_state=0), usual, {}),
        ("AdaBoost", partial(ensemble.AdaBoostClassifier, n_estimators=20, random_state=0), usual, {}),
        ("tree", partial(tree.DecisionTreeClassifier, random_state=0), usual, {}),
        ("isolation forest", partial(ensemble.IsolationForest, n_estimators=50, random_state=0), usual, {}),
        ("naive Bayes", naive_bayes.GaussianNB, usual, {}),
        (
            "PCA + logistic",
            lambda: make_pipeline(StandardScaler(), PCA(10), linear_model.LogisticRegression()),
            usual,
            {},
        ),
        ("linear SVC", _scaled(partial(svm.LinearSVC, random_state=0)), usual, {}),
        ("ridge", linear_model.RidgeClassifier, usual, {}),
    ]
    regressors = [
        Form(f"{name}, flights, by default", make, _delays(4000), usual)
        for name, make in (
            ("ridge regression", _scaled(linear_model.Ridge)),
            ("SVR", _scaled(svm.SVR)),
            ("KNN regression", _scaled(neighbors.KNeighborsRegressor)),
            ("forest regression", partial(ensemble.RandomForestRegressor, 50, min_samples_leaf=5, random_state=0)),
            ("boosting regression", partial(ensemble.HistGradientBoostingRegressor, max_iter=100, random_state=0)),
        )
    ]
    forms = [Form(f"{name}, by default", make, few, goals, {}, peer) for name, make, goals, peer in made]
    return forms + [Form(form.name, form.make, form.rows, form.goals, {}) for form in regressors]


__all__ = ["EXACT", "budgeted_forms", "default_forms", "exact_forms", "halved_forms"]
