"""`LocalModel`: a bundle in one's own process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from edge_agent import LocalModel
from edge_agent.serve.rows import RowsRefused
from edgekit.errors import BundleError
from tests.support.models import make_bundle, make_mixed_bundle, probabilities

ROWS = np.array([[0.1, -0.3, 3.0], [0.0, 0.0, 0.0]], dtype=np.float32)
NAMED: list[dict[str, float]] = [{"heat": 3.0, "flow": -0.3, "pressure": 0.1}, {"heat": 0, "flow": 0, "pressure": 0}]


def opened(folder: Path, content: bytes) -> LocalModel:
    path = folder / "model.edgekit"
    path.write_bytes(content)
    return LocalModel.open(path)


@pytest.mark.parametrize(
    "rows",
    [
        NAMED,
        ROWS.tolist(),
        ROWS,
        ROWS.astype(np.float64),
        list(ROWS),
        pd.DataFrame(NAMED),
        [{name: np.float32(value) for name, value in row.items()} for row in NAMED],
    ],
    ids=["dicts", "lists", "float32 array", "float64 array", "list of arrays", "DataFrame", "numpy scalars"],
)
def test_rows_of_every_form_give_the_same_predictions(tmp_path: Path, rows: Any) -> None:
    assert opened(tmp_path, make_bundle()).predict(rows) == [2, 0]


@pytest.mark.parametrize("row", [NAMED[0], ROWS[0], ROWS[0].tolist()])
def test_one_row_gives_a_list_of_one(tmp_path: Path, row: Any) -> None:
    assert opened(tmp_path, make_bundle()).predict(row) == [2]


def test_probabilities_are_by_class(tmp_path: Path) -> None:
    shares = opened(tmp_path, make_bundle()).probabilities(ROWS)
    np.testing.assert_allclose([list(row.values()) for row in shares], probabilities(ROWS), atol=1e-6)
    assert list(shares[0]) == ["0", "1", "2"]


def test_a_frame_of_mixed_columns_with_missing_values(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {
            "running": [True, False],
            "site": pd.Series([None, "north"], dtype="string"),
            "mode": pd.Categorical(["eco", "boost"]),
            "cycles": [3, 0],
            "temperature": [np.nan, -5.5],
        }
    )
    model = opened(tmp_path, make_mixed_bundle())
    assert model.predict(frame) == [114.0, -6.0]
    with pytest.raises(RowsRefused, match="gives no probabilities"):
        model.probabilities(frame)


def test_whole_floats_of_an_object_array_stand_for_integers(tmp_path: Path) -> None:
    rows = np.array([[20.0, 3.0, "eco", True, "north"]], dtype=object)
    assert opened(tmp_path, make_mixed_bundle()).predict(rows) == [54.0]


@pytest.mark.parametrize(
    "rows",
    [
        np.zeros((2, 4)),
        np.zeros((1, 1, 3)),
        np.zeros((0, 3)),
        np.array([[np.inf, 0, 0]]),
        pd.DataFrame({"a": [1]}),
        7,
        "x",
    ],
    ids=["wide", "cube", "empty", "infinite", "other columns", "number", "text"],
)
def test_rows_that_do_not_fit_are_refused(tmp_path: Path, rows: Any) -> None:
    with pytest.raises(RowsRefused):
        opened(tmp_path, make_bundle()).predict(rows)


def test_a_model_that_fails_its_golden_rows_is_not_opened(tmp_path: Path) -> None:
    with pytest.raises(BundleError) as error:
        opened(tmp_path, make_bundle(wrong_golden=True))
    assert error.value.reason == "golden_mismatch"


def test_an_altered_bundle_is_not_opened(tmp_path: Path) -> None:
    content = bytearray(make_bundle())
    content[len(content) // 2] ^= 1
    with pytest.raises(BundleError):
        opened(tmp_path, bytes(content))


def test_importing_the_package_stays_light() -> None:
    code = "import sys, edge_agent; print(sorted({'numpy', 'onnxruntime', 'msgspec'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
