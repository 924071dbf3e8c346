"""Everything a user can get wrong: one clear sentence, the right exit code, nothing written, no traceback."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
import skops.io
from sklearn.calibration import CalibratedClassifierCV
from sklearn.cluster import DBSCAN
from sklearn.ensemble import StackingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.semi_supervised import LabelPropagation

from tests.convert.conftest import Run

Spoil = Callable[[Path], list[str]]
DATA = ["--data", "rows.csv", "--target", "target"]
USUAL = ["model.joblib", *DATA, "--trust-pickle"]


class Custom(LogisticRegression):  # type: ignore[misc]
    """A class of the user's own, which skops does not know."""


def rows(folder: Path) -> pd.DataFrame:
    return pd.read_csv(folder / "rows.csv")


def words(*given: str) -> Spoil:
    return lambda folder: list(given)


def with_rows(change: Callable[[pd.DataFrame], pd.DataFrame]) -> Spoil:
    def spoil(folder: Path) -> list[str]:
        change(rows(folder)).to_csv(folder / "rows.csv", index=False)
        return USUAL

    return spoil


def with_text(change: Callable[[str], str]) -> Spoil:
    def spoil(folder: Path) -> list[str]:
        (folder / "rows.csv").write_text(change((folder / "rows.csv").read_text()))
        return USUAL

    return spoil


def with_model(make: Callable[[pd.DataFrame, pd.Series], Any]) -> Spoil:
    def spoil(folder: Path) -> list[str]:
        table = rows(folder)
        joblib.dump(make(table.drop(columns="target"), table["target"]), folder / "model.joblib")
        return USUAL

    return spoil


def with_file(name: str, content: bytes) -> Spoil:
    def spoil(folder: Path) -> list[str]:
        (folder / name).write_bytes(content)
        return USUAL if name == "model.joblib" else [name, *DATA, "--trust-pickle"]

    return spoil


def other_version(folder: Path) -> list[str]:
    model = joblib.load(folder / "model.joblib")
    content = pickle.dumps(model, protocol=0)
    import sklearn

    (folder / "model.joblib").write_bytes(content.replace(sklearn.__version__.encode(), b"1.2.0"))
    return USUAL


def unknown_skops(folder: Path) -> list[str]:
    table = rows(folder)
    skops.io.dump(Custom().fit(table.drop(columns="target"), table["target"]), folder / "model.skops")
    return ["model.skops", *DATA]


def mlflow_folder(text: str) -> Spoil:
    def spoil(folder: Path) -> list[str]:
        (folder / "logged").mkdir()
        (folder / "logged" / "MLmodel").write_text(text)
        return ["logged", *DATA, "--trust-pickle"]

    return spoil


def a_folder(folder: Path) -> list[str]:
    (folder / "taken").mkdir()
    return [*USUAL, "-o", "taken"]


def npy_without_names(folder: Path) -> list[str]:
    np.save(folder / "rows.npy", rows(folder).drop(columns="target").to_numpy()[:, :3])
    return ["model.joblib", "--data", "rows.npy", "--trust-pickle"]


def calibrated(features: pd.DataFrame, target: pd.Series) -> Any:
    return CalibratedClassifierCV(make_pipeline(StandardScaler(), LogisticRegression())).fit(features, target > 0)


def twice(text: str) -> str:
    return text.replace("s1", "s0", 1)


