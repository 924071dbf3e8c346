"""Edge rows made from columns and from the model itself, and which of them count."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import (
    BaggingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
)
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler, MinMaxScaler, OneHotEncoder, RobustScaler, StandardScaler
from sklearn.tree import DecisionTreeClassifier
from threadpoolctl import threadpool_limits

from convert.check.edge_rows import EdgeRows, make_edge_rows
from convert.check.edge_trial import ask_edge_rows, first_kind_over
from convert.check.parity import Answers
from convert.check.special_values import Kind, special_values
from convert.check.thresholds import thresholds_of
from convert.check.trial import ask
from convert.read.columns import Column, describe
from convert.read.model import LoadedModel
from convert.read.source import Source, understand

FEATURES = [f"s{i}" for i in range(6)]


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Small models on a busy machine: threads would only wait for one another."""
    with threadpool_limits(1):
        yield


def known(model: Any, rows: pd.DataFrame) -> Source:
    del rows
    return understand(LoadedModel(model, "test"))


def edges(model: Any, rows: pd.DataFrame, seed: int = 0) -> EdgeRows:
    source = known(model, rows)
    return make_edge_rows(source, ask(source, rows), describe(rows), seed)


SCALERS = [StandardScaler(), MinMaxScaler((-3, 2)), MaxAbsScaler(), RobustScaler(), SimpleImputer()]


@pytest.mark.parametrize("scaler", SCALERS, ids=lambda scaler: type(scaler).__name__)
def test_thresholds_are_told_in_the_rows_own_columns_behind_a_scaler(scaler: Any, sensors: pd.DataFrame) -> None:
    rows = sensors[FEATURES] * 50 + 700
    model = make_pipeline(scaler, DecisionTreeClassifier(max_depth=4, random_state=0)).fit(rows, sensors["target"])
    places, values = thresholds_of(model, 6, FEATURES)
    assert len(values) > 5
    for place, value in zip(places, values, strict=True):
        below, above = (rows.head(200).assign(**{FEATURES[place]: value + side}) for side in (-1e-3, 1e-3))
        assert (model[-1].apply(model[:-1].transform(below)) != model[-1].apply(model[:-1].transform(above))).any()


def test_thresholds_are_found_through_columns_that_another_step_has_moved(mixed: pd.DataFrame) -> None:
    table = ColumnTransformer([("text", OneHotEncoder(), ["color"]), ("numbers", StandardScaler(), ["gear", "s0"])])
    rows = mixed[["s0", "color", "gear"]]
    model = make_pipeline(table, RandomForestClassifier(5, random_state=0)).fit(rows, mixed["target"])
    places, values = thresholds_of(model, 3, list(rows.columns))
    assert set(places) == {0, 2}, "the encoded text has none in its own column"
    gears = values[places == 2]
    assert np.abs(2 * gears - np.rint(2 * gears)).max() < 1e-6, "gears are whole numbers, so they are split half-way"


def test_members_of_an_ensemble_see_their_own_columns(sensors: pd.DataFrame) -> None:
    model = BaggingClassifier(DecisionTreeClassifier(max_depth=1), n_estimators=8, max_features=2, random_state=1)
    model.fit(sensors[FEATURES], sensors["target"])
    wanted = {
        (int(columns[tree.tree_.feature[0]]), float(tree.tree_.threshold[0]))
        for tree, columns in zip(model.estimators_, model.estimators_features_, strict=True)
    }
    places, values = thresholds_of(model, 6, FEATURES)
    assert set(zip(places.tolist(), values.tolist(), strict=True)) == wanted


@pytest.mark.parametrize("library", ["lightgbm", "xgboost"])
def test_thresholds_of_other_libraries_are_found(library: str, sensors: pd.DataFrame) -> None:
    module = pytest.importorskip(library)
    kind = module.LGBMClassifier if library == "lightgbm" else module.XGBClassifier
    words = {"verbose": -1} if library == "lightgbm" else {}
    model = kind(n_estimators=3, max_depth=3, n_jobs=1, **words).fit(sensors[FEATURES], sensors["target"])
    places, values = thresholds_of(model, 6, FEATURES)
    assert len(values) > 10
    low, high = sensors[FEATURES].min().to_numpy(), sensors[FEATURES].max().to_numpy()
    assert ((values >= low[places]) & (values <= high[places])).all()


