"""LightGBM and XGBoost models fitted on pandas category columns, judged by the libraries themselves: they answer frames
of category type, the exported forms plain texts and numbers, of rows that the models never saw.
"""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import onnx
import pandas as pd
import pytest
import xgboost
from onnx import numpy_helper
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler, TargetEncoder

from convert import convert
from convert.check import session as sessions
from convert.check.parity import Answers
from convert.check.special_values import UNSEEN
from convert.export.candidates import Export, build
from convert.export.plans import PLANS
from convert.read.columns import describe
from convert.read.model import LoadedModel
from convert.read.rows import plain_columns
from convert.read.source import understand
from edgekit.errors import ModelFault

NARROW, WIDE = "own, float32 columns", "own, float64 columns"
CATEGORIES = ["color", "many", "store", "zone"]
COLORS = np.array(["red", "green", "blue", "dark grey", None], dtype=object)
LIGHT: dict[str, Any] = {"n_estimators": 8, "verbose": -1, "n_jobs": 1, "min_child_samples": 5}
EXTREME: dict[str, Any] = {"n_estimators": 8, "n_jobs": 1, "enable_categorical": True}


def drawn(seed: int, rows: int = 1500) -> pd.DataFrame:
    """Few and many text categories, whole ones with and without missing values, a fraction and a count."""
    random = np.random.default_rng(seed)
    a = random.normal(size=rows)
    a[random.random(rows) < 0.1] = np.nan
    return pd.DataFrame(
        {
            "color": random.choice(COLORS, rows),
            "a": a,
            "many": np.array([f"k{number}" for number in random.integers(0, 150, rows)], dtype=object),
            "count": random.integers(0, 50, rows),
            "store": random.choice([10, 20, 35, 40, 77], rows),
            "zone": random.choice([1, 2, 3, 4, np.nan], rows),
        }
    )


def score(rows: pd.DataFrame) -> pd.Series:
    """What the models learn; every column matters."""
    return (
        rows["color"].isin(["red", "blue"]) * 2
        + rows["a"].fillna(-1)
        + rows["many"].str[1:].astype(int) % 7 / 2
        + rows["store"].isin([10, 77]) * 1.5
        + rows["zone"].isin([1, 4])
        + rows["count"] / 25
    )


