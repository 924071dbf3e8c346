"""Estimators that are made of other estimators: each exported whole, and compared on rows that it never saw."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pandas as pd
import pytest
from numpy.typing import NDArray
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.ensemble import (
    AdaBoostClassifier,
    AdaBoostRegressor,
    BaggingClassifier,
    BaggingRegressor,
    GradientBoostingClassifier,
    RandomForestClassifier,
    RandomForestRegressor,
    StackingClassifier,
    StackingRegressor,
    VotingClassifier,
    VotingRegressor,
)
from sklearn.feature_selection import RFE
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, RANSACRegressor, Ridge
from sklearn.model_selection import FixedThresholdClassifier, GridSearchCV, TunedThresholdClassifierCV
from sklearn.multiclass import OneVsOneClassifier, OneVsRestClassifier, OutputCodeClassifier
from sklearn.multioutput import MultiOutputRegressor, RegressorChain
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    MinMaxScaler,
    OneHotEncoder,
    PowerTransformer,
    QuantileTransformer,
    StandardScaler,
)
from sklearn.semi_supervised import SelfTrainingClassifier
from sklearn.svm import SVC, LinearSVC
from sklearn.tree import DecisionTreeClassifier

from convert.check.parity import Agreement, compare, tolerance_for
from convert.export.candidates import answer, build
from convert.export.plans import plans_for
from convert.export.refusal import NotExportable
from convert.read.columns import describe
from convert.read.model import LoadedModel
from convert.read.source import understand

TEXTS = np.array(["low", "mid", "high"])
Target = Callable[[pd.DataFrame], NDArray[Any]]


def rows(seed: int, count: int = 240) -> pd.DataFrame:
    return pd.DataFrame(np.random.default_rng(seed).normal(size=(count, 4)), columns=list("abcd"))


def place(frame: pd.DataFrame) -> NDArray[np.int64]:
    score = (frame["a"] - frame["b"] * frame["c"]).to_numpy()
    found: NDArray[np.int64] = np.digitize(score, [-0.5, 0.6])
    return found


def texts(frame: pd.DataFrame) -> NDArray[Any]:
    return TEXTS[place(frame)]


def numbers(frame: pd.DataFrame) -> NDArray[Any]:
    return np.array([3, 5, 9])[place(frame)]


def flags(frame: pd.DataFrame) -> NDArray[Any]:
    found: NDArray[Any] = place(frame) == 1
    return found


def yes_or_no(frame: pd.DataFrame) -> NDArray[Any]:
    return np.where(place(frame) == 2, "yes", "no")


def value(frame: pd.DataFrame) -> NDArray[Any]:
    found: NDArray[Any] = (np.exp(frame["a"] / 2) + frame["b"].abs() + 0.1).to_numpy()
    return found


def values(frame: pd.DataFrame) -> NDArray[Any]:
    return np.column_stack([value(frame), frame["c"] * 2 - frame["d"]])


def fitted(model: Any, frame: pd.DataFrame, target: NDArray[Any]) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return model.fit(frame, target)


def agreement(model: Any, frame: pd.DataFrame, plan: str = "float64") -> Agreement:
    """How the first plan of edgekit's own with this number type agrees on rows that the model never saw."""
    source, columns = understand(LoadedModel(model, "model")), describe(frame)
    chosen = next(each for each in plans_for(source, columns) if each.own and each.numbers == plan)
    made = build(source, chosen, columns, frame)
    expected = source.answers(frame)
    (got,) = answer(made, frame)
    return compare(expected, got, tolerance_for(source.role, expected.numbers))


def forest() -> RandomForestClassifier:
    return RandomForestClassifier(6, max_depth=4, random_state=0)


def trio() -> list[tuple[str, Any]]:
    scaled = make_pipeline(StandardScaler(), LogisticRegression())
    return [("linear", scaled), ("forest", forest()), ("bayes", GaussianNB()), ("none", "drop")]


def steep() -> GradientBoostingClassifier:
    return GradientBoostingClassifier(n_estimators=4, random_state=0)


