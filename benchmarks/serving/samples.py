"""The two models that are served: trained and converted as a user would, once for all servers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sklearn.base import BaseEstimator
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import RandomForestClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from edgekit import bundle, packing
from examples.demo.workshop import ROOT

FAMILIES: dict[str, Callable[[], BaseEstimator]] = {
    "forest": lambda: RandomForestClassifier(100, random_state=0),
    "mlp": lambda: make_pipeline(StandardScaler(), MLPClassifier((64, 32), max_iter=500, random_state=0)),
}
_ROW = 17


@dataclass(frozen=True)
class Sample:
    """A model in all its forms, and one row for it. `onnx` lies in its expanded bundle."""

    name: str
    pickle: Path
    bundle: Path
    onnx: Path
    features: list[str]
    row: dict[str, float]

    @property
    def body(self) -> bytes:
        """What a client of `POST /predict` sends."""
        return json.dumps(self.row).encode()


def sample(name: str, parent: Path) -> Sample:
    """Train and convert the model of that family."""
    import joblib

    folder = parent / name
    folder.mkdir()
    rows, answers = load_breast_cancer(return_X_y=True, as_frame=True)
    rows.columns = [column.replace(" ", "_") for column in rows.columns]
    joblib.dump(FAMILIES[name]().fit(rows.to_numpy(), answers), folder / "model.joblib")
    rows.assign(target=answers).to_csv(folder / "rows.csv", index=False)
    _convert(folder, name)
    onnx = _expand(folder / f"{name}.edgekit", folder)
    row = {str(column): float(value) for column, value in rows.iloc[_ROW].items()}
    return Sample(name, folder / "model.joblib", folder / f"{name}.edgekit", onnx, list(rows.columns), row)


def _convert(folder: Path, name: str) -> None:
    words = ["convert", "model.joblib", "--trust-pickle", "--data", "rows.csv", "--target", "target", "--name", name]
    command = [sys.executable, "-m", "edgekit", *words, "-o", f"{name}.edgekit"]
    subprocess.run(command, cwd=folder, env=os.environ | {"PYTHONPATH": str(ROOT)}, check=True, capture_output=True)


def _expand(path: Path, folder: Path) -> Path:
    packed = bundle.load(path)
    (folder / bundle.MANIFEST_PATH).write_bytes(packed.manifest_bytes)
    model = folder / packing.EXPANDED_NAMES["model"]
    model.write_bytes(packing.expand(packed, "model"))
    return model