def categorical(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows as pandas categories, as a user makes them: of the values that these rows happen to hold."""
    whole = rows.assign(zone=rows["zone"].astype("Int64")) if "zone" in rows else rows
    frame = whole.astype({name: "category" for name in CATEGORIES if name in rows})
    if "zone" in rows:
        known = sorted(int(value) for value in rows["zone"].dropna().unique())
        codes = rows["zone"].map({float(value): code for code, value in enumerate(known)}).fillna(-1).astype(int)
        frame["zone"] = pd.Categorical.from_codes(codes, categories=known)
    return frame


def fitted(model: Any, classes: int = 3) -> Any:
    rows = drawn(0)
    target = score(rows) if classes == 0 else pd.qcut(score(rows), classes, labels=False)
    return model.fit(categorical(rows), target)


def strange(rows: pd.DataFrame) -> pd.DataFrame:
    """Every third row with categories that no model ever saw."""
    third = np.arange(len(rows)) % 3 == 0
    unseen = {"color": "grey", "many": "", "store": 12, "zone": 9.0}
    return rows.assign(**{name: rows[name].where(~third, value) for name, value in unseen.items()})


def form(model: Any, rows: pd.DataFrame, plan: str = NARROW) -> Export:
    """The model's ONNX form for plain rows."""
    plain = plain_columns(rows, "rows")
    chosen = next(line for line in PLANS if line.name == plan)
    return build(understand(LoadedModel(model, "test")), chosen, describe(plain), plain)


def run(made: Export, content: bytes, rows: pd.DataFrame) -> Answers:
    plain = plain_columns(rows, "rows")
    return sessions.run(sessions.open_session(content), made.tensors, made.outputs, plain)


def largest(model: Any, got: Answers, rows: pd.DataFrame) -> float:
    """The largest difference from the library's answers for the same rows of category type; infinite where a label
    differs.
    """
    frame = categorical(rows)
    assert got.numbers is not None
    if not hasattr(model, "predict_proba"):
        expected = model.predict(frame)
        return float(np.abs(expected - got.numbers.ravel()).max() / np.std(expected))
    assert got.label is not None
    if not np.array_equal(model.predict(frame), got.label):
        return float("inf")
    return float(np.abs(model.predict_proba(frame) - got.numbers).max())


def assert_alike(model: Any, rows: pd.DataFrame, plan: str = NARROW) -> None:
    made = form(model, rows, plan)
    assert largest(model, run(made, made.content, rows), rows) < 3e-6


MODELS = {
    "lightgbm, 2 classes": (lightgbm.LGBMClassifier(**LIGHT), 2),
    "lightgbm, 3 classes": (lightgbm.LGBMClassifier(**LIGHT), 3),
    "lightgbm, one against rest": (lightgbm.LGBMClassifier(**LIGHT, max_cat_to_onehot=1), 3),
    "lightgbm value": (lightgbm.LGBMRegressor(**LIGHT), 0),
    "lightgbm, zero is missing": (lightgbm.LGBMRegressor(**LIGHT, zero_as_missing=True), 0),
    "lightgbm, nothing is missing": (lightgbm.LGBMRegressor(**LIGHT, use_missing=False), 0),
    "xgboost, 2 classes": (xgboost.XGBClassifier(**EXTREME), 2),
    "xgboost, one category at a time": (xgboost.XGBClassifier(**EXTREME, max_cat_to_onehot=500), 3),
    "xgboost, sets": (xgboost.XGBClassifier(**EXTREME, max_cat_to_onehot=1), 3),
    "xgboost value": (xgboost.XGBRegressor(**EXTREME), 0),
    "xgboost, a number is missing": (xgboost.XGBRegressor(**EXTREME, missing=-999.0), 0),
    "xgboost forest": (xgboost.XGBRFClassifier(**EXTREME), 3),
}


@pytest.mark.parametrize("plan", [NARROW, WIDE])
@pytest.mark.parametrize("name", MODELS)
def test_category_columns_answer_alike_as_plain_texts_and_numbers(name: str, plan: str) -> None:
    model = fitted(*MODELS[name])
    assert_alike(model, drawn(1), plan)
    assert_alike(model, drawn(2, 40), plan)  # lacks categories: the codes of its own frame are others


@pytest.mark.parametrize("name", [name for name in MODELS if name.startswith("lightgbm")])
def test_an_unseen_category_is_to_lightgbms_form_what_it_is_to_lightgbm(name: str) -> None:
    assert_alike(fitted(*MODELS[name]), strange(drawn(1)))


def swapped(content: bytes) -> bytes:
    """The form with the last two categories of its first table in one another's place."""
    model = onnx.load_from_string(content)
    table = next(node for node in model.graph.node if node.op_type == "LabelEncoder")
    values = next(line for line in table.attribute if line.name == "values_tensor")
    numbers = numpy_helper.to_array(values.t).copy()
    numbers[-2:] = numbers[-2:][::-1]
    values.t.CopyFrom(numpy_helper.from_array(numbers, values.t.name))
    return bytes(model.SerializeToString())


@pytest.mark.parametrize("name", ["lightgbm, 3 classes", "xgboost, sets", "xgboost, one category at a time"])
def test_two_categories_in_each_others_place_would_be_seen(name: str) -> None:
    model, rows = fitted(*MODELS[name]), drawn(1)
    made = form(model, rows)
    assert largest(model, run(made, made.content, rows), rows) < 3e-6
    assert largest(model, run(made, swapped(made.content), rows), rows) > 1e-3


def test_another_order_of_the_remembered_categories_would_be_seen() -> None:
    model = fitted(lightgbm.LGBMRegressor(**LIGHT), 0)
    other = copy.deepcopy(model)
    other.booster_.pandas_categorical[1].reverse()
    rows = drawn(1)
    made = form(other, rows)
    assert largest(model, run(made, made.content, rows), rows) > 1e-3


def features(model: Any, rows: pd.DataFrame, measured: Path) -> dict[str, Any]:
    done = convert(model, rows, measured=measured)
    assert done.manifest.plan.startswith("own")
    assert done.manifest.parity.label_changes == 0
    return {feature.name: feature for feature in done.manifest.inputs}


@pytest.mark.parametrize("as_given", [categorical, lambda rows: rows], ids=["categories", "plain"])
def test_lightgbms_categories_reach_the_bundle_and_stay_open(as_given: Any, measured: Path) -> None:
    found = features(fitted(lightgbm.LGBMClassifier(**LIGHT)), as_given(drawn(1)), measured)
    assert found["color"].categories == ["blue", "dark grey", "green", "red"]
    assert found["color"].nullable
    assert [found[name].dtype for name in CATEGORIES] == ["string", "string", "float32", "float32"]
    assert not any(feature.closed for feature in found.values())


@pytest.mark.parametrize("as_given", [categorical, lambda rows: rows], ids=["categories", "plain"])
def test_xgboosts_categories_are_closed_as_it_confuses_unseen_ones(as_given: Any, measured: Path) -> None:
    model = fitted(xgboost.XGBClassifier(**EXTREME))
    found = features(model, as_given(drawn(1, 60)), measured)
    assert {name for name, feature in found.items() if feature.closed} == set(CATEGORIES)
    assert found["store"].categories == [10, 20, 35, 40, 77]
    assert len(found["many"].categories) == drawn(0)["many"].nunique() > drawn(1, 60)["many"].nunique()
    # why: an unseen text that sorts before a known one is taken for that
    rows = categorical(drawn(1).head(1))
    taken, meant = (rows.assign(color=pd.Categorical([text])) for text in ("cyan", "dark grey"))
    assert np.array_equal(model.predict_proba(taken), model.predict_proba(meant))


def test_unseen_categories_are_refused_where_the_model_has_no_answer() -> None:
    rows = drawn(1)
    source = understand(LoadedModel(fitted(xgboost.XGBClassifier(**EXTREME)), "test"))
    assert not source.refuses(plain_columns(rows, "rows"))
    for name, value in {"color": UNSEEN, "store": 12, "zone": 9.0}.items():
        assert source.refuses(plain_columns(rows.assign(**{name: value}), "rows"))


def prepared(last: Any) -> Any:
    """A pipeline that scales numbers and passes category columns on, in another order."""
    numbers = make_pipeline(SimpleImputer(), StandardScaler())
    columns = make_column_transformer((numbers, ["a", "count"]), ("passthrough", ["many", "color", "store", "zone"]))
    return make_pipeline(columns.set_output(transform="pandas"), last)


def beside_dummies(last: Any) -> Any:
    """A pipeline that makes a column of each color and leaves the other categories to the model."""
    dummies = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    columns = make_column_transformer((dummies, ["color"]), remainder="passthrough")
    return make_pipeline(columns.set_output(transform="pandas"), last)


@pytest.mark.parametrize("last", [lightgbm.LGBMClassifier(**LIGHT), xgboost.XGBClassifier(**EXTREME)])
@pytest.mark.parametrize(
    "around",
    [prepared, beside_dummies, lambda last: CalibratedClassifierCV(last, cv=2)],
    ids=["scaled", "dummies", "calibrated"],
)
def test_category_columns_that_pass_through_other_steps_answer_alike(around: Any, last: Any) -> None:
    model = fitted(around(last))
    assert_alike(model, drawn(1), WIDE)
    if isinstance(last, lightgbm.LGBMClassifier):
        assert_alike(model, strange(drawn(1)), WIDE)


NUMBERS = make_pipeline(SimpleImputer(), StandardScaler())
ENCODERS = {
    "one-hot": OneHotEncoder(handle_unknown="ignore"),
    "one-hot, rare ones together": OneHotEncoder(handle_unknown="infrequent_if_exist", min_frequency=15),
    "ordinal": OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1),
    "ordinal, unseen is missing": OrdinalEncoder(
        handle_unknown="use_encoded_value", unknown_value=np.nan, encoded_missing_value=-2
    ),
    "target": TargetEncoder(),
}


