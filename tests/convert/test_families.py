"""Model families that convert with no changed answer, those that skl2onnx gets wrong among them."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    IsolationForest,
    RandomForestClassifier,
    RandomForestRegressor,
    VotingClassifier,
)
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.svm import SVC, LinearSVC

from convert import convert
from convert.conversion import Conversion
from convert.export.candidates import build
from convert.export.plans import PLANS
from convert.read.columns import describe
from convert.read.model import LoadedModel
from convert.read.source import understand
from edgekit import bundle, golden, packing
from tests.convert.agreement import agreement

FEATURES = [f"s{i}" for i in range(6)]
Case = Callable[[pd.DataFrame], tuple[Any, pd.DataFrame]]


def fit(model: Any, rows: pd.DataFrame, target: Any = None) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return model.fit(rows, rows.index if target is None else target)


def classifier(model: Any, *, labels: Any = None, shift: float = 0.0) -> Case:
    def case(rows: pd.DataFrame) -> tuple[Any, pd.DataFrame]:
        features = rows[FEATURES] * (7 if shift else 1) + shift
        target = rows["target"] if labels is None else np.asarray(labels)[rows["target"]]
        return fit(model, features, target), features.assign(target=target)

    return case


def regressor(model: Any, rows_used: int = 1200) -> Case:
    def case(rows: pd.DataFrame) -> tuple[Any, pd.DataFrame]:
        used = rows.head(rows_used)
        target = used["s0"] ** 2 + used["s1"]
        return fit(model, used[FEATURES], target), used[FEATURES].assign(target=target)

    return case


def with_missing(model: Any) -> Case:
    def case(rows: pd.DataFrame) -> tuple[Any, pd.DataFrame]:
        holes = np.random.default_rng(0).random((len(rows), len(FEATURES))) < 0.1
        features = rows[FEATURES].mask(holes)
        return fit(model, features, rows["target"]), features.assign(target=rows["target"])

    return case


def unlabelled(model: Any) -> Case:
    return lambda rows: (fit(model, rows[FEATURES]), rows[FEATURES])


def columns(**words: Any) -> ColumnTransformer:
    numbers = make_pipeline(SimpleImputer(), StandardScaler())
    return ColumnTransformer([("text", OneHotEncoder(**words), ["color"]), ("numbers", numbers, ["s0", "s1", "gear"])])


def mixed_columns(model: Any) -> Case:
    def case(rows: pd.DataFrame) -> tuple[Any, pd.DataFrame]:
        used = ["s0", "s1", "gear", "color"]
        return fit(model, rows[used], rows["target"]), rows[[*used, "target"]]

    return case


# a family: how its model is fitted, and how the name of its plan begins
FAMILIES: dict[str, tuple[Case, str]] = {
    "logistic": (classifier(LogisticRegression(max_iter=500)), "own, float32 matrix"),
    "text labels": (classifier(LogisticRegression(max_iter=500), labels=["low", "mid", "high"]), "own, float32 matrix"),
    "boolean labels": (classifier(LogisticRegression(), labels=[False, True, True]), "own, float32 matrix"),
    "forest": (classifier(RandomForestClassifier(10, random_state=0)), "own, float32 matrix"),
    "scaled forest, large offset": (
        classifier(make_pipeline(StandardScaler(), RandomForestClassifier(20, random_state=0)), shift=1e5),
        "own, float64 matrix",
    ),
    "forest with missing values": (
        with_missing(RandomForestClassifier(20, random_state=0)),
        "own, float32 matrix",
    ),
    "boosting on timestamps": (
        classifier(HistGradientBoostingClassifier(max_iter=20), shift=1.7e9),
        "own, float64 matrix",
    ),
    "boosting": (classifier(HistGradientBoostingClassifier(max_iter=10)), "own, float32 matrix"),
    "binary boosting": (
        classifier(HistGradientBoostingClassifier(max_iter=10), labels=[0, 1, 1]),
        "own, float32 matrix",
    ),
    "boosting with missing values": (
        with_missing(HistGradientBoostingClassifier(max_iter=10)),
        "own, float32 matrix",
    ),
    "perceptron": (
        classifier(make_pipeline(StandardScaler(), MLPClassifier((8,), max_iter=200, random_state=0))),
        "own, float32 matrix",
    ),
    "kernel machine": (classifier(SVC()), "own, float32 matrix"),
    "linear machine without probabilities": (classifier(LinearSVC(), labels=[0, 1, 1]), "own, float32 matrix"),
    "search": (
        classifier(GridSearchCV(LogisticRegression(max_iter=500), {"C": [0.1, 1]}, cv=2)),
        "own, float32 matrix",
    ),
    "imputer": (
        with_missing(make_pipeline(SimpleImputer(), StandardScaler(), LogisticRegression())),
        "own, float32 matrix",
    ),
    "ridge": (regressor(make_pipeline(StandardScaler(), Ridge())), "own, float32 matrix"),
    "forest regressor": (regressor(RandomForestRegressor(5, random_state=0)), "own, float32 matrix"),
    "boosting regressor": (regressor(HistGradientBoostingRegressor(max_iter=10)), "own, float32 matrix"),
    "gaussian process": (
        regressor(GaussianProcessRegressor(RBF(20.0), alpha=1e-8, optimizer=None), 200),
        "own, float64 matrix",
    ),
    "isolation forest": (unlabelled(IsolationForest(n_estimators=10, random_state=0)), "own, float32 matrix"),
    "hard votes": (
        classifier(VotingClassifier([("a", LogisticRegression(max_iter=500)), ("b", RandomForestClassifier(3))])),
        "own, float32 matrix",
    ),
    "mixed columns": (
        mixed_columns(make_pipeline(columns(handle_unknown="ignore"), LogisticRegression(max_iter=500))),
        "own, float32 columns",
    ),
}


Converted = Callable[[Case, pd.DataFrame], Conversion]


@pytest.fixture
def run(measured: Path) -> Converted:
    def convert_case(case: Case, rows: pd.DataFrame) -> Conversion:
        model, data = case(rows)
        return convert(model, data, target="target" if "target" in data else None, measured=measured)

    return convert_case


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_converts_with_no_changed_answer_under_the_expected_plan(
    family: str, run: Converted, mixed: pd.DataFrame
) -> None:
    case, plan = FAMILIES[family]
    done = run(case, mixed)
    assert (done.report.reported.label_changes, done.report.reported.rows_off) == (0, 0)
    assert done.manifest.plan.startswith(plan)


def calibrated(**words: Any) -> Any:
    return CalibratedClassifierCV(make_pipeline(StandardScaler(), LogisticRegression()), **words)


# what skl2onnx writes without a word and wrongly
WRONG: dict[str, Case] = {
    "calibrated scaler pipeline, sigmoid": classifier(calibrated(), labels=[0, 1, 1]),
    "calibrated scaler pipeline, isotonic": classifier(calibrated(method="isotonic"), labels=[0, 1, 1]),
    "calibrated scaler pipeline in a pipeline": classifier(
        make_pipeline(StandardScaler(), calibrated()), labels=[0, 1, 1]
    ),
    "forest with missing values": with_missing(RandomForestClassifier(20, random_state=0)),
}


@pytest.mark.parametrize("model", WRONG)
def test_what_skl2onnx_silently_gets_wrong_is_right(model: str, run: Converted, mixed: pd.DataFrame) -> None:
    case = WRONG[model]
    done = run(case, mixed)
    assert (done.report.reported.label_changes, done.report.reported.rows_off) == (0, 0)
    assert done.manifest.plan.startswith("own")

    fitted, data = case(mixed)
    plain = next(plan for plan in PLANS if plan.name == "float32 matrix")
    rows = data[FEATURES]
    form = build(understand(LoadedModel(fitted, "test")), plain, describe(rows), rows)
    assert not agreement(fitted, form, rows, rows).exact


def test_text_models_load_where_only_the_c_locale_exists(measured: Path) -> None:
    words = np.array(["alpha", "Beta", "gamma", "delta"])
    texts = np.array([" ".join(words[list(pick)]) for pick in np.random.default_rng(0).integers(0, 4, (200, 4))])
    target = np.array(["alpha" in text for text in texts])
    model = make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(texts, target)
    done = convert(model, pd.DataFrame({"note": texts, "target": target}), target="target", measured=measured)
    assert done.report.reported.label_changes == 0
    assert b"C.UTF-8" in packing.expand(bundle.parse(done.content), "model")


def test_features_are_typed_with_their_ranges_categories_and_missing_policy(
    run: Converted, mixed: pd.DataFrame
) -> None:
    rows = mixed.assign(s0=mixed["s0"].mask(mixed["s0"] > 1))
    done = run(mixed_columns(make_pipeline(columns(), LogisticRegression(max_iter=500))), rows)
    inputs = {feature.name: feature for feature in done.manifest.inputs}
    assert inputs["s0"].nullable
    assert inputs["s0"].missing == "nan"
    assert inputs["gear"].range == (1.0, 5.0)
    assert inputs["color"].categories == ["blue", "green", "red"]
    assert inputs["color"].closed, "an encoder that refuses unknown categories closes the feature"


def test_an_encoder_that_ignores_unknown_categories_leaves_the_feature_open(
    run: Converted, mixed: pd.DataFrame
) -> None:
    done = run(FAMILIES["mixed columns"][0], mixed)
    color = next(feature for feature in done.manifest.inputs if feature.name == "color")
    assert not color.closed
    rows = golden.decode_golden(packing.expand(bundle.parse(done.content), "golden"))
    assert rows.features == ["s0", "s1", "gear", "color"]


def test_golden_rows_hold_the_source_models_own_answers(measured: Path, sensors: pd.DataFrame) -> None:
    model = RandomForestClassifier(10, random_state=0).fit(sensors[FEATURES], sensors["target"])
    done = convert(model, sensors, target="target", measured=measured)
    rows = golden.decode_golden(packing.expand(bundle.parse(done.content), "golden"))
    frame = pd.DataFrame(rows.rows, columns=rows.features)
    assert rows.expected["label"] == model.predict(frame).tolist()
    assert rows.expected["probabilities"] == model.predict_proba(frame).tolist()
    assert set(model.classes_) == set(rows.expected["label"])
    assert len(rows.rows) == 32


def test_reference_bins_hold_every_training_row(run: Converted, mixed: pd.DataFrame) -> None:
    done = run(FAMILIES["mixed columns"][0], mixed)
    reference = golden.decode_reference(packing.expand(bundle.parse(done.content), "reference"))
    assert reference.rows == len(mixed)
    for bins in reference.features:
        other = 0 if isinstance(bins, golden.NumericBins) else bins.other
        assert sum(bins.counts) + other + bins.missing == len(mixed)
    assert sum(reference.predicted.values()) == len(mixed)


def test_quality_is_stated_before_and_after(run: Converted, sensors: pd.DataFrame) -> None:
    done = run(FAMILIES["logistic"][0], sensors)
    (quality,) = done.manifest.quality
    assert quality.metric == "accuracy"
    assert quality.source == quality.converted > 0.5
