"""Rows and commands that the tests of the converter share."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import joblib
import msgspec
import numpy as np
import onnxruntime
import pandas as pd
import pytest
from sklearn.datasets import make_classification
from sklearn.linear_model import LogisticRegression

from edgekit import wire
from edgekit.cli import main
from edgekit.manifest import Measured

Run = Callable[..., "Ended"]
Process = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def sensors() -> pd.DataFrame:
    """1200 rows of six numeric features and `target` (0, 1, 2)."""
    x, y = make_classification(1200, 6, n_informative=5, n_redundant=0, n_classes=3, random_state=0)
    return pd.DataFrame(x, columns=[f"s{i}" for i in range(6)]).assign(target=y)


@pytest.fixture(scope="session")
def mixed(sensors: pd.DataFrame) -> pd.DataFrame:
    """The same rows with a text, a whole-number and a boolean column."""
    rng = np.random.default_rng(0)
    return sensors.assign(
        color=rng.choice(["red", "green", "blue"], len(sensors)),
        gear=rng.integers(1, 6, len(sensors)),
        heated=rng.random(len(sensors)) > 0.5,
    )


@pytest.fixture
def fitted(tmp_path: Path, sensors: pd.DataFrame) -> Path:
    """A folder with `model.joblib` (a logistic regression on the sensors) and `rows.csv`."""
    model = LogisticRegression(max_iter=1000).fit(sensors.drop(columns="target"), sensors["target"])
    joblib.dump(model, tmp_path / "model.joblib")
    sensors.to_csv(tmp_path / "rows.csv", index=False)
    return tmp_path


@dataclass(frozen=True)
class Ended:
    """What a command left: its exit code and what it printed."""

    returncode: int
    stdout: str
    stderr: str


@pytest.fixture
def edgekit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """Runs a command through the real front door inside `tmp_path`, in this process: loading the libraries anew for
    each of some fifty commands would take minutes.
    """

    def run(*words: str | Path) -> Ended:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", ["edgekit", *map(str, words)])
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        printed = capfd.readouterr()
        return Ended(int(ended.value.code or 0), printed.out, printed.err)

    return run


@pytest.fixture
def edgekit_process(tmp_path: Path) -> Process:
    """Runs a command in a process of its own, inside `tmp_path`."""

    def run(*words: str | Path, **environ: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "edgekit", *map(str, words)]
        return subprocess.run(
            command, cwd=tmp_path, capture_output=True, text=True, timeout=120, env=os.environ | environ
        )

    return run


@pytest.fixture(scope="session")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A record of measurement to replay, for tests about something else: measuring takes a second."""
    record = Measured(
        created="2026-01-01T00:00:00.000Z",
        host="a test",
        load_peak_bytes=1 << 20,
        p50_us=10.0,
        p99_us=20.0,
        onnxruntime=onnxruntime.__version__,
        zstd=wire.zstd_version(),
    )
    path = tmp_path_factory.mktemp("measured") / "measured.json"
    path.write_bytes(msgspec.json.encode(record))
    return path
