"""Where float32 could be silently wrong, float64 ships: each rule with rows on which float32 is wrong indeed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_diabetes, load_wine
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.feature_extraction.text import HashingVectorizer
from sklearn.gaussian_process import GaussianProcessClassifier
from sklearn.impute import SimpleImputer
from sklearn.kernel_approximation import PolynomialCountSketch
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Binarizer, KBinsDiscretizer, OneHotEncoder, StandardScaler
from threadpoolctl import threadpool_limits

from convert import convert
from convert.check.comparisons import confuses, limits_of, mark
from convert.check.edge_trial import ask_edge_rows
from convert.check.panel import Panel
from convert.check.parity import PROBABILITY, Answers, Tolerance, compare
from convert.check.trial import Trial, ask
from convert.export.candidates import best, try_plans
from convert.export.plans import plans_for
from convert.read.columns import describe
from convert.read.model import LoadedModel
from convert.read.source import Source, understand
from edgekit.errors import ModelFault
from tests.convert.agreement import agreement, own_forms


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Small models on a busy machine: threads would only wait for one another."""
    with threadpool_limits(1):
        yield


STEP = float(np.spacing(np.float64(0.1)))


def table(rows: np.ndarray[Any, Any]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=[f"x{place}" for place in range(rows.shape[1])])


def split(rows: np.ndarray[Any, Any], shown: int, seed: int = 0) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    order = np.random.default_rng(seed).permutation(len(rows))
    return order[:shown], order[shown:]


def narrow_panel(model: Any, rows: pd.DataFrame) -> tuple[Source, Panel]:
    source = understand(LoadedModel(model, "test"))
    trial = ask(source, rows)
    return source, Panel(trial, ask_edge_rows(source, trial, describe(rows), 0), None)


def chosen_plan(model: Any, rows: pd.DataFrame) -> str:
    source, panel = narrow_panel(model, rows)
    return best(try_plans(source, mark(model, rows, describe(rows)), panel))[1].plan.name


CONFUSIONS = [
    pytest.param([0.1, 0.5], [0.3], False, id="far apart"),
    pytest.param([0.1 + STEP, 0.5], [0.1], True, id="one float32, two numbers"),
    pytest.param([0.1, 0.5], [0.1], False, id="equal"),
    pytest.param([0.1, 0.1 + STEP, 0.5], [0.1], True, id="equal, among values that rounding merges"),
    pytest.param([5.0, 6.0, 7.0], [5.5, 6.5], False, id="whole numbers"),
    pytest.param([2.0**24, 2.0**24 + 2], [2.0**24 + 0.5], True, id="whole numbers beyond float32"),
    pytest.param([1.7e9, 1.7e9 + 10], [1.7e9 + 5], True, id="timestamps"),
    pytest.param([0.1, 0.2, 0.2, 0.4, 0.4], [0.15], False, id="between two steps of a grid"),
    pytest.param([0.1, 0.2, 0.2, 0.4, 0.4], [0.3], True, id="on a value of the grid that was not shown"),
    pytest.param([0.25, 0.5, 0.5, 1.0, 1.0], [0.75], False, id="on a grid that float32 holds exactly"),
    pytest.param([np.nan, 0.5], [np.inf, 0.1], False, id="missing and infinite"),
]


@pytest.mark.parametrize(("values", "limits", "confused"), CONFUSIONS)
def test_float32_confuses_what_it_rounds_to_one_number(
    values: list[float], limits: list[float], confused: bool
) -> None:
    assert confuses(np.array(values), np.array(limits)) is confused


def test_thresholds_beside_the_values_of_a_grid_ship_in_float64_and_float32_would_be_wrong() -> None:
    x, y = load_diabetes(return_X_y=True)
    seen, unseen = split(x, 300)
    model = HistGradientBoostingRegressor(max_iter=60).fit(x[seen], y[seen])
    forms = {form.plan.numbers: form for form in own_forms(model, table(x[seen]))}
    found = {name: agreement(model, form, table(x[seen]), table(x[unseen])) for name, form in forms.items()}
    assert found["float32"].rows_off > 0
    assert found["float64"].rows_off == 0
    assert chosen_plan(model, table(x[seen])) == "own, float64 matrix"


def test_ordinary_measurements_stay_float32() -> None:
    rows = np.random.default_rng(0).normal(size=(400, 4))
    model = HistGradientBoostingRegressor(max_iter=20).fit(rows, rows[:, 0] * rows[:, 1])
    assert chosen_plan(model, table(rows)) == "own, float32 matrix"


@pytest.mark.parametrize(
    ("model", "places"),
    [
        pytest.param(KBinsDiscretizer(3, quantile_method="linear"), {0, 1}, id="bins"),
        pytest.param(Binarizer(), {0, 1}, id="binarizer"),
        pytest.param(OneHotEncoder(handle_unknown="ignore"), {0, 1}, id="encoder of numbers"),
        pytest.param(make_pipeline(StandardScaler(), Binarizer()), {None}, id="behind a scaler"),
        pytest.param(make_column_transformer((Binarizer(), ["x1"])), {1}, id="one column of a transformer"),
        pytest.param(make_pipeline(StandardScaler(), Ridge()), set(), id="no comparison at all"),
    ],
)
def test_comparisons_are_found_wherever_they_stand(model: Any, places: set[int | None]) -> None:
    rows = table(np.round(np.random.default_rng(0).normal(size=(60, 2)), 1))
    model.fit(rows, np.arange(60.0))
    assert {one.place for one in limits_of(model, ["x0", "x1"])} == places


