"""Devices with the oldest onnxruntime that a manifest promises: the agent's own code answers the golden rows there.

Every such runtime is installed from its wheel, into a folder that a device's Python finds before anything else.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnxruntime
import pandas as pd
import pytest
from sklearn.compose import make_column_transformer
from sklearn.datasets import make_classification
from sklearn.ensemble import (
    AdaBoostClassifier,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
)
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier

from convert import convert
from convert.pack.record import Record
from convert.pack.runtime import (
    OLDEST,
    OLDEST_WITH_LIKE_CHILDREN,
    OLDEST_WITH_ONE_LEAF,
    OLDEST_WITH_SETS,
    OLDEST_WITH_TREES,
)
from edgekit import wire
from edgekit.bundle import load

ROOT = Path(__file__).parents[2]
PIP = (sys.executable, "-m", "pip", "--disable-pip-version-check")
NEEDED = ("cffi", "cryptography", "msgspec", "numpy", "zstandard")
FEATURES = list("abcdef")
OPEN = "import sys; from edge_agent import LocalModel; LocalModel.open(sys.argv[1])"

Opened = subprocess.CompletedProcess[str]
Open = Callable[[str, str], Opened]

pytestmark = pytest.mark.filterwarnings("ignore:The `probability` parameter:FutureWarning")


@dataclass(frozen=True)
class Made:
    """A model to fit on `rows` and `target`; the oldest runtime that its manifest has to name; the form that ships."""

    model: Any
    rows: Any
    target: Any
    oldest: str
    form: str = "exact"


def _cases() -> dict[str, Made]:
    x, y = make_classification(400, 6, n_informative=5, n_redundant=0, n_classes=3, random_state=3)
    rows = pd.DataFrame(x, columns=FEATURES)
    holed = rows.mask(np.random.default_rng(5).random(rows.shape) < 0.1)
    sites = rows.assign(site=np.where(rows["a"] > 0, "north", "south"))
    coded = rows[["a", "b"]].assign(code=np.digitize(rows["c"], np.linspace(-3, 3, 20)).astype(float))
    texts = pd.Series([f"{'good' if k else 'poor'} word{i % 7} The" for i, k in enumerate(y)], name="text")
    columns = make_column_transformer((StandardScaler(), FEATURES), (OneHotEncoder(), ["site"]))
    wide = MLPClassifier((96, 64), tol=1, n_iter_no_change=8, random_state=0)
    boosted = HistGradientBoostingClassifier(max_iter=4, categorical_features=[2], random_state=0)
    return {
        "columns": Made(make_pipeline(columns, LogisticRegression()), sites, y.astype(str), OLDEST),
        "text": Made(make_pipeline(TfidfVectorizer(), LogisticRegression()), texts, y, OLDEST),
        "half precision": Made(wide, rows, y, OLDEST, "fp16 weights"),
        "support vectors": Made(SVC(probability=True, random_state=0), rows, y, OLDEST),
        "forest": Made(RandomForestClassifier(10, random_state=0), rows, y, OLDEST_WITH_TREES),
        "single leaf": Made(DecisionTreeClassifier(min_samples_split=1000), rows, y > 1, OLDEST_WITH_TREES),
        "missing values": Made(HistGradientBoostingClassifier(max_iter=4), holed, y, OLDEST_WITH_TREES),
        "two splits": Made(
            HistGradientBoostingRegressor(max_iter=5, max_leaf_nodes=3), rows, x[:, 0], OLDEST_WITH_LIKE_CHILDREN
        ),
        "categories": Made(boosted, coded, y, OLDEST_WITH_SETS),
        "one leaf twice": Made(AdaBoostClassifier(n_estimators=20, random_state=0), rows, y, OLDEST_WITH_ONE_LEAF),
    }


CASES = _cases()


def _run(*command: str | Path, **environ: str) -> Opened:
    words = [str(word) for word in command]
    return subprocess.run(words, capture_output=True, text=True, timeout=120, check=False, env=os.environ | environ)


def _install(*words: str | Path) -> None:
    """Install wheels; skips with pip's reason where there are none, unless EDGEKIT_REQUIRE_OLD_RUNTIMES=1."""
    done = _run(*PIP, *words)
    if done.returncode == 0:
        return
    why = f"a runtime cannot be installed: {done.stderr.strip().splitlines()[-1]}"
    if os.environ.get("EDGEKIT_REQUIRE_OLD_RUNTIMES") == "1":
        pytest.fail(why)
    pytest.skip(why)


@pytest.fixture(scope="module")
def device_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python with what the agent needs to answer, but for onnxruntime."""
    folder = tmp_path_factory.mktemp("device") / "venv"
    assert _run(sys.executable, "-m", "venv", "--without-pip", folder).returncode == 0
    python = folder / "bin/python"
    options = ("--quiet", "--no-compile", "--only-binary=:all:", "--constraint", ROOT / "constraints.txt")
    _install("--python", python, "install", *options, *NEEDED)
    return python


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Installs an onnxruntime of this version, once: the folder that it lies in."""
    folder = tmp_path_factory.mktemp("runtimes")

    def install(version: str) -> Path:
        target = folder / version
        if not target.is_dir():
            options = ("--quiet", "--no-compile", "--no-deps", "--only-binary=:all:", "--target", target)
            _install("install", *options, f"onnxruntime=={version}")
        return target

    return install


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Converts a case, once: its bundle."""
    folder = tmp_path_factory.mktemp("bundles")

    def make(name: str) -> Path:
        path, case = folder / f"{name.replace(' ', '-')}.edgekit", CASES[name]
        if not path.is_file():
            record = folder / "measured.json"
            record.write_bytes(msgspec.json.encode(_record(case.form)))
            model = case.model.fit(case.rows, case.target)
            convert(model, pd.DataFrame(case.rows), measured=record, max_label_change=0.01).save(path)
        return path

    return make


def _record(form: str) -> Record:
    """A record to replay: measuring takes a second, and the form is given."""
    return Record(
        created="2026-01-01T00:00:00.000Z",
        host="a test",
        load_peak_bytes=1 << 20,
        p50_us=10.0,
        p99_us=20.0,
        onnxruntime=onnxruntime.__version__,
        zstd=wire.zstd_version(),
        form=form,
    )


@pytest.fixture
def opened(device_python: Path, runtime: Callable[[str], Path], bundle: Callable[[str], Path]) -> Open:
    """Opens a case's bundle on a device with this onnxruntime: its golden rows are answered there."""

    def run(name: str, version: str) -> Opened:
        path = f"{runtime(version)}{os.pathsep}{ROOT}"
        return _run(device_python, "-c", OPEN, bundle(name), PYTHONPATH=path)

    return run


@pytest.mark.parametrize("name", CASES)
def test_the_oldest_runtime_of_the_manifest_answers_the_golden_rows(
    name: str, bundle: Callable[[str], Path], opened: Open
) -> None:
    promised = load(bundle(name)).manifest.requires.onnxruntime_min
    assert promised == CASES[name].oldest
    done = opened(name, promised)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("name", "older", "fault"),
    [
        ("forest", OLDEST, "cannot load"),
        ("two splits", OLDEST_WITH_TREES, "does not answer here as its source model did"),
        ("one leaf twice", OLDEST_WITH_SETS, "does not answer here as its source model did"),
    ],
)
def test_a_runtime_older_than_the_manifest_asks_for_is_caught_by_the_golden_rows(
    name: str, older: str, fault: str, opened: Open
) -> None:
    done = opened(name, older)
    assert done.returncode != 0
    assert fault in done.stderr
