"""Every kind of model file and of rows gives the same bundle contents as the live objects."""

from __future__ import annotations

import json
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest
import skops.io
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from convert import convert
from convert.pack.reference import count_reference
from convert.read.columns import describe
from convert.read.mlflow import find_model
from convert.read.model import read_model
from convert.read.rows import read_rows
from edgekit.errors import ModelFault, UsageFault
from edgekit.golden import NumericBins

MLMODEL = """artifact_path: model
flavors:
  python_function:
    loader_module: mlflow.sklearn
    model_path: wrong.pkl
  sklearn:
    code: null
    pickled_model: model.pkl
    serialization_format: cloudpickle
signature:
  inputs: '[{"name": "s0"}]'
"""


@pytest.mark.parametrize("suffix", ["csv", "csv.gz", "parquet", "npz"])
def test_rows_of_every_kind_are_the_same_table(suffix: str, sensors: pd.DataFrame, tmp_path: Path) -> None:
    path = tmp_path / f"rows.{suffix}"
    if suffix == "npz":
        np.savez(path, X=sensors.drop(columns="target").to_numpy(), target=sensors["target"].to_numpy())
    elif suffix == "parquet":
        sensors.to_parquet(path)
    else:
        sensors.to_csv(path, index=False)
    read = read_rows(path, "target")
    assert read.target is not None
    np.testing.assert_allclose(read.frame.to_numpy(), sensors.drop(columns="target").to_numpy())
    np.testing.assert_array_equal(read.target, sensors["target"])
    assert read.named is (suffix != "npz")


def test_an_array_without_names_takes_those_the_model_was_fitted_with(
    measured: Path, sensors: pd.DataFrame, tmp_path: Path
) -> None:
    features = sensors.drop(columns="target")
    np.save(tmp_path / "rows.npy", features.to_numpy())
    model = LogisticRegression(max_iter=500).fit(features, sensors["target"])
    done = convert(model, tmp_path / "rows.npy", measured=measured)
    assert [feature.name for feature in done.manifest.inputs] == list(features.columns)


def test_a_model_fitted_on_an_array_takes_its_names_from_the_rows(measured: Path, sensors: pd.DataFrame) -> None:
    model = LogisticRegression(max_iter=500).fit(sensors.drop(columns="target").to_numpy(), sensors["target"])
    done = convert(model, sensors, target="target", measured=measured)
    assert [feature.name for feature in done.manifest.inputs] == [f"s{i}" for i in range(6)]


def test_columns_may_come_in_any_order_and_with_others_between(measured: Path, sensors: pd.DataFrame) -> None:
    model = LogisticRegression(max_iter=500).fit(sensors.drop(columns="target"), sensors["target"])
    turned = sensors[sensors.columns[::-1]].assign(serial="A7")
    done = convert(model, turned, target="target", measured=measured)
    assert [feature.name for feature in done.manifest.inputs] == [f"s{i}" for i in range(6)]
    assert done.report.notes == ["columns not used by the model: serial"]


@pytest.mark.parametrize("model", [RandomForestClassifier(5), HistGradientBoostingClassifier(max_iter=5)])
def test_a_skops_file_needs_no_trust(model: object, sensors: pd.DataFrame, tmp_path: Path) -> None:
    pipeline = make_pipeline(StandardScaler(), model).fit(sensors.drop(columns="target"), sensors["target"])
    skops.io.dump(pipeline, tmp_path / "model.skops")
    loaded = read_model(tmp_path / "model.skops", trust_pickle=False)
    np.testing.assert_array_equal(
        loaded.estimator.predict(sensors.drop(columns="target")), pipeline.predict(sensors.drop(columns="target"))
    )


def test_an_mlflow_folder_is_read_without_mlflow(sensors: pd.DataFrame, tmp_path: Path) -> None:
    model = LogisticRegression(max_iter=500).fit(sensors.drop(columns="target"), sensors["target"])
    (tmp_path / "MLmodel").write_text(MLMODEL)
    joblib.dump(model, tmp_path / "model.pkl")
    assert find_model(tmp_path) == tmp_path / "model.pkl"
    assert isinstance(read_model(tmp_path, trust_pickle=True).estimator, LogisticRegression)


def test_an_mlflow_folder_holds_a_pickle_and_needs_trust(fitted: Path) -> None:
    (fitted / "MLmodel").write_text(MLMODEL)
    (fitted / "model.joblib").rename(fitted / "model.pkl")
    with pytest.raises(UsageFault, match="--trust-pickle"):
        read_model(fitted, trust_pickle=False)


def test_dates_are_refused_by_name(measured: Path, sensors: pd.DataFrame) -> None:
    model = LogisticRegression(max_iter=500).fit(sensors.drop(columns="target"), sensors["target"])
    dated = sensors.assign(s0=pd.date_range("2026-01-01", periods=len(sensors)))
    with pytest.raises(ModelFault, match=r"'s0'.*datetime64"):
        convert(model, dated, target="target", measured=measured)


def test_reference_edges_never_lie_on_a_value() -> None:
    frame = pd.DataFrame({"steps": np.repeat([1.0, 2.0, 3.5], 50), "still": 7.0})
    steps, still = count_reference(frame, describe(frame), None).features
    assert isinstance(steps, NumericBins)
    assert isinstance(still, NumericBins)
    assert steps.edges == [1.5, 2.75]
    assert steps.counts == [50, 50, 50]
    assert still.counts == [0, 150, 0]


def test_the_report_is_valid_json_with_every_plan_that_was_tried(sensors: pd.DataFrame) -> None:
    shifted = sensors.drop(columns="target") * 7 + 1.7e9
    model = LinearDiscriminantAnalysis().fit(shifted, sensors["target"])
    done = convert(model, shifted.assign(target=sensors["target"]), target="target")
    report = json.loads(done.documents["report.json"])
    assert [line["plan"] for line in report["plans"]] == ["own, float32 matrix", "own, float64 matrix"]
    assert report["plans"][0]["selection"]["rows_off"] > 0
    assert b"| `s0` | float64 |" in done.documents["model_card.md"]
