"""Judges a bundle the way a device meets it, trusting nothing that the converter said about itself.

The bundle is read back from its bytes, its model expanded by `edgekit.packing` and opened by onnxruntime, the rows fed
as `manifest.tensors` says; every output is held against the method of the source model that its role names. The rows
are unknown to the converter.

Agreement: no label differs in more than one row of a thousand, and no number in more than one row of a thousand is off
by more than 0.1 % of its size or of its column's spread (probabilities: by more than 0.001).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnxruntime
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import is_classifier, is_regressor

from benchmarks.converting.cases import Fitted
from edgekit import bundle as bundles
from edgekit import packing
from edgekit.manifest import Manifest, Output, Tensor

SHARE = 0.001
_RELATIVE = 1e-3
_BATCH_ROWS = 500
_NUMPY: dict[str, Any] = {"float32": np.float32, "float64": np.float64, "int64": np.int64, "bool": np.bool_}


@dataclass(frozen=True)
class Judged:
    """`agrees` by the rule of this module. `changed`: share of rows with another label; `furthest`: largest difference
    of a number (infinite where one side has none).
    """

    agrees: bool
    rows: int
    changed: float
    furthest: float
    remark: str = ""

    @property
    def words(self) -> str:
        """What differs, for people."""
        return f"{self.changed:.2%} of the labels differ, numbers by up to {self.furthest:.3g}{self.remark}"


def judge_bundle(fitted: Fitted, content: bytes) -> Judged:
    """Judge the bundle's bytes. Raises BundleError, and what onnxruntime raises."""
    bundle = bundles.parse(content)
    session = open_session(packing.expand(bundle, "model"))
    manifest = bundle.manifest
    given = run(session, manifest, fitted.unseen)
    found = [
        compare(_expected(fitted, output), array, probabilities=output.role == "probabilities")
        for output, array in zip(manifest.outputs, given, strict=True)
    ]
    worst = together(found)
    wanted = {"label"} if is_classifier(fitted.model) else set()
    wanted |= {"probabilities"} if wanted and hasattr(fitted.model, "predict_proba") else set()
    lacking = wanted - {output.role for output in manifest.outputs}
    return Judged(False, worst.rows, worst.changed, worst.furthest, f"; no {lacking}") if lacking else worst


def open_session(content: bytes) -> onnxruntime.InferenceSession:
    """The model, loaded with a device's settings."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def run(session: onnxruntime.InferenceSession, manifest: Manifest, frame: pd.DataFrame) -> list[NDArray[Any]]:
    """The outputs in the manifest's order."""
    names = [output.name for output in manifest.outputs]
    return run_in_parts(session, names, {tensor.name: feed(tensor, frame) for tensor in manifest.tensors})


def run_in_parts(
    session: onnxruntime.InferenceSession, names: list[str], feeds: dict[str, NDArray[Any]]
) -> list[NDArray[Any]]:
    """The outputs of a few rows after the other: some graphs spread all rows against all training rows."""
    rows = len(next(iter(feeds.values())))
    parts = [
        session.run(names, {name: array[start : start + _BATCH_ROWS] for name, array in feeds.items()})
        for start in range(0, rows, _BATCH_ROWS)
    ]
    return [np.concatenate([np.asarray(array) for array in column]) for column in zip(*parts, strict=True)]


def feed(tensor: Tensor, frame: pd.DataFrame) -> NDArray[Any]:
    """A tensor of the graph from rows as a client sends them; a missing text is the empty string."""
    columns = frame[tensor.features]
    if tensor.dtype == "string":
        return np.asarray(columns.astype(object).where(columns.notna(), "").to_numpy(dtype=object))
    return np.ascontiguousarray(columns.to_numpy(dtype=_NUMPY[tensor.dtype]))


def _expected(fitted: Fitted, output: Output) -> NDArray[Any]:
    ask = {"label": "predict", "probabilities": "predict_proba", "score": "decision_function"}.get(output.role)
    found = fitted.ask(ask or ("predict" if is_regressor(fitted.model) else "transform"))
    return found if output.role != "probabilities" else by_contract(found, output.target_classes)


def by_contract(found: NDArray[Any], targets: list[list[Any]] | None) -> NDArray[Any]:
    """Probabilities as a bundle gives them: [rows, classes of all targets].

    Some models of labels that are there or not (ClassifierChain, MLPClassifier) tell only [rows, targets]: how probable
    it is that each label is there. Both classes of each target are told then, the absent one first.
    """
    if targets is None or found.shape[1] == sum(map(len, targets)):
        return found
    if found.shape[1] != len(targets) or any(list(classes) != [0, 1] for classes in targets):
        return found  # what it should look like is unknown: the comparison of shapes says so
    return np.stack([1 - found, found], axis=2).reshape(len(found), -1)


def compare(expected: NDArray[Any], given: NDArray[Any], *, probabilities: bool = False) -> Judged:
    """One answer against the model's own."""
    rows = len(expected)
    wanted, got = expected.reshape(rows, -1), given.reshape(len(given), -1)
    if wanted.shape != got.shape:
        return Judged(False, rows, 1.0, np.inf, f"; its shape is {given.shape} instead of {expected.shape}")
    if wanted.dtype.kind in "OUS":
        return _shares((wanted.astype(str) != got.astype(str)).any(axis=1), 0.0)
    if wanted.dtype.kind in "iub":
        return _shares((wanted.astype(np.float64) != got.astype(np.float64)).any(axis=1), 0.0)
    return _numbers(wanted.astype(np.float64), got.astype(np.float64), probabilities=probabilities)


def _numbers(wanted: NDArray[np.float64], got: NDArray[np.float64], *, probabilities: bool) -> Judged:
    same = (wanted == got) | (np.isnan(wanted) & np.isnan(got))
    with np.errstate(all="ignore"):
        difference = np.where(same, 0.0, np.abs(wanted - got))
        spread = np.nan_to_num(np.nanstd(np.where(np.isfinite(wanted), wanted, np.nan), axis=0))
    difference = np.where(np.isnan(difference), np.inf, difference)
    size = np.where(np.isfinite(wanted), np.abs(wanted), 0.0)
    allowed = np.full_like(size, _RELATIVE) if probabilities else _RELATIVE * np.maximum(size, spread) + 1e-9
    off = (difference > allowed).any(axis=1)
    return Judged(bool(off.mean() <= SHARE), len(wanted), 0.0, float(difference.max(initial=0.0)))


def _shares(changed: NDArray[np.bool_], furthest: float) -> Judged:
    return Judged(bool(changed.mean() <= SHARE), len(changed), float(changed.mean()), furthest)


def together(found: list[Judged]) -> Judged:
    """The worst of several outputs."""
    return Judged(
        all(one.agrees for one in found),
        found[0].rows,
        max(one.changed for one in found),
        max(one.furthest for one in found),
        "".join(one.remark for one in found),
    )
