"""Everything a user can get wrong: one clear sentence, the right exit code, nothing written, no traceback."""

from __future__ import annotations

import codecs
import pickle
import resource
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
import sklearn
import skops.io
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.cluster import DBSCAN
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_iris
from sklearn.decomposition import NMF
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import StackingClassifier
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, MinMaxScaler, OneHotEncoder

from convert import convert
from convert.check.verify import Verified, verify
from convert.conversion import Conversion
from convert.places import Places
from convert.read.rows import read_rows
from edgekit.errors import ModelFault, UsageFault
from tests.convert.conftest import Run
from tests.convert.taught import Mistaught, Taught

Spoil = Callable[[Path], list[str]]
DATA = ["--data", "rows.csv", "--target", "target"]
USUAL = ["model.joblib", *DATA, "--trust-pickle"]


class Doubling(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """A step of the user's own."""

    def fit(self, X: Any, y: Any = None) -> Doubling:  # noqa: N803 - scikit-learn's name for it
        self.fitted_ = True
        return self

    def transform(self, X: Any) -> Any:  # noqa: N803 - scikit-learn's name for it
        return np.asarray(X) * 2


def doubled(x: Any) -> Any:
    return x * 2


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


def version(other: bytes) -> Spoil:
    def spoil(folder: Path) -> list[str]:
        content = pickle.dumps(joblib.load(folder / "model.joblib"), protocol=0)
        (folder / "model.joblib").write_bytes(content.replace(sklearn.__version__.encode(), other))
        return USUAL

    return spoil


def truncated(folder: Path) -> list[str]:
    content = (folder / "model.joblib").read_bytes()
    (folder / "model.joblib").write_bytes(content[: len(content) // 2])
    return USUAL


def parquet(change: Callable[[pd.DataFrame], pd.DataFrame]) -> Spoil:
    def spoil(folder: Path) -> list[str]:
        change(rows(folder)).to_parquet(folder / "rows.parquet")
        return ["model.joblib", "--data", "rows.parquet", "--trust-pickle"]

    return spoil


def with_bytes(change: Callable[[bytes], bytes]) -> Spoil:
    def spoil(folder: Path) -> list[str]:
        (folder / "rows.csv").write_bytes(change((folder / "rows.csv").read_bytes()))
        return USUAL

    return spoil


def rows_folder(folder: Path) -> list[str]:
    (folder / "more.csv").mkdir()
    return ["model.joblib", "--data", "more.csv", "--trust-pickle"]


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


def half_and_half(rows: pd.DataFrame) -> Any:
    return np.tile([0.5, 0.5], (len(rows), 1))


def unfaithful(features: pd.DataFrame, target: pd.Series) -> Any:
    """A model that answers something else than its parameters say, which is all that an exporter can read."""
    model = LogisticRegression().fit(features, target > 0)
    model.predict_proba = half_and_half
    return model


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
        with_model(
            lambda x, y: make_pipeline(MinMaxScaler(clip=True), NMF(2, max_iter=20, tol=0), LogisticRegression()).fit(
                x, y
            )
        ),
        1,
        "NMF: its stopping rule looks at all rows",
    ),
    "a pickle of something else": (with_model(lambda x, y: {"weights": [1, 2]}), 1, "is a dict"),
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
    "a model of an older scikit-learn": (version(b"1.2.0"), 1, "saved with scikit-learn 1.2.0"),
    "a model of a newer scikit-learn": (version(b"99.1.0"), 1, "saved with scikit-learn 99.1.0"),
    "half a model file": (truncated, 1, "is not a readable model"),
    "a model trained on one class": (
        with_model(lambda x, y: DummyClassifier().fit(x, y * 0)),
        1,
        "knows one class only (0)",
    ),
    "a step of the user's own": (
        with_model(lambda x, y: make_pipeline(Doubling(), LogisticRegression()).fit(x, y)),
        1,
        "contains the class Doubling",
    ),
    "a function of the user's own": (
        with_model(lambda x, y: make_pipeline(FunctionTransformer(doubled), LogisticRegression()).fit(x, y)),
        1,
        "contains the function doubled",
    ),
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
    "a misspelled target": (
        words("model.joblib", "--data", "rows.csv", "--target", "tagret", "--trust-pickle"),
        2,
        "did you mean 'target'?",
    ),
    "a misspelled feature": (with_rows(lambda table: table.rename(columns={"s3": "s_3"})), 1, "did you mean 's_3'?"),
    "a column without a name": (
        parquet(lambda table: table.rename(columns={"s3": ""})),
        1,
        "column 4 of rows.parquet has an empty name",
    ),
    "semicolons": (with_text(lambda text: text.replace(",", ";")), 1, "separated by ';'"),
    "tabs": (with_text(lambda text: text.replace(",", "\t")), 1, "separated by '\\t'"),
    "no UTF-8": (with_bytes(lambda content: content.replace(b"s3", b"\xfc3")), 1, "save the file as UTF-8"),
    "a folder of rows": (rows_folder, 2, "more.csv do not exist"),
    "dates": (parquet(lambda table: table.assign(s3=pd.Timestamp("2026-01-01"))), 1, "column 's3' of rows.parquet has"),
    "durations": (parquet(lambda table: table.assign(s3=pd.Timedelta("1s"))), 1, "which a device cannot send"),
    "lists": (parquet(lambda table: table.assign(s3=[[1.0]] * len(table))), 1, "type ndarray"),
    "whole numbers that no float carries": (
        parquet(lambda table: table.assign(s3=2**53 + table["target"])),
        1,
        "make an identifier a text",
    ),
    "a place that takes no files": (words(*USUAL, "-o", "/proc/a.edgekit"), 2, "cannot be written"),
    "an unknown option": (words(*USUAL, "--objectve", "size"), 2, "--objective"),
    "an unknown objective": (words(*USUAL, "--objective", "speed"), 2, "latency"),
    "a budget that is no number": (words(*USUAL, "--max-label-change", "some"), 2, "not a valid float"),
    "a wrong name": (words(*USUAL, "--name", "No Good"), 2, "is not allowed"),
    "a wrong version": (words(*USUAL, "--model-version", "1.0"), 2, "is not allowed"),
    "a budget that is no share": (words(*USUAL, "--max-label-change", "5"), 2, "from 0 to 1"),
    "an output folder that is missing": (words(*USUAL, "-o", "no/where.edgekit"), 2, "does not exist"),
    "a report place that is taken": (words(*USUAL, "--report", "rows.csv"), 2, "no report folder"),
    "no such record of measurement": (words(*USUAL, "--measured", "gone.json"), 2, "no readable measured.json"),
    "rows missing altogether": (words("model.joblib"), 2, "--data"),
    "an unfaithful conversion": (with_model(unfaithful), 3, "answers differently"),
    "an unfaithful step": (
        with_model(lambda x, y: make_pipeline(Taught(), Mistaught(), LogisticRegression()).fit(x, y)),
        3,
        "first to differ is step 'mistaught' (Mistaught), feature 's1'",
    ),
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


@pytest.mark.parametrize("asked", [True, False])
def test_a_refusal_is_reported_where_a_report_was_asked_for(asked: bool, fitted: Path, edgekit: Run) -> None:
    words = with_model(unfaithful)(fitted)
    done = edgekit("convert", *words, "--name", "pump", *(["--report", "told"] if asked else []))
    assert done.returncode == 3
    assert not list(fitted.glob("*.edgekit"))
    assert (fitted / "told").exists() is asked
    if asked:
        assert "<failure" in (fitted / "told" / "junit.xml").read_text()
        assert (fitted / "told" / "report.md").read_text().startswith("# pump: not converted")


def small(measured: Path) -> Conversion:
    features, target = load_iris(return_X_y=True, as_frame=True)
    return convert(LogisticRegression(max_iter=500).fit(features, target), features, target, measured=measured)


def test_a_disk_that_is_full_leaves_nothing_behind(measured: Path, tmp_path: Path) -> None:
    done = small(measured)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, limits[1]))  # a write beyond it fails, as on a full disk
    try:
        with pytest.raises(UsageFault, match="cannot be written") as raised:
            Places(tmp_path / "a.edgekit", None).write(done)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert raised.value.reason == "not_writable"
    assert not list(tmp_path.iterdir())


