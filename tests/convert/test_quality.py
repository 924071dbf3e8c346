"""Accuracy and R² before and after conversion, and the gate on their fall."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.metrics import accuracy_score, r2_score

from convert import convert
from convert.check.gate import pass_quality
from convert.check.parity import Answers
from convert.check.quality import measure_quality
from edgekit.errors import JudgedBad, UsageFault
from edgekit.manifest import Quality


def labels(*values: object) -> Answers:
    return Answers(np.array(values), None)


def values(*numbers: float) -> Answers:
    return Answers(None, np.array(numbers).reshape(-1, 1))


def test_accuracy_compares_labels_however_a_class_is_spelled() -> None:
    found = measure_quality("binary", np.array([0, 1, 1, 0]), (0, 1), labels(0.0, 1.0, 1.0, 1.0), labels(0, 1, 0, 1))
    assert found is not None
    assert (found.source, found.converted, found.rows) == (0.75, 0.5, 4)


def test_r2_is_one_for_a_perfect_answer_and_zero_for_the_mean() -> None:
    found = measure_quality("regression", np.array([1.0, 2.0, 3.0]), (), values(1, 2, 3), values(2, 2, 2))
    assert found is not None
    assert (found.source, found.converted) == (1.0, 0.0)


@pytest.mark.parametrize(("drop", "passes"), [(0.004, True), (0.006, False)])
def test_a_fall_beyond_the_budget_is_judged_bad(drop: float, passes: bool) -> None:
    quality = Quality(metric="accuracy", rows=1000, source=0.9, converted=0.9 - drop)
    if passes:
        pass_quality(quality, 0.005)
        return
    with pytest.raises(JudgedBad, match=r"accuracy falls from 0\.9000 to 0\.8940") as caught:
        pass_quality(quality, 0.005)
    assert caught.value.reason == "quality"


def test_accuracy_of_several_targets_is_the_mean_of_theirs() -> None:
    rng = np.random.default_rng(0)
    truth, before, after = (rng.integers(0, 3, (50, 2)) for _ in range(3))
    found = measure_quality(
        "multioutput", truth, (), Answers(before, None), Answers(after, None), ((0, 1, 2), (0, 1, 2))
    )
    assert found is not None
    for figure, labels_of in ((found.source, before), (found.converted, after)):
        wanted = np.mean([accuracy_score(truth[:, k], labels_of[:, k]) for k in range(2)])
        assert figure == pytest.approx(wanted, abs=1e-12)


def test_r2_of_several_values_is_the_uniform_average() -> None:
    rng = np.random.default_rng(0)
    truth, before, after = (rng.normal(size=(50, 3)) * [1, 10, 100] for _ in range(3))
    found = measure_quality("regression", truth, (), Answers(None, before), Answers(None, after))
    assert found is not None
    assert found.source == pytest.approx(r2_score(truth, before, multioutput="uniform_average"))
    assert found.converted == pytest.approx(r2_score(truth, after, multioutput="uniform_average"))


def test_one_column_is_no_truth_about_several_targets() -> None:
    both = Answers(np.zeros((4, 2)), None)
    assert measure_quality("multioutput", np.zeros(4), (), both, both, ((0, 1), (0, 1))) is None


@pytest.mark.parametrize("kind", ["accuracy", "r2"])
def test_a_conversion_of_several_targets_tells_its_quality_in_every_report(
    kind: str, sensors: pd.DataFrame, measured: Path
) -> None:
    x, label = sensors.drop(columns="target"), sensors["target"]
    if kind == "accuracy":
        y, model = np.column_stack([label, label > 0]).astype(int), RandomForestClassifier(5, random_state=0)
    else:
        y, model = x[["s0", "s1"]].to_numpy() ** 2, RandomForestRegressor(5, random_state=0)
    done = convert(model.fit(x, y), x, y, measured=measured, max_label_change=0.0)
    (quality,) = done.manifest.quality
    assert quality.metric == kind
    assert quality.source == pytest.approx(quality.converted, abs=1e-3)
    assert 0.8 < quality.source <= 1
    for name in ("report.json", "report.html", "report.md"):
        assert f"{quality.source:.4f}"[:5] in done.documents[name].decode()


def test_answers_for_more_targets_than_the_model_has_are_refused(sensors: pd.DataFrame) -> None:
    x, y = sensors.drop(columns="target"), sensors["target"]
    model = RandomForestClassifier(3, random_state=0).fit(x, y)
    with pytest.raises(UsageFault, match="the model answers 1 target") as caught:
        convert(model, x, np.column_stack([y, y]))
    assert caught.value.reason == "target_shape"
