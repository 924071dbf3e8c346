"""The judgement of parity, on plain arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from convert.check.parity import Answers, Tolerance, compare, tolerance_for, within

TIGHT = Tolerance(1e-4, 1e-3)


def answers(label: list[Any] | None = None, numbers: list[Any] | None = None) -> Answers:
    return Answers(
        None if label is None else np.array(label), None if numbers is None else np.array(numbers, dtype=np.float64)
    )


def test_equal_answers_agree_exactly() -> None:
    same = answers([0, 1], [[0.9, 0.1], [0.2, 0.8]])
    found = compare(same, same, TIGHT)
    assert found.exact
    assert within(found, 0.0)


def test_a_changed_label_counts_and_is_shown_as_the_worst_row() -> None:
    found = compare(answers([0, 1, 1], [[0.1], [0.5], [0.9]]), answers([0, 0, 1], [[0.1], [0.5], [0.5]]), TIGHT)
    assert (found.label_changes, found.rows_off, found.worst) == (1, 1, 1)


@pytest.mark.parametrize(
    ("expected", "got", "off"),
    [
        pytest.param(0.5, 0.5 + 5e-4, 0, id="inside relative tolerance"),
        pytest.param(0.5, 0.5 + 7e-4, 1, id="outside"),
        pytest.param(0.0, 9e-5, 0, id="inside absolute tolerance"),
        pytest.param(np.nan, np.nan, 0, id="both missing"),
        pytest.param(np.nan, 0.5, 1, id="a number where none was expected"),
        pytest.param(0.5, np.nan, 1, id="no number where one was expected"),
        pytest.param(np.inf, np.inf, 0, id="same infinity"),
        pytest.param(np.inf, 1.0, 1, id="finite instead of infinite"),
    ],
)
def test_numbers_are_compared_within_tolerance(expected: float, got: float, off: int) -> None:
    assert compare(answers(numbers=[[expected]]), answers(numbers=[[got]]), TIGHT).rows_off == off


def test_text_labels_of_different_array_kinds_are_compared_as_text() -> None:
    left = Answers(np.array(["a", "b"], dtype="U1"), None)
    right = Answers(np.array(["a", "c"], dtype=object), None)
    assert compare(left, right, TIGHT).label_changes == 1


def test_boolean_and_integer_labels_are_equal_when_their_values_are() -> None:
    assert compare(answers([True, False]), answers([1, 0]), TIGHT).exact


def test_another_shape_is_an_error_not_a_difference() -> None:
    with pytest.raises(ValueError, match="shape"):
        compare(answers(numbers=[[1.0, 2.0]]), answers(numbers=[[1.0]]), TIGHT)


@pytest.mark.parametrize(("budget", "fits"), [(0.0, False), (0.009, False), (0.01, True), (0.5, True)])
def test_the_budget_is_a_share_of_rows(budget: float, fits: bool) -> None:
    labels = [0] * 100
    assert within(compare(answers(labels), answers([1, *labels[1:]]), TIGHT), budget) is fits


def test_no_budget_covers_a_difference_that_is_not_finite() -> None:
    assert not within(compare(answers(numbers=[[1.0]]), answers(numbers=[[np.nan]]), TIGHT), 1.0)


def test_values_are_tolerated_in_proportion_to_their_spread() -> None:
    small = tolerance_for("value", np.array([[1e-6], [2e-6], [3e-6]]))
    large = tolerance_for("value", np.array([[1e6], [2e6], [3e6]]))
    assert small.absolute < 1e-8
    assert 100 < large.absolute < 1000


def test_no_rows_agree() -> None:
    assert within(compare(Answers(None, None), Answers(None, None), TIGHT), 0.0)
