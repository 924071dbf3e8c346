"""Linear models are taken apart into terms that repeat them; nothing else is."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import (
    LinearRegression,
    LogisticRegression,
    PoissonRegressor,
    RidgeClassifier,
    SGDClassifier,
    SGDOneClassSVM,
)
from sklearn.multiclass import OneVsRestClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer, PolynomialFeatures, SplineTransformer, StandardScaler
from sklearn.svm import SVC, LinearSVC

from convert.check.trial import ask
from convert.pack import linear as linear_terms
from convert.pack.linear import take_apart
from convert.pack.reference import count_reference
from convert.read.columns import describe
from convert.read.model import LoadedModel
from convert.read.source import understand
from edgekit.golden import Linear, NumericBins, decode_reference, encode
from tests.agent.serve.explain.conftest import mixed_linear, mixed_rows


def terms_of(model: Any, rows: pd.DataFrame) -> Linear | None:
    source = understand(LoadedModel(model, "test"))
    return take_apart(source, ask(source, rows), describe(rows))


def two(sensors: pd.DataFrame) -> tuple[pd.DataFrame, pd.Series]:
    return sensors.drop(columns="target"), sensors["target"] > 0


def three(sensors: pd.DataFrame) -> tuple[pd.DataFrame, pd.Series]:
    return sensors.drop(columns="target"), sensors["target"]


@pytest.mark.parametrize(
    ("model", "rows", "scale", "outputs"),
    [
        (LinearRegression(), three, "value", 1),
        (make_pipeline(StandardScaler(), LogisticRegression()), two, "log_odds", 2),
        (LogisticRegression(max_iter=1000), three, "log_odds", 3),
        (LinearDiscriminantAnalysis(), three, "log_odds", 3),
        (SGDClassifier(loss="log_loss", random_state=0), two, "log_odds", 2),
        (LinearSVC(), three, "score", 3),
        (RidgeClassifier(), two, "score", 1),
        (SVC(kernel="linear"), two, "score", 1),
        (SGDOneClassSVM(random_state=0), three, "score", 1),
    ],
    ids=lambda value: type(value).__name__ if hasattr(value, "fit") else getattr(value, "__name__", str(value)),
)
def test_linear_models_are_taken_apart(sensors: pd.DataFrame, model: Any, rows: Any, scale: str, outputs: int) -> None:
    x, y = rows(sensors)
    linear = terms_of(model.fit(x, y), x)
    assert linear is not None
    assert (linear.scale, len(linear.base), len(linear.terms)) == (scale, outputs, 6)
    np.testing.assert_allclose([term.centre for term in linear.terms], x.mean())
    if hasattr(model, "decision_function"):
        scores = np.asarray(model.decision_function(x)).reshape(len(x), -1)
        wanted = scores if scale == "score" or outputs == 2 else scores - scores.mean(axis=1, keepdims=True)
        last = sum(np.multiply(term.weights[-1], x[term.name] - term.centre) for term in linear.terms) + linear.base[-1]
        np.testing.assert_allclose(
            last, wanted[:, -1] * (1.5 if outputs == 3 and scale == "log_odds" else 1), atol=1e-6
        )


def test_terms_of_mixed_columns_average_to_nothing() -> None:
    x, y = mixed_rows()
    linear = terms_of(mixed_linear().fit(x, y), x)
    assert linear is not None
    for term in linear.terms:
        added = linear_terms._added(term, x[term.name])
        np.testing.assert_allclose(added.mean(axis=0), 0.0, atol=1e-7)
    assert {term.name for term in linear.terms if term.missing} == {"s0"}
    assert {term.name for term in linear.terms if term.values} == {"site", "heated"}


@pytest.mark.parametrize(
    "model",
    [
        RandomForestClassifier(5, random_state=0),
        make_pipeline(PolynomialFeatures(2), StandardScaler(), LogisticRegression(max_iter=1000)),
        make_pipeline(SplineTransformer(), LogisticRegression(max_iter=1000)),
        make_pipeline(Normalizer(), LogisticRegression(max_iter=1000)),
        MLPClassifier((4,), max_iter=20, random_state=0),
        OneVsRestClassifier(LogisticRegression()),
        SGDClassifier(loss="log_loss", random_state=0),
        PoissonRegressor(),
    ],
    ids=lambda model: type(model[0] if hasattr(model, "steps") else model).__name__,
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_what_is_not_linear_in_its_numbers_has_no_terms(sensors: pd.DataFrame, model: Any) -> None:
    x, y = three(sensors)
    assert terms_of(model.fit(x, y), x) is None


def test_a_model_whose_terms_would_weigh_more_than_itself_has_none() -> None:
    rng = np.random.default_rng(0)
    x = pd.DataFrame(rng.normal(size=(60, 1100)), columns=[f"s{place}" for place in range(1100)])
    y = np.arange(60) % 4
    assert terms_of(LogisticRegression(max_iter=50).fit(x, y), x) is None


def test_the_mean_of_a_bin_lies_in_it_and_a_reference_survives_the_wire(sensors: pd.DataFrame) -> None:
    x, y = three(sensors)
    model = LinearRegression().fit(x, y)
    reference = count_reference(x, describe(x), None, terms_of(model, x))
    assert decode_reference(encode(reference)) == reference
    for line in reference.features:
        assert isinstance(line, NumericBins)
        ends = [line.low, *line.edges, line.high]
        assert all(low <= mean <= high for low, mean, high in zip(ends[:-1], line.means, ends[1:], strict=True))
        shares = np.array(line.counts) / reference.rows
        assert shares @ line.means == pytest.approx(x[line.name].mean(), abs=0.01 * (line.high - line.low))
