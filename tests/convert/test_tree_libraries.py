"""LightGBM's and XGBoost's models, judged against the libraries themselves on rows that the models never saw."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import joblib
import lightgbm
import numpy as np
import pandas as pd
import pytest
import xgboost
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from convert import convert
from convert.export.refusal import NotExportable
from convert.export.trees import lightgbm_model, xgboost_model
from tests.convert.tree_forms import FEATURES, NARROW, WIDE, answered, assert_alike, drawn, holed

# One thread: on a busy machine OpenMP threads wait for one another most of the time.
LIGHT: dict[str, Any] = {"n_estimators": 8, "verbose": -1, "n_jobs": 1}
EXTREME: dict[str, Any] = {"n_estimators": 8, "n_jobs": 1}


def light(**words: Any) -> Any:
    return lightgbm.LGBMClassifier(**LIGHT, **words)


def light_value(**words: Any) -> Any:
    return lightgbm.LGBMRegressor(**LIGHT, **words)


def extreme(**words: Any) -> Any:
    return xgboost.XGBClassifier(**EXTREME, **words)


def extreme_value(**words: Any) -> Any:
    return xgboost.XGBRegressor(**EXTREME, **words)


def positive(frame: pd.DataFrame) -> pd.Series:
    return frame["s0"] ** 2 + frame["s1"].abs() + 0.1


@pytest.mark.parametrize("plan", [NARROW, WIDE])
@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize(
    "model",
    [
        pytest.param(light(), id="lightgbm"),
        pytest.param(light(boosting_type="dart"), id="lightgbm dart"),
        pytest.param(light(boosting_type="rf", bagging_freq=1, bagging_fraction=0.5), id="lightgbm forest"),
        pytest.param(light(use_missing=False), id="lightgbm where NaN is zero"),
        pytest.param(extreme(), id="xgboost"),
        pytest.param(extreme(booster="dart", rate_drop=0.4), id="xgboost dart"),
        pytest.param(xgboost.XGBRFClassifier(n_estimators=8, n_jobs=1), id="xgboost forest"),
    ],
)
def test_a_classifier_with_missing_values_answers_alike(model: Any, classes: int, plan: str) -> None:
    seen = drawn(0)
    model.fit(holed(seen[FEATURES]), seen["target"] if classes == 3 else seen["target"] > 0)
    assert_alike(plan, model, holed(drawn(1)[FEATURES], seed=6))


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(light(objective="multiclassova"), id="lightgbm one against rest"),
        pytest.param(light(objective="multiclassova", sigmoid=2.0), id="lightgbm one against rest, steep"),
        pytest.param(extreme(objective="multi:softmax"), id="xgboost softmax"),
    ],
)
def test_other_objectives_of_several_classes_answer_alike(model: Any) -> None:
    seen = drawn(0)
    assert_alike(NARROW, model.fit(seen[FEATURES], seen["target"]), drawn(1)[FEATURES])


@pytest.mark.parametrize("words", [{"objective": "cross_entropy"}, {"sigmoid": 2.0}, {"is_unbalance": True}])
def test_other_objectives_of_two_classes_answer_alike(words: Any) -> None:
    seen = drawn(0)
    assert_alike(NARROW, light(**words).fit(seen[FEATURES], seen["target"] > 0), drawn(1)[FEATURES])


@pytest.mark.parametrize("objective", ["regression", "l1", "huber", "quantile", "mape", "poisson", "gamma", "tweedie"])
def test_objectives_of_lightgbm_regressors_answer_alike(objective: str) -> None:
    seen = drawn(0)
    assert_alike(NARROW, light_value(objective=objective).fit(seen[FEATURES], positive(seen)), drawn(1)[FEATURES])


@pytest.mark.parametrize(
    "words", [{"reg_sqrt": True}, {"boosting_type": "rf", "bagging_freq": 1, "bagging_fraction": 0.5}]
)
def test_other_lightgbm_regressors_answer_alike(words: Any) -> None:
    seen = drawn(0)
    assert_alike(WIDE, light_value(**words).fit(seen[FEATURES], positive(seen)), drawn(1)[FEATURES])


@pytest.mark.parametrize(
    "objective",
    ["reg:squarederror", "reg:pseudohubererror", "reg:absoluteerror", "count:poisson", "reg:gamma", "reg:tweedie"],
)
def test_objectives_of_xgboost_regressors_answer_alike(objective: str) -> None:
    seen = drawn(0)
    assert_alike(NARROW, extreme_value(objective=objective).fit(seen[FEATURES], positive(seen)), drawn(1)[FEATURES])


def test_an_xgboost_regressor_of_several_targets_answers_alike() -> None:
    seen = drawn(0)
    model = extreme_value().fit(seen[FEATURES], seen[["s0", "s1"]] ** 2)
    assert_alike(NARROW, model, drawn(1)[FEATURES])


@pytest.mark.parametrize(
    ("model", "hole"),
    [
        pytest.param(light(zero_as_missing=True), 0.0, id="lightgbm"),
        pytest.param(extreme(missing=0.0), 0.0, id="xgboost"),
        pytest.param(extreme(missing=-999.0), -999.0, id="xgboost, a code"),
    ],
)
def test_a_number_that_means_missing_is_missing(model: Any, hole: float) -> None:
    seen = drawn(0)
    model.fit(holed(seen[FEATURES], hole), seen["target"])
    fresh = holed(drawn(1)[FEATURES], hole, seed=6)
    assert_alike(NARROW, model, fresh)
    assert_alike(NARROW, model, holed(fresh, seed=7) if "missing" not in model.get_params() else fresh)


def coded(seed: int, *, odd: bool = False) -> pd.DataFrame:
    """Two columns of category codes beside numbers; `odd`: with codes that are unseen, negative or no whole numbers."""
    random = np.random.default_rng(seed)
    frame = drawn(seed)
    few, many = random.choice([0, 1, 2, 5, 7.0], len(frame)), random.integers(0, 60, len(frame)).astype(float)
    if odd:
        few[::3] = random.choice([-1.0, -0.5, 2.7, 3.0, 1e6], len(few))[::3]
        many[::5] = 99.0
    found = frame[FEATURES].assign(s1=few, s3=many)
    return holed(found, seed=seed).assign(
        target=np.where(np.isin(few, [1, 5]), frame["target"], (many % 3).astype(int))
    )


@pytest.mark.parametrize("plan", [NARROW, WIDE])
@pytest.mark.parametrize("max_cat_to_onehot", [2, 100])
def test_categories_of_xgboost_answer_alike(max_cat_to_onehot: int, plan: str) -> None:
    model = extreme(enable_categorical=True, max_cat_to_onehot=max_cat_to_onehot, feature_types=list("qcqcqq"))
    seen = coded(0)
    model.fit(seen[FEATURES], seen["target"])
    assert_alike(plan, model, coded(1)[FEATURES])
    assert_alike(plan, model, coded(1, odd=True)[FEATURES])


@pytest.mark.parametrize("plan", [NARROW, WIDE])
@pytest.mark.parametrize("zero_as_missing", [False, True])
def test_categories_of_lightgbm_answer_alike(zero_as_missing: bool, plan: str) -> None:
    model = light(zero_as_missing=zero_as_missing)
    seen = coded(0)
    model.fit(seen[FEATURES], seen["target"], categorical_feature=["s1", "s3"])
    assert_alike(plan, model, coded(1)[FEATURES])
    assert_alike(plan, model, coded(1, odd=True)[FEATURES])


def test_training_that_stopped_early_predicts_with_its_best_turns() -> None:
    seen, fresh = drawn(0), drawn(1)
    extreme_one = xgboost.XGBClassifier(n_estimators=60, learning_rate=1.0, n_jobs=1, early_stopping_rounds=3)
    extreme_one.fit(seen[FEATURES], seen["target"], eval_set=[(fresh[FEATURES], fresh["target"])], verbose=False)
    light_one = lightgbm.LGBMClassifier(n_estimators=60, learning_rate=1.0, verbose=-1, n_jobs=1)
    stop = lightgbm.early_stopping(3, verbose=False)
    fresh_pair = {"eval_X": fresh[FEATURES], "eval_y": fresh["target"]}
    light_one.fit(seen[FEATURES], seen["target"], **fresh_pair, callbacks=[stop])
    assert extreme_one.best_iteration + 1 < extreme_one.get_booster().num_boosted_rounds()
    for model in (extreme_one, light_one):
        assert_alike(NARROW, model, fresh[FEATURES])


def at_thresholds(splits: list[tuple[int, float]], dtype: type[Any]) -> pd.DataFrame:
    """Rows on each threshold and on its two neighbours."""
    near = [dtype(value) for _, value in splits]
    values = [side for value in near for side in (value, np.nextafter(value, dtype(-9)), np.nextafter(value, dtype(9)))]
    rows = drawn(1)[FEATURES].to_numpy()[np.arange(len(values)) % 1200].astype(np.float64)
    rows[np.arange(len(values)), np.repeat([feature for feature, _ in splits], 3)] = values
    return pd.DataFrame(rows, columns=FEATURES)


def test_xgboost_splits_alike_on_its_thresholds_and_their_neighbours() -> None:
    seen = drawn(0)
    model = extreme().fit(seen[FEATURES], seen["target"])
    trees = json.loads(model.get_booster().save_raw("json"))["learner"]["gradient_booster"]["model"]["trees"]
    splits = [
        (feature, value)
        for tree in trees
        for feature, value, left in zip(
            tree["split_indices"], tree["split_conditions"], tree["left_children"], strict=True
        )
        if left >= 0
    ]
    assert_alike(NARROW, model, at_thresholds(splits, np.float32))
    assert_alike(WIDE, model, at_thresholds(splits, np.float64))


def test_lightgbm_splits_alike_on_its_thresholds_and_their_neighbours() -> None:
    seen = drawn(0)
    model = light().fit(seen[FEATURES], seen["target"])
    trees = lightgbm_model.booster_of(model).trees
    splits = [
        (int(tree.feature[i]), float(tree.threshold[i])) for tree in trees for i in np.flatnonzero(tree.left >= 0)
    ]
    assert_alike(WIDE, model, at_thresholds(splits, np.float64))


def test_an_even_sum_of_xgboost_is_the_first_class() -> None:
    seen = drawn(0)
    model = extreme(base_score=0.5, min_child_weight=1e9).fit(seen[FEATURES], seen["target"] > 0)
    assert (model.predict_proba(seen[FEATURES])[:, 1] == 0.5).all()
    found = answered(NARROW, model, seen[FEATURES])
    assert found.label is not None
    assert not found.label.any()


@pytest.mark.parametrize(
    ("model", "why"),
    [
        pytest.param(light_value(linear_tree=True), "linear_tree", id="linear leaves"),
        pytest.param(light_value(objective=lambda y, p: (p - y, np.ones_like(y))), "of your own", id="own objective"),
        pytest.param(extreme_value(booster="gblinear"), "gblinear", id="no trees"),
        pytest.param(extreme_value(objective="reg:squaredlogerror", multi_strategy="multi_output_tree"), "", id="one"),
    ],
)
def test_what_has_no_form_is_refused_with_the_reason(model: Any, why: str) -> None:
    seen = drawn(0)
    model.fit(seen[FEATURES], positive(seen))
    if why:
        with pytest.raises(NotExportable, match=why):
            answered(NARROW, model, seen[FEATURES])
    else:  # a single target needs no vectors in leaves
        assert_alike(NARROW, model, drawn(1)[FEATURES])


def test_leaves_with_several_numbers_are_refused() -> None:
    seen = drawn(0)
    model = extreme_value(multi_strategy="multi_output_tree").fit(seen[FEATURES], seen[["s0", "s1"]])
    with pytest.raises(NotExportable, match="several numbers"):
        answered(NARROW, model, seen[FEATURES])


def test_xgboosts_logit_and_hinge_labels_are_refused() -> None:
    seen = drawn(0)
    for objective in ("binary:logitraw", "binary:hinge"):
        model = extreme(objective=objective).fit(seen[FEATURES], seen["target"] > 0)
        with pytest.raises(NotExportable, match=objective):
            answered(NARROW, model, seen[FEATURES])


@pytest.mark.parametrize("last", [light(), extreme()], ids=["lightgbm", "xgboost"])
def test_a_saved_pipeline_converts_from_its_file(last: Any, tmp_path: Path, measured: Path) -> None:
    seen = drawn(0)
    model = make_pipeline(SimpleImputer(), StandardScaler(), last).fit(holed(seen[FEATURES]), seen["target"])
    joblib.dump(model, tmp_path / "model.joblib")
    done = convert(tmp_path / "model.joblib", holed(seen[FEATURES]), trust_pickle=True, measured=measured)
    assert done.manifest.plan.startswith("own")
    assert done.manifest.parity.label_changes == 0


def test_neither_library_is_loaded_before_a_model_needs_it() -> None:
    code = "import sys, convert.pipeline, convert.export.own as own; own.exporters(); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"lightgbm", "xgboost"} & set(loaded)


def test_a_booster_where_zero_is_missing_to_some_splits_only_is_refused() -> None:
    seen = drawn(0)
    text = light(zero_as_missing=True).fit(seen[FEATURES], seen["target"]).booster_.model_to_string()
    line = next(line for line in text.splitlines() if line.startswith("decision_type="))
    garbled = text.replace(line, line.replace("=6", "=2").replace("=4", "=0"), 1)
    assert garbled != text
    with pytest.raises(NotExportable, match="zero means missing"):
        lightgbm_model.read(garbled)


def test_a_booster_without_trees_is_refused() -> None:
    seen = drawn(0)
    content = bytes(extreme().fit(seen[FEATURES], seen["target"]).get_booster()[:1].save_raw("json"))
    with pytest.raises(NotExportable, match="no trees"):
        xgboost_model.read(content, stop=0, missing=np.nan)