def test_a_report_does_not_stay_without_its_bundle(measured: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageFault, match="cannot be written"):
        Places(tmp_path / "gone" / "a.edgekit", tmp_path / "report").write(small(measured))
    assert not list(tmp_path.iterdir())


def test_too_many_features_are_refused_before_any_work(measured: Path) -> None:
    wide = np.random.default_rng(0).normal(size=(30, 10_001))
    with pytest.raises(ModelFault, match="10,001 features, and a bundle holds at most 10,000"):
        convert(Ridge().fit(wide, wide[:, 0]), wide, measured=measured)


NAMES = [
    "two words",
    "a|b",
    "<script>",
    "line\nbreak",
    "Temperatur °C",
    "温度",
    "label",
    "X",
    "0",
    "n" * 3000,
    "a_b",
]

# what is unusual about rows that convert all the same: a change of the table
UNUSUAL: dict[str, Callable[[pd.DataFrame], pd.DataFrame]] = {
    "names of every kind": lambda table: table.set_axis(NAMES[: table.shape[1]], axis=1),
    "names like those of outputs and inputs": lambda table: table.set_axis(
        ["label", "probabilities", "value", "X", "input_1", "score", "two words"], axis=1
    ),
    "sparse columns": lambda table: table.assign(s0=pd.arrays.SparseArray(table["s0"].round())),
    "nullable numbers": lambda table: table.astype({f"s{i}": "Float64" for i in range(6)}),
    "numbers as objects": lambda table: table.astype({f"s{i}": object for i in range(6)}),
    "Arrow text": lambda table: table.astype({"color": "string[pyarrow]"}),
    "a categorical": lambda table: table.astype({"color": "category"}),
    "narrow and wide numbers": lambda table: table.astype({"s0": np.float16, "s1": np.longdouble, "s2": np.float32}),
    "a constant": lambda table: table.assign(s0=3.0),
    "a huge number of categories": lambda table: table.assign(color=[f"c{i % 1000}" for i in range(len(table))]),
}