CLASSIFIERS: dict[str, tuple[Any, Target]] = {
    "soft votes with weights": (VotingClassifier(trio(), voting="soft", weights=[1, 2, 3, 9]), texts),
    "hard votes, one without probabilities": (VotingClassifier([*trio(), ("svm", LinearSVC())]), flags),
    "stack of probabilities": (StackingClassifier(trio(), LogisticRegression(), cv=2), numbers),
    "stack of decisions and the rows": (
        StackingClassifier(
            [("svm", SVC()), ("boosting", steep())], forest(), cv=2, stack_method="decision_function", passthrough=True
        ),
        texts,
    ),
    "stack of labels": (StackingClassifier(trio(), LogisticRegression(), cv=2, stack_method="predict"), texts),
    "stack of two classes": (StackingClassifier(trio(), LogisticRegression(), cv=2), yes_or_no),
    "bag of trees": (BaggingClassifier(n_estimators=6, random_state=0), texts),
    "bag over some columns": (BaggingClassifier(GaussianNB(), 5, max_features=0.5, random_state=0), numbers),
    "bag of votes": (BaggingClassifier(LinearSVC(), 4, random_state=0), flags),
    "boosted stumps": (AdaBoostClassifier(n_estimators=8, random_state=0), texts),
    "boosted stumps of two classes": (AdaBoostClassifier(n_estimators=8, random_state=0), yes_or_no),
    "boosted linear models": (AdaBoostClassifier(LogisticRegression(), n_estimators=3), numbers),
    "sigmoid over a vector machine": (CalibratedClassifierCV(SVC(), cv=2), flags),
    "sigmoid over boosting": (CalibratedClassifierCV(steep(), cv=2), texts),
    "isotonic over a scaled forest": (
        CalibratedClassifierCV(make_pipeline(StandardScaler(), forest()), method="isotonic", cv=2),
        texts,
    ),
    "isotonic, one calibrator": (CalibratedClassifierCV(forest(), method="isotonic", cv=2, ensemble=False), flags),
    "temperature over a forest": (CalibratedClassifierCV(forest(), method="temperature", cv=2), yes_or_no),
    "temperature over decisions": (CalibratedClassifierCV(LinearSVC(), method="temperature", cv=2), texts),
    "one against the rest": (OneVsRestClassifier(LogisticRegression()), texts),
    "one against the rest, from probabilities": (OneVsRestClassifier(forest()), numbers),
    "one against the rest, two classes": (OneVsRestClassifier(SVC()), flags),
    "one against the rest, from a regressor": (OneVsRestClassifier(Ridge()), texts),
    "one against one": (OneVsOneClassifier(LinearSVC()), texts),
    "one against one, from probabilities": (OneVsOneClassifier(GaussianNB()), numbers),
    "one against one, two classes": (OneVsOneClassifier(forest()), yes_or_no),
    "output codes": (OutputCodeClassifier(forest(), random_state=0), texts),
    "a fixed threshold for the first class": (
        FixedThresholdClassifier(LogisticRegression(), threshold=0.3, pos_label="no"),
        yes_or_no,
    ),
    "a fixed threshold of decisions": (FixedThresholdClassifier(LinearSVC(), threshold=0.2), flags),
    "a tuned threshold": (TunedThresholdClassifierCV(forest(), cv=2), flags),
    "the commonest class": (DummyClassifier(strategy="most_frequent"), texts),
    "the prior": (DummyClassifier(), numbers),
    "one class always": (DummyClassifier(strategy="constant", constant="mid"), texts),
    "a search": (GridSearchCV(make_pipeline(StandardScaler(), forest()), {}, cv=2), texts),
    "a search in a pipeline": (make_pipeline(StandardScaler(), GridSearchCV(forest(), {}, cv=2)), numbers),
    "elimination that answers": (make_pipeline(StandardScaler(), RFE(forest(), n_features_to_select=2)), texts),
    "elimination that selects": (make_pipeline(RFE(LogisticRegression(), n_features_to_select=2), forest()), texts),
    "votes of searches and calibrated models": (
        VotingClassifier(
            [("search", GridSearchCV(forest(), {}, cv=2)), ("calibrated", CalibratedClassifierCV(forest(), cv=2))],
            voting="soft",
        ),
        texts,
    ),
}


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_a_classifier_made_of_others_answers_as_before(name: str) -> None:
    model, target = CLASSIFIERS[name]
    seen = rows(0)
    assert agreement(fitted(model, seen, target(seen)), rows(1)).exact


def inverse(transformer: Any) -> TransformedTargetRegressor:
    return TransformedTargetRegressor(Ridge(), transformer=transformer)


def undone(there: Any, back: Any) -> TransformedTargetRegressor:
    return TransformedTargetRegressor(Ridge(), func=there, inverse_func=back, check_inverse=False)


def trees() -> RandomForestRegressor:
    return RandomForestRegressor(4, random_state=0)


