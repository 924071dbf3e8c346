"""The share of labels that a rounding is likely to change, from few rows."""

from __future__ import annotations

import numpy as np
import pytest

from convert.check.margins import likely_changes
from convert.check.parity import PROBABILITY, Answers, Number, compare

CLASSES = 3


def answered(numbers: Number) -> Answers:
    return Answers(numbers.argmax(axis=1), numbers)


def rounded(rows: int, seed: int, spread: float) -> tuple[Answers, Answers]:
    """Answers of a model, and of a form of it whose numbers are off by so much."""
    random = np.random.default_rng(seed)
    numbers = random.random((rows, CLASSES))
    return answered(numbers), answered(numbers + random.normal(0, spread, numbers.shape))


def changed(before: Answers, after: Answers) -> float:
    """The share of labels that changed."""
    return compare(before, after, PROBABILITY).label_changes / len(before)


@pytest.mark.parametrize("spread", [0.0005, 0.002, 0.008])
def test_a_few_hundred_rows_tell_what_many_would_show(spread: float) -> None:
    before, after = rounded(400_000, 0, spread)
    truth = changed(before, after)
    found = [likely_changes(*rounded(600, seed, spread)) for seed in range(1, 81)]
    assert np.mean(found) == pytest.approx(truth, rel=0.2)
    # the standard deviation of a share of 600 that are counted
    assert np.std(found) < 0.75 * np.sqrt(truth / 600)


def test_where_no_label_changes_the_leads_tell_the_risk() -> None:
    pairs = [rounded(300, seed, 0.002) for seed in range(40)]
    unseen = [pair for pair in pairs if changed(*pair) == 0]
    assert len(unseen) > 5
    assert np.mean([likely_changes(*pair) for pair in unseen]) > 0.001


def test_answers_that_did_not_move_change_nothing() -> None:
    before, _ = rounded(500, 0, 0.1)
    assert likely_changes(before, before) == 0


def test_the_sign_of_a_score_is_its_label() -> None:
    scores = np.linspace(-1, 1, 1001)[:, None]
    moved = Answers((scores[:, 0] > -0.05).astype(int), scores + 0.05)
    assert likely_changes(Answers((scores[:, 0] > 0).astype(int), scores), moved) == pytest.approx(0.025, abs=0.001)


@pytest.mark.parametrize(
    "numbers", [pytest.param(None, id="no numbers"), pytest.param(np.full((9, 2), np.nan), id="no known number")]
)
def test_without_numbers_nothing_is_likely(numbers: Number | None) -> None:
    answers = Answers(np.zeros(9, dtype=int), numbers)
    assert likely_changes(answers, answers) == 0