@pytest.mark.parametrize("name", ENCODERS)
def test_category_columns_before_scikit_learns_encoders_answer_alike(name: str) -> None:
    columns = make_column_transformer(
        (ENCODERS[name], make_column_selector(dtype_include="category")),
        (NUMBERS, make_column_selector(dtype_include="number")),
        sparse_threshold=0,
    )
    model = fitted(make_pipeline(columns, HistGradientBoostingClassifier(max_iter=5)))
    for rows in (drawn(1), strange(drawn(1))):
        assert_alike(model, rows, WIDE)


@pytest.mark.parametrize("around", [lambda last: last, prepared], ids=["alone", "behind steps"])
def test_category_columns_of_hist_gradient_boosting_answer_alike(around: Any) -> None:
    model = fitted(around(HistGradientBoostingClassifier(max_iter=5, categorical_features="from_dtype")))
    for rows in (drawn(1), strange(drawn(1))):
        assert_alike(model, rows, WIDE)


def test_an_encoder_that_refuses_unseen_numbers_converts_from_category_columns(measured: Path) -> None:
    columns = make_column_transformer((OneHotEncoder(), CATEGORIES), (NUMBERS, ["a", "count"]))
    model = fitted(make_pipeline(columns, LogisticRegression(max_iter=300)))
    found = features(model, categorical(drawn(1)), measured)
    assert found["color"].closed


def sized(seed: int) -> pd.DataFrame:
    """A category of ordered texts, flags that may be missing, and fractions that are categories."""
    random = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "size": random.choice(np.array(["S", "M", "L", "XL"], dtype=object), 600),
            "flag": random.choice([0.0, 1.0, np.nan], 600),
            "share": random.choice([0.1, 0.25, 0.3], 600),
            "a": random.normal(size=600),
        }
    )


