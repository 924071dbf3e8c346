"""Sampled contributions are Shapley values: held against full enumeration over scikit-learn's own answers."""

from __future__ import annotations

import threading
from collections.abc import Callable

import msgspec
import numpy as np
import pytest

from edge_agent.serve.explain.errors import ExplainingBusy, ExplanationRefused
from edge_agent.serve.explain.explainer import Explainer, Explanation, usual_pairs
from edge_agent.serve.explain.question import Question
from edge_agent.serve.explain.sampling import evaluations, sample
from edgekit.golden import NumericBins, Reference
from tests.agent.serve.explain.conftest import Taught
from tests.support.explained import Exact, enumerate_exactly

Teach = Callable[[str], Taught]

SAMPLED = ["forest", "boosting", "network", "outliers"]
ROWS = (0, 7)


def explained_column(taught: Taught, explanation: Explanation) -> int:
    classes = next((output.classes for output in taught.model.manifest.outputs if output.role == "probabilities"), None)
    return 0 if classes is None else classes.index(explanation.label)  # type: ignore[arg-type]


def furthest(explanation: Explanation, exact: Exact) -> float:
    """The largest difference of a contribution from the exact one, in standard errors of both."""
    found = np.array(list(explanation.contributions.values()))
    errors = np.hypot(list(explanation.standard_errors.values()), exact.noise)
    return float((np.abs(found - exact.values) / (errors + 1e-6)).max())


def narrowed(reference: Reference) -> Reference:
    """A background that is wrong: every training row in the first bin."""
    bins = [
        msgspec.structs.replace(line, counts=[reference.rows, *(0 for _ in line.counts[1:])])
        for line in reference.features
        if isinstance(line, NumericBins)
    ]
    return msgspec.structs.replace(reference, features=list(bins))


@pytest.mark.parametrize("row", ROWS)
@pytest.mark.parametrize("name", SAMPLED)
def test_sampled_contributions_are_those_of_full_enumeration(taught: Teach, name: str, row: int) -> None:
    case = taught(name)
    explanation = case.model.explain(case.rows.iloc[[row]], samples=1024)[0]
    assert (explanation.method, explanation.samples) == ("sampled", 1024)
    given = case.rows.iloc[row].to_numpy(dtype=np.float64)
    exact = enumerate_exactly(case.asked(explained_column(case, explanation)), given, case.reference)
    assert furthest(explanation, exact) < 4.5


def test_a_wrong_background_is_told_from_the_right_one(taught: Teach) -> None:
    case = taught("boosting")
    predictor = case.model._predictor
    given = case.rows.iloc[7]
    packed = predictor.rows.from_values(given.tolist()).rows
    broken = Explainer(narrowed(case.reference))
    explanation = broken.explain(predictor, packed, predictor.run(packed).predictions(), Question(samples=1024))[0]
    exact = enumerate_exactly(case.asked(0), given.to_numpy(dtype=np.float64), case.reference)
    assert furthest(explanation, exact) > 20


@pytest.mark.parametrize("samples", [None, 16, 50, 400])
@pytest.mark.parametrize("name", SAMPLED)
def test_contributions_add_up_to_output_minus_base(taught: Teach, name: str, samples: int | None) -> None:
    case = taught(name)
    for explanation in case.model.explain(case.rows.head(3), samples=samples):
        total = sum(explanation.contributions.values())
        assert total == pytest.approx(explanation.output - explanation.base, abs=1e-12 * (1 + abs(explanation.output)))
        assert list(explanation.contributions) == list(case.rows.columns)


def test_the_explained_output_is_what_the_model_answers(taught: Teach) -> None:
    forest, boosting = taught("forest"), taught("boosting")
    shares = forest.model.probabilities(forest.rows.head(2))
    explained = forest.model.explain(forest.rows.head(2))
    assert [line.scale for line in explained] == ["probability", "probability"]
    for line, share, label in zip(explained, shares, forest.model.predict(forest.rows.head(2)), strict=True):
        assert line.label == label
        assert line.output == pytest.approx(share[str(label)], abs=1e-6)
    values = boosting.model.predict(boosting.rows.head(2))
    assert [line.output for line in boosting.model.explain(boosting.rows.head(2))] == pytest.approx(values, rel=1e-6)


def test_the_two_classes_of_a_classifier_are_explained_by_opposite_contributions(taught: Teach) -> None:
    case = taught("forest")
    first, second = (case.model.explain(case.rows.iloc[3], label=label)[0] for label in (0, 1))
    assert first.output + second.output == pytest.approx(1.0, abs=1e-6)
    against = {name: -value for name, value in second.contributions.items()}
    assert first.contributions == pytest.approx(against, abs=1e-6)


def test_the_same_row_gets_the_same_explanation_whatever_stands_beside_it(taught: Teach) -> None:
    case = taught("network")
    alone = case.model.explain(case.rows.iloc[[5]])[0]
    again = case.model.explain(case.rows.iloc[3:6])[2]
    assert alone == case.model.explain(case.rows.iloc[[5]])[0]
    assert alone.contributions == pytest.approx(again.contributions, abs=1e-12)


def test_standard_errors_shrink_with_more_samples(taught: Teach) -> None:
    case = taught("boosting")
    few, many = (case.model.explain(case.rows.head(1), samples=count)[0].standard_errors for count in (64, 1024))
    assert sum(many.values()) < 0.5 * sum(few.values())


def test_a_feature_that_changes_nothing_contributes_nothing() -> None:
    estimate = sample(3, 64, 5.0, lambda coalitions, _: np.where(coalitions[:, 1], 5.0, 2.0))
    assert estimate.contributions.tolist() == [0.0, 3.0, 0.0]
    assert (estimate.base, estimate.standard_errors.tolist()) == (2.0, [0.0, 0.0, 0.0])


def test_features_that_work_only_together_share_alike() -> None:
    estimate = sample(2, 64, 4.0, lambda coalitions, _: np.where(coalitions.all(axis=1), 4.0, 0.0))
    assert estimate.contributions.tolist() == [2.0, 2.0]


@pytest.mark.parametrize("features", [1, 2, 30, 1024])
def test_the_cost_is_known_beforehand(features: int) -> None:
    asked = []

    def ask(coalitions: np.ndarray, rows: np.ndarray) -> np.ndarray:
        asked.append(len(coalitions))
        return np.zeros(len(coalitions))

    pairs = usual_pairs(features)
    sample(features, pairs, 0.0, ask)
    assert sum(asked) == evaluations(features, pairs) - 1
    assert 8 <= pairs <= 128


def test_what_costs_too_much_is_refused_before_it_begins(taught: Teach) -> None:
    case = taught("forest")
    with pytest.raises(ExplanationRefused, match="fewer rows") as error:
        case.model.explain(case.rows.head(100), samples=4096)
    assert error.value.reason == "explanation_too_large"


def test_an_agent_that_stops_breaks_off(taught: Teach) -> None:
    predictor = taught("forest").model._predictor
    stop = threading.Event()
    stop.set()
    rows = predictor.rows.from_values(taught("forest").rows.iloc[0].tolist()).rows
    with pytest.raises(ExplainingBusy):
        Explainer.of(predictor).explain(predictor, rows, predictor.run(rows).predictions(), Question(), stop)
