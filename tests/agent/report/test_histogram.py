"""The latency histogram keeps the promises that make its counts mergeable and its percentiles honest."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.report.histogram import TABLE, TABLED_US, below, bounds, bucket, quantiles

VALUES = st.one_of(st.integers(0, 100), st.integers(0, 10_000_000), st.integers(0, (1 << 63) - 1))


@given(VALUES)
def test_a_value_lies_within_the_bounds_of_its_bucket(value: int) -> None:
    low, high = bounds(bucket(value))
    assert low <= value < high


@given(VALUES, VALUES)
def test_the_bucket_never_falls_as_the_value_rises(one: int, other: int) -> None:
    assert (bucket(one) <= bucket(other)) or one > other


@given(VALUES)
def test_a_bucket_is_at_most_an_eighth_as_wide_as_it_is_high(value: int) -> None:
    low, high = bounds(bucket(value))
    assert high - low <= max(1, low / 8)


def test_buckets_follow_one_another_without_a_gap() -> None:
    edge, seen = 0, []
    while edge < 1 << 40:
        low, edge = bounds(bucket(edge))
        seen.append(low)
    assert seen == sorted(set(seen))
    assert all(bounds(bucket(low))[0] == low for low in seen)
    assert len(seen) == 16 + 8 * 36


def test_small_values_are_counted_exactly_and_impossible_ones_at_the_ends() -> None:
    assert [bucket(value) for value in range(16)] == list(range(16))
    assert bucket(-5) == 0
    assert bucket(1 << 80) == bucket((1 << 63) - 1) == 511


@pytest.mark.parametrize("index", [-1, 16, 39, 512])
def test_an_index_that_no_value_has_is_refused(index: int) -> None:
    with pytest.raises(ValueError, match="no latency"):
        bounds(index)


@given(st.lists(st.integers(0, 1 << 26), max_size=50), st.integers(4, 25))
def test_octave_counts_are_exact(values: list[int], power: int) -> None:
    assert below([(bucket(value), 1) for value in values], power) == sum(value < 1 << power for value in values)


def test_the_table_says_what_the_formula_says() -> None:
    assert list(TABLE) == [bucket(value) for value in range(TABLED_US)]


@given(st.lists(st.integers(0, 1 << 26), min_size=1, max_size=80), st.sampled_from([0.5, 0.9, 0.99, 1.0]))
def test_a_quantile_lies_in_the_bucket_of_the_true_one(values: list[int], share: float) -> None:
    counts: dict[int, int] = {}
    for value in values:
        counts[bucket(value)] = counts.get(bucket(value), 0) + 1
    (found,) = quantiles(sorted(counts.items()), [share])
    true = sorted(values)[max(0, math.ceil(share * len(values)) - 1)]
    low, high = bounds(bucket(true))
    assert low <= found <= high


def test_quantiles_of_nothing_are_zero_and_they_rise() -> None:
    assert quantiles([], [0.5, 0.99]) == [0.0, 0.0]
    found = quantiles([(10, 90), (100, 10)], [0.5, 0.9, 0.99])
    assert found == sorted(found)
    assert found[0] < 11 < bounds(100)[0] < found[2]
