"""edgekit's own tree exporters, judged on rows and seeds that the converter never saw."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from sklearn.datasets import load_digits, make_classification
from sklearn.ensemble import (
    BaggingClassifier,
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    IsolationForest,
    RandomForestClassifier,
    RandomForestRegressor,
    StackingClassifier,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from convert import convert
from convert.check import session as sessions
from convert.check.parity import Answers, compare, tolerance_for
from convert.conversion import Conversion
from convert.export.candidates import build
from convert.export.plans import PLANS
from convert.export.trees.fitted import round_down, round_nearest
from convert.read.columns import describe
from convert.read.model import LoadedModel
from convert.read.source import understand
from edgekit import bundle, packing

Convert = Callable[[Any, pd.DataFrame], Conversion]
FEATURES = [f"s{i}" for i in range(6)]
LABELS = {"two": np.array([0, 1, 1]), "texts": np.array(["low", "mid", "high"]), "odd": np.array([7, -2, 40])}


def drawn(seed: int, rows: int = 1500) -> pd.DataFrame:
    """Rows of one problem: the same rule for every seed, other rows."""
    x, y = make_classification(6000, 6, n_informative=5, n_redundant=0, n_classes=3, random_state=3)
    picked = np.random.default_rng(seed).choice(3000, rows, replace=False) + (3000 if seed else 0)
    return pd.DataFrame(x[picked], columns=FEATURES).assign(target=y[picked])


def holed(frame: pd.DataFrame, seed: int = 5) -> pd.DataFrame:
    return frame.mask(np.random.default_rng(seed).random(frame.shape) < 0.1)


@pytest.fixture
def converted(measured: Path) -> Convert:
    return lambda model, rows: convert(model, rows, measured=measured)


def answers(done: Conversion, rows: pd.DataFrame) -> Answers:
    """What a device would answer, from the bytes of the bundle."""
    session = sessions.open_session(packing.expand(bundle.parse(done.content), "model"))
    return sessions.run(session, done.manifest.tensors, done.manifest.outputs, rows)


def assert_same(model: Any, done: Conversion, rows: pd.DataFrame) -> None:
    assert done.manifest.plan.startswith("own")
    source = understand(LoadedModel(model, "test"))
    expected, got = source.answers(rows), answers(done, rows)
    if expected.label is not None:
        assert got.label is not None
        assert got.label.tolist() == expected.label.tolist()
    assert expected.numbers is not None
    assert got.numbers is not None
    scale = 1.0 if source.role == "probabilities" else float(np.std(expected.numbers))
    assert np.abs(got.numbers - expected.numbers).max() < 2e-6 * scale


def labels_under(plan: str, model: Any, rows: pd.DataFrame) -> NDArray[Any]:
    """Labels of the ONNX form under the plan of this name, without the rest of a conversion."""
    chosen = next(line for line in PLANS if line.name == plan)
    made = build(understand(LoadedModel(model, "test")), chosen, describe(rows), rows)
    found = sessions.run(sessions.open_session(made.content), made.tensors, made.outputs, rows).label
    assert found is not None
    return found


CLASSIFIERS = {
    "tree": DecisionTreeClassifier(random_state=0),
    "shallow tree": DecisionTreeClassifier(max_depth=3),
    "forest": RandomForestClassifier(15, random_state=0),
    "forest of mixed leaves": RandomForestClassifier(15, min_samples_leaf=4, random_state=0),
    "weighted forest": RandomForestClassifier(15, max_depth=5, class_weight="balanced", random_state=0),
    "extra trees": ExtraTreesClassifier(15, random_state=0),
    "gradient boosting": GradientBoostingClassifier(n_estimators=6, random_state=0),
    "boosting": HistGradientBoostingClassifier(max_iter=6),
}


@pytest.mark.parametrize("labels", ["two", "texts"])
@pytest.mark.parametrize("kind", CLASSIFIERS)
def test_a_classifier_answers_alike_on_rows_it_never_saw(kind: str, labels: str, converted: Convert) -> None:
    seen = drawn(0)
    model = CLASSIFIERS[kind].fit(seen[FEATURES], LABELS[labels][seen["target"]])
    assert_same(model, converted(model, seen[FEATURES]), drawn(1)[FEATURES])


def test_exponential_loss_has_its_own_probabilities(converted: Convert) -> None:
    seen = drawn(0)
    model = GradientBoostingClassifier(n_estimators=10, loss="exponential").fit(seen[FEATURES], seen["target"] > 0)
    assert_same(model, converted(model, seen[FEATURES]), drawn(1)[FEATURES])


@pytest.mark.parametrize(
    ("model", "label"),
    [
        pytest.param(GradientBoostingClassifier(n_estimators=2, min_samples_split=5000), 1, id="gradient boosting"),
        pytest.param(HistGradientBoostingClassifier(max_iter=2, min_samples_leaf=5000), 0, id="boosting"),
    ],
)
def test_an_exact_tie_of_two_classes_falls_as_in_scikit_learn(model: Any, label: int) -> None:
    seen = drawn(0)[FEATURES]
    model.fit(seen, np.arange(len(seen)) % 2)
    assert set(model.predict(seen)) == {label}
    assert set(labels_under("own, float32 matrix", model, seen)) == {label}


REGRESSORS = {
    "tree": DecisionTreeRegressor(min_samples_leaf=3),
    "forest": RandomForestRegressor(15, min_samples_leaf=2, random_state=0),
    "extra trees": ExtraTreesRegressor(15, random_state=0),
    "gradient boosting": GradientBoostingRegressor(n_estimators=6),
    "gradient boosting from zero": GradientBoostingRegressor(n_estimators=6, init="zero"),
    "boosting": HistGradientBoostingRegressor(max_iter=6),
    "boosting of counts": HistGradientBoostingRegressor(max_iter=6, loss="poisson"),
}


@pytest.mark.parametrize("kind", REGRESSORS)
def test_a_regressor_answers_alike_on_rows_it_never_saw(kind: str, converted: Convert) -> None:
    seen = drawn(0)
    model = REGRESSORS[kind].fit(seen[FEATURES], seen["s0"] ** 2 + seen["s1"].abs())
    assert_same(model, converted(model, seen[FEATURES]), drawn(1)[FEATURES])


def test_values_far_from_zero_keep_their_digits(converted: Convert) -> None:
    seen = drawn(0)
    model = RandomForestRegressor(100, random_state=0).fit(seen[FEATURES], seen["s0"] + 1e5)
    found = answers(converted(model, seen[FEATURES]), drawn(1)[FEATURES]).numbers
    assert found is not None
    # float32 itself is 0.0039 wide there; sums of a hundred trees would be off by a hundred times that.
    assert np.abs(found[:, 0] - model.predict(drawn(1)[FEATURES])).max() < 0.008


@pytest.mark.parametrize("contamination", ["auto", 0.05])
def test_an_isolation_forest_marks_the_same_outliers(contamination: str | float, converted: Convert) -> None:
    seen = drawn(0)[FEATURES]
    model = IsolationForest(n_estimators=20, contamination=contamination, max_features=0.7, random_state=0).fit(seen)
    assert_same(model, converted(model, seen), drawn(1)[FEATURES] * 2)


MISSING = {
    "tree": DecisionTreeClassifier(max_depth=6, random_state=0),
    "forest": RandomForestClassifier(15, random_state=0),
    "extra trees": ExtraTreesClassifier(15, random_state=0),
    "boosting": HistGradientBoostingClassifier(max_iter=6),
    "forest regressor": RandomForestRegressor(15, min_samples_leaf=3, random_state=0),
}


@pytest.mark.parametrize("kind", MISSING)
def test_missing_values_take_the_way_that_training_gave_them(kind: str, converted: Convert) -> None:
    seen = drawn(0)
    model = MISSING[kind].fit(holed(seen[FEATURES]), seen["target"])
    assert_same(model, converted(model, holed(seen[FEATURES])), holed(drawn(1)[FEATURES], 6))


def coded(seed: int, *, unseen: bool = False) -> pd.DataFrame:
    """Rows with two columns of category codes: few (negative, fractional) ones, and two hundred."""
    rng = np.random.default_rng(seed)
    frame = drawn(seed)
    few = rng.choice([-3.0, 0.0, 2.5, 7.0, 2000.0], len(frame))
    many = rng.integers(0, 200, len(frame)).astype(float)
    if unseen:
        few[::7], many[::5] = 2.25, 731.0
    holes = rng.random((len(frame), 2)) < 0.08
    few[holes[:, 0]], many[holes[:, 1]] = np.nan, np.nan
    target = np.where(np.isin(few, [-3.0, 2000.0]) ^ (many % 3 == 1), frame["target"], 2 - frame["target"])
    return frame.assign(few=few, many=many, target=target)


@pytest.mark.parametrize("kind", [HistGradientBoostingClassifier, HistGradientBoostingRegressor])
def test_native_categories_unseen_codes_and_missing_ones_answer_alike(kind: Any, converted: Convert) -> None:
    names = ["s0", "few", "s1", "many"]
    model = kind(max_iter=8, categorical_features=["few", "many"]).fit(coded(0)[names], coded(0)["target"])
    assert any(tree.nodes["is_categorical"].any() for turn in model._predictors for tree in turn)
    done = converted(model, coded(0)[names])
    assert_same(model, done, coded(1)[names])
    assert_same(model, done, coded(2, unseen=True)[names])


SCALED = {
    "grid of tenths": lambda frame: frame.round(1),
    "large offset": lambda frame: frame * 7 + 1e5,
    "timestamps": lambda frame: frame * 1000 + 1.7e9,
}


@pytest.mark.parametrize("scaler", [StandardScaler(), MinMaxScaler()])
@pytest.mark.parametrize("values", SCALED)
def test_a_scaler_before_trees_answers_alike(values: str, scaler: Any, converted: Convert) -> None:
    seen, fresh = SCALED[values](drawn(0)[FEATURES]), SCALED[values](drawn(1)[FEATURES])
    model = make_pipeline(scaler, RandomForestClassifier(20, random_state=0)).fit(seen, drawn(0)["target"])
    assert_same(model, converted(model, seen), fresh)


def test_boosting_on_timestamps_answers_alike(converted: Convert) -> None:
    seen, fresh = (SCALED["timestamps"](drawn(seed)[FEATURES]) for seed in (0, 1))
    model = HistGradientBoostingClassifier(max_iter=8).fit(seen, drawn(0)["target"])
    assert_same(model, converted(model, seen), fresh)


def at_thresholds(rows: pd.DataFrame, thresholds: list[tuple[int, float]], dtype: type[Any]) -> pd.DataFrame:
    """Rows that lie on a threshold or on one of its neighbours in `dtype`."""
    found = rows.to_numpy(copy=True)
    for line, (feature, threshold) in zip(found, thresholds * 3, strict=False):
        near = dtype(threshold)
        line[feature] = (near, np.nextafter(near, dtype(-np.inf)), np.nextafter(near, dtype(np.inf)))[
            int(abs(line.sum()) * 1e6) % 3  # any of the three, by chance
        ]
    return pd.DataFrame(found, columns=rows.columns)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_forest_splits_alike_on_its_thresholds_and_their_neighbours(dtype: type[Any], converted: Convert) -> None:
    seen = drawn(0)
    model = RandomForestClassifier(10, max_depth=7, random_state=0).fit(seen[FEATURES], seen["target"])
    splits = [
        (int(feature), float(threshold))
        for tree in model.estimators_
        for feature, threshold in zip(tree.tree_.feature, tree.tree_.threshold, strict=True)
        if feature >= 0
    ]
    done = converted(model, seen[FEATURES])
    assert_same(model, done, at_thresholds(drawn(1, 3000)[FEATURES], splits, dtype))


def test_boosting_in_float64_splits_alike_on_its_thresholds_and_their_neighbours() -> None:
    seen = drawn(0)
    model = HistGradientBoostingClassifier(max_iter=10).fit(seen[FEATURES], seen["target"])
    nodes = np.concatenate([tree.nodes for turn in model._predictors for tree in turn])
    splits = [(int(node["feature_idx"]), float(node["num_threshold"])) for node in nodes[nodes["is_leaf"] == 0]]
    rows = at_thresholds(drawn(1, 3000)[FEATURES], splits, np.float64)
    assert (labels_under("own, float64 matrix", model, rows) == model.predict(rows)).all()


@pytest.mark.parametrize(
    ("threshold", "down"),
    [(0.1, np.nextafter(np.float32(0.1), np.float32(-1))), (0.5, np.float32(0.5)), (np.inf, np.finfo(np.float32).max)],
)
def test_thresholds_become_the_largest_float32_that_is_not_above(threshold: float, down: np.float32) -> None:
    assert round_down(np.array([threshold]))[0] == down
    assert np.isfinite(round_nearest(np.array([threshold]))[0])


@pytest.mark.parametrize("labels", LABELS)
def test_trees_of_one_leaf_convert(labels: str, converted: Convert) -> None:
    seen = drawn(0)
    model = RandomForestClassifier(4, min_samples_split=5000, random_state=0)
    model.fit(seen[FEATURES], LABELS[labels][seen["target"]])
    assert_same(model, converted(model, seen[FEATURES]), drawn(1)[FEATURES])


ENSEMBLES = {
    "stacked": StackingClassifier(
        [("f", RandomForestClassifier(4, random_state=0)), ("b", HistGradientBoostingClassifier(max_iter=4))], cv=2
    ),
    "bagged": BaggingClassifier(DecisionTreeClassifier(), 5, random_state=0),
}


@pytest.mark.parametrize("kind", ENSEMBLES)
def test_trees_inside_other_estimators_are_exported_too(kind: str, converted: Convert) -> None:
    seen = drawn(0)
    model = ENSEMBLES[kind].fit(seen[FEATURES], seen["target"])
    assert_same(model, converted(model, seen[FEATURES]), drawn(1)[FEATURES])


def test_a_forest_of_two_targets_becomes_a_bundle(converted: Convert) -> None:
    seen = drawn(0)
    model = RandomForestRegressor(5, random_state=0).fit(seen[FEATURES], seen[["s0", "s1"]])
    assert_same(model, converted(model, seen[FEATURES]), drawn(1)[FEATURES])


def test_a_bundle_of_own_trees_asks_for_a_runtime_that_knows_them(converted: Convert) -> None:
    seen = drawn(0)
    model = DecisionTreeClassifier(max_depth=4).fit(seen[FEATURES], seen["target"])
    manifest = converted(model, seen[FEATURES]).manifest
    assert manifest.onnx.opsets["ai.onnx.ml"] == 5
    assert manifest.requires.onnxruntime_min == "1.21.0"


def sizes(model: Any, rows: NDArray[Any]) -> float:
    """The own form's bytes against skl2onnx's."""
    frame = pd.DataFrame(rows, columns=[f"x{i}" for i in range(rows.shape[1])])
    source, columns = understand(LoadedModel(model, "test")), describe(frame)
    own, plain = (
        build(source, next(plan for plan in PLANS if plan.name == name), columns, frame)
        for name in ("own, float32 matrix", "float32 matrix")
    )
    expected, got = (
        sessions.run(sessions.open_session(made.content), made.tensors, made.outputs, frame) for made in (plain, own)
    )
    assert compare(expected, got, tolerance_for("probabilities", expected.numbers)).exact
    return len(own.content) / len(plain.content)


def test_a_grown_forest_takes_less_than_an_eighth_of_the_plain_export() -> None:
    x, y = load_digits(return_X_y=True)
    assert sizes(RandomForestClassifier(20, random_state=0).fit(x, y), x) < 0.12


def test_boosting_takes_about_a_third_of_the_plain_export() -> None:
    x, y = load_digits(return_X_y=True)
    assert sizes(HistGradientBoostingClassifier(max_iter=10).fit(x, y), x) < 0.35