def test_ordered_boolean_and_fractional_categories_of_lightgbm_answer_alike() -> None:
    def as_categories(rows: pd.DataFrame, sizes: list[str]) -> pd.DataFrame:
        return rows.assign(
            size=pd.Categorical(rows["size"], categories=sizes, ordered=True),
            flag=pd.Categorical(rows["flag"].map({0.0: False, 1.0: True}), categories=[False, True]),
            share=rows["share"].astype("category"),
        )

    rows, fresh = sized(0), sized(1)
    fresh.loc[::5, "size"] = "XXL"
    target = rows["size"].isin(["M", "XL"]) + 2 * rows["flag"].fillna(3) + 5 * rows["share"].eq(0.25) + rows["a"]
    model = lightgbm.LGBMRegressor(**LIGHT).fit(as_categories(rows, ["S", "M", "L", "XL"]), target)
    expected = model.predict(as_categories(fresh, ["XXL", "XL", "S", "M", "L"]))
    made = form(model, fresh)
    got = run(made, made.content, fresh).numbers
    assert got is not None
    assert np.abs(got.ravel() - expected).max() < 1e-5


@pytest.mark.parametrize("kind", ["texts", "numbers"])
@pytest.mark.parametrize("library", ["lightgbm", "xgboost"])
def test_categories_alone_answer_alike(library: str, kind: str) -> None:
    names = ["color", "many"] if kind == "texts" else ["store", "zone"]
    model: Any = xgboost.XGBRegressor(**EXTREME) if library == "xgboost" else lightgbm.LGBMRegressor(**LIGHT)
    rows = drawn(0)
    model.fit(categorical(rows[names]), score(rows))
    assert_alike(model, drawn(1)[names], "own, text matrix" if kind == "texts" else "own, float32 matrix")


@pytest.mark.parametrize("library", ["lightgbm", "xgboost"])
def test_identifiers_that_float32_confuses_stay_apart(library: str, measured: Path) -> None:
    first = 1 << 30
    random = np.random.default_rng(0)
    rows = pd.DataFrame({"shop": first + random.integers(0, 40, 1500), "a": random.normal(size=1500)})
    model: Any = xgboost.XGBRegressor(**EXTREME) if library == "xgboost" else lightgbm.LGBMRegressor(**LIGHT)
    frame = rows.astype({"shop": "category"})
    model.fit(frame, rows["shop"] % 2 + rows["a"] / 10)
    done = convert(model, frame, measured=measured)
    assert done.manifest.plan == "own, float64 matrix"
    assert done.manifest.parity.max_abs_difference < 1e-5


def forgetful() -> Any:
    """A model as XGBoost before 3.1 leaves it: codes without their categories."""
    model = xgboost.XGBRegressor(**EXTREME)
    rows = categorical(drawn(0)[["store", "a"]])
    model.fit(rows, rows["a"].fillna(0) + (rows["store"] == 20))
    saved = json.loads(bytes(model.get_booster().save_raw("json")))
    del saved["learner"]["gradient_booster"]["model"]["cats"]
    model.load_model(bytearray(json.dumps(saved).encode()))
    return model


def non_ascii() -> Any:
    rows = categorical(drawn(0)[["color", "a"]])
    rows["color"] = rows["color"].cat.rename_categories({"green": "grün"})
    return xgboost.XGBRegressor(**EXTREME).fit(rows, rows["a"].fillna(0))


def missing_code() -> Any:
    return fitted(xgboost.XGBRegressor(**EXTREME, missing=1.0), 0)


def ordered_numbers() -> Any:
    rows = categorical(drawn(0)[["store", "a"]])
    rows["store"] = rows["store"].cat.as_ordered()
    return lightgbm.LGBMRegressor(**LIGHT).fit(rows, rows["a"].fillna(0))


@pytest.mark.parametrize(
    ("make", "why"),
    [
        pytest.param(forgetful, "keeps only their codes", id="codes only"),
        pytest.param(non_ascii, "ASCII", id="texts that xgboost confuses"),
        pytest.param(ordered_numbers, "does not tell which", id="ordered numbers"),
        pytest.param(missing_code, "happens to have that code", id="a code that means missing"),
    ],
)
def test_what_cannot_be_served_is_refused_in_words(make: Any, why: str) -> None:
    model = make()
    with pytest.raises(ModelFault, match=why) as caught:
        convert(model, categorical(drawn(1)[list(model.feature_names_in_)]))
    assert caught.value.reason == "category_columns"
    assert "fit" in caught.value.message


@pytest.mark.parametrize(
    ("change", "why"),
    [
        pytest.param({"color": 3}, "'color' holds numbers", id="numbers for texts"),
        pytest.param({"store": "ten"}, "'store' holds texts", id="texts for numbers"),
        pytest.param({"color": "Red"}, "'color' holds no known category", id="other texts"),
    ],
)
def test_rows_that_hold_other_things_than_the_categories_are_refused(change: dict[str, Any], why: str) -> None:
    with pytest.raises(ModelFault, match=why) as caught:
        convert(fitted(xgboost.XGBRegressor(**EXTREME), 0), drawn(1).assign(**change))
    assert caught.value.reason == "category_columns"