def test_bins_behind_a_scaler_are_tried_in_float64_first() -> None:
    rows = table(np.random.default_rng(0).normal(size=(60, 2)))
    plans = [
        plans_for(understand(LoadedModel(model.fit(rows, np.arange(60.0)), "test")), describe(rows))[0].numbers
        for model in (make_pipeline(StandardScaler(), Binarizer(), Ridge()), make_pipeline(StandardScaler(), Ridge()))
    ]
    assert plans == ["float64", "float32"]


def test_a_confusable_column_leaves_no_plan_in_float32() -> None:
    rows = table(np.random.default_rng(0).uniform(1.7e9, 1.7e9 + 1000, (60, 1)))
    source = understand(LoadedModel(HistGradientBoostingRegressor(min_samples_leaf=5).fit(rows, rows["x0"]), "test"))
    marked = mark(source.estimator, rows, describe(rows))
    assert [column.confusable for column in marked] == [True]
    assert {plan.numbers for plan in plans_for(source, marked)} == {"float64"}
    assert "float32" in {plan.numbers for plan in plans_for(source, describe(rows))}


def test_strain_measures_each_column_of_values_by_its_own_spread() -> None:
    expected = Answers(None, np.column_stack([np.linspace(0, 1e6, 50), np.linspace(0, 1, 50)]))
    moved = Answers(None, expected.numbers + np.array([0.0, 0.01]))
    found = compare(expected, moved, Tolerance(300.0, 1e-6))
    assert found.exact
    assert found.strain > 10


def test_strain_of_probabilities_is_their_share_of_the_tolerance() -> None:
    expected, moved = Answers(None, np.full((4, 2), 0.5)), Answers(None, np.full((4, 2), 0.5003))
    assert compare(expected, moved, PROBABILITY).strain == pytest.approx(0.5)


def test_what_float32_nearly_breaks_ships_in_float64() -> None:
    """Weights that cancel: differences of values about 30,000, which float32 knows to a few thousandths."""
    rows = table(np.random.default_rng(0).normal(3e4, 1.0, (200, 2)))
    model = Ridge(alpha=1e-9).fit(rows, rows["x0"] - rows["x1"])
    source, panel = narrow_panel(model, rows)
    loose = replace(panel, rows=replace(panel.rows, tolerance=Tolerance(0.005, 1e-6)))
    loose = replace(loose, edge=replace(loose.edge, trial=Trial(*_of(loose.edge.trial, Tolerance(1.0, 1e-6)))))
    attempts = try_plans(source, describe(rows), loose)
    by_numbers = {attempt.plan.numbers: attempt for attempt in attempts if attempt.exact}
    assert by_numbers["float32"].strain > 0
    assert by_numbers["float64"].strain == 0
    assert best(attempts)[1].plan.numbers == "float64"


def _of(trial: Trial, tolerance: Tolerance) -> tuple[pd.DataFrame, Answers, Tolerance]:
    return trial.frame, trial.expected, tolerance


def test_classes_that_tie_far_from_all_training_rows_fall_as_in_the_source() -> None:
    x, y = load_wine(return_X_y=True)
    model = GaussianProcessClassifier(max_iter_predict=10).fit(x[::3], y[::3])
    noise = np.random.default_rng(0).normal(0, 0.3, x.shape) * x.std(axis=0)
    (form,) = (form for form in own_forms(model, table(x[::3])) if form.plan.numbers == "float64")
    found = agreement(model, form, table(x[::3]), table(x + noise))
    assert np.ptp(model.predict_proba(x + noise), axis=1).min() < 1e-12, "the control: some classes tie"
    assert found.exact


def test_a_sketch_keeps_the_digits_of_its_small_components_in_float32() -> None:
    x, _ = load_wine(return_X_y=True)
    seen, unseen = (table(x[places]) for places in split(x, 120, 11))
    model = PolynomialCountSketch(random_state=0).fit(seen)
    (form,) = (form for form in own_forms(model, seen) if form.plan.name == "own, float32 matrix")
    assert agreement(model, form, seen, unseen).strain < 0.2


def texts() -> tuple[pd.DataFrame, pd.Series]:
    random = np.random.default_rng(0)
    kind = pd.Series(random.choice(["pump", "fan", "belt"], 120)).mask(random.random(120) < 0.2, np.nan)
    frame = pd.DataFrame({"heat": random.normal(size=120), "kind": kind})
    return frame, frame["heat"] + (kind == "fan")


def encoded(strategy: str) -> tuple[Any, pd.DataFrame]:
    frame, y = texts()
    encode = make_pipeline(SimpleImputer(strategy=strategy, fill_value=""), OneHotEncoder(handle_unknown="ignore"))
    model = make_pipeline(make_column_transformer((encode, ["kind"]), remainder="passthrough"), Ridge())
    return model.fit(frame, y), frame


@pytest.mark.parametrize(
    ("strategy", "told_apart"),
    [pytest.param("most_frequent", {"kind"}, id="another category"), pytest.param("constant", set(), id="missing")],
)
def test_the_source_decides_what_an_empty_text_is(strategy: str, told_apart: set[str]) -> None:
    _, panel = narrow_panel(*encoded(strategy))
    assert panel.edge.rows.empties == told_apart


def test_devices_refuse_an_empty_text_that_is_another_category() -> None:
    inputs = {line.name: line for line in convert(*encoded("most_frequent")).manifest.inputs}
    assert inputs["kind"].refuses_empty
    assert not inputs["heat"].refuses_empty


def test_a_step_without_a_form_is_named_once_with_what_to_do_instead() -> None:
    remarks = pd.DataFrame({"remark": ["pump leaks", "all well"] * 20})
    with pytest.raises(ModelFault) as caught:
        convert(HashingVectorizer(n_features=16), remarks)
    assert caught.value.message.count("HashingVectorizer") == 1
    assert caught.value.message.endswith("use CountVectorizer or TfidfVectorizer")
