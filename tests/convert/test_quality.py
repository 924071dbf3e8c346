"""Accuracy and R² before and after conversion, and the gate on their fall."""

from __future__ import annotations

import numpy as np
import pytest

from convert.check.gate import pass_quality
from convert.check.parity import Answers
from convert.check.quality import measure_quality
from edgekit.errors import JudgedBad
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
