"""Rows that a model has not seen decide on forms that round, also where all given rows were there in training."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import make_classification
from sklearn.ensemble import ExtraTreesClassifier

from convert import convert
from convert.check import session as sessions
from convert.check.strangers import strangers
from edgekit import bundle, packing

MIXED = pd.DataFrame(
    {
        "number": [0.5, np.nan, 2.5],
        "whole": np.array([1, 2, 3], dtype=np.int64),
        "text": pd.Series(["a", None, "ü"], dtype=object),
        "yes": [True, False, True],
    }
)


def test_strangers_have_the_columns_their_types_and_known_values_only() -> None:
    made = strangers(MIXED)
    assert list(made.dtypes) == list(MIXED.dtypes)
    assert len(made) == 4000
    for name in MIXED:
        assert set(made[name].astype(str)) == set(MIXED[name].astype(str))


def test_most_strangers_are_new_and_keep_most_of_a_row() -> None:
    rows = pd.DataFrame(np.arange(2000.0 * 8).reshape(2000, 8))
    made = strangers(rows).to_numpy() // 8
    common = np.array([np.bincount(row.astype(int)).max() for row in made])
    assert (common == 8).mean() < 0.15
    assert 5 < common.mean() < 7


def test_the_same_rows_give_the_same_strangers() -> None:
    assert strangers(MIXED).equals(strangers(MIXED))


@pytest.fixture(scope="module")
def known_by_heart() -> tuple[ExtraTreesClassifier, pd.DataFrame, pd.DataFrame]:
    """A model that is sure of every row that it was trained on, these rows, and others."""
    x, y = make_classification(9000, 12, n_informative=8, n_classes=4, flip_y=0.05, random_state=1)
    rows = pd.DataFrame(x, columns=[f"f{place}" for place in range(12)])
    model = ExtraTreesClassifier(40, min_samples_leaf=2, random_state=0).fit(rows.head(3000), y[:3000])
    return model, rows.head(3000), rows.tail(6000)


def test_a_budget_holds_on_unseen_rows_where_training_rows_are_given(
    known_by_heart: tuple[ExtraTreesClassifier, pd.DataFrame, pd.DataFrame],
) -> None:
    model, seen, unseen = known_by_heart
    done = convert(model, seen, objective="size", max_label_change=0.002)
    session = sessions.open_session(packing.expand(bundle.parse(done.content), "model"))
    found = sessions.run(session, done.manifest.tensors, done.manifest.outputs, unseen)
    changed = np.mean(found.label != model.predict(unseen))
    assert changed <= 0.003
    # The control: forms that only rows known in training would let ship.
    changes = [(line.label_change, line.refused or "") for line in done.report.variants if line.lossy]
    assert any(share is not None and share <= 0.002 * 0.8 and "unseen" in why for share, why in changes)
