"""The rows that stand for the training rows: what the bins tell, in the right shares, as the model takes it."""

from __future__ import annotations

import math
from collections import Counter

import msgspec
import pytest

from edge_agent.serve.columns import Column
from edge_agent.serve.explain.background import draw
from edgekit.golden import REFERENCE_SCHEMA, CategoricalBins, NumericBins, Reference
from edgekit.manifest import Dtype, Feature

BINS = NumericBins(name="x", edges=[1.0, 2.0], counts=[50, 30, 20], missing=0, low=0.0, high=9.0)


def column(dtype: Dtype = "float32", fill: float | str | None = None, allowed: frozenset[str] | None = None) -> Column:
    return Column(Feature(name="x", dtype=dtype, nullable=fill is not None), fill, allowed, 3e38)


def drawn(line: NumericBins | CategoricalBins, feature: Column, count: int = 100) -> Counter[object]:
    rows = draw(Reference(schema=REFERENCE_SCHEMA, rows=100, features=[line]), [feature], count)
    assert rows is not None
    return Counter(cell for (cell,) in rows)


def numeric(**changes: object) -> NumericBins:
    return msgspec.structs.replace(BINS, **changes)


def test_every_bin_has_its_share_and_its_mean() -> None:
    assert drawn(numeric(means=[0.25, 1.5, 4.0]), column()) == {0.25: 50, 1.5: 30, 4.0: 20}


def test_few_rows_keep_the_shares_to_within_one_row() -> None:
    assert drawn(numeric(means=[0.25, 1.5, 4.0]), column(), 16) == {0.25: 8, 1.5: 5, 4.0: 3}


def test_a_bundle_without_means_is_represented_by_the_middle_of_each_bin() -> None:
    assert drawn(BINS, column()) == {0.5: 50, 1.5: 30, 5.5: 20}


def test_whole_numbers_stay_whole() -> None:
    found = drawn(numeric(means=[0.4, 1.6, 4.0]), column("int64"))
    assert found == {0: 50, 2: 30, 4: 20}
    assert all(type(cell) is int for cell in found)


def test_missing_values_are_missing_as_often() -> None:
    found = drawn(numeric(missing=100, means=[0.25, 1.5, 4.0]), column(fill=math.nan), 200)
    assert sum(count for cell, count in found.items() if isinstance(cell, float) and math.isnan(cell)) == 100


def test_categories_are_drawn_as_often_as_they_were_seen() -> None:
    line = CategoricalBins(name="x", values=["a", "b"], counts=[60, 30], other=10, missing=10)
    assert drawn(line, column("string", fill=""), 100) == {"a": 60, "b": 30, "": 10}


def test_categories_that_the_model_refuses_are_left_out() -> None:
    line = CategoricalBins(name="x", values=["a", "b"], counts=[60, 30], other=0, missing=0)
    assert drawn(line, column("string", allowed=frozenset("a"))) == {"a": 100}


@pytest.mark.parametrize("name", ["y", "x"])
def test_a_reference_that_does_not_know_a_feature_draws_nothing(name: str) -> None:
    line = numeric(name=name, counts=[0, 0, 0])
    assert draw(Reference(schema=REFERENCE_SCHEMA, rows=0, features=[line]), [column()], 10) is None


def test_the_same_rows_are_drawn_every_time_and_features_do_not_go_together() -> None:
    other = Column(Feature(name="y", dtype="float32"), None, None, 3e38)
    reference = Reference(schema=REFERENCE_SCHEMA, rows=100, features=[BINS, numeric(name="y")])
    rows = draw(reference, [column(), other], 100)
    assert rows == draw(reference, [column(), other], 100)
    assert rows is not None
    assert len(set(rows)) == 9