REGRESSORS: dict[str, tuple[Any, Target]] = {
    "weighted votes": (VotingRegressor([("linear", Ridge()), ("forest", trees())], weights=[1, 3]), value),
    "stack and the rows": (
        StackingRegressor([("linear", Ridge()), ("forest", trees())], cv=2, passthrough=True),
        value,
    ),
    "bag of trees": (BaggingRegressor(n_estimators=5, random_state=0), value),
    "bag of two targets": (BaggingRegressor(Ridge(), 4, max_features=0.5, random_state=0), values),
    "median of boosted trees": (AdaBoostRegressor(n_estimators=8, random_state=0), value),
    "median of boosted linear models": (AdaBoostRegressor(Ridge(), n_estimators=4, random_state=0), value),
    "chain": (RegressorChain(Ridge(), order=[1, 0]), values),
    "one for each target": (MultiOutputRegressor(trees()), values),
    "consensus": (RANSACRegressor(random_state=0), value),
    "mean": (DummyRegressor(), values),
    "quantile": (DummyRegressor(strategy="quantile", quantile=0.3), value),
    "exponent": (undone(np.log, np.exp), value),
    "exponent less one": (undone(np.log1p, np.expm1), value),
    "square": (undone(np.sqrt, np.square), value),
    "standard target": (inverse(StandardScaler()), value),
    "ranged target": (inverse(MinMaxScaler()), value),
    "two targets of other powers": (inverse(PowerTransformer()), values),
    "power of positive targets": (inverse(PowerTransformer("box-cox")), value),
    "ranks": (inverse(QuantileTransformer(n_quantiles=40)), value),
    "normal ranks": (inverse(QuantileTransformer(n_quantiles=40, output_distribution="normal")), value),
    "transformers in a row": (inverse(make_pipeline(PowerTransformer(), MinMaxScaler())), value),
}


@pytest.mark.parametrize("name", REGRESSORS)
def test_a_regressor_made_of_others_answers_as_before(name: str) -> None:
    model, target = REGRESSORS[name]
    seen = rows(0)
    assert agreement(fitted(model, seen, target(seen)), rows(1)).exact


def test_frozen_and_self_trained_models_answer_as_what_is_inside() -> None:
    seen = rows(0)
    partly = np.where(np.arange(len(seen)) % 3 == 0, -1, place(seen))
    frozen = FrozenEstimator(fitted(make_pipeline(StandardScaler(), forest()), seen, texts(seen)))
    for model in (
        frozen,
        CalibratedClassifierCV(frozen).fit(seen, texts(seen)),
        fitted(SelfTrainingClassifier(forest()), seen, partly),
    ):
        assert agreement(model, rows(1)).exact


def test_members_may_be_pipelines_over_columns_of_several_kinds() -> None:
    def mixed(seed: int) -> pd.DataFrame:
        colors = np.random.default_rng(seed).choice(["red", "green"], 240)
        return rows(seed).assign(color=colors)[["color", "a", "b", "c", "d"]]

    def member(model: Any) -> Any:
        columns = [("text", OneHotEncoder(), ["color"]), ("numbers", StandardScaler(), ["a", "b", "c"])]
        return make_pipeline(ColumnTransformer(columns), model)

    seen = mixed(0)
    members = [("linear", member(LogisticRegression())), ("forest", member(forest()))]
    model = fitted(VotingClassifier(members, voting="soft"), seen, texts(seen))
    assert agreement(model, mixed(1)).exact


def tens(numbers: Any) -> Any:
    return 10.0**numbers


REFUSED: dict[str, tuple[Any, Target, str]] = {
    "answers drawn at random": (DummyClassifier(strategy="stratified"), texts, "draws answers at random"),
    "a function of the user's": (undone(np.log10, tens), value, "none of numpy's that ONNX knows"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_has_no_form_is_refused_in_words(name: str) -> None:
    model, target, words = REFUSED[name]
    seen = rows(0)
    with pytest.raises(NotExportable, match=words):
        agreement(fitted(model, seen, target(seen)), seen)


def test_the_comparison_tells_another_model_s_answers_apart() -> None:
    """The control of all tests above: the export of one model, held against a slightly different one."""
    seen, new = rows(0), rows(1)
    model = fitted(VotingClassifier(trio(), voting="soft"), seen, texts(seen))
    source, columns = understand(LoadedModel(model, "model")), describe(new)
    plan = next(each for each in plans_for(source, columns) if each.own and each.numbers == "float64")
    (got,) = answer(build(source, plan, columns, new), new)
    model.weights = [1, 1.01, 1, 1]
    expected = source.answers(new)
    assert not compare(expected, got, tolerance_for(source.role, expected.numbers)).exact


def test_bagged_trees_become_one_operator() -> None:
    seen = rows(0)
    model = fitted(BaggingClassifier(DecisionTreeClassifier(max_depth=3), 6, random_state=0), seen, texts(seen))
    source, columns = understand(LoadedModel(model, "model")), describe(seen)
    made = build(source, plans_for(source, columns)[0], columns, seen)
    kinds = [node.op_type for node in onnx.load_model_from_string(made.content).graph.node]
    assert kinds.count("TreeEnsemble") == 1
