"""onnxruntime's own quantisation of the plain export, for the six families: what it gains in bytes, if it runs."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from onnxruntime.quantization import quantize_dynamic
from sklearn import ensemble, linear_model, neighbors, svm
from sklearn.base import BaseEstimator
from sklearn.neural_network import MLPClassifier

from benchmarks.converting import plain, sets
from benchmarks.converting.children import Lost, in_child
from benchmarks.converting.judge import open_session
from benchmarks.measurement import Row

_PEER = "the plain export"
_LIMIT_S = 120.0


def rows() -> list[Row]:
    """One row a family."""
    return [_row(name, model) for name, model in _families().items()]


def _families() -> dict[str, BaseEstimator]:
    return {
        "logistic": linear_model.LogisticRegression(max_iter=200),
        "MLP": MLPClassifier((256, 128), max_iter=5, random_state=0),
        "SVC": svm.SVC(),
        "KNN": neighbors.KNeighborsClassifier(),
        "forest": ensemble.RandomForestClassifier(20, random_state=0),
        "boosting": ensemble.HistGradientBoostingClassifier(max_iter=20, random_state=0),
    }


def _row(name: str, model: BaseEstimator) -> Row:
    label = f"onnxruntime quantisation, {name}: on disk"
    try:
        share, changed = in_child(lambda: _quantised(model), _LIMIT_S)
    except Lost as lost:
        return Row(label, 1.0, "ratio", _PEER, detail=f"fails: {lost}"[:160])
    return Row(label, round(share, 4), "ratio", _PEER, detail=f"{changed:.2%} of the labels change")


def _quantised(model: BaseEstimator) -> tuple[float, float]:
    """Share of the bytes and of the labels that change."""
    source = sets.generated().first(3000)
    model.fit(source.shown.to_numpy(), source.answers)
    exported = plain.export(model, plain.matrix_type(source.shown.shape[1]))
    with tempfile.TemporaryDirectory() as parent:
        before, after = Path(parent) / "before.onnx", Path(parent) / "after.onnx"
        before.write_bytes(exported)
        quantize_dynamic(before, after, per_channel=True)
        made = after.read_bytes()
    unseen = source.unseen.to_numpy(dtype=np.float32)
    first, second = (open_session(content).run(None, {"X": unseen})[0] for content in (exported, made))
    return len(made) / len(exported), float(np.mean(np.asarray(first) != np.asarray(second)))