@pytest.mark.parametrize("kind", UNUSUAL)
def test_unusual_rows_convert(kind: str, mixed: pd.DataFrame, measured: Path) -> None:
    table = UNUSUAL[kind](mixed[[f"s{i}" for i in range(6)] + ["color"]])
    text = table.columns[-1]
    encoder = make_column_transformer((OneHotEncoder(handle_unknown="ignore"), [text]), remainder="passthrough")
    model = make_pipeline(encoder, LogisticRegression(max_iter=500)).fit(table, mixed["target"])
    done = convert(model, table, mixed["target"], measured=measured)
    assert done.manifest.parity.label_changes == 0
    assert [feature.name for feature in done.manifest.inputs] == list(table.columns)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert Verified is type(verify(done.save(Path(measured).parent / "unusual.edgekit")))


def test_a_model_of_one_feature_converts(sensors: pd.DataFrame, measured: Path) -> None:
    model = LogisticRegression().fit(sensors[["s0"]], sensors["target"])
    assert len(convert(model, sensors["s0"], measured=measured).manifest.inputs) == 1


def test_a_byte_order_mark_is_no_part_of_a_name(fitted: Path) -> None:
    (fitted / "rows.csv").write_bytes(codecs.BOM_UTF8 + (fitted / "rows.csv").read_bytes())
    assert next(iter(read_rows(fitted / "rows.csv", None).frame.columns)) == "s0"