# what goes wrong: (how, exit code, what the sentence says)
TABLE: dict[str, tuple[Spoil, int, str]] = {
    "no such model": (words("gone.joblib", *DATA, "--trust-pickle"), 2, "gone.joblib does not exist"),
    "a pickle without the flag": (words("model.joblib", *DATA), 2, "add --trust-pickle"),
    "garbage as a model": (with_file("model.joblib", b"\x00garbage"), 1, "is not a readable model"),
    "an empty model file": (with_file("model.joblib", b""), 1, "is not a readable model"),
    "garbage as skops": (with_file("model.skops", b"garbage"), 1, "is not a readable model"),
    "a skops file with custom types": (unknown_skops, 1, "not known to be harmless"),
    "a class that the saving script defined": (
        with_file("model.joblib", b"c__main__\nMine\n."),
        1,
        "move it into a module",
    ),
    "a model without an ONNX form": (
        with_model(lambda x, y: LabelPropagation().fit(x, y)),
        1,
        "no converter for LabelPropagation",
    ),
    "a pickle of something else": (with_model(lambda x, y: {"weights": [1, 2]}), 1, "holds a dict"),
    "a model never fitted": (with_model(lambda x, y: LogisticRegression()), 1, "is not fitted"),
    "clusters of the training rows only": (
        with_model(lambda x, y: DBSCAN().fit(x)),
        1,
        "neither predicts for new rows",
    ),
    "stacked classifiers of several targets": (
        with_model(
            lambda x, y: StackingClassifier([("near", KNeighborsClassifier())], KNeighborsClassifier(), cv=2).fit(
                x, np.c_[y == 0, y == 1].astype(int)
            )
        ),
        1,
        "stacks classifiers of several targets",
    ),
    "a model of another scikit-learn": (other_version, 1, "saved with scikit-learn 1.2.0"),
    "a folder that is no model": (a_folder, 2, "taken is a folder"),
    "an MLflow folder of another flavour": (
        mlflow_folder("flavors:\n  pytorch:\n    model_data: data\n"),
        1,
        "no scikit-learn flavour",
    ),
    "an MLflow folder that points outside": (
        mlflow_folder("flavors:\n  sklearn:\n    pickled_model: ../model.joblib\n"),
        1,
        "is not in the folder",
    ),
    "no such rows": (words("model.joblib", "--data", "gone.csv", "--trust-pickle"), 2, "gone.csv do not exist"),
    "rows of an unknown kind": (words("model.joblib", "--data", "model.joblib", "--trust-pickle"), 2, "unknown kind"),
    "an empty rows file": (with_text(lambda text: ""), 1, "cannot be read"),
    "only a header": (with_text(lambda text: text.splitlines()[0] + "\n"), 1, "has no rows"),
    "a ragged file": (with_text(lambda text: text + "1,2,3,4,5,6,7,8,9,10\n"), 1, "cannot be read"),
    "too few rows": (with_rows(lambda table: table.head(5)), 1, "give at least 20"),
    "a column missing": (with_rows(lambda table: table.drop(columns="s3")), 1, "such as 's3'"),
    "a column twice": (with_text(twice), 1, "'s0' more than once"),
    "infinite values": (with_rows(lambda table: table.assign(s2=np.inf)), 1, "infinite values"),
    "text instead of numbers": (with_rows(lambda table: table.assign(s2="high")), 1, "refuses the first row"),
    "missing values the model cannot take": (
        with_rows(lambda table: table.assign(s2=table["s2"].mask(table.index > 50))),
        1,
        "refuses some of its rows",
    ),
    "too few columns without names": (npy_without_names, 1, "lacks"),
    "no such target": (words("model.joblib", "--data", "rows.csv", "--target", "y", "--trust-pickle"), 2, "'y' is no"),
    "a target with holes": (
        with_rows(lambda table: table.assign(target=table["target"].mask(table.index > 50))),
        1,
        "missing values",
    ),
    "a target of other values": (
        with_rows(lambda table: table.assign(target="yes")),
        1,
        "none of which is a class",
    ),
    "a wrong name": (words(*USUAL, "--name", "No Good"), 2, "is not allowed"),
    "a wrong version": (words(*USUAL, "--model-version", "1.0"), 2, "is not allowed"),
    "a budget that is no share": (words(*USUAL, "--max-label-change", "5"), 2, "from 0 to 1"),
    "an output folder that is missing": (words(*USUAL, "-o", "no/where.edgekit"), 2, "does not exist"),
    "a report place that is taken": (words(*USUAL, "--report", "rows.csv"), 2, "no report folder"),
    "no such record of measurement": (words(*USUAL, "--measured", "gone.json"), 2, "no readable measured.json"),
    "rows missing altogether": (words("model.joblib"), 2, "--data"),
    "an unfaithful conversion": (with_model(calibrated), 3, "answers differently"),
}


@pytest.mark.parametrize("fault", TABLE)
def test_a_fault_is_one_sentence_with_its_exit_code_and_nothing_written(fault: str, fitted: Path, edgekit: Run) -> None:
    spoil, code, says = TABLE[fault]
    given = spoil(fitted)
    before = {path: path.stat().st_mtime_ns for path in fitted.rglob("*")}
    done = edgekit("convert", *given)
    assert done.returncode == code, done.stderr
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1].lower().startswith("error: ")
    assert done.stdout == ""
    assert {path: path.stat().st_mtime_ns for path in fitted.rglob("*")} == before


def test_faults_are_json_where_json_was_asked_for(fitted: Path, edgekit: Run) -> None:
    done = edgekit("convert", "model.joblib", "--data", "rows.csv", "--json")
    assert '"reason": "pickle_untrusted"' in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize("command", [["inspect"], ["verify"], ["bundle", "export", "-o", "out.onnx"]])
@pytest.mark.parametrize(("content", "says"), [(None, "cannot be read"), (b"PK\x05\x06", "not an edgekit bundle")])
def test_what_is_no_bundle_is_refused(
    command: list[str], content: bytes | None, says: str, tmp_path: Path, edgekit: Run
) -> None:
    if content is not None:
        (tmp_path / "a.edgekit").write_bytes(content)
    done = edgekit(*command, "a.edgekit")
    assert done.returncode == 1
    assert says in done.stderr
    assert not (tmp_path / "out.onnx").exists()