def test_a_model_without_trees_has_no_thresholds(sensors: pd.DataFrame) -> None:
    model = LogisticRegression().fit(sensors[FEATURES], sensors["target"])
    assert len(thresholds_of(model, 6, FEATURES)[1]) == 0


VALUES: dict[str, tuple[Column, set[Any]]] = {
    "number": (Column("a", "number", False, -1.0, 3.0), {-1.0, 3.0, 0.0, -5.0, 7.0, 3e6, 1e37}),
    "constant": (Column("a", "number", False, 2.0, 2.0), {2.0, 0.0, 4.0}),
    "whole number by the border": (Column("a", "integer", False, 0.0, 3e7), {(1 << 24) + 1, 3e7}),
    "boolean": (Column("a", "bool", False), {True, False}),
    "category": (Column("a", "string", False, categories=("x",)), {"", "edgekit-unseen"}),
}


@pytest.mark.parametrize("kind", VALUES)
def test_a_column_has_its_special_values(kind: str) -> None:
    column, wanted = VALUES[kind]
    assert wanted <= {special.value for special in special_values(column)}


def test_missing_values_are_tried_only_where_the_data_have_them() -> None:
    absent, present = (Column("a", "number", missing, 0.0, 1.0) for missing in (False, True))
    assert not any(special.about == "missing" for special in special_values(absent))
    assert any(special.about == "missing" for special in special_values(present))


@pytest.mark.parametrize(("high", "kind"), [(100.0, Kind.FAR), (3e7, Kind.BORDER)])
def test_the_border_of_whole_numbers_counts_only_in_columns_that_reach_it(high: float, kind: Kind) -> None:
    found = {special.value: special.kind for special in special_values(Column("a", "integer", False, 0.0, high))}
    assert found[1 << 24] is kind


def test_every_edge_row_says_what_is_special_about_it(sensors: pd.DataFrame) -> None:
    model = RandomForestClassifier(5, random_state=0).fit(sensors[FEATURES], sensors["target"])
    made = edges(model, sensors[FEATURES])
    assert len(made.frame) == len(made.labels) == len(made.kinds)
    assert {"rim", "beyond", "threshold", "tie", "far"} == set(made.kinds)
    assert any("just below the threshold" in label for label in made.labels)


def test_another_seed_gives_other_rows_and_thresholds(sensors: pd.DataFrame) -> None:
    model = RandomForestClassifier(20, random_state=0).fit(sensors[FEATURES], sensors["target"])
    first, again, other = (edges(model, sensors[FEATURES], seed) for seed in (0, 0, 1))
    pd.testing.assert_frame_equal(first.frame, again.frame)
    assert set(first.labels) != set(other.labels)
    threshold = [label for label in first.labels if "threshold" in label]
    assert len(threshold) <= 3 * 512


@pytest.mark.parametrize("exact", [True, False])
def test_neighbours_of_a_threshold_have_the_precision_of_the_column(exact: bool, sensors: pd.DataFrame) -> None:
    values = sensors[FEATURES].astype(np.float32).astype(np.float64) if exact else sensors[FEATURES]
    made = edges(DecisionTreeClassifier(max_depth=3).fit(values, sensors["target"]), values)
    column = made.frame.loc[made.kinds == "threshold"].to_numpy()
    assert (column == column.astype(np.float32)).all() == exact


def test_rows_that_neighbours_keep_are_asked_for(sensors: pd.DataFrame) -> None:
    rows = sensors[FEATURES].head(300)
    model = make_pipeline(StandardScaler(), KNeighborsClassifier(3, weights="distance")).fit(
        rows, sensors["target"][:300]
    )
    made = edges(model, rows)
    stored = made.frame.loc[made.kinds == "stored row"].to_numpy()
    nearest = np.abs(stored[:, None] - rows.to_numpy()).max(axis=2).min(axis=1)
    assert len(stored) > 0
    assert nearest.max() < 1e-9


