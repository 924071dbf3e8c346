"""Models that answer with a cluster or with a transformed row."""

from __future__ import annotations

import pandas as pd
import pytest
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.mixture import GaussianMixture
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from convert import convert


@pytest.mark.parametrize(
    ("model", "task", "roles", "width"),
    [
        (make_pipeline(StandardScaler(), PCA(2)), "transformation", ["value"], 2),
        (KMeans(3, random_state=0), "clustering", ["label"], 1),
        (GaussianMixture(3, random_state=0), "clustering", ["label", "probabilities"], 3),
    ],
    ids=["scaler and components", "clusters", "mixture"],
)
def test_models_without_a_target_convert(
    sensors: pd.DataFrame, model: object, task: str, roles: list[str], width: int
) -> None:
    rows = sensors.drop(columns="target")
    done = convert(model.fit(rows), rows)  # type: ignore[attr-defined]
    assert done.manifest.task == task
    assert [line.role for line in done.manifest.outputs] == roles
    assert done.manifest.outputs[-1].width == width
    assert done.report.reported.label_changes == 0
