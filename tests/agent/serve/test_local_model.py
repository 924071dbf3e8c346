"""`LocalModel`: a bundle in one's own process."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import make_column_transformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from convert import convert
from edge_agent import LocalModel
from edge_agent.serve.rows import RowsRefused
from edgekit.errors import BundleError, UsageFault
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


METER = {"temperature": 20.0, "cycles": 3, "mode": "eco", "running": True, "site": "north"}
RECORD = [("site", "U8"), ("running", "?"), ("cycles", "i4"), ("temperature", "f8"), ("mode", "U5")]


@pytest.mark.parametrize(
    "row",
    [
        METER,
        dict(reversed(METER.items())),
        list(METER.values()),
        tuple(METER.values()),
        np.array(list(METER.values()), dtype=object),
        np.array([("north", True, 3, 20.0, "eco")], dtype=RECORD),
        np.array([("north", True, 3, 20.0, "eco")], dtype=RECORD)[0],
        pd.Series(METER),
        [pd.Series(METER)],
        pd.DataFrame([METER])[["site", "mode", "running", "temperature", "cycles"]],
        pd.DataFrame([METER]).astype({"mode": "category", "site": "category", "cycles": "Int64", "running": "boolean"}),
        pd.DataFrame([METER]).astype({"cycles": float, "running": int}),
        pd.DataFrame([METER]).astype(object),
        {name: np.array([value])[0] for name, value in METER.items()},
        [{np.str_(name): value for name, value in METER.items()}],
    ],
    ids=[
        "mapping",
        "mapping in another order",
        "list",
        "tuple",
        "object array",
        "structured array",
        "one record",
        "series",
        "list of series",
        "frame in another order",
        "frame of extension and category dtypes",
        "frame of widened dtypes",
        "frame of objects",
        "numpy scalars",
        "numpy names",
    ],
)
def test_one_row_of_mixed_columns_in_every_form(tmp_path: Path, row: Any) -> None:
    assert opened(tmp_path, make_mixed_bundle()).predict(row) == [54.0]


@pytest.mark.parametrize("missing", [None, np.nan, np.float32("nan"), pd.NA, pd.NaT], ids=repr)
def test_a_missing_value_may_be_spelled_in_every_way(tmp_path: Path, missing: Any) -> None:
    row = METER | {"temperature": missing, "site": missing}
    model = opened(tmp_path, make_mixed_bundle())
    given = [
        row,
        [row],
        list(row.values()),
        pd.DataFrame([row]),
        pd.Series(row),
        np.array([*row.values()], dtype=object),
    ]
    assert [model.predict(form) for form in given] == [[114.0]] * len(given)


def test_masked_cells_are_missing(tmp_path: Path) -> None:
    row: Any = np.ma.array(list(METER.values()), dtype=object, mask=[True, False, False, False, True])
    assert opened(tmp_path, make_mixed_bundle()).predict(row) == [114.0]


@pytest.mark.parametrize(
    ("rows", "feature", "problem"),
    [
        (pd.DataFrame([METER]).drop(columns="mode"), "mode", "missing"),
        (pd.DataFrame([METER]).assign(colour=1), "colour", "unknown"),
        (pd.DataFrame([METER | {"cycles": 2.5}]), "cycles", "wrong_type"),
        (pd.DataFrame([METER | {"running": 2}]), "running", "wrong_type"),
        (pd.DataFrame([METER | {"mode": "warp"}]), "mode", "unknown_category"),
        (pd.DataFrame([METER | {"cycles": None}]), "cycles", "null"),
        (np.array([("north", 3)], dtype=[("site", "U8"), ("cycles", "i4")]), "mode", "missing"),
        (pd.Series(METER | {"colour": 1}), "colour", "unknown"),
        (METER | {"cycles": True}, "cycles", "wrong_type"),
        (METER | {"running": 1}, "running", "wrong_type"),
    ],
)
def test_what_does_not_fit_is_named(tmp_path: Path, rows: Any, feature: str, problem: str) -> None:
    with pytest.raises(RowsRefused) as error:
        opened(tmp_path, make_mixed_bundle()).predict(rows)
    assert (feature, problem) in {(line.feature, line.problem) for line in error.value.problems}


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (pd.DataFrame([[1, 2, 3]], columns=["heat", "heat", "flow"]), "two columns of the frame are called 'heat'"),
        (np.zeros((2, 4)), "the array has 4 columns, and the model takes 3: pressure, flow, heat"),
        (np.array(3.0), "shape"),
        (np.zeros((2, 2), dtype=[("heat", "f4")]), "structured array"),
    ],
    ids=["columns twice", "too many columns", "a number", "table of records"],
)
def test_a_container_that_holds_no_rows_is_told_apart(tmp_path: Path, rows: Any, words: str) -> None:
    with pytest.raises(RowsRefused, match=words):
        opened(tmp_path, make_bundle()).predict(rows)


def test_a_closed_model_says_so(tmp_path: Path) -> None:
    with opened(tmp_path, make_bundle()) as model:
        assert model.predict(ROWS) == [2, 0]
    model.close()
    for call in (model.predict, model.probabilities, model.explain):
        with pytest.raises(UsageFault) as error:
            call(ROWS)
        assert error.value.reason == "closed"


def test_threads_may_share_a_model(tmp_path: Path) -> None:
    model = opened(tmp_path, make_bundle())
    rows = np.random.default_rng(0).normal(size=(400, 3)).astype(np.float32)
    expected = probabilities(rows).argmax(axis=1).tolist()
    with ThreadPoolExecutor(8) as pool:
        assert [label for (label,) in pool.map(model.predict, rows)] == expected
        assert list(pool.map(model.predict, [rows] * 8)) == [expected] * 8


def test_every_form_of_rows_gets_the_answers_of_scikit_learn(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "speed": np.where(rng.random(300) < 0.1, np.nan, rng.normal(size=300)),
            "gear": rng.integers(1, 6, 300),
            "site": pd.Categorical(rng.choice(["north", "south"], 300)),
            "heated": rng.random(300) > 0.5,
        }
    )
    y = np.where(frame["gear"] + 2 * frame["heated"] + (frame["site"] == "north") > 4, "worn", "fine")
    columns = make_column_transformer((OneHotEncoder(), ["site"]), remainder=SimpleImputer())
    source = make_pipeline(columns, RandomForestClassifier(10, random_state=0)).fit(frame, y)
    path = convert(source, frame.astype({"site": str}), y, name="tool").save(tmp_path / "tool.edgekit")
    expected, shares = source.predict(frame).tolist(), source.predict_proba(frame)
    with LocalModel.open(path) as model:
        for rows in (
            frame,
            frame[["heated", "site", "gear", "speed"]],
            frame.to_dict("records"),
            frame.to_numpy(dtype=object),
            frame.to_numpy(dtype=object).tolist(),
            frame.astype({"site": str}).to_records(index=False),
        ):
            assert model.predict(rows) == expected
        given = [list(row.values()) for row in model.probabilities(frame)]
        np.testing.assert_allclose(given, shares, atol=1e-6)
        assert [model.predict(row)[0] for _, row in frame.head(20).iterrows()] == expected[:20]


def test_pandas_is_not_imported_for_a_frame(tmp_path: Path) -> None:
    (tmp_path / "model.edgekit").write_bytes(make_bundle())
    code = """
import sys
from edge_agent import LocalModel
class Column(list):
    tolist = lambda self: list(self)
    isna = lambda self: Column(cell is None for cell in self)
class Frame(dict):
    columns = property(lambda self: list(self))
    isna = None
with LocalModel.open(sys.argv[1]) as model:
    rows = Frame(heat=Column([3.0]), flow=Column([-0.3]), pressure=Column([0.1]))
    print(model.predict(rows), model.explain(rows)[0].samples)
print("pandas" in sys.modules)
"""
    command = [sys.executable, "-c", code, str(tmp_path / "model.edgekit")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:2] == ["[2] 256", "False"]


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