def test_a_value_that_the_source_model_refuses_makes_no_row(mixed: pd.DataFrame) -> None:
    rows = mixed[["color", "s0"]]
    table = ColumnTransformer([("text", OneHotEncoder(), ["color"])], remainder="passthrough")
    made = edges(make_pipeline(table, LogisticRegression()).fit(rows, mixed["target"]), rows)
    assert made.closed == {"color"}
    assert set(made.frame["color"]) <= set(rows["color"])


def judged(model: Any, rows: pd.DataFrame) -> Any:
    source = known(model, rows)
    return ask_edge_rows(source, ask(source, rows), describe(rows), 0)


def test_rows_on_a_knifes_edge_steer_and_do_not_count(sensors: pd.DataFrame) -> None:
    model = DecisionTreeClassifier(max_depth=6, random_state=0).fit(sensors[FEATURES], sensors["target"])
    edge = judged(model, sensors[FEATURES])
    threshold = edge.rows.kinds == "threshold"
    assert (~edge.counts & threshold).sum() > 10
    assert edge.steers[threshold].all()
    assert edge.counts[edge.rows.kinds == "rim"].sum() > 40


def test_thresholds_between_whole_numbers_count(sensors: pd.DataFrame) -> None:
    rows = (sensors[FEATURES] * 10).round().astype(int)
    edge = judged(DecisionTreeClassifier(max_depth=6, random_state=0).fit(rows, sensors["target"]), rows)
    threshold = edge.rows.kinds == "threshold"
    assert threshold.any()
    assert edge.counts[threshold].all()


def test_far_rows_are_told_and_never_refuse(sensors: pd.DataFrame) -> None:
    edge = judged(LogisticRegression().fit(sensors[FEATURES], sensors["target"]), sensors[FEATURES])
    far = edge.rows.kinds == "far"
    expected = edge.trial.expected
    assert far.any()
    spoiled = Answers(np.where(far, 99, expected.label), expected.numbers)
    found = edge.judge(spoiled)
    assert found.told == far.sum()
    assert first_kind_over(edge, found, 0.0) is None


def test_a_wrong_answer_on_one_edge_row_of_a_kind_is_over_the_budget(sensors: pd.DataFrame) -> None:
    """The control: many right rows of other kinds do not excuse it."""
    edge = judged(
        RandomForestClassifier(20, random_state=0).fit(sensors[FEATURES], sensors["target"]), sensors[FEATURES]
    )
    spoiled = edge.trial.expected.label.copy()
    first = int(np.flatnonzero(edge.counts & (edge.rows.kinds == "rim") & ~edge.tied)[0])
    spoiled[first] = 99
    found = edge.judge(Answers(spoiled, edge.trial.expected.numbers))
    assert first_kind_over(edge, found, 0.001) == "rim"


def test_a_label_within_the_tolerance_of_a_tie_may_fall_either_way(sensors: pd.DataFrame) -> None:
    model = RandomForestClassifier(2, random_state=0).fit(sensors[FEATURES], sensors["target"])
    edge = judged(model, sensors[FEATURES])
    assert edge.tied.any(), "two trees that disagree are a tie"
    turned = np.where(edge.tied, (edge.trial.expected.label + 1) % 3, edge.trial.expected.label)
    assert edge.judge(Answers(turned, edge.trial.expected.numbers)).told == 0


def test_boosting_with_categories_maps_its_columns_back(sensors: pd.DataFrame) -> None:
    rows = sensors[["s0", "s1"]].assign(code=np.arange(len(sensors)) % 5)
    model = HistGradientBoostingClassifier(max_iter=3, categorical_features=["code"]).fit(rows, sensors["target"])
    places, _ = thresholds_of(model, 3, list(rows.columns))
    assert set(places) == {0, 1}
