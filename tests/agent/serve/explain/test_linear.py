"""Linear models: exact contributions, by the formula and against the training rows themselves."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import numpy as np
import pytest

from edge_agent.serve.explain.errors import ExplanationRefused
from edge_agent.serve.explain.explainer import Explainer
from edge_agent.serve.explain.question import Question
from edge_agent.serve.given import plain_rows
from tests.agent.serve.explain.conftest import Taught

Teach = Callable[[str], Taught]


def test_a_regression_is_explained_by_weight_times_distance_from_the_mean(taught: Teach) -> None:
    case = taught("ridge")
    scaler, ridge = (step for _, step in case.source.steps)
    expected = (case.rows.head(5) - case.rows.mean()) * (ridge.coef_ / scaler.scale_)
    found = case.model.explain(case.rows.head(5))
    assert {(line.method, line.scale, line.samples) for line in found} == {("exact", "value", 0)}
    np.testing.assert_allclose([list(line.contributions.values()) for line in found], expected, rtol=1e-5, atol=1e-6)
    assert found[0].base == pytest.approx(case.source.predict(case.rows).mean())
    assert [line.output for line in found] == case.model.predict(case.rows.head(5))
    assert set(found[0].standard_errors.values()) == {0.0}


def test_log_odds_of_mixed_columns_change_as_when_each_value_is_put_into_every_training_row(taught: Teach) -> None:
    case = taught("mixed")
    for number in (0, 3, int(np.argmax(case.rows["s0"].isna()))):
        explanation = case.model.explain(case.rows.iloc[[number]])[0]
        assert (explanation.method, explanation.scale) == ("exact", "log_odds")
        place = list(case.source.classes_).index(explanation.label)
        for name, contribution in explanation.contributions.items():
            changed = case.rows.assign(**{name: [case.rows[name].iloc[number]] * len(case.rows)})
            difference = log_odds(case, changed, place) - log_odds(case, case.rows, place)
            assert contribution == pytest.approx(difference.mean(), abs=1e-5)
        own = log_odds(case, case.rows.iloc[[number]], place)[0]
        assert explanation.output == pytest.approx(own, abs=1e-5)
        assert sum(explanation.contributions.values()) == pytest.approx(own - explanation.base, abs=1e-5)


def log_odds(case: Taught, rows: object, place: int) -> np.ndarray:
    logs = case.source.predict_log_proba(rows)
    return np.asarray(logs[:, place] - np.delete(logs, place, axis=1).mean(axis=1))


def test_probabilities_of_a_linear_model_are_explained_when_asked_for(taught: Teach) -> None:
    case = taught("mixed")
    explanation = case.model.explain(case.rows.head(1), scale="probability", label="high")[0]
    assert (explanation.method, explanation.scale, explanation.label) == ("sampled", "probability", "high")
    assert 0.0 <= explanation.base <= 1.0
    assert explanation.output == pytest.approx(case.model.probabilities(case.rows.head(1))[0]["high"], abs=1e-6)
    assert sum(explanation.contributions.values()) == pytest.approx(explanation.output - explanation.base, abs=1e-12)


def test_a_value_that_no_term_knows_is_explained_by_sampling(taught: Teach) -> None:
    case = taught("mixed")
    unseen = case.rows.head(1).assign(site="elsewhere")
    assert case.model.explain(unseen)[0].method == "sampled"
    with pytest.raises(ExplanationRefused, match="leave scale out"):
        case.model.explain(unseen, scale="log_odds")


@pytest.mark.parametrize("name", ["ridge", "mixed"])
def test_terms_that_do_not_add_up_to_the_models_answer_are_not_believed(taught: Teach, name: str) -> None:
    case = taught(name)
    reference, predictor = case.reference, case.model._predictor
    assert reference.linear is not None
    first, *others = reference.linear.terms
    wrong = msgspec.structs.replace(first, centre=first.centre + 0.5)
    tampered = msgspec.structs.replace(reference.linear, terms=[wrong, *others])
    explainer = Explainer(msgspec.structs.replace(reference, linear=tampered))
    rows = predictor.rows.from_values(plain_rows(case.rows.head(1), predictor.manifest)).rows
    found = explainer.explain(predictor, rows, predictor.run(rows).predictions(), Question())
    assert found[0].method == "sampled"
