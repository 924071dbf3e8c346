"""`from convert import convert`: what it takes, what it gives, and what a notebook shows of it."""

from __future__ import annotations

import doctest
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
from sklearn.linear_model import LogisticRegression, Ridge

import convert as package
from convert import convert
from convert.conversion import Conversion
from convert.read.given import Given
from convert.read.rows import read_rows
from edgekit.bundle import load
from edgekit.errors import EdgekitError, ModelFault, UsageFault
from tests.docs.pages import ROOT


@pytest.fixture(scope="module")
def model(sensors: pd.DataFrame) -> LogisticRegression:
    return LogisticRegression(max_iter=500).fit(sensors.drop(columns="target"), sensors["target"])


@pytest.fixture(scope="module")
def done(model: LogisticRegression, sensors: pd.DataFrame, measured: Path) -> Conversion:
    return convert(model, sensors.drop(columns="target"), sensors["target"], measured=measured, name="pump")


def test_x_and_y_are_the_same_as_one_table_with_a_target(
    done: Conversion, model: LogisticRegression, sensors: pd.DataFrame, measured: Path
) -> None:
    table = convert(model, sensors, target="target", measured=measured, name="pump")
    assert table.content == done.content
    assert table.documents == done.documents


@pytest.mark.parametrize("kind", [np.asarray, list, lambda y: y.to_numpy().reshape(-1, 1), lambda y: y.sample(frac=1)])
def test_y_may_be_anything_with_one_value_for_each_row(kind: Any, sensors: pd.DataFrame) -> None:
    y = kind(sensors["target"])
    read = read_rows(Given(sensors.drop(columns="target"), y), None)
    assert read.target is not None
    np.testing.assert_array_equal(read.target, np.asarray(y).ravel())


def test_an_array_takes_the_names_that_the_model_was_fitted_with(
    done: Conversion, model: LogisticRegression, sensors: pd.DataFrame, measured: Path
) -> None:
    array = sensors.drop(columns="target").to_numpy()
    again = convert(model, array, sensors["target"].to_numpy(), measured=measured, name="pump")
    assert again.content == done.content


def test_an_array_of_objects_is_read_as_what_it_holds(sensors: pd.DataFrame, measured: Path) -> None:
    array = sensors.drop(columns="target").to_numpy().astype(object)
    model = Ridge().fit(array, sensors["target"])
    assert convert(model, array, measured=measured).manifest.inputs[0].dtype in ("float32", "float64")


def test_labels_may_be_floats(sensors: pd.DataFrame, measured: Path) -> None:
    features, target = sensors.drop(columns="target"), (sensors["target"] > 0).astype(float)
    done = convert(LogisticRegression().fit(features, target), features, target, measured=measured)
    assert done.manifest.quality[0].source > 0.5
    details = done.report.details
    assert details is not None
    assert details.confusion is not None
    assert details.confusion.classes == ["0", "1"]


def test_what_was_made_can_be_saved_and_read_again(done: Conversion, tmp_path: Path) -> None:
    assert load(done.save(tmp_path / done.file_name)).sha256 == done.sha256
    folder = done.save_report(tmp_path / done.report_name)
    assert {file.name for file in folder.iterdir()} == set(done.documents)


def test_it_shows_itself_in_a_line_and_in_a_notebook_as_a_table(done: Conversion) -> None:
    assert repr(done).startswith("<Conversion pump 1.0.0: 0 of 600 labels changed, ")
    assert len(repr(done)) < 100
    shown = done._repr_html_()
    assert "<caption>pump 1.0.0</caption>" in shown
    assert "own, float32 matrix" in shown or "float32 matrix" in shown


def test_the_example_in_its_documentation_is_so() -> None:
    failed, tried = doctest.testmod(package)
    assert tried > 0
    assert failed == 0


SENSIBLE = np.zeros((30, 6))

# what is wrong: (X, y, options, error, what the sentence says)
WRONG: dict[str, tuple[Any, Any, dict[str, Any], type[EdgekitError], str]] = {
    "a sparse matrix": (scipy.sparse.csr_matrix(SENSIBLE), None, {}, UsageFault, r"toarray\(\)"),
    "a list": ([[1.0] * 6] * 30, None, {}, UsageFault, "builtins.list: give a pandas DataFrame"),
    "a generator": (iter(()), None, {}, UsageFault, "give a pandas DataFrame"),
    "nothing": (None, None, {}, UsageFault, "NoneType"),
    "numbers in one dimension": (SENSIBLE[:, 0], None, {}, UsageFault, r"reshape\(-1, 1\)"),
    "three dimensions": (SENSIBLE.reshape(30, 3, 2), None, {}, UsageFault, r"shape \(30, 3, 2\)"),
    "a masked array": (np.ma.masked_equal(SENSIBLE, 0), None, {}, UsageFault, "masked"),
    "complex numbers": (SENSIBLE.astype(complex), None, {}, ModelFault, "complex128"),
    "a structured array": (np.zeros(30, dtype=[("s0", float)]), None, {}, UsageFault, "shape"),
    "too few columns": (SENSIBLE[:, :4], None, {}, ModelFault, "lacks"),
    "no rows": (SENSIBLE[:0], None, {}, ModelFault, "has no rows"),
    "too few rows": (SENSIBLE[:19], None, {}, ModelFault, "give at least 20"),
    "too few true answers": (SENSIBLE, [0] * 29, {}, UsageFault, "29 values for 30 rows"),
    "true answers of several targets": (SENSIBLE, np.zeros((30, 2)), {}, UsageFault, r"\(30, 2\)"),
    "true answers with holes": (SENSIBLE, [np.nan] * 30, {}, ModelFault, "30 missing values"),
    "true answers twice": (SENSIBLE, [0] * 30, {"target": "x0"}, UsageFault, "give one of them"),
    "a target that is no column": (SENSIBLE, None, {"target": "y"}, UsageFault, "'y' is no column"),
    "a budget that is no share": (SENSIBLE, None, {"max_label_change": -1}, UsageFault, "from 0 to 1"),
}


@pytest.mark.parametrize("fault", WRONG)
def test_a_wrong_call_is_refused_in_a_sentence(fault: str, model: LogisticRegression) -> None:
    x, y, options, error, says = WRONG[fault]
    with pytest.raises(error, match=says) as raised:
        convert(model, x, y, **options)
    assert type(raised.value) is error
    assert "\n" not in raised.value.message


def test_the_example_in_the_guide_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    [example] = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "converting.md").read_text(), re.S)
    monkeypatch.chdir(tmp_path)
    exec(compile(example, "docs/converting.md", "exec"), {})
    assert {path.name for path in tmp_path.iterdir()} == {"iris-1.0.0.edgekit", "iris-1.0.0.report"}
