"""What answers differently is refused with the step that differs first; what has no form, with the reason."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from sklearn.compose import make_column_transformer
from sklearn.decomposition import NMF
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, PolynomialFeatures, RobustScaler, StandardScaler

from convert import convert
from edgekit.errors import JudgedBad, ModelFault
from tests.convert.taught import Mistaught, Taught

# where the scaler stands, given its class, and how it is named
PLACES: dict[str, tuple[Any, str]] = {
    "alone": (lambda scaler: scaler(), "first to differ is Mistaught: "),
    "first": (
        lambda scaler: make_pipeline(scaler(), LogisticRegression(max_iter=500)),
        r"step 'mistaught' \(Mistaught\), feature 's1': ",
    ),
    "between": (
        lambda scaler: make_pipeline(RobustScaler(), scaler(), PolynomialFeatures(2), LogisticRegression(max_iter=500)),
        r"step 'mistaught' \(Mistaught\), feature 's1': ",
    ),
    "last": (lambda scaler: make_pipeline(StandardScaler(), scaler()), r"step 'mistaught' \(Mistaught\): "),
    "among columns": (
        lambda scaler: make_pipeline(
            make_column_transformer((scaler(), ["s3", "s4"]), remainder="passthrough"), LogisticRegression(max_iter=500)
        ),
        r"step 'columntransformer' \(ColumnTransformer\), feature 'mistaught__s4': ",
    ),
}


@pytest.mark.parametrize("place", PLACES)
def test_a_step_that_is_converted_wrongly_is_refused_by_its_name(
    place: str, sensors: pd.DataFrame, measured: Path
) -> None:
    make, named = PLACES[place]
    features = sensors.drop(columns="target")
    model = make(Mistaught).fit(features, sensors["target"])
    with pytest.raises(JudgedBad, match=named + "mend the converter") as caught:
        convert(model, features, measured=measured)
    assert caught.value.reason == "parity"

    control = convert(make(Taught).fit(features, sensors["target"]), features, measured=measured)
    assert (control.report.reported.label_changes, control.report.reported.rows_off) == (0, 0)


def test_a_model_without_an_onnx_form_is_refused_with_the_reason(sensors: pd.DataFrame, measured: Path) -> None:
    features = sensors.drop(columns="target")
    model = make_pipeline(MinMaxScaler(clip=True), NMF(2, max_iter=20, tol=0), LogisticRegression()).fit(
        features, sensors["target"]
    )
    with pytest.raises(ModelFault, match="NMF: its stopping rule") as caught:
        convert(model, features, measured=measured)
    assert caught.value.reason == "not_exportable"
